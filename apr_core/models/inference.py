"""A model as the search runs it: the same function, folded and laid out for speed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse


def prepare(model: nn.Module) -> nn.Module:
    """A frozen copy in evaluation mode with batch norm folded into the convolutions before it.

    Its logits differ from the model's by float32 rounding only (about 1e-6). The model itself is
    left alone. It must be traceable by torch.fx, as every architecture of this package is.
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    return fuse(frozen).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every submodule's own mode is restored afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters (or, failing those, its buffers) live; the CPU if it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")
