"""How fast the attack runs on this machine, beside the model's bare forward and beside peers.

Everything is measured in turn, several rounds over, so that what slows the machine for a while
slows all alike. A figure is the median of the rounds; its spread is their least and greatest.
Peers run in processes of their own, with their own libraries' defaults, while this one waits.
"""

from __future__ import annotations

import copy
import importlib
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.one_pixel import OnePixelConfig
from apr_core.attacks.scoring import Scorer, as_input
from apr_core.data.sample import load_sample
from apr_core.hardware import describe_hardware
from apr_core.models.inference import device_of, evaluating, prepare
from apr_core.types import InputError, Stop
from apr_core.version import versions

BATCHES = {"cpu": (25, 50, 100, 200, 400), "cuda": (1024, 4096, 16384)}
"""Batch sizes that the bare forward is tried at."""
RANGES = {"images": (1, 1000), "generations": (0, 10_000), "rounds": (1, 1000)}

Timed = tuple[int, float]
"""Images that a model classified, and the seconds it took."""
Work = Callable[[], Timed]
Report = Callable[[int, int, str], None]
"""Called with measurements done, their total, and what comes next."""


@dataclass(frozen=True)
class BenchConfig:
    """How much to measure.

    Attributes:
        images: attacked together in one run, each correctly classified.
        generations: after the initial population; every one is run.
        rounds: in each of which everything is measured once. One more, before them, warms up.
        population: candidates in a generation (ART's is fixed at 400).
        seconds: how long one measurement of a bare forward lasts, about.
        batches: batch sizes of the bare forward; by default what suits the device.
    """

    images: int = 4
    generations: int = 5
    rounds: int = 5
    population: int = 400
    seconds: float = 1.0
    batches: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(
                    f"{name} is {getattr(self, name)}, but must lie between {low} and {high}."
                )

    @property
    def attack(self) -> OnePixelConfig:
        """The attack, which never stops early."""
        return OnePixelConfig(
            population=self.population, generations=self.generations, stop=Stop.BUDGET
        )


@dataclass(frozen=True)
class BenchResult:
    """One measurement; rates are per second of wall time, medians over the rounds.

    Attributes:
        queries: candidates scored in one round's attack.
        queries_per_second: of `OnePixelAttack.run`, all that it does included.
        forward_images_per_second: of the very model that the attack runs, at its best.
        ratio: the first over the second.
        plain_forward_images_per_second: of the model as it is loaded, at its best.
        forwards: every bare forward tried: model (prepared or plain), channels_last, batch,
            images_per_second and spread.
        spread: least and greatest of the rounds, for each figure; for the ratio, of each
            round's own quotient.
        peers: for each, queries (real model evaluations in one round), queries_per_second,
            its spread, ratio_of_ours (ours over theirs) and version.
        commit: of the working tree, "-dirty" if it was changed, "" if it is not known.
    """

    model: str
    device: str
    hardware: str
    threads: int
    versions: dict[str, str]
    commit: str
    date: str
    config: dict[str, Any]
    rounds: int
    queries: int
    queries_per_second: float
    forward_images_per_second: float
    ratio: float
    plain_forward_images_per_second: float
    spread: dict[str, tuple[float, float]]
    forwards: tuple[dict[str, Any], ...]
    peers: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Forward:
    """A bare forward: the prepared or the plain model, a memory layout, a batch size."""

    model: str
    channels_last: bool
    batch: int

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "channels first"
        return f"{self.model}, {layout}, batch {self.batch}"


@dataclass(frozen=True)
class Peer:
    """Somebody else's one-pixel attack.

    Attributes:
        package: the distribution that holds it.
        build: a model and the config to something that attacks images (B, C, H, W) in [0, 1]
            with labels (B,). It is called in the peer's own process.
    """

    package: str
    build: Callable[[nn.Module, BenchConfig], Callable[[Tensor, Tensor], object]]


def measure(
    model: nn.Module,
    config: BenchConfig,
    name: str = "",
    peers: tuple[str, ...] = (),
    report: Report = lambda done, total, what: None,
) -> BenchResult:
    """Measure a model's attack, its bare forward and, on the same images, some of `PEERS`.

    Raises:
        InputError: a peer is not installed, or the model gets too few images right.
    """
    installed = {peer: peer_version(peer) for peer in peers}
    with evaluating(model), ExitStack() as stack:
        images, labels = choose_images(model, config.images)
        works: dict[object, Work] = {"attack": attack_work(model, images, labels, config)}
        works |= forward_works(model, config)
        for peer in peers:
            works[peer] = stack.enter_context(peer_work(peer, model, images, labels, config))
        rounds = take_turns(works, config.rounds, report)
    return _summarise(model, config, name, rounds, installed)


