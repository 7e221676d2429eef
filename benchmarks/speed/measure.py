"""How fast the attack runs on this machine, beside the model's bare forward and beside peers.

Everything is measured in turn, several rounds over, so that what slows the machine for a while
slows all alike. A figure is the median of the rounds, its spread their least and greatest. Peers
run each in a process of their own, as their users run them, while this one waits.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.enumeration import corner_sweep, is_large
from apr_core.attacks.oracle import ModelOracle
from apr_core.base.provenance import Environment, environment
from apr_core.base.types import InputError, Stop
from apr_core.data.dataset import DataSet
from apr_core.data.registry import find_dataset
from apr_core.models.inference import device_of, evaluating, prepare
from benchmarks.speed.case import BenchConfig, Case, Timed, Work, peak_memory, synchronise
from benchmarks.speed.peers import peer_package, peer_version, peer_work
from benchmarks.speed.turns import (
    Report,
    input_batch,
    passes_work,
    quotients,
    spread,
    take_turns,
)

BATCHES = {"cpu": (25, 50, 100, 200, 400), "cuda": (1024, 4096, 16384)}
"""Batch sizes that the bare forward is tried at."""
LARGE_BATCHES = {"cpu": (1, 2, 4, 8, 16), "cuda": (16, 64, 256)}
"""The same for images of more than `LARGE` pixels."""
FEW = 200
"""Test images, of a data set without a sample, among which those to be attacked are looked for."""


@dataclass(frozen=True)
class Forward:
    """A bare forward: of the prepared model (which the attack runs) or the plain one."""

    model: str
    channels_last: bool
    batch: int

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "channels first"
        return f"{self.model}, {layout}, batch {self.batch}"


@dataclass(frozen=True)
class BenchResult(Environment):
    """One measurement; rates are per second of wall time, medians over the rounds.

    Attributes:
        queries: candidates scored in one round's attack.
        queries_per_second: of `OnePixelAttack.run`, everything that it does included.
        forward_images_per_second: of the very model that the attack runs, at its best.
        ratio: the first over the second.
        plain_forward_images_per_second: of the model as it was loaded, at its best.
        forwards: every bare forward tried, with images_per_second and its spread.
        attack_peak_bytes: most memory in use by the end of a first attack, everything before it,
            such as torch itself, included (`peak_memory`).
        spread: least and greatest round of each figure; for the ratio, of the rounds' quotients.
        sweep_over_forward: time of a corner sweep over that of as many bare forwards, with its
            spread and queries_per_second; empty if it was not measured.
        peers: each with queries (model evaluations counted in one round), queries_per_second,
            spread, ratio_of_ours (ours over theirs), ratio_spread and version.
    """

    model: str
    device: str
    threads: int
    config: dict[str, Any]
    rounds: int
    queries: int
    queries_per_second: float
    forward_images_per_second: float
    ratio: float
    plain_forward_images_per_second: float
    attack_peak_bytes: int
    spread: dict[str, tuple[float, float]]
    forwards: tuple[dict[str, Any], ...]
    sweep_over_forward: dict[str, Any]
    peers: dict[str, dict[str, Any]]


def measure(
    model: nn.Module,
    config: BenchConfig,
    name: str = "",
    peers: tuple[str, ...] = (),
    report: Report = lambda done, total, what: None,
    data: DataSet | None = None,
) -> BenchResult:
    """Measure a model's attack, its bare forward and, on the same images, some of `PEERS`.

    Args:
        data: whose images; by default CIFAR-10's.

    Raises:
        InputError: a peer is not installed, or the model gets too few images right.
    """
    installed = {peer: peer_version(peer) for peer in peers}
    with evaluating(model), ExitStack() as stack:
        case = Case(model, *choose_images(model, config.images, data), config)
        attack = attack_work(case)
        attack()  # before anything larger has been in memory
        peak = peak_memory(device_of(model))
        turns: list[tuple[object, Work]] = list(forward_works(case).items())
        turns.insert(len(turns) // 2, ("attack", attack))  # among its yardsticks
        works = dict(turns)
        if config.sweep:
            works["corner sweep"] = sweep_work(case)
        for peer in peers:
            works[peer] = stack.enter_context(peer_work(peer, case))
        rounds = take_turns(works, config.rounds, report)
    return _summarise(case, name, rounds, installed, peak)


def choose_images(
    model: nn.Module, count: int, data: DataSet | None = None
) -> tuple[Tensor, Tensor]:
    """Images uint8 (B, C, H, W) that the model is surest of, and their labels (B,).

    They survive most often, so that peers, which stop at success, spend their budget too.

    Args:
        data: whose sample they are of, by default CIFAR-10's; where it has none, they are of the
            first `FEW` of its test set.

    Raises:
        InputError: the model gets too few right, or the images are not here.
    """
    images, labels = _pictures(data or find_dataset())
    rows = _surest(model, images, labels, count)
    return images[rows], labels[rows]


def surest_rows(model: nn.Module, count: int) -> Tensor:
    """Rows of CIFAR-10's sample, (B,), that the model gets right with the greatest margin.

    Raises:
        InputError: it gets too few right.
    """
    return _surest(model, *_pictures(find_dataset()), count)


def _pictures(data: DataSet) -> tuple[Tensor, Tensor]:
    if data.sample:
        sample = data.sample()
        return sample.images, sample.labels
    test = data.load("test")
    first = torch.arange(min(FEW, len(test)))
    return test.take(first), test.labels[first]


def _surest(model: nn.Module, images: Tensor, labels: Tensor, count: int) -> Tensor:
    if count > len(images):
        raise InputError(f"images is {count}, but there are only {len(images)}; ask for fewer.")
    logits = ModelOracle(model).verify_float32(images.to(device_of(model))).cpu()
    true = labels[:, None]
    margins = logits.gather(1, true) - logits.scatter(1, true, float("-inf")).amax(1, keepdim=True)
    surest, rows = margins[:, 0].topk(count)
    right = int((surest > 0).sum())
    if right < count:
        raise InputError(
            f"The model classifies {right} of the sample's images correctly; to bench it, ask for "
            f"fewer images than {count} or train it first."
        )
    return rows


def attack_work(case: Case) -> Work:
    """The attack as a researcher calls it, its budget always spent, by its own count."""
    population, generations = case.config.population, case.config.generations
    config = OnePixelConfig(population=population, generations=generations, stop=Stop.BUDGET)
    attack = OnePixelAttack(case.model, config)

    def work() -> Timed:
        began = time.perf_counter()
        queries = attack.run(case.images, case.labels).queries
        return queries, time.perf_counter() - began

    return work


def sweep_work(case: Case) -> Work:
    """Every pixel of one image in every corner colour, each one looked at."""
    scorer, images = ModelOracle(case.model), case.images[:1].to(device_of(case.model))
    labels = case.labels[:1].to(scorer.device)

    def work() -> Timed:
        began = time.perf_counter()
        found = corner_sweep(scorer, images, labels, stop_on_success=False)
        synchronise(scorer.device)
        assert found.margins is not None
        return found.margins.numel(), time.perf_counter() - began

    return work


def forward_works(case: Case) -> dict[object, Work]:
    """Every bare forward to try, by its `Forward`; a user's model is attacked as it is: plain."""
    device = device_of(case.model)
    known = LARGE_BATCHES if is_large(*case.images.shape[2:]) else BATCHES
    modules = {"plain": case.model}
    if not ModelOracle(case.model).exact:
        modules["prepared"] = prepare(case.model)
    forwards = [
        Forward(name, channels_last, batch)
        for name in modules
        for channels_last in (False, True)
        for batch in case.config.batches or known.get(device.type, (1024,))
    ]
    return {forward: _forward_work(forward, modules[forward.model], case) for forward in forwards}


