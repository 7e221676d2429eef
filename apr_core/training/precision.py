"""Mixed precision: bfloat16 for training only where this machine is faster in it."""

from __future__ import annotations

import copy
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apr_core.models.precision import SAMPLE, time_over_float32


def choose_precision(
    model: nn.Module, images: Tensor, labels: Tensor, asked: bool | None = None
) -> bool:
    """Whether to train in bfloat16: a step of a copy of the model, forward and back, is timed in
    both precisions. On a GPU, bfloat16 is taken where the device has it.

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
    images, labels = images[:SAMPLE], labels[:SAMPLE]
    return time_over_float32(lambda mixed: _time_step(model, images, labels, mixed)) < 1


def _time_step(model: nn.Module, images: Tensor, labels: Tensor, mixed: bool) -> float:
    trial = copy.deepcopy(model)
    began = time.perf_counter()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed):
        loss = F.cross_entropy(trial(images).float(), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - began
