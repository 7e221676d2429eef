"""Incremental networks: logits of edited images from the windows that the edits change.

The first steps of a network are done on windows, until whole maps are cheaper: there every edit's
map is put together from the clean one and its windows, and the rest is done as ever. Nothing is
approximated; logits differ from the network's own by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from apr_core.models.incremental.graph import INPUT, Graph
from apr_core.models.incremental.maps import CleanMaps, Layout
from apr_core.models.incremental.operations import operation
from apr_core.models.incremental.rules import (
    RULES,
    Axes,
    Edits,
    Known,
    Worker,
    mean_of,
    whole_map,
)
from apr_core.models.incremental.windows import Axis
from apr_core.models.inputs import as_input

MOST_BYTES = 512 << 20
"""Of the clean maps."""
Clock = Callable[[str, Callable[[], Tensor]], Tensor]
"""Does a step by its name, and may time it."""


@dataclass(frozen=True)
class Split:
    """How a network is gone through.

    Attributes:
        cut: so many steps are done on windows; 0: none.
        chunk: edits that are taken through the windows together.
        whole_chunk: of these, so many together through the steps on whole maps.
    """

    cut: int
    chunk: int
    whole_chunk: int


class IncrementalNetwork:
    """A traced network that answers edits of images.

    Attributes:
        most_cut: so many of its steps can be done on windows.
        axes: of the windows of each value that has some, the images first.

    Args:
        graph: the network.
        device: where its weights are.
        dtype: of convolutions and linear layers.
        most_bytes: of the clean maps.
    """

    def __init__(
        self,
        graph: Graph,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.graph, self.device, self.dtype, self._most_bytes = graph, device, dtype, most_bytes
        self._operations = {step.name: operation(step, dtype) for step in graph.steps}
        self._shapes = graph.shapes()
        self._live = _live(graph)
        self._workers, self.axes = self._plan()
        self.most_cut = len(self._workers)
        self._maps: CleanMaps | None = None

    def _plan(self) -> tuple[dict[str, Worker], dict[str, Axes]]:
        """How the first steps are done on windows, up to the first that cannot be."""
        _, height, width = self.graph.shape
        on = self.device
        axes: dict[str, Axes] = {INPUT: (Axis.of_image(height, on), Axis.of_image(width, on))}
        workers: dict[str, Worker] = {}
        for step in self.graph.steps:
            rule = RULES.get(step.kind)
            known = Known(axes, self._shapes)
            worker = rule(step, self._operations[step.name], known) if rule else None
            if worker is None or all(axis.full for axis in worker.axes):
                break
            workers[step.name], axes[step.name] = worker, worker.axes
        return workers, axes

    def live(self, cut: int) -> tuple[str, ...]:
        """The values that the steps after a cut take of those before it."""
        return self._live[cut]

    def answer(
        self, images: Tensor, owner: Tensor, positions: Tensor, colours: Tensor, split: Split
    ) -> Tensor:
        """Logits (N, K) float32 of edits; an image's clean maps are computed when first needed.

        Args:
            images: uint8 (A, C, H, W).
            owner: which image each edit is of, (N,).
            positions: (N, k, 2) as x, y; where two of an edit meet, the later holds.
            colours: (N, k, C) in 0 to 255.
        """
        colours = _settled(positions, colours)
        answers = torch.empty(0, device=self.device)
        for rows in self._chunks(owner, split):
            logits = self._chunk(images, owner[rows], positions[rows], colours[rows], split)
            answers = answers if len(answers) else logits.new_empty(len(owner), logits.shape[1])
            answers[rows] = logits
        return answers

    def _chunks(self, owner: Tensor, split: Split) -> Iterator[Tensor]:
        """Rows of the edits, of no more images at a time than there is memory for."""
        most = self.maps([split.cut]).most
        for rows in torch.split(torch.arange(len(owner), device=owner.device), split.chunk):
            _, which = torch.unique(owner[rows], return_inverse=True)
            for first in range(0, int(which.max()) + 1, most):
                yield rows[(which >= first) & (which < first + most)]

    def _chunk(
        self, images: Tensor, owner: Tensor, positions: Tensor, colours: Tensor, split: Split
    ) -> Tensor:
        count, missing = len(owner), split.chunk - len(owner)
        if missing:  # padded, so that an edit's logits do not depend on its company
            owner, positions, colours = (
                torch.cat([part, part[:1].expand(missing, *part.shape[1:])])
                for part in (owner, positions, colours)
            )
        maps = self.maps([split.cut])
        named, which = torch.unique(owner, return_inverse=True)
        slots = torch.tensor(maps.slots(images[named]), device=self.device)[which]
        edits = Edits.of(slots, positions)
        values = self.windows(edits, maps, colours, split.cut)
        answers = []
        for first in range(0, split.chunk, split.whole_chunk):
            some = slice(first, first + split.whole_chunk)
            answers.append(self._after(edits, maps, values, split.cut, some))
        return torch.cat(answers)[:count].float()

    def _after(
        self, edits: Edits, maps: CleanMaps, values: dict[str, Tensor], cut: int, some: slice
    ) -> Tensor:
        """Logits (n, K) of some edits, from their windows at a cut."""
        pixels = slice(some.start * edits.pixels, some.stop * edits.pixels)
        edits, parts = edits.take(pixels), {name: values[name][pixels] for name in values}
        if edits.pixels == 1 and self._takes_means(cut):
            ((name, part),) = parts.items()
            mean = mean_of(self.axes[name], self.layout(name), edits, maps, part)
            return self.finish({self.graph.steps[cut].name: mean}, cut + 1)
        whole = {name: self.whole(name, edits, maps, part) for name, part in parts.items()}
        return self.finish(whole, cut)

    def whole(self, name: str, edits: Edits, maps: CleanMaps, windows: Tensor) -> Tensor:
        """A value's whole maps from its windows."""
        return whole_map(self.axes[name], self.layout(name), edits, maps, windows)

    def _takes_means(self, cut: int) -> bool:
        """Whether the step after a cut takes its only value's means over all places."""
        step = self.graph.steps[cut]
        sizes = {"adaptive_avg_pool2d": ([1, 1], [1], 1), "mean": ([-1, -2], [2, 3])}
        taken = len(step.args) > 1 and step.args[1] in sizes.get(step.kind, ())
        return taken and self.live(cut) == step.inputs and step.shape[1:] == (1, 1)

    def windows(
        self,
        edits: Edits,
        maps: CleanMaps,
        colours: Tensor,
        cut: int,
    ) -> dict[str, Tensor]:
        """The windows (N k, C, h, w) of the values that the steps after a cut take, by name.

        Args:
            colours: (N, k, C) in 0 to 255.
        """
        values = {INPUT: as_input(colours.flatten(0, 1)[:, :, None, None])}
        for number in range(cut):
            values = self.step_on_windows(number, values, edits, maps)
        return values

    def step_on_windows(
        self,
        number: int,
        values: dict[str, Tensor],
        edits: Edits,
        maps: CleanMaps,
        clock: Clock = lambda name, do: do(),
    ) -> dict[str, Tensor]:
        """The windows that the steps after this one take, of those that it and they take."""
        step = self.graph.steps[number]
        parts = [values[name] for name in step.inputs]
        do = partial(self._workers[step.name].work, edits, maps, parts)
        values = values | {step.name: clock(step.name, do)}
        return {name: values[name] for name in self._live[number + 1]}

    def finish(
        self, values: dict[str, Tensor], cut: int, clock: Clock = lambda name, do: do()
    ) -> Tensor:
        """Logits (n, K) of the values that the steps after a cut take, (n, C, H, W) each."""
        for number, step in enumerate(self.graph.steps[cut:], cut):
            parts = [values[name] for name in step.inputs]
            values[step.name] = clock(step.name, partial(self._operations[step.name], *parts))
            values = {name: values[name] for name in self._live[number + 1]}
        return values[self.graph.output]

    def forget_maps(self) -> None:
        """Free what is kept of clean images, and what `maps` was asked for."""
        self._maps = None

    def maps(self, cuts: Iterable[int] = ()) -> CleanMaps:
        """What is kept of clean images, for these cuts and those asked for before."""
        fresh = [
            layout
            for cut in cuts
            for layout in self._layouts(cut)
            if self._maps is None or layout not in self._maps.layouts
        ]
        if self._maps is None or fresh:
            known = self._maps.layouts if self._maps else ()
            self._maps = CleanMaps([*known, *fresh], self._clean, self._most_bytes)
        return self._maps

    def _layouts(self, cut: int) -> list[Layout]:
        steps = self.graph.steps[:cut]
        read = [layout for step in steps for layout in self._workers[step.name].layouts]
        return read + [self.layout(name) for name in self.live(cut)]

    def _clean(self, image: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        values, left = {INPUT: as_input(image)}, set(names) - {INPUT}
        for step in self.graph.steps:
            if not left:
                break
            values[step.name] = self._operations[step.name](*(values[name] for name in step.inputs))
            left.discard(step.name)
        return values

    def layout(self, name: str) -> Layout:
        """A value as it is, without padding."""
        channels, height, width = self._shapes[name]
        return Layout(name, (0, 0, 0, 0), 0.0, (channels, height, width))


def _live(graph: Graph) -> list[tuple[str, ...]]:
    """For each number of steps done, the values that later ones take, or that are the logits."""
    needed = {graph.output}
    after = [tuple(needed)]
    for step in reversed(graph.steps):
        needed = needed - {step.name} | set(step.inputs)
        after.append(tuple(sorted(needed)))
    return after[::-1]


def _settled(positions: Tensor, colours: Tensor) -> Tensor:
    """Colours (N, k, C) where those of an edit's pixels at one place are that of the last."""
    if positions.shape[1] == 1:
        return colours
    same = (positions[:, :, None] == positions[:, None, :]).all(-1)  # (N, k, k)
    order = torch.arange(positions.shape[1], device=positions.device)
    last = order.where(same, -1).amax(-1)
    return colours.gather(1, last[:, :, None].expand_as(colours))