def _forward_work(forward: Forward, module: nn.Module, case: Case) -> Work:
    layout = torch.channels_last if forward.channels_last else torch.contiguous_format
    module = copy.deepcopy(module).to(memory_format=layout)  # type: ignore[call-overload]
    images = input_batch(forward.batch, device_of(case.model), case.images)
    images = images.contiguous(memory_format=layout)
    return passes_work(module, images, case.config.seconds)


def _summarise(
    case: Case,
    name: str,
    rounds: dict[object, list[Timed]],
    installed: dict[str, str],
    peak: int,
) -> BenchResult:
    rates = {key: [count / seconds for count, seconds in timed] for key, timed in rounds.items()}
    forwards = {key: rate for key, rate in rates.items() if isinstance(key, Forward)}
    ours, plain = rates["attack"], fastest(_rates_of(forwards, "plain"))
    bare = fastest(_rates_of(forwards, "prepared")) or plain
    device = device_of(case.model)
    peers = {peer_package(peer): found for peer, found in installed.items()}
    return BenchResult(
        **environment(device, **peers),
        model=name,
        device=str(device),
        threads=torch.get_num_threads(),
        config=asdict(case.config),
        rounds=case.config.rounds,
        queries=rounds["attack"][0][0],
        queries_per_second=median(ours),
        forward_images_per_second=median(bare),
        ratio=median(ours) / median(bare),
        plain_forward_images_per_second=median(plain),
        attack_peak_bytes=peak,
        spread={
            "queries_per_second": spread(ours),
            "forward_images_per_second": spread(bare),
            "ratio": spread(quotients(ours, bare)),
            "plain_forward_images_per_second": spread(plain),
        },
        forwards=tuple(
            asdict(key) | {"images_per_second": median(rate), "spread": spread(rate)}
            for key, rate in forwards.items()
        ),
        sweep_over_forward=_sweep_figures(bare, rates.get("corner sweep")),
        peers={
            peer: _peer_figures(ours, rates[peer], rounds[peer]) | {"version": found}
            for peer, found in installed.items()
        },
    )


def _sweep_figures(bare: list[float], sweep: list[float] | None) -> dict[str, Any]:
    if sweep is None:
        return {}
    return {
        "ratio": median(bare) / median(sweep),
        "spread": spread(quotients(bare, sweep)),
        "queries_per_second": median(sweep),
    }


def _peer_figures(ours: list[float], theirs: list[float], rounds: list[Timed]) -> dict[str, Any]:
    return {
        "queries": median(count for count, _ in rounds),
        "queries_per_second": median(theirs),
        "spread": spread(theirs),
        "ratio_of_ours": median(ours) / median(theirs),
        "ratio_spread": spread(quotients(ours, theirs)),
    }


def _rates_of(forwards: dict[Forward, list[float]], model: str) -> list[list[float]]:
    return [rates for key, rates in forwards.items() if key.model == model]


def fastest(rates: Sequence[list[float]]) -> list[float]:
    """The best of several works' rates, round by round; none if there is no work.

    Which is the best in a round, the other rounds say. Of many that are alike, the one that chance
    favours would be taken else: of ten whose rounds vary by 10 %, one that seems 7 % too fast.
    """
    rounds = range(len(rates[0])) if rates else range(0)
    return [max(rates, key=partial(_elsewhere, number))[number] for number in rounds]


def _elsewhere(number: int, rates: list[float]) -> float:
    """The median of all rounds but one, if there are others."""
    return median(rates[:number] + rates[number + 1 :] or rates)
