"""Window rules: for each operation, what an edit's windows become, and how they are computed.

A rule takes a step, its operation, and what is known of its inputs, and returns a `Worker` with the
axes of its value's windows, or None where the step needs whole maps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apr_core.models.incremental.graph import CONV, NORM, Step
from apr_core.models.incremental.maps import CleanMaps, Layout
from apr_core.models.incremental.operations import Convolution, Front, Operation, pair
from apr_core.models.incremental.windows import Axis, Kernel, Patch

Axes = tuple[Axis, Axis]
"""Of the rows, and of the columns."""
SPATIAL = 3
"""Dimensions of a map without the batch: C, H, W."""


@dataclass(frozen=True)
class Edits:
    """A chunk's edits, pixel by pixel: N edits of k pixels are M = N k rows.

    Attributes:
        pixels: k.
        slots: where each pixel's image has its clean maps, (M,).
        y, x: of each pixel, (M,).
    """

    pixels: int
    slots: Tensor
    y: Tensor
    x: Tensor

    @classmethod
    def of(cls, slots: Tensor, positions: Tensor) -> Edits:
        """Of edits of the images at slots (N,), at positions (N, k, 2) as x, y."""
        x, y = positions.flatten(0, 1).unbind(1)
        pixels = positions.shape[1]
        return cls(pixels, slots.repeat_interleave(pixels), y, x)

    def take(self, pixels: slice) -> Edits:
        """Some of them: whole edits, by their pixels."""
        return Edits(self.pixels, self.slots[pixels], self.y[pixels], self.x[pixels])

    def others(self, shift: int) -> Tensor:
        """For each pixel another one of the same edit, (M,); shifts 1 to k - 1 give all."""
        rows = torch.arange(len(self.y), device=self.y.device)
        return rows - rows % self.pixels + (rows % self.pixels + shift) % self.pixels


class Gather:
    """Patches of a clean map around each pixel, with what edits changed of it put in.

    Args:
        layout: of the map.
        rows, columns: the patches.
    """

    def __init__(self, layout: Layout, rows: Patch, columns: Patch) -> None:
        self.layout, self.rows, self.columns = layout, rows, columns

    def __call__(self, edits: Edits, maps: CleanMaps, windows: Tensor) -> Tensor:
        """Windows (M, C, h, w) -> patches (M, C, height, width)."""
        count, channels = windows.shape[:2]
        height, width, device = self.rows.size, self.columns.size, windows.device
        down = self.rows.start[edits.y][:, None] + self.rows.step * _count(height, device)
        right = self.columns.start[edits.x][:, None] + self.columns.step * _count(width, device)
        patch = _taken(maps, self.layout, edits.slots, down, right)
        values = windows.permute(0, 2, 3, 1)
        own = _count(count, device)
        for shift in range(1, edits.pixels):
            self._put(patch, values, edits, own, edits.others(shift))
        self._put(patch, values, edits, own, None)  # last: of one edit's windows, each its own
        return patch[:-1].view(count, height, width, channels).permute(0, 3, 1, 2)

    def _put(
        self, patch: Tensor, values: Tensor, edits: Edits, own: Tensor, other: Tensor | None
    ) -> None:
        """Put pixels' windows in, or another pixel's of the same edit, as far as they lie there."""
        whose = own if other is None else other
        down = self.rows.places(edits.y, edits.y[whose])
        right = self.columns.places(edits.x, edits.x[whose])
        if other is not None:
            own = ((down >= 0).any(1) & (right >= 0).any(1)).nonzero()[:, 0]
            down, right, values = down[own], right[own], values[other[own]]
        inside = (down[:, :, None] >= 0) & (right[:, None, :] >= 0)
        place = (own[:, None] * self.rows.size + down)[:, :, None] * self.columns.size
        place = (place + right[:, None, :]).where(inside, len(patch) - 1)
        patch.index_copy_(0, place.flatten(), values.reshape(-1, patch.shape[1]))


def _taken(maps: CleanMaps, layout: Layout, slots: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Places of clean maps: rows (M, h) and columns (M, w) -> (M h w + 1, C), the last unused."""
    rows = maps.rows(layout)
    first = slots[:, None] * layout.shape[1] + down
    index = (first * layout.shape[2])[:, :, None] + right[:, None, :]
    taken = rows.new_empty(index.numel() + 1, rows.shape[1])
    torch.index_select(rows, 0, index.flatten(), out=taken[:-1])
    return taken


def whole_map(axes: Axes, layout: Layout, edits: Edits, maps: CleanMaps, windows: Tensor) -> Tensor:
    """Every edit's whole map: windows (N k, C, h, w) -> (N, C, H, W).

    Args:
        axes: of the windows.
        layout: the map's, without padding.
    """
    channels, height, width = layout.shape
    count = len(windows) // edits.pixels
    down, right = (_count(size, windows.device).expand(count, size) for size in (height, width))
    whole = _taken(maps, layout, edits.slots[:: edits.pixels], down, right)
    values = windows.permute(0, 2, 3, 1)
    values = values.reshape(count, edits.pixels, -1, channels)
    places = zip(edits.y.view(count, -1).unbind(1), edits.x.view(count, -1).unbind(1), strict=True)
    for pixel, (y, x) in enumerate(places):
        first = _count(count, windows.device)[:, None] * height + axes[0].places(y)
        place = (first * width)[:, :, None] + axes[1].places(x)[:, None, :]
        whole.index_copy_(0, place.flatten(), values[:, pixel].flatten(0, 1))
    return whole[:-1].view(count, height, width, channels).permute(0, 3, 1, 2)


