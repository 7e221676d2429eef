"""Requests and views: what callers ask of the attack service and get from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from math import isqrt
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.oracle import QueryOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.attacks.result import Outcome, Snapshot
from apr_core.attacks.search import Search
from apr_core.attacks.truth_map import (
    BYTES_A_PIXEL,
    PIXELS_A_STEP,
    TruthMap,
    TruthMapSearch,
    most_tried,
)
from apr_core.base.types import InputError, Method, check_ranges
from apr_core.data.dataset import DataSet
from apr_core.data.registry import find_dataset
from apr_core.zoo.target import dataset_of

PHOTOGRAPHS = "nips2017"
"""The data set whose pictures stand for ImageNet's."""
SERVED: dict[str, tuple[int, int]] = {
    "pixels": (1, 16),
    "population": (4, 2000),
    "generations": (0, 1000),
}
"""What a caller over the network may ask, ends included: a generation holds up everyone's."""
SPARSE_POPULATION = (1, 100)
"""Of Sparse-RS, whose frames hold up to 250 pixels a candidate."""
MOST_SIDE = 32
"""Of a patch; of a small picture, half of its side."""
MOST_HISTORY = 32 * 2**20
"""Bytes that a run's snapshots may take: what two million one-pixel candidates do."""
BEHIND_LATTICE = "+lattice"
"""What a model's name ends with if it is asked for behind lattice masking."""


