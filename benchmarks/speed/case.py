"""What is measured, and how much of it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError

RANGES = {"images": (1, 1000), "generations": (0, 10_000), "rounds": (1, 1000)}

Timed = tuple[int, float]
"""How much was done (images classified, steps made), and the seconds it took."""
Work = Callable[[], Timed]


@dataclass(frozen=True)
class BenchConfig:
    """How much to measure.

    Attributes:
        images: attacked together in one run, all of them classified correctly.
        generations: after the initial population; every one is run.
        rounds: everything is measured once in each. One more, before them, warms up.
        population: candidates in a generation; ART's is 400 whatever is said here.
        dense_population: of the dense attack and of torchattacks; None: the same.
        peer_generations: of the peers; None: as many.
        seconds: about how long one measurement of a bare forward lasts.
        batches: batch sizes of the bare forward; by default what suits the device.
        sweep: measure the corner sweep of one image too.
        compiled: measure the bare forward of torch.compile too, which takes half a minute.
    """

    images: int = 4
    generations: int = 5
    rounds: int = 5
    population: int = 400
    dense_population: int | None = None
    peer_generations: int | None = None
    seconds: float = 1.0
    batches: tuple[int, ...] = ()
    sweep: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}, but must lie between {low} and {high}.")


LARGE_CONFIG = BenchConfig(
    images=1, generations=1, rounds=3, dense_population=64, peer_generations=0
)
"""For images of 224 x 224, where VGG-19 classifies about three in a second on two cores."""


@dataclass(frozen=True)
class Case:
    """What is measured: a model, images uint8 (B, C, H, W) it gets right, their labels (B,)."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    config: BenchConfig

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image, (C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: on a GPU what torch took there, else what the process held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
