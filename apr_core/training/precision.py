"""The precision to train in: bfloat16 only where this machine is faster in it.

Processors without instructions for bfloat16 imitate it, and take several times as long as in
float32; those that have them may be twice as fast. No name of a processor tells, so both are timed.
"""

from __future__ import annotations

import copy
import time
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE = 32
"""Images in a timed step, at most."""
ROUNDS = 3
SECONDS = 1.0
"""Beyond this, no further round is begun."""


def choose_precision(
    model: nn.Module, images: Tensor, labels: Tensor, asked: bool | None = None
) -> bool:
    """Whether to train in bfloat16.

    A step of a copy of the model, forward and back, is timed in each precision in turn, once to
    warm up and then `ROUNDS` times or for `SECONDS`. On a GPU, bfloat16 is taken where the device
    has it.

    Args:
        model: on its device, in training mode; it is left as it is.
        images: (B, C, H, W) float in [0, 1], on that device.
        labels: (B,).
        asked: what a person chose; None to measure.
    """
    if asked is not None:
        return asked
    if images.device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    spent: dict[bool, list[float]] = {False: [], True: []}
    began = time.monotonic()
    for number in range(ROUNDS + 1):
        for mixed, seconds in spent.items():
            step = _time_step(model, images[:SAMPLE], labels[:SAMPLE], mixed)
            if number:
                seconds.append(step)
        if number and time.monotonic() - began > SECONDS:
            break
    return median(spent[True]) < median(spent[False])


def _time_step(model: nn.Module, images: Tensor, labels: Tensor, mixed: bool) -> float:
    trial = copy.deepcopy(model)
    began = time.perf_counter()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed):
        loss = F.cross_entropy(trial(images).float(), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - began


def precision_name(mixed: bool) -> str:
    """For a log or a card."""
    return "bfloat16" if mixed else "float32"