class Phase(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"


class Work(Protocol):
    """Work for a request, a step at a time; as `Search` and `TruthMapSearch` do."""

    @property
    def live(self) -> bool: ...

    @property
    def step(self) -> int: ...

    @property
    def steps(self) -> int: ...

    def ask(self) -> Perturbations: ...

    def tell(self, logits: Tensor) -> None: ...

    def cancel(self) -> None: ...

    def snapshot(self) -> Any: ...

    def result(self) -> Any: ...


class Request(Protocol):
    """What a caller asks of the service."""

    @property
    def model(self) -> str:
        """A name that the service can load."""

    @property
    def run_id(self) -> str:
        """Equal for equal requests."""

    @property
    def steps(self) -> int:
        """Of a run that uses up its budget."""

    @property
    def step_bytes(self) -> int:
        """What a step's snapshot takes in memory, about."""

    def begin(self, scorer: QueryOracle) -> Work:
        """Start on it.

        Raises:
            InputError: it cannot be done.
        """


@dataclass(frozen=True, eq=False)
class AttackRequest:
    """One image to attack.

    Attributes:
        model: a name that the service can load.
        image: uint8 (C, H, W).
        label: its true class.
        index: with the config's seed it fixes the random numbers.
        config: how to attack.
        named: whether the true class is known; else the label is what the model predicted.
    """

    model: str
    image: Tensor
    label: int
    index: int
    config: OnePixelConfig
    named: bool = True

    @cached_property
    def run_id(self) -> str:
        """Sixteen hexadecimal digits that equal requests share."""
        config = asdict(self.config)
        if self.config.method is Method.DE:
            del config["method"]  # so that runs from before there was another keep their ids
        unnamed = [] if self.named else [self.named]  # for the same reason
        return _digest([self.model, self.label, self.index, config, *unnamed], self.image)

    @cached_property
    def data(self) -> DataSet:
        """The data set that the model is of."""
        return data_behind(self.model)

    @property
    def steps(self) -> int:
        return self.config.generations + 1

    @property
    def step_bytes(self) -> int:
        return history_bytes(self.config) // self.steps

    def begin(self, scorer: QueryOracle) -> Search:
        """See `Request`."""
        check_size(self.config)
        labels, indices = torch.tensor([self.label]), torch.tensor([self.index])
        return Search(self.config, scorer, self.image[None], labels, indices=indices)


def data_behind(model: str) -> DataSet:
    """The data set of a model, which may stand behind a lattice: its classes, and pictures of them.

    Of ImageNet's own pictures none come with the project; those of `nips2017` have its classes.
    """
    data = dataset_of(model.removesuffix(BEHIND_LATTICE))
    return find_dataset(PHOTOGRAPHS) if data.name == "imagenet" else data


def served(method: Method, data: DataSet) -> dict[str, tuple[int, int]]:
    """What a caller may ask of a method on a data set's pictures: `SERVED`, and many pixels.

    Sparse-RS may change 0.5 % of a picture's pixels, or sixteen of a small one, or a patch.
    """
    if method is Method.DE:
        return SERVED
    low, few = SERVED["pixels"]
    most = max(few, data.size[0] * data.size[1] // 200)
    if method is Method.PATCH:
        most = min(MOST_SIDE, min(data.size) // 2) ** 2
    return SERVED | {"pixels": (low, most), "population": SPARSE_POPULATION}


def check_served(config: OnePixelConfig, data: DataSet) -> None:
    """Raise InputError unless a caller may ask for this on a data set's pictures."""
    most = {method: served(method, data)["pixels"][1] for method in Method}
    if config.method is Method.PATCH and config.pixels > most[Method.PATCH]:
        side = isqrt(most[Method.PATCH])
        raise InputError(
            f"The patch is {config.side} × {config.side}, but here its side is at most {side}; ask "
            "for a smaller one."
        )
    sparse = most[Method.SPARSE_RS]
    if config.pixels > most[config.method] and sparse > most[Method.DE]:
        height, width = data.size
        raise InputError(
            f"pixels is {config.pixels}, but of a picture of {width} × {height}, differential "
            f"evolution changes at most {most[Method.DE]} and Sparse-RS at most {sparse}; ask for "
            "fewer, or for the other method."
        )
    check_ranges(config, served(config.method, data))


def history_bytes(config: OnePixelConfig) -> int:
    """What the snapshots of a run that uses up its budget take."""
    return config.max_queries * (7 * config.pixels + 9)


def check_size(config: OnePixelConfig) -> None:
    """Raise InputError if a run is too long to be shown."""
    if history_bytes(config) > MOST_HISTORY:
        raise InputError(
            f"A run of up to {config.max_queries:,} queries with {config.pixels} pixels each would "
            f"take {history_bytes(config) / 2**20:,.0f} MB of memory to be shown, over the limit "
            f"of {MOST_HISTORY // 2**20}; ask for fewer candidates, generations or pixels."
        )


@dataclass(frozen=True, eq=False)
class MapRequest:
    """One image to map (`apr_core.attacks.truth_map`); the attributes are an `AttackRequest`'s."""

    model: str
    image: Tensor
    label: int

    @cached_property
    def run_id(self) -> str:
        """Sixteen hexadecimal digits that equal requests share."""
        return _digest(["truth map", self.model, self.label], self.image)

    @property
    def steps(self) -> int:
        return -(-most_tried(*self.image.shape[1:]) // PIXELS_A_STEP)

    @property
    def step_bytes(self) -> int:
        return self.image[0].numel() * BYTES_A_PIXEL

    def begin(self, scorer: QueryOracle) -> TruthMapSearch:
        """See `Request`. What the model proves harmless is not tried."""
        device = scorer.device
        labels = torch.tensor([self.label], device=device)
        certified = scorer.certified_pixels(self.image[None].to(device), labels)
        return TruthMapSearch(
            scorer, self.image, self.label, None if certified is None else certified[0]
        )


def _digest(settings: list[Any], image: Tensor) -> str:
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(image.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


Asked = TypeVar("Asked", bound=Request)
Seen = TypeVar("Seen")
Came = TypeVar("Came")


@dataclass(frozen=True, eq=False)
class View(Generic[Asked, Seen, Came]):
    """A run as its viewers see it; never changed, only replaced.

    Attributes:
        snapshots: one a step so far.
        outcome: what came of it, None before that, or if it failed.
        error: a sentence, "" unless it failed.
        queue_place: 1 for the next to start; 0 once started.
        wait: seconds until it starts, by how long runs took of late; None while unknown.
        seconds: of searching so far.
        seconds_left: at the pace so far, to the end of the budget; None while unknown.
        unwatched: whether it was cut short because nobody had looked at it for a while, as when a
            connection is lost. An attack's outcome is `Status.CANCELLED` then too.
    """

    request: Asked
    phase: Phase
    snapshots: tuple[Seen, ...] = ()
    outcome: Came | None = None
    error: str = ""
    queue_place: int = 0
    wait: float | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    unwatched: bool = False

    @property
    def live(self) -> bool:
        return self.phase in (Phase.QUEUED, Phase.RUNNING)


RunView = View[AttackRequest, Snapshot, Outcome]
MapView = View[MapRequest, TruthMap, TruthMap]
