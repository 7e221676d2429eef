"""Costs: how long a network's steps take on windows and on whole maps, and what is fastest.

Nothing is assumed of a model or a machine: both ways are timed, with several chunks, and a split is
taken only where it then beats the dense forward in turns with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from statistics import median

import torch
from torch import Tensor

from apr_core.models.incremental.graph import INPUT
from apr_core.models.incremental.network import IncrementalNetwork, Split
from apr_core.models.incremental.rules import Edits
from apr_core.models.inputs import as_input

SECONDS = 0.5
"""After so long, a measurement is not repeated again."""
REPEATS, ROUNDS = 4, 3
SMALL = 64 * 64
"""Pixels of an image; of larger ones, more edits are taken through the windows together."""
GAIN = 1.02
"""How many times as fast as the dense forward a split must be, to be worth its roundings."""

Dense = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) in [0, 1] -> logits: what a search would call otherwise."""


@dataclass(frozen=True)
class Costs:
    """Seconds an edit of one pixel, or an image.

    Attributes:
        dense: of the dense forward that a search would use otherwise.
        chunk, whole_chunk: with which the rest was measured; see `Split`.
        windows: of each step that can be done on windows.
        joining: of putting whole maps together, at each cut from 0.
        whole: of each step on whole maps.
        gain: how many times as fast as `dense` the best split for one pixel was, in turns with it.
    """

    dense: float
    chunk: int
    whole_chunk: int
    windows: tuple[float, ...]
    joining: tuple[float, ...]
    whole: tuple[float, ...]
    gain: float = 1.0

    def seconds(self, cut: int, pixels: int = 1) -> float:
        """Of an edit of k pixels, where the network is cut there."""
        return pixels * (sum(self.windows[:cut]) + self.joining[cut]) + sum(self.whole[cut:])

    def cut(self, pixels: int = 1) -> int:
        """The best one; 0 where whole maps are best from the start."""
        cuts = range(len(self.joining))
        return min(cuts, key=lambda cut: self.seconds(cut, pixels))

    def split(self, pixels: int) -> Split | None:
        """The best way for edits of k pixels; None where it is the dense forward."""
        cut = self.cut(pixels)
        left_out = self.dense / self.gain / self.seconds(self.cut())  # by timing steps alone
        quick = self.seconds(cut, pixels) * max(1.0, left_out) * GAIN < self.dense
        worth = self.gain > GAIN and quick
        return Split(cut, self.chunk, self.whole_chunk) if worth else None


def measure(network: IncrementalNetwork, dense: Dense, chunk: int) -> Costs:
    """The costs of a network, with the chunks that are best for it.

    Args:
        chunk: images in one call of the dense forward.
    """
    _, height, width = network.graph.shape
    small = height * width <= SMALL
    chunks = (chunk,) if small else (4 * chunk, 8 * chunk)
    whole_chunks = (chunk,) if small else (chunk, 8 * chunk)
    with torch.inference_mode():
        windows = {size: _windows(network, size) for size in chunks}
        whole = {size: _whole(network, size) for size in whole_chunks}
        found = [
            Costs(1.0, size, rest, *windows[size], whole[rest])
            for size, rest in product(chunks, whole_chunks)
            if size % rest == 0
        ]
        best = min(found, key=lambda costs: costs.seconds(costs.cut()))
        return _compared(network, best, dense, chunk)


def _compared(network: IncrementalNetwork, costs: Costs, dense: Dense, chunk: int) -> Costs:
    """The costs with the dense forward's, each timed in turn."""
    split = Split(costs.cut(), costs.chunk, costs.whole_chunk)
    edits = some_edits(network, costs.chunk)
    images = as_input(_images(network, chunk))
    spent: dict[str, list[float]] = {"dense": [], "split": []}
    for number in range(ROUNDS + 1):  # the first one warms up
        took = _seconds(lambda: dense(images)) / chunk
        ours = _seconds(lambda: network.answer(*edits, split)) / costs.chunk
        if number:
            spent["dense"].append(took)
            spent["split"].append(ours)
    seconds = median(spent["dense"])
    gain = median(a / b for a, b in zip(*spent.values(), strict=True))
    return replace(costs, dense=seconds, gain=gain)


def _windows(
    network: IncrementalNetwork, count: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each step on windows, and of joining at each cut."""
    images, owner, positions, colours = some_edits(network, count)
    cut = network.most_cut
    maps = network.maps(range(cut + 1))
    slots = torch.tensor(maps.slots(images), device=network.device)[owner]
    edits = Edits.of(slots, positions)
    steps, joins = _Stopwatch(), _Stopwatch()
    names = [step.name for step in network.graph.steps[:cut]]
    for _ in _repeats():
        values = network.windows(edits, maps, colours, 0)
        for number, made in enumerate([INPUT, *names]):
            if made in values:  # else no later step takes it
                joins(made, partial(network.whole, made, edits, maps, values[made]))
            if number < cut:
                values = network.step_on_windows(number, values, edits, maps, steps)
    joining = [sum(map(joins.least, network.live(number))) / count for number in range(cut + 1)]
    return tuple(steps.least(name) / count for name in names), tuple(joining)


def _whole(network: IncrementalNetwork, count: int) -> tuple[float, ...]:
    watch = _Stopwatch()
    images = as_input(_images(network, count))
    for _ in _repeats():
        network.finish({INPUT: images}, 0, watch)
    return tuple(watch.least(step.name) / count for step in network.graph.steps)


class _Stopwatch:
    """The least time of each of some works, by name."""

    def __init__(self) -> None:
        self._least: dict[str, float] = {}

    def __call__(self, name: str, do: Callable[[], Tensor]) -> Tensor:
        began = time.perf_counter()
        answer = do()
        _wait(answer.device)
        took = time.perf_counter() - began
        self._least[name] = min(took, self._least.get(name, took))
        return answer

    def least(self, name: str) -> float:
        return self._least[name]


def _seconds(do: Callable[[], Tensor]) -> float:
    began = time.perf_counter()
    _wait(do().device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _repeats() -> Iterator[int]:
    """Twice at least: the first time is slow."""
    began = time.perf_counter()
    for number in range(REPEATS):
        if number > 1 and time.perf_counter() - began > SECONDS:
            return
        yield number


def _images(network: IncrementalNetwork, count: int) -> Tensor:
    chance = torch.Generator().manual_seed(0)
    shape = (count, *network.graph.shape)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=chance)
    return images.to(network.device)


def some_edits(
    network: IncrementalNetwork, count: int, pixels: int = 1
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Edits at random of one image, which is random too; the first at its corners.

    Returns:
        images, owner, positions and colours, as `IncrementalNetwork.answer` takes them.
    """
    channels, height, width = network.graph.shape
    chance = torch.Generator().manual_seed(1)
    positions = torch.rand(count, pixels, 2, generator=chance) * torch.tensor([width, height])
    positions = positions.long()
    corners = torch.tensor([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]])
    positions[:4, 0] = corners[:count]
    colours = torch.randint(0, 256, (count, pixels, channels), generator=chance)
    owner = torch.zeros(count, dtype=torch.int64)
    parts = (owner, positions, colours)
    return _images(network, 1), *(part.to(network.device) for part in parts)  # type: ignore[return-value]