def mean_of(axes: Axes, layout: Layout, edits: Edits, maps: CleanMaps, windows: Tensor) -> Tensor:
    """The means of whole maps, by sums over the windows of single pixels: -> (N, C, 1, 1)."""
    channels, height, width = layout.shape
    slots, which = torch.unique(edits.slots, return_inverse=True)
    clean = maps.rows(layout).view(-1, height * width, channels)[slots].float().mean(1)
    down, right = axes[0].places(edits.y), axes[1].places(edits.x)
    before = _taken(maps, layout, edits.slots, down, right)[:-1].view(len(windows), -1, channels)
    after = windows.permute(0, 2, 3, 1).reshape(before.shape)
    change = (after.float() - before.float()).sum(1) / (height * width)
    return (clean[which] + change).to(windows.dtype)[:, :, None, None]


def _count(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, device=device)


@dataclass(frozen=True)
class Worker:
    """How a step is done on windows.

    Attributes:
        axes: of its value's windows.
        layouts: of the clean maps that it reads.
        work: the windows of its inputs -> those of its value.
    """

    axes: Axes
    layouts: tuple[Layout, ...]
    work: Callable[[Edits, CleanMaps, list[Tensor]], Tensor]


@dataclass(frozen=True)
class Known:
    """What rules go by.

    Attributes:
        axes: of each value that has windows.
        shapes: of every value, without the batch.
    """

    axes: Mapping[str, Axes]
    shapes: Mapping[str, tuple[int, ...]]


Rule = Callable[[Step, Operation, Known], Worker | None]


def pointwise(step: Step, operation: Operation, known: Known) -> Worker | None:
    """A function of each place alone, with numbers and weights of each channel."""
    if not _of_places(step, known):
        return None
    return Worker(known.axes[step.inputs[0]], (), lambda edits, maps, parts: operation(*parts))


def joint(step: Step, operation: Operation, known: Known) -> Worker | None:
    """A function of the same place in several maps, or those maps side by side."""
    names = list(dict.fromkeys(step.inputs))
    if len(names) == 1:
        return pointwise(step, operation, known)
    if not _of_places(step, known):
        return None
    down, right = known.axes[names[0]]
    for name in names[1:]:
        down, right = down.joined(known.axes[name][0]), right.joined(known.axes[name][1])
    gathers = {
        name: _gather(name, known, (down, right), (Kernel(1), Kernel(1)), 0.0)
        for name in names
        if not (known.axes[name][0].same(down) and known.axes[name][1].same(right))
    }

    def work(edits: Edits, maps: CleanMaps, parts: list[Tensor]) -> Tensor:
        fitted = [
            gathers[name](edits, maps, part) if name in gathers else part
            for name, part in zip(step.inputs, parts, strict=True)
        ]
        return operation(*fitted)

    return Worker((down, right), tuple(each.layout for each in gathers.values()), work)


def convolution(step: Step, operation: Operation, known: Known) -> Worker | None:
    """A convolution of any kernel, stride, padding, dilation and groups."""
    assert isinstance(operation, Convolution)
    kernels = [
        Kernel(*numbers)
        for numbers in zip(
            operation.kernel,
            operation.stride,
            operation.padding,
            operation.dilation,
            strict=True,
        )
    ]
    gather, axes = _through(step, known, (kernels[0], kernels[1]), 0.0)
    strides = (1 if kernels[0].size == 1 else operation.stride[0],
               1 if kernels[1].size == 1 else operation.stride[1])  # fmt: skip
    bare = operation.on_patches(strides)
    return Worker(
        axes, (gather.layout,), lambda edits, maps, parts: bare(gather(edits, maps, parts[0]))
    )


def pooling(step: Step, operation: Operation, known: Known) -> Worker | None:
    """The greatest, or the mean, of a kernel's places."""
    values = (*step.args[1:], *(None,) * 6)
    size, stride, padding = pair(values[0]), pair(values[1] or values[0]), pair(values[2] or 0)
    greatest = step.kind == "max_pool2d"
    dilation = pair(values[3] or 1) if greatest else (1, 1)
    kernels = [Kernel(*each) for each in zip(size, stride, padding, dilation, strict=True)]
    if not greatest and (values[3] or values[4] is False or values[5]):
        return None  # places beyond the edge count for something else
    gather, axes = _through(step, known, (kernels[0], kernels[1]), -torch.inf if greatest else 0.0)
    steps = [1 if kernel.size == 1 else kernel.stride for kernel in kernels]

    def work(edits: Edits, maps: CleanMaps, parts: list[Tensor]) -> Tensor:
        patch = gather(edits, maps, parts[0])
        if greatest:
            return torch.max_pool2d(patch, size, steps, 0, dilation)
        return torch.nn.functional.avg_pool2d(patch, size, steps)

    return Worker(axes, (gather.layout,), work)