def choose_images(model: nn.Module, count: int) -> tuple[Tensor, Tensor]:
    """The shipped sample's images (uint8) that the model is surest of, and their labels.

    They survive most often, so that a peer, which stops at success, spends its budget too.
    """
    sample = load_sample()
    logits = Scorer(model).confirm(sample.images.to(device_of(model))).cpu()
    true = sample.labels[:, None]
    others = logits.scatter(1, true, float("-inf")).amax(1)
    margin, rows = (logits.gather(1, true)[:, 0] - others).topk(count)
    right = int((margin > 0).sum())
    if right < count:
        raise InputError(
            f"The model classifies only {right} of the sample's images correctly; "
            f"ask for fewer than {count} images, or train it first."
        )
    return sample.images[rows], sample.labels[rows]


def attack_work(model: nn.Module, images: Tensor, labels: Tensor, config: BenchConfig) -> Work:
    """The attack as a researcher calls it; its queries are its own count."""
    attack = OnePixelAttack(model, config.attack)

    def work() -> Timed:
        began = time.perf_counter()
        queries = attack.run(images, labels).queries
        return queries, time.perf_counter() - began

    return work


def forward_works(model: nn.Module, config: BenchConfig) -> dict[object, Work]:
    """Every bare forward to try; a model that the attack runs as it is has plain ones only."""
    modules = {"plain": model}
    if not Scorer(model).exact:
        modules["prepared"] = prepare(model)
    device = device_of(model)
    works: dict[object, Work] = {}
    for name, module in modules.items():
        for channels_last in (False, True):
            for batch in config.batches or BATCHES.get(device.type, (1024,)):
                forward = Forward(name, channels_last, batch)
                works[forward] = forward_work(forward, module, device, config.seconds)
    return works


def forward_work(forward: Forward, module: nn.Module, device: torch.device, seconds: float) -> Work:
    """As many passes of one batch as take about `seconds`, with nothing between them."""
    layout = torch.channels_last if forward.channels_last else torch.contiguous_format
    module = copy.deepcopy(module).to(memory_format=layout)  # type: ignore[call-overload]
    sample = load_sample().images
    images = as_input(sample[torch.arange(forward.batch) % len(sample)].to(device))
    images = images.contiguous(memory_format=layout)

    @torch.inference_mode()
    def passes(count: int) -> float:
        _synchronise(device)
        began = time.perf_counter()
        for _ in range(count):
            module(images)
        _synchronise(device)
        return time.perf_counter() - began

    passes(1)
    count = max(1, math.ceil(seconds / passes(1)))
    return lambda: (count * forward.batch, passes(count))


def take_turns(
    works: dict[object, Work], rounds: int, report: Report = lambda done, total, what: None
) -> dict[object, list[Timed]]:
    """Each work once a round, every other round backwards; the warm-up round is not returned."""
    taken: dict[object, list[Timed]] = {key: [] for key in works}
    for number in range(rounds + 1):
        keys = list(works) if number % 2 else list(works)[::-1]
        for place, key in enumerate(keys):
            report(number * len(keys) + place, (rounds + 1) * len(keys), str(key))
            taken[key].append(works[key]())
    return {key: timed[1:] for key, timed in taken.items()}


def peer_version(name: str) -> str:
    """The installed version of one of `PEERS`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return version(PEERS[name].package)
    except PackageNotFoundError:
        raise _missing(PEERS[name].package) from None


@contextmanager
def peer_work(
    name: str, model: nn.Module, images: Tensor, labels: Tensor, config: BenchConfig
) -> Iterator[Work]:
    """A peer on the plain model, in a process that lives as long as the context."""
    device, threads = device_of(model), torch.get_num_threads()
    plain = copy.deepcopy(model).cpu()
    given = (PEERS[name].build, plain, images, labels, config, str(device), threads)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda: pool.submit(run_peer, *given).result()


def run_peer(
    build: Callable[[nn.Module, BenchConfig], Callable[[Tensor, Tensor], object]],
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    config: BenchConfig,
    device: str,
    threads: int,
) -> Timed:
    """One run of a peer's attack: the images that its model was really shown, and the time."""
    torch.set_num_threads(threads)
    counted = Counted(model.to(device)).eval()
    attack = build(counted, config)
    pictures, truth = as_input(images).contiguous().to(device), labels.to(device)
    began = time.perf_counter()
    attack(pictures, truth)
    _synchronise(torch.device(device))
    return counted.count, time.perf_counter() - began


