"""`AttributionConfig`, and the task that an attribution method gets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apr_core.base import random
from apr_core.base.types import InputError, check_ranges
from apr_core.models.inference import scale_chunk

ROWS = {"cpu": 32, "cuda": 1024}
"""Images of 32 x 32 that go through the model together, with a gradient kept for each."""
SIDE = 32
"""Of the pictures that a configuration's lengths are told for."""
RANGES: dict[str, tuple[float, float]] = {
    "steps": (2, 1000),
    "draws": (2, 1000),
    "probes": (2, 1000),
    "noise": (0.0, 1.0),
    "probe": (1e-4, 1.0),
    "window": (1, 32),
    "stride": (1, 32),
    "baseline": (0.0, 1.0),
    "seed": (0, 2**31 - 1),
}
"""What each field of a configuration may be, ends included."""


@dataclass(frozen=True)
class AttributionConfig:
    """How to attribute.

    Attributes:
        steps: of integrated gradients, along the line from the baseline to the image.
        draws: of GradientSHAP, for each image.
        noise: standard deviation of what GradientSHAP adds to the image, in units of [0, 1].
        probes: moved copies of each image that infidelity looks at.
        probe: standard deviation of the shares by which they are moved.
        window, stride: side of the square that occlusion covers, and how far it moves, in pixels of
            a picture of 32 on its shorter side or less; they grow with larger pictures.
        baseline: the grey that stands for "nothing there", 0 (black) to 1.
        seed: of every draw.
    """

    steps: int = 64
    draws: int = 64
    noise: float = 0.02
    probes: int = 16
    probe: float = 0.003
    window: int = 4
    stride: int = 2
    baseline: float = 0.0
    seed: int = 0

    def square(self, height: int, width: int) -> tuple[int, int]:
        """Occlusion's window and stride in pixels of a picture (H, W)."""
        scale = max(1.0, min(height, width) / SIDE)
        return round(self.window * scale), round(self.stride * scale)

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        if self.stride > self.window:
            raise InputError(
                f"stride is {self.stride}, over the window's {self.window}, which would leave "
                "pixels out; lower it."
            )


@dataclass(frozen=True, eq=False)
class Task:
    """What a method computes from: a model of its own, images that require a gradient (B, C, H, W),
    targets (B,), and the configuration."""

    model: nn.Module
    images: Tensor
    targets: Tensor
    config: AttributionConfig

    @property
    def start(self) -> Tensor:
        """The baseline, (B, C, H, W)."""
        return torch.full_like(self.images, self.config.baseline, requires_grad=False)

    @property
    def key(self) -> Tensor:
        """Of the draws, (1,): the seed's, whatever the image."""
        zero = torch.zeros(1, dtype=torch.int64, device=self.images.device)
        return random.keys_for(self.config.seed, zero)


def rows_for(images: Tensor) -> int:
    """How many images like these go through the model together, with a gradient kept for each."""
    most = ROWS.get(images.device.type, ROWS["cpu"])
    return scale_chunk(most, images.device, images.shape[2], images.shape[3])
