"""Other people's one-pixel attacks, run on the same case."""

from __future__ import annotations

import copy
import importlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from multiprocessing import get_context

import torch
from torch import Tensor, nn

from apr_core.base.registry import Registry
from apr_core.base.types import InputError
from apr_core.models.inference import device_of, keep_memory
from apr_core.models.inputs import as_input
from benchmarks.speed.case import BenchConfig, Case, Timed, Work, synchronise


class Counted(nn.Module):
    """A model with a count of the images that it was shown."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.count = 0

    def forward(self, images: Tensor) -> Tensor:
        self.count += len(images)
        logits: Tensor = self.model(images)
        return logits


@dataclass(frozen=True)
class Peer:
    """Somebody else's one-pixel attack.

    Attributes:
        package: what is installed.
        attack: runs it on a case once.
        modules: what it imports, before the clock runs.
        kept: whether its process keeps freed memory, as this engine's does (`keep_memory`).
    """

    package: str
    attack: Callable[[Counted, Tensor, Tensor, BenchConfig], object]
    modules: tuple[str, ...] = ()
    kept: bool = False


def _torchattacks(model: nn.Module, images: Tensor, labels: Tensor, config: BenchConfig) -> None:
    """It stops at the first success, and asks once more a generation to see that."""
    attacks = importlib.import_module("torchattacks")
    population = config.dense_population or config.population
    attacks.OnePixel(model, 1, _generations(config), population)(images, labels)


def _art(model: Counted, images: Tensor, labels: Tensor, config: BenchConfig) -> None:
    """One pixel (th=1) by differential evolution (es=1); it stops as torchattacks does."""
    with torch.inference_mode():
        classes = model.model(images[:1]).shape[1]  # which is no query of the attack's
    classifier = importlib.import_module("art.estimators.classification").PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(images.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="cpu" if images.device.type == "cpu" else "gpu",
    )
    evasion = importlib.import_module("art.attacks.evasion")
    attack = evasion.PixelAttack(classifier, th=1, es=1, max_iter=_generations(config))
    attack.generate(images.cpu().numpy(), labels.cpu().numpy())


def _generations(config: BenchConfig) -> int:
    given = config.peer_generations
    return config.generations if given is None else given


TORCHATTACKS = Peer("torchattacks", _torchattacks, ("torchattacks",))
ART = Peer(
    "adversarial-robustness-toolbox",
    _art,
    ("art.attacks.evasion", "art.estimators.classification"),
)
PEERS: Registry[Peer] = Registry("peer")
PEERS.add("torchattacks", TORCHATTACKS)
PEERS.add("art", ART)
PEERS.add("torchattacks-kept", replace(TORCHATTACKS, kept=True))
PEERS.add("art-kept", replace(ART, kept=True))


def peer_version(name: str) -> str:
    """The installed version of one of `PEERS`.

    Raises:
        InputError: there is no such peer, or it is not installed.
    """
    package = PEERS.get(name).package
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise _missing(package) from None


def peer_package(name: str) -> str:
    """What one of `PEERS` is called where packages are fetched."""
    return PEERS.get(name).package


def _missing(package: str) -> InputError:
    return InputError(
        f"{package} cannot be imported; make an environment of its own, run "
        "`pip install -r requirements-bench.txt` there, and bench with its Python."
    )


@contextmanager
def peer_work(name: str, case: Case) -> Iterator[Work]:
    """A peer on the plain model, in a process that lives as long as the context."""
    given = replace(case, model=copy.deepcopy(case.model).cpu())
    where = (str(device_of(case.model)), torch.get_num_threads())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda: pool.submit(run_peer, PEERS.get(name), given, *where).result()


def run_peer(peer: Peer, case: Case, device: str, threads: int) -> Timed:
    """One run of a peer: the images that the model was really shown, and the time.

    Raises:
        InputError: the peer cannot be imported.
    """
    torch.set_num_threads(threads)
    if peer.kept:
        keep_memory()
    model = Counted(case.model.to(device)).eval()
    images, labels = as_input(case.images).contiguous().to(device), case.labels.to(device)
    try:
        for module in peer.modules:
            importlib.import_module(module)
        began = time.perf_counter()
        peer.attack(model, images, labels, case.config)
    except ImportError:
        raise _missing(peer.package) from None
    synchronise(torch.device(device))
    return model.count, time.perf_counter() - began