class Counted(nn.Module):
    """A model with a count of the images it was shown."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.count = 0

    def forward(self, images: Tensor) -> Tensor:
        self.count += len(images)
        logits: Tensor = self.model(images)
        return logits


def build_torchattacks(model: nn.Module, config: BenchConfig) -> Callable[[Tensor, Tensor], object]:
    """torchattacks' OnePixel."""
    torchattacks = _import("torchattacks", PEERS["torchattacks"].package)
    attack: Callable[[Tensor, Tensor], object] = torchattacks.OnePixel(
        model, pixels=1, steps=config.generations, popsize=config.population
    )
    return attack


def build_art(model: nn.Module, config: BenchConfig) -> Callable[[Tensor, Tensor], object]:
    """ART's PixelAttack, with differential evolution (es=1) on one pixel (th=1)."""
    estimators = _import("art.estimators.classification", PEERS["art"].package)
    evasion = _import("art.attacks.evasion", PEERS["art"].package)
    classifier = estimators.PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(load_sample().images.shape[1:]),
        nb_classes=int(load_sample().labels.max()) + 1,
        clip_values=(0.0, 1.0),
        device_type="cpu" if device_of(model).type == "cpu" else "gpu",
    )
    attack = evasion.PixelAttack(classifier, th=1, es=1, max_iter=config.generations)
    return lambda images, labels: attack.generate(images.cpu().numpy(), labels.cpu().numpy())


PEERS = {
    "torchattacks": Peer("torchattacks", build_torchattacks),
    "art": Peer("adversarial-robustness-toolbox", build_art),
}


def find_commit() -> str:
    """The working tree's commit, "-dirty" after it if tracked files differ; "" outside one."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        found = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return found.stdout.strip()


def _summarise(
    model: nn.Module,
    config: BenchConfig,
    name: str,
    rounds: dict[object, list[Timed]],
    installed: dict[str, str],
) -> BenchResult:
    """The record of all rounds."""
    rates = {key: [count / seconds for count, seconds in timed] for key, timed in rounds.items()}
    forwards = [key for key in rates if isinstance(key, Forward)]
    plain = _fastest(rates, [key for key in forwards if key.model == "plain"])
    prepared = [key for key in forwards if key.model == "prepared"]
    bare = _fastest(rates, prepared) if prepared else plain
    ours = rates["attack"]
    device = device_of(model)
    return BenchResult(
        model=name,
        device=str(device),
        hardware=describe_hardware(device),
        threads=torch.get_num_threads(),
        versions=versions() | {PEERS[peer].package: found for peer, found in installed.items()},
        commit=find_commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        config=asdict(config),
        rounds=config.rounds,
        queries=rounds["attack"][0][0],
        queries_per_second=median(ours),
        forward_images_per_second=median(rates[bare]),
        ratio=median(ours) / median(rates[bare]),
        plain_forward_images_per_second=median(rates[plain]),
        spread={
            "queries_per_second": _spread(ours),
            "forward_images_per_second": _spread(rates[bare]),
            "ratio": _spread(_quotients(ours, rates[bare])),
            "plain_forward_images_per_second": _spread(rates[plain]),
        },
        forwards=tuple(
            asdict(key) | {"images_per_second": median(rates[key]), "spread": _spread(rates[key])}
            for key in forwards
        ),
        peers={
            peer: {
                "queries_per_second": median(rates[peer]),
                "spread": _spread(rates[peer]),
                "ratio_of_ours": median(ours) / median(rates[peer]),
                "ratio_spread": _spread(_quotients(ours, rates[peer])),
                "queries": median(count for count, _ in rounds[peer]),
                "version": found,
            }
            for peer, found in installed.items()
        },
    )


def _fastest(rates: dict[object, list[float]], forwards: list[Forward]) -> Forward:
    return max(forwards, key=lambda forward: median(rates[forward]))


def _quotients(ours: list[float], theirs: list[float]) -> list[float]:
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def _spread(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _import(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise _missing(package) from None


def _missing(package: str) -> InputError:
    return InputError(
        f"{package} is not installed here; in an environment of its own, run "
        "`pip install -r requirements-bench.txt`, and bench with that environment's Python."
    )
