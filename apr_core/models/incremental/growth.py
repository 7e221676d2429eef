"""Growth of the window: the part of each layer's map that an edit of one pixel changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import nn

from apr_core.models.incremental.graph import CONV, Step, trace
from apr_core.models.incremental.network import IncrementalNetwork
from apr_core.models.incremental.operations import LINEAR, pair
from apr_core.models.incremental.rules import SPATIAL, Axes

POOLS, WEIGHTED = ("max_pool2d", "avg_pool2d"), (CONV, LINEAR)
KINDS = ("front", *POOLS, *WEIGHTED)
"""Steps that enlarge the window, or multiply. The others leave windows as they find them."""


@dataclass(frozen=True)
class Layer:
    """A layer of a network, as an edit of one pixel goes through it.

    Attributes:
        step: its number in the graph, from 0.
        kind: one of `KINDS`.
        kernel: (height, width) of a convolution or a pooling.
        size: of its map, (H, W); (1, 1) for a linear layer.
        axes: of the windows; None where they are the whole map.
        multiplications: for the whole map of one image; of a front, which is no convolution, 0.
    """

    step: int
    kind: str
    kernel: tuple[int, int] | None
    size: tuple[int, int]
    axes: Axes | None
    multiplications: int

    @property
    def window(self) -> tuple[int, int]:
        """Its height and width."""
        return self.size if self.axes is None else (self.axes[0].size, self.axes[1].size)

    @property
    def share(self) -> float:
        """Of the map that the window is, in (0, 1]."""
        return prod(self.window) / prod(self.size)


def layers_of(model: nn.Module, shape: tuple[int, ...]) -> tuple[Layer, ...]:
    """The layers of a model in evaluation mode, for images (C, H, W); takes about a second.

    Raises:
        UntraceableError: see `trace`.
    """
    graph = trace(model, shape)
    axes = IncrementalNetwork(graph, graph.device).axes
    return tuple(
        _layer(number, step, axes.get(step.name))
        for number, step in enumerate(graph.steps)
        if step.kind in KINDS
    )


def _layer(number: int, step: Step, axes: Axes | None) -> Layer:
    size = (step.shape[1], step.shape[2]) if len(step.shape) == SPATIAL else (1, 1)
    kernel, weights = None, 0
    if step.kind in POOLS:
        kernel = pair(step.args[1])
    elif step.kind in WEIGHTED:
        weight = step.args[1]
        weights = weight.numel()  # each is multiplied once for each place
        kernel = (weight.shape[2], weight.shape[3]) if step.kind == CONV else None
    return Layer(number, step.kind, kernel, size, axes, weights * prod(size))


def multiplied(layers: Sequence[Layer], cut: int) -> float:
    """The multiplications for an edit, as a share of those for a whole image.

    Args:
        cut: so many steps are done on windows, the others on whole maps; as in `Split`.
    """
    done = sum(layer.multiplications * (layer.share if layer.step < cut else 1) for layer in layers)
    return done / sum(layer.multiplications for layer in layers)
