"""Windows: which part of each feature map an edit of one pixel changes, by its row and column.

Along an axis, what a pixel changes is a run of places that depends on the pixel's place alone; so
each is a table over the pixels of the axis, and all windows of a map have one size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """A map's rows, or its columns, and which of them each pixel changes.

    Attributes:
        length: of the map.
        low, high: first and last place that a pixel changes, (pixels,) int64; high < low where it
            changes none.
        start: first place of its window, which lies inside the map.
        size: of all windows: as many places as the pixel that changes most changes.
    """

    length: int
    low: Tensor
    high: Tensor
    start: Tensor
    size: int

    @classmethod
    def of(cls, length: int, low: Tensor, high: Tensor) -> Axis:
        """Of a map in which each pixel changes the places from `low` to `high`."""
        size = max(1, int((high - low).max()) + 1)
        return cls(length, low, high, low.clamp(0, length - size), size)

    @classmethod
    def of_image(cls, length: int, device: torch.device) -> Axis:
        """Of the image itself: a pixel changes its own place."""
        places = torch.arange(length, device=device)
        return cls.of(length, places, places)

    def places(self, pixels: Tensor) -> Tensor:
        """The places of these pixels' windows, (M, size)."""
        return self.start[pixels][:, None] + torch.arange(self.size, device=pixels.device)

    @property
    def full(self) -> bool:
        """Whether a window is the whole axis."""
        return self.size >= self.length

    def through(self, kernel: Kernel, length: int) -> Axis:
        """Of the map (of a length) that a kernel makes of this one."""
        reach = kernel.dilation * (kernel.size - 1)
        first, last = self.low + kernel.padding - reach, self.high + kernel.padding
        low = -((-first) // kernel.stride)  # rounded up
        high = torch.div(last, kernel.stride, rounding_mode="floor")
        return Axis.of(length, low.clamp(min=0), high.clamp(max=length - 1))

    def padded(self, before: int, after: int) -> Axis:
        """Of this map with places added at its ends; the windows are the same."""
        low, high, start = (part + before for part in (self.low, self.high, self.start))
        return Axis(self.length + before + after, low, high, start, self.size)

    def joined(self, other: Axis) -> Axis:
        """Of a map of two that lie upon each other: what is changed in either."""
        return Axis.of(
            self.length, torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        )

    def same(self, other: Axis) -> bool:
        """Whether all windows lie where the other's do."""
        return self.size == other.size and bool((self.start == other.start).all())


@dataclass(frozen=True)
class Kernel:
    """What a place of a map is made of, along an axis: `size` places, `dilation` apart."""

    size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


@dataclass(frozen=True)
class Patch:
    """What the windows of a map are made of, along an axis: places of the map before, padded.

    Attributes:
        before: the map's axis.
        start: first place, counted in the padded map, (pixels,).
        size: places.
        step: from one to the next.
        length: of the padded map.
        padding: before its first place.
    """

    before: Axis
    start: Tensor
    size: int
    step: int
    length: int
    padding: int

    @classmethod
    def of(cls, before: Axis, after: Axis, kernel: Kernel) -> Patch:
        """Of the windows of `after`, which a kernel makes of `before`."""
        alone = kernel.size == 1  # then what lies between its strides is of no use
        step = kernel.stride if alone else 1
        reach = kernel.dilation * (kernel.size - 1) + 1
        size = after.size if alone else (after.size - 1) * kernel.stride + reach
        start = after.start * kernel.stride
        needed = (after.length - 1) * kernel.stride + reach
        length = max(before.length + kernel.padding, needed)
        return cls(before, start, size, step, length, kernel.padding)

    @classmethod
    def crop(cls, before: Axis, size: int, reach: int) -> Patch:
        """Parts of the map itself that reach so far around each pixel, inside it."""
        start = (before.low - reach).clamp(0, before.length - size)
        return cls(before, start, size, 1, before.length, 0)

    def places(self, own: Tensor, other: Tensor) -> Tensor:
        """Where the windows that pixels `other` (M,) change lie in the patches of pixels `own`.

        Returns:
            (M, window), -1 for a place that is not in the patch.
        """
        offset = self.before.places(other) + self.padding - self.start[own][:, None]
        place = torch.div(offset, self.step, rounding_mode="floor")
        seen = (offset % self.step == 0) & (place >= 0) & (place < self.size)
        return place.where(seen, -1)
