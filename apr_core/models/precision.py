"""Mixed precision: whether a machine is faster in bfloat16 or in float32.

Processors without instructions for bfloat16 imitate it, and take several times as long as in
float32; those that have them may be twice as fast. No name of a processor tells, so both are timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from apr_core.models.inference import Model

SAMPLE = 32
"""Images in a timed step, at most."""
ROUNDS = 3
SECONDS = 1.0
"""Beyond this, no further round is begun."""


def half_type(device: torch.device) -> torch.dtype:
    """The type of half precision that a device searches in."""
    return torch.bfloat16 if device.type == "cpu" else torch.float16


def time_over_float32(step: Callable[[bool], float]) -> float:
    """The time of a step in bfloat16 over that in float32: medians of steps in turn.

    Args:
        step: takes one, in bfloat16 or not, and returns the seconds that it took.
    """
    spent: dict[bool, list[float]] = {False: [], True: []}
    began = time.monotonic()
    for number in range(ROUNDS + 1):  # the first one warms up
        for mixed, seconds in spent.items():
            took = step(mixed)
            if number:
                seconds.append(took)
        if number and time.monotonic() - began > SECONDS:
            break
    return median(spent[True]) / median(spent[False])


def forward_over_float32(model: Model, images: Tensor) -> float:
    """`time_over_float32` of a forward pass.

    Args:
        images: (B, C, H, W) float in [0, 1], on the model's device.
    """

    @torch.no_grad()
    def step(mixed: bool) -> float:
        began = time.perf_counter()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed):
            model(images[:SAMPLE])
        return time.perf_counter() - began

    return time_over_float32(step)


def precision_name(mixed: bool) -> str:
    """For a log or a card."""
    return "bfloat16" if mixed else "float32"