def padding(step: Step, operation: Operation, known: Known) -> Worker | None:
    """A map with a border of one value: the windows stay, their places move."""
    sizes, mode = list(step.args[1]), (*step.args, "constant")[2]
    if mode != "constant" or len(sizes) > 4 or min(sizes) < 0:
        return None
    left, right, top, bottom = (*sizes, 0, 0, 0, 0)[:4]
    down, across = known.axes[step.inputs[0]]
    axes = (down.padded(top, bottom), across.padded(left, right))
    return Worker(axes, (), lambda edits, maps, parts: parts[0])


def front(step: Step, operation: Operation, known: Known) -> Worker | None:
    """A module that sees so many pixels around each: called on a crop twice as wide.

    A crop lies inside the image, so what the module does at the image's edges it does there too.
    """
    assert isinstance(operation, Front)
    reach = operation.reach
    axes = tuple(
        axis.through(Kernel(2 * reach + 1, padding=reach), axis.length)
        for axis in known.axes[step.inputs[0]]
    )
    crops = tuple(
        Patch.crop(axis, min(axis.length, 4 * reach + 1), 2 * reach)
        for axis in known.axes[step.inputs[0]]
    )
    layout = Layout(step.inputs[0], (0, 0, 0, 0), 0.0, known.shapes[step.inputs[0]])  # type: ignore[arg-type]
    gather = Gather(layout, *crops)
    inside = [after.start - crop.start for after, crop in zip(axes, crops, strict=True)]
    sizes = [axis.size for axis in axes]

    def work(edits: Edits, maps: CleanMaps, parts: list[Tensor]) -> Tensor:
        seen = operation(gather(edits, maps, parts[0]))
        device = seen.device
        down = inside[0][edits.y][:, None] + _count(sizes[0], device)
        right = inside[1][edits.x][:, None] + _count(sizes[1], device)
        rows = _count(len(seen), device)[:, None, None]
        found = seen.permute(0, 2, 3, 1)[rows, down[:, :, None], right[:, None, :]]
        return found.permute(0, 3, 1, 2)

    return Worker((axes[0], axes[1]), (layout,), work)


def _through(
    step: Step, known: Known, kernels: tuple[Kernel, Kernel], fill: float
) -> tuple[Gather, Axes]:
    before = known.axes[step.inputs[0]]
    _, height, width = step.shape
    after = (before[0].through(kernels[0], height), before[1].through(kernels[1], width))
    return _gather(step.inputs[0], known, after, kernels, fill), after


def _gather(
    name: str, known: Known, after: Axes, kernels: tuple[Kernel, Kernel], fill: float
) -> Gather:
    before = known.axes[name]
    down = Patch.of(before[0], after[0], kernels[0])
    right = Patch.of(before[1], after[1], kernels[1])
    pads = (
        right.padding,
        right.length - right.padding - before[1].length,
        down.padding,
        down.length - down.padding - before[0].length,
    )
    layout = Layout(name, pads, fill, (known.shapes[name][0], down.length, right.length))
    return Gather(layout, down, right)


def _of_places(step: Step, known: Known) -> bool:
    """Whether a step goes over places, with maps of one size, and else with what holds for all."""
    maps = [known.shapes[name] for name in step.inputs]
    if any(len(shape) != SPATIAL or shape[1:] != step.shape[1:] for shape in maps):
        return False
    if len(step.shape) != SPATIAL:
        return False
    parts = _tensors((step.args, step.kwargs))
    if step.kind == NORM:
        return True
    if step.kind == "cat":
        return not parts and (*step.args, 0)[1] in (1, -SPATIAL)
    return all(part.numel() == 1 or _of_channels(part) for part in parts)


def _of_channels(part: Tensor) -> bool:
    return part.ndim in (SPATIAL, SPATIAL + 1) and part.shape[-2:] == (1, 1)


def _tensors(argument: Any) -> list[Tensor]:
    found: list[Tensor] = []

    def see(part: Any) -> None:
        if isinstance(part, Tensor):
            found.append(part)

    torch.fx.node.map_aggregate(argument, see)
    return found


RULES: dict[str, Rule] = {
    CONV: convolution,
    NORM: pointwise,
    "max_pool2d": pooling,
    "avg_pool2d": pooling,
    "pad": padding,
    "constant_pad_nd": padding,
    "front": front,
    "cat": joint,
    **dict.fromkeys(("add", "sub", "mul", "div", "minimum", "maximum"), joint),
    **dict.fromkeys(
        (
            "relu", "hardtanh", "leaky_relu", "elu", "silu", "gelu", "sigmoid", "tanh", "hardswish",
            "hardsigmoid", "softplus", "mish", "abs", "neg", "sqrt", "exp", "clamp", "clone",
            "clamp_min", "clamp_max", "dropout", "pow",
        ),
        pointwise,
    ),
}  # fmt: skip
"""By ATen's name of the operation; what has no rule is done on whole maps, and all that follows."""
