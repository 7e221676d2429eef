"""Edit engine: logits of edited images by the fastest way that was measured on this machine."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from apr_core.base.files import write_whole
from apr_core.base.hardware import describe_hardware
from apr_core.base.paths import written
from apr_core.models.incremental.costs import Costs, Dense, measure, some_edits
from apr_core.models.incremental.graph import Graph, UntraceableError, trace
from apr_core.models.incremental.network import IncrementalNetwork, Split
from apr_core.models.inputs import as_input
from apr_core.models.outputs import gap, out_of_memory
from apr_core.models.precision import half_type

LOG = logging.getLogger(__name__)
FOLDER = "speeds"
"""What was measured is written there, for the next process."""
DENSE = "APR_DENSE"
"""If this environment variable is set, every search goes dense."""
FEW_PIXELS = 8
"""Clean maps are kept for edits of up to so many, each number of which may be cut elsewhere."""
EACH = 8
"""Edits of each image that are worth clean maps which there is no room to keep."""
CHECKED = 8
"""Edits on which a network's logits are compared with the model's own."""


class EditEngine:
    """A model's incremental network, and how edits of each number of pixels go through it.

    Args:
        network: the model, traced.
        costs: what was measured of it.
    """

    def __init__(self, network: IncrementalNetwork, costs: Costs) -> None:
        self.network, self.costs = network, costs
        self._most_chunk = costs.chunk
        self._lock = threading.Lock()  # the maps are one thread's at a time
        network.forget_maps()
        self._splits = {pixels: costs.split(pixels) for pixels in range(1, FEW_PIXELS + 1)}
        cuts = {0, *(split.cut for split in self._splits.values() if split)}
        self.most_images = network.maps(cuts).most

    def split(self, pixels: int) -> Split | None:
        """How edits of k pixels go through the network; None where it does not answer them."""
        if pixels not in self._splits:
            self._splits[pixels] = self.costs.split(pixels)
        split = self._splits[pixels]
        if split is None or split.chunk <= self._most_chunk:
            return split
        return Split(split.cut, self._most_chunk, min(split.whole_chunk, self._most_chunk))

    def takes(self, owner: Tensor) -> bool:
        """Whether edits of these images (N,) are quicker here than in a dense forward.

        Each image's clean maps cost a forward; where memory has no room for all of them, they are
        computed again at each call.
        """
        images = len(torch.unique(owner))
        return images <= self.most_images or EACH * images <= len(owner)

    def answer(
        self, images: Tensor, owner: Tensor, positions: Tensor, colours: Tensor, few: int = 0
    ) -> tuple[Tensor, Tensor | None]:
        """Logits of those edits that it answers, and which those are.

        Args:
            images, owner, positions, colours: see `IncrementalNetwork.answer`.
            few: edits in a chunk, where only a few are asked for.

        Returns:
            The rows of the edits answered (n,), and their logits (n, K); None where n is 0.
        """
        with self._lock, torch.inference_mode():
            return self._answer(images, owner, positions, colours, few)

    def _answer(
        self, images: Tensor, owner: Tensor, positions: Tensor, colours: Tensor, few: int
    ) -> tuple[Tensor, Tensor | None]:
        pixels = _distinct(positions, colours)
        rows, logits = [], []
        for count in torch.unique(pixels).tolist():
            split = self.split(count)
            if split is None:
                continue
            some = (pixels == count).nonzero()[:, 0]
            split = Split(split.cut, few, few) if few else split
            parts = (owner[some], positions[some, :count], colours[some, :count])
            logits.append(self.network.answer(images, *parts, split))
            rows.append(some)
        return (torch.cat(rows), torch.cat(logits)) if rows else (owner[:0], None)

    def halve(self) -> bool:
        """Take half as many edits together from now on; whether that was possible."""
        self._most_chunk //= 2
        return self._most_chunk > 0


def _distinct(positions: Tensor, colours: Tensor) -> Tensor:
    """How many pixels edits (N, k, ...) have, not counting the last one's repetitions, (N,).

    A search of few pixels is merged with one of many by repeating its last; alone or merged, an
    edit is to go the same way.
    """
    same = (positions == positions[:, -1:]).all(-1) & (colours == colours[:, -1:]).all(-1)
    repeated = same.flip(1).long().cumprod(1).sum(1)
    return positions.shape[1] - repeated + 1


def choose_engine(
    model: nn.Module, shape: tuple[int, ...], dense: Dense, chunk: int, half: bool = False
) -> EditEngine | None:
    """The engine for a model's edits, where it is quicker than the dense forward.

    Args:
        shape: of an image, (C, H, W).
        dense, chunk: what answers otherwise, and how many images it is called with.
        half: in half precision (bfloat16 on a CPU).

    Returns:
        None for a model that cannot be traced, or that the dense forward is quicker for.
    """
    if os.environ.get(DENSE):
        return None
    try:
        return _chosen(model, shape, dense, chunk, half)
    except UntraceableError as error:
        LOG.info("%s goes dense: %s", _named(model), error)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        LOG.info("%s goes dense: memory ran out", _named(model))
    return None


def _named(model: nn.Module) -> str:
    return str(getattr(model, "name", "") or type(model).__name__)


def _chosen(
    model: nn.Module, shape: tuple[int, ...], dense: Dense, chunk: int, half: bool
) -> EditEngine | None:
    graph = trace(model, shape)
    device = graph.device
    kind = half_type(device) if half else torch.float32
    network = IncrementalNetwork(graph, device, kind)
    if not network.most_cut:
        raise UntraceableError("its first step needs whole images")
    path = written(FOLDER) / f"{_key(graph, kind, chunk)}.json"
    costs = _read(path, network)
    if costs is None:
        costs = measure(network, dense, chunk)
        write_whole(path, json.dumps(asdict(costs)))
    engine = EditEngine(network, costs)
    if costs.split(1) is None:
        LOG.info("%s goes dense: windows are %.2f times as fast", _named(model), costs.gain)
        return None
    _check(engine, dense, chunk)
    return engine


@torch.inference_mode()
def _check(engine: EditEngine, dense: Dense, chunk: int) -> None:
    """Raise UntraceableError where the network says something else than the dense forward."""
    images, owner, positions, colours = some_edits(engine.network, min(CHECKED, chunk))
    rows, found = engine.answer(images, owner, positions, colours)
    edited = images[owner]
    edited[torch.arange(len(owner)), :, positions[:, 0, 1], positions[:, 0, 0]] = colours[:, 0].to(
        images.dtype
    )
    expected = dense(as_input(edited))
    kind = engine.network.dtype  # of which roundings are forgiven
    if found is None or gap(found.to(kind), expected[rows].to(kind)) > 1:
        raise UntraceableError("traced, it answers otherwise")


def _key(graph: Graph, kind: torch.dtype, chunk: int) -> str:
    """Of what decides how fast a network is: its steps, and the machine."""
    steps = [(step.kind, step.shape, step.after) for step in graph.steps]
    machine = (
        describe_hardware(graph.device),
        torch.get_num_threads(),
        torch.__version__,
        str(graph.device),
    )
    told = repr((graph.shape, steps, str(kind), chunk, machine))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _read(path: Path, network: IncrementalNetwork) -> Costs | None:
    """Costs that were measured before; None where there are none that fit."""
    try:
        said = json.loads(path.read_text())
        lists = {name: tuple(said[name]) for name in ("windows", "joining", "whole")}
        costs = Costs(**{**said, **lists})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    fits = len(costs.windows) == network.most_cut and len(costs.whole) == len(network.graph.steps)
    return costs if fits and len(costs.joining) == network.most_cut + 1 else None
