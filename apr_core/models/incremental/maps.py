"""Clean maps: the feature maps of unedited images, computed once an image and bounded in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """A value as windows read it: padded, and as rows of its channels.

    Attributes:
        name: of the value.
        pads: left, right, top, bottom.
        fill: what they are filled with.
        shape: of the padded map, (C, H, W).
    """

    name: str
    pads: tuple[int, int, int, int]
    fill: float
    shape: tuple[int, int, int]

    @property
    def places(self) -> int:
        """Rows and columns, padding among them."""
        return self.shape[1] * self.shape[2]


FLOAT_BYTES = 4
Compute = Callable[[Tensor, Iterable[str]], dict[str, Tensor]]
"""An image uint8 (1, C, H, W), and names of values -> those values, (1, ...)."""


class CleanMaps:
    """The maps of the images that were asked for last, each at a slot of its own.

    Args:
        layouts: what is kept of each image.
        compute: makes them.
        most_bytes: of all; at least one image is held.
    """

    def __init__(self, layouts: Iterable[Layout], compute: Compute, most_bytes: int) -> None:
        self.layouts = tuple(dict.fromkeys(layouts))
        self._names = tuple(dict.fromkeys(layout.name for layout in self.layouts))
        self._compute = compute
        each = sum(layout.shape[0] * layout.places * FLOAT_BYTES for layout in self.layouts)
        self.most = max(1, most_bytes // max(1, each))
        self._slots: OrderedDict[bytes, int] = OrderedDict()
        self._rows: dict[Layout, Tensor] = {}
        self._room = 0

    def rows(self, layout: Layout) -> Tensor:
        """The places of all slots' maps, (slots * places, C)."""
        return self._rows[layout]

    def slots(self, images: Tensor) -> list[int]:
        """Where the maps of images uint8 (A, C, H, W) are, A at most `most`; they are there now."""
        keys = [image.cpu().numpy().tobytes() for image in images]
        for key in keys:
            if key in self._slots:
                self._slots.move_to_end(key)
        for key, image in zip(keys, images, strict=True):
            if key not in self._slots:
                values = self._compute(image[None], self._names)
                self._slots[key] = self._fill(values)
        return [self._slots[key] for key in keys]

    def _fill(self, values: dict[str, Tensor]) -> int:
        slot = self._free(values)
        for layout in self.layouts:
            padded = F.pad(values[layout.name], layout.pads, value=layout.fill)
            first = slot * layout.places
            rows = padded.permute(0, 2, 3, 1).reshape(layout.places, layout.shape[0])
            self._rows[layout][first : first + layout.places] = rows
        return slot

    def _free(self, values: dict[str, Tensor]) -> int:
        """A slot to fill: a new one while memory lasts, or that of the image seen longest ago."""
        if len(self._slots) >= self.most:
            return self._slots.popitem(last=False)[1]
        if len(self._slots) >= self._room:
            self._grow(min(self.most, max(1, 2 * self._room)), values)
        return len(self._slots)

    def _grow(self, room: int, values: dict[str, Tensor]) -> None:
        for layout in self.layouts:
            rows = values[layout.name].new_empty(room * layout.places, layout.shape[0])
            if self._room:
                rows[: self._room * layout.places] = self._rows[layout]
            self._rows[layout] = rows
        self._room = room
