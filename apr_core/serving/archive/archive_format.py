"""A kept run as lines of JSON: what was asked and how it ended, then a line a generation.

Every number comes back to the bit. What is read is held against what it may be, for nobody vouches
for a file: it gives a run that the page can show, or a ValueError.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import MutationTrace, Outcome, PixelEdit, Snapshot
from apr_core.base import schema as strict
from apr_core.data.cifar10 import CLASSES
from apr_core.data.images import OWN_PICTURE
from apr_core.data.sample import SIDE, load_test_image
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest, RunView, check_size
from apr_core.zoo.checkpoints import load_card

FORMAT = 1
LONGEST_HEAD = 2**16
"""Bytes of a line, but for what a generation's tensors take."""


@dataclass(frozen=True)
class Head:
    """A run's first line: what was asked, and what came of it.

    Attributes:
        weights: what tells the model's weights and constants from any others.
        ended: False of a run that was under way when this was written.
    """

    format: int
    run: str
    model: str
    weights: str
    label: int
    index: int
    config: OnePixelConfig
    ended: bool
    seconds: float = 0.0
    outcome: Outcome | None = None

    @property
    def own_picture(self) -> bool:
        """Whether it was on a person's own picture, which is not kept."""
        return self.index == OWN_PICTURE


@dataclass(frozen=True)
class _Frame:
    """A generation; tensors are base64 of int16 (xy), uint8 (rgb, moved) and float32."""

    generation: int
    queries: int
    xy: str
    rgb: str
    fitness: str
    true: str
    moved: str
    best: int
    best_true: float
    best_label: int
    best_confidence: float
    flipped: bool
    done: bool
    walk: MutationTrace | None


def weights_of(model: str) -> str:
    """What tells a model's weights and its front's constants from any others.

    Raises:
        InputError: there is no such model.
    """
    card = load_card(model.removesuffix(BEHIND_LATTICE))
    known = [card.sha256, card.architecture, card.defence, card.recipe.get("defence")]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def head_of(request: AttackRequest, weights: str, ended: bool, view: RunView | None = None) -> Head:
    """A run's first line.

    Args:
        weights: of the model that was attacked, by `weights_of`.
    """
    return Head(
        format=FORMAT,
        run=request.run_id,
        model=request.model,
        weights=weights,
        label=request.label,
        index=request.index,
        config=request.config,
        ended=ended,
        seconds=view.seconds if view else 0.0,
        outcome=view.outcome if view else None,
    )


def pack(line: Head | Snapshot) -> bytes:
    """A line of the file."""
    value = asdict(_frame(line) if isinstance(line, Snapshot) else line)
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def read_head(run_id: str, file: gzip.GzipFile) -> Head:
    """The first line of a run's file.

    Raises:
        ValueError: it is damaged, or another run's.
    """
    saved = strict.build(Head, _line(file, LONGEST_HEAD))
    if saved.format != FORMAT or saved.run != run_id:
        raise ValueError(f"it is of format {saved.format} and says that it is {saved.run!r:.40}")
    _check_classes(saved.label)
    if saved.outcome is not None:
        outcome = saved.outcome
        _check_classes(outcome.label, outcome.label_before, outcome.label_after)
        _check_edits(outcome.edits)
    return saved


def _line(file: gzip.GzipFile, most: int) -> Any:
    line = file.readline(most)
    if not line.endswith(b"\n"):
        raise ValueError("it is cut short")
    return strict.parse(line)


def request_of(head: Head) -> AttackRequest:
    """The request again, its picture from the shipped images.

    Raises:
        ValueError: it is not the request that was noted.
    """
    check_size(head.config)
    image, _ = load_test_image(head.index)
    request = AttackRequest(head.model, image, head.label, head.index, head.config)
    if request.run_id != head.run:
        raise ValueError("its settings are another run's")
    return request


def _frame(snapshot: Snapshot) -> _Frame:
    plain = {
        name: getattr(snapshot, name)
        for name in ("generation", "queries", "best", "best_true", "best_label",
                     "best_confidence", "flipped", "done", "walk")
    }  # fmt: skip
    return _Frame(
        xy=_packed(snapshot.positions, torch.int16),
        rgb=_packed(snapshot.colours, torch.uint8),
        fitness=_packed(snapshot.fitness, torch.float32),
        true=_packed(snapshot.true, torch.float32),
        moved=_packed(snapshot.moved, torch.uint8),
        **plain,
    )


def read_frames(head: Head, file: gzip.GzipFile) -> Iterator[Snapshot]:
    """The snapshots that follow an ended run's first line.

    Raises:
        ValueError: one is damaged, or out of place.
    """
    if head.outcome is None:
        raise ValueError("it has ended, and does not say how")
    config = head.config
    longest = 2 * config.population * (7 * config.pixels + 9) + LONGEST_HEAD
    for generation in range(config.generations + 1):
        if not file.peek(1):
            return
        snapshot = _snapshot(strict.build(_Frame, _line(file, longest)), config)
        if snapshot.generation != generation:
            raise ValueError(f"generation {snapshot.generation} stands at place {generation}")
        yield snapshot
    if file.peek(1):
        raise ValueError("it has more generations than were asked for")


def _snapshot(frame: _Frame, config: OnePixelConfig) -> Snapshot:
    shape = (config.population, config.pixels)
    positions = _unpacked(frame.xy, torch.int16, (*shape, 2))
    fitness, true = (
        _unpacked(text, torch.float32, shape[:1]) for text in (frame.fitness, frame.true)
    )
    if not 0 <= int(positions.min()) <= int(positions.max()) < SIDE:
        raise ValueError("a candidate lies outside the picture")
    if not bool((true >= 0).all() & (true <= 1).all() & fitness.isfinite().all()):
        raise ValueError("a probability is none")
    if not 0 <= frame.best < config.population:
        raise ValueError(f"candidate {frame.best} is none")
    _check_classes(frame.best_label)
    if frame.walk:
        for edits in (frame.walk.parent, frame.walk.child, *frame.walk.donors):
            _check_edits(edits)
    return Snapshot(
        generation=frame.generation,
        queries=frame.queries,
        positions=positions,
        colours=_unpacked(frame.rgb, torch.uint8, (*shape, 3)),
        fitness=fitness,
        true=true,
        moved=_unpacked(frame.moved, torch.uint8, shape[:1]).bool(),
        best=frame.best,
        best_true=frame.best_true,
        best_label=frame.best_label,
        best_confidence=frame.best_confidence,
        flipped=frame.flipped,
        done=frame.done,
        walk=frame.walk,
    )


def _packed(values: Tensor, kind: torch.dtype) -> str:
    return base64.b64encode(values.to(kind).contiguous().numpy().tobytes()).decode()


def _unpacked(text: str, kind: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    data = base64.b64decode(text, validate=True)
    if len(data) != kind.itemsize * torch.Size(shape).numel():
        raise ValueError(f"{len(data)} bytes do not make {shape} of {kind}")
    return torch.frombuffer(bytearray(data), dtype=kind).view(shape)


def _check_classes(*labels: int) -> None:
    for label in labels:
        if not 0 <= label < len(CLASSES):
            raise ValueError(f"{label} is no class")


def _check_edits(edits: tuple[PixelEdit, ...]) -> None:
    for edit in edits:
        values = (edit.x < SIDE, edit.y < SIDE, max(edit.rgb) < 256, min(edit.x, edit.y) >= 0)
        if not all(values) or min(edit.rgb) < 0:
            raise ValueError(f"{edit} is no edit of the picture")
