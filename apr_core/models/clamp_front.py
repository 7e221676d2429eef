"""The front of APR+: a clamp and a gate that compare each pixel with its eight neighbours.

An edited pixel is an outlier among its neighbours. What they say of a place, with their own
extremes left out, does not depend on the pixel there, and moves little if one of them is edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Surroundings:
    """What the eight neighbours of each pixel say, by channel; all (B, C, H, W).

    Attributes:
        low, high: their second smallest and second largest value.
        mean: of the six that are left when the smallest and the largest are dropped.
    """

    low: Tensor
    high: Tensor
    mean: Tensor


def look_around(images: Tensor) -> Surroundings:
    """The surroundings of every pixel; beyond the edge the image is mirrored, edge left out.

    Mirrored so, a pixel at the edge is none of its own neighbours.
    """
    wide = F.pad(images, (1, 1, 1, 1), mode="reflect")
    # Autograd's own way back through thirty minima and maxima takes four times as long.
    extremes = _Extremes.apply if wide.requires_grad else _extremes
    _, low, high, _, mean = extremes(wide)
    return Surroundings(low, high, mean)


def _around(wide: Tensor) -> list[Tensor]:
    """The eight neighbours of each pixel: views of the mirrored image, (B, C, H, W) each."""
    height, width = wide.shape[2] - 2, wide.shape[3] - 2
    return [
        wide[:, :, y : y + height, x : x + width]
        for y in range(3)
        for x in range(3)
        if (y, x) != (1, 1)
    ]


def _extremes(wide: Tensor) -> tuple[Tensor, ...]:
    """Of each pixel's neighbours the smallest, the second smallest, the second largest and the
    largest, and the mean without the first and the last of these."""
    first, second, *rest = _around(wide)
    lowest, low = torch.minimum(first, second), torch.maximum(first, second)
    highest, high = low, lowest
    total = first + second
    for one in rest:
        low = torch.minimum(low, torch.maximum(lowest, one))
        lowest = torch.minimum(lowest, one)
        high = torch.maximum(high, torch.minimum(highest, one))
        highest = torch.maximum(highest, one)
        total = total + one
    return lowest, low, high, highest, (total - lowest - highest) / 6


class _Extremes(torch.autograd.Function):
    """`_extremes`, whose gradient goes to the neighbours that have the value, in equal parts."""

    @staticmethod
    def forward(ctx: Any, wide: Tensor) -> tuple[Tensor, ...]:
        *values, mean = _extremes(wide)
        ctx.save_for_backward(wide, *values)
        return *values, mean

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        wide, *values = ctx.saved_tensors
        of_lowest, of_low, of_high, of_highest, of_mean = gradients
        each = of_mean / 6
        back = torch.zeros_like(wide)
        for place in _around(back):
            place.add_(each)
        outer = (of_lowest - each, of_low, of_high, of_highest - each)
        for value, gradient in zip(values, outer, strict=True):
            owners = [(one == value).to(value.dtype) for one in _around(wide)]
            share = gradient / sum(owners)
            for place, owner in zip(_around(back), owners, strict=True):
                place.addcmul_(share, owner)
        return back


class NeighbourhoodFront(nn.Module):
    """Clamp, then gate: images (B, C, H, W) in [0, 1] -> the same shape and range.

    The clamp brings each channel between `low` and `high` of its surroundings. The gate lets it
    deviate from their mean m as far as it trusts it: m + A (x - m), with A = sigmoid of a 3x3
    convolution over x, |x - m| and high - low, one map for all channels. It starts nearly open.

    Attributes:
        reach: how many pixels around it an edited one changes what comes out.

    Args:
        clamp, attention: whether each is there.
        channels: C.
    """

    def __init__(self, clamp: bool = True, attention: bool = True, channels: int = 3) -> None:
        super().__init__()
        self.clamp = clamp
        self.conv = nn.Conv2d(3 * channels, 1, kernel_size=3, padding=1) if attention else None
        self.sigmoid = nn.Sigmoid()
        self.reach = 2 if attention else 1
        if self.conv is not None:
            nn.init.normal_(self.conv.weight, std=0.05)
            nn.init.constant_(self.conv.bias, 2.0)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        around = look_around(images)
        seen = self._clamped(images, around)
        if self.conv is None:
            return seen
        return around.mean + self._gate(seen, around) * (seen - around.mean)

    def attention(self, images: Tensor) -> Tensor:
        """The gate A: (B, C, H, W) -> (B, 1, H, W) in (0, 1); all open where there is none."""
        around = look_around(images)
        if self.conv is None:
            return torch.ones_like(images[:, :1])
        return self._gate(self._clamped(images, around), around)

    def _clamped(self, images: Tensor, around: Surroundings) -> Tensor:
        if not self.clamp:
            return images
        return torch.minimum(torch.maximum(images, around.low), around.high)

    def _gate(self, seen: Tensor, around: Surroundings) -> Tensor:
        assert self.conv is not None
        evidence = [seen, (seen - around.mean).abs(), around.high - around.low]
        gate: Tensor = self.sigmoid(self.conv(torch.cat(evidence, dim=1)))
        return gate

    def extra_repr(self) -> str:
        return f"clamp={self.clamp}"
