"""Measuring in turn: what slows the machine for a while then slows all alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from apr_core.data.registry import find_dataset
from apr_core.models.inputs import as_input
from benchmarks.speed.case import Timed, Work, synchronise

Report = Callable[[int, int, str], None]
"""Called before each measurement: how many are done, of how many, and which is next."""
Key = TypeVar("Key")


def take_turns(
    works: Mapping[Key, Work], rounds: int, report: Report, cold: Collection[Key] = ()
) -> dict[Key, list[Timed]]:
    """Each work once a round, every other round backwards; the warm-up round is left out.

    Args:
        cold: works that need no warm-up: the first round goes without them.
    """
    taken: dict[Key, list[Timed]] = {key: [] for key in works}
    warm = [key for key in works if key not in cold]
    total, done = rounds * len(works) + len(warm), 0
    for number in range(rounds + 1):
        keys = list(works) if number else warm
        for key in keys if number % 2 else keys[::-1]:
            report(done, total, str(key))
            taken[key].append(works[key]())
            done += 1
    return {key: timed[-rounds:] for key, timed in taken.items()}


def passes_work(call: Callable[[Tensor], object], images: Tensor, seconds: float) -> Work:
    """As many forward passes of one batch as take about `seconds`, with nothing between them."""

    @torch.inference_mode()
    def passes(count: int) -> float:
        synchronise(images.device)
        began = time.perf_counter()
        for _ in range(count):
            call(images)
        synchronise(images.device)
        return time.perf_counter() - began

    passes(1)
    count = max(1, math.ceil(seconds / passes(1)))
    return lambda: (count * len(images), passes(count))


def input_batch(count: int, device: torch.device, images: Tensor | None = None) -> Tensor:
    """Images over again if need be: (count, C, H, W) in [0, 1], channels last.

    Args:
        images: uint8 (N, C, H, W); by default those of CIFAR-10's sample.
    """
    known = find_dataset().shipped_sample().images if images is None else images
    return as_input(known[torch.arange(count) % len(known)].to(device))


def quotients(ours: list[float], theirs: list[float]) -> list[float]:
    """One over the other, round by round."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def spread(values: list[float]) -> tuple[float, float]:
    """The least and the greatest."""
    return min(values), max(values)
