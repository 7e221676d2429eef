"""An archived run as lines of JSON: the request and its outcome, then a frame a generation.

Every number is read back to the bit. A file may be damaged or forged, so all of it is checked: it
gives a run that the page can show, or a ValueError.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import Outcome, PixelEdit, Snapshot
from apr_core.base import schema
from apr_core.data.dataset import DataSet
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.frame import ArchivedFrame, archived_frame, to_snapshot
from apr_core.serving.offered import offered
from apr_core.serving.requests import (
    BEHIND_LATTICE,
    AttackRequest,
    RunView,
    check_size,
    data_behind,
)
from apr_core.zoo.checkpoints import load_card

FORMAT = 1
LONGEST_HEAD = 2**16
"""Bytes of a line, but for what a generation's tensors take."""


@dataclass(frozen=True)
class Head:
    """A run's first line: the request and its outcome.

    Attributes:
        weights: identifies the model's weights and constants.
        ended: False of a run that was under way when this was written.
        named: as the request's.
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
    named: bool = True

    @property
    def own_picture(self) -> bool:
        """Whether it was on a person's own picture, which is not kept."""
        return self.index == OWN_PICTURE


def weights_of(model: str) -> str:
    """A hash that identifies a model's weights and its front's constants.

    Raises:
        InputError: there is no such model.
    """
    bare = model.removesuffix(BEHIND_LATTICE)
    if sha256 := offered().get(bare):
        return sha256
    card = load_card(bare)
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
        named=request.named,
    )


def pack(line: Head | Snapshot) -> bytes:
    """A line of the file."""
    value = archived_frame(line) if isinstance(line, Snapshot) else asdict(line)
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def read_head(run_id: str, file: gzip.GzipFile) -> Head:
    """The first line of a run's file.

    Raises:
        ValueError: it is damaged, or another run's.
    """
    saved = schema.build(Head, _line(file, LONGEST_HEAD))
    if saved.format != FORMAT or saved.run != run_id:
        raise ValueError(f"it is of format {saved.format} and says that it is {saved.run!r:.40}")
    data = data_behind(saved.model)
    _check_classes(data, saved.label)
    if saved.outcome is not None:
        outcome = saved.outcome
        _check_classes(data, outcome.label, outcome.label_before, outcome.label_after)
        _check_edits(data, outcome.edits)
    return saved


def _line(file: gzip.GzipFile, most: int) -> Any:
    line = file.readline(most)
    if not line.endswith(b"\n"):
        raise ValueError("it is cut short")
    return schema.parse(line)


def request_of(head: Head) -> AttackRequest:
    """The request again, its picture from the shipped images.

    Raises:
        ValueError: it is not the request that was noted.
    """
    check_size(head.config)
    image, _ = data_behind(head.model).test_image(head.index)
    request = AttackRequest(head.model, image, head.label, head.index, head.config, head.named)
    if request.run_id != head.run:
        raise ValueError("its settings are another run's")
    return request


def read_frames(head: Head, file: gzip.GzipFile) -> Iterator[Snapshot]:
    """The snapshots that follow an ended run's first line.

    Raises:
        ValueError: one is damaged, or out of place.
    """
    if head.outcome is None:
        raise ValueError("it has ended, and does not say how")
    config, data = head.config, data_behind(head.model)
    longest = 2 * config.population * (7 * config.pixels + 9) + LONGEST_HEAD
    for generation in range(config.generations + 1):
        if not file.peek(1):
            return
        snapshot = _snapshot(schema.build(ArchivedFrame, _line(file, longest)), config, data)
        if snapshot.generation != generation:
            raise ValueError(f"generation {snapshot.generation} stands at place {generation}")
        yield snapshot
    if file.peek(1):
        raise ValueError("it has more generations than were asked for")


def _snapshot(line: ArchivedFrame, config: OnePixelConfig, data: DataSet) -> Snapshot:
    snapshot = to_snapshot(line, config)
    positions, true = snapshot.positions, snapshot.true
    height, width = data.size
    sides = torch.tensor([width, height])
    if not bool(((positions >= 0) & (positions < sides)).all()):
        raise ValueError("a candidate lies outside the picture")
    if not bool((true >= 0).all() & (true <= 1).all() & snapshot.fitness.isfinite().all()):
        raise ValueError("a probability is none")
    if not 0 <= snapshot.best < config.population:
        raise ValueError(f"candidate {snapshot.best} is none")
    _check_classes(data, snapshot.best_label)
    for walk in (*([snapshot.walk] if snapshot.walk else []), *snapshot.other_walks):
        for edits in (walk.parent, walk.child, *walk.donors):
            _check_edits(data, edits)
    return snapshot


def _check_classes(data: DataSet, *labels: int) -> None:
    for label in labels:
        if not 0 <= label < len(data.classes):
            raise ValueError(f"{label} is no class")


def _check_edits(data: DataSet, edits: tuple[PixelEdit, ...]) -> None:
    height, width = data.size
    for edit in edits:
        values = (
            edit.x < width,
            edit.y < height,
            max(edit.rgb) < 256,
            min(edit.x, edit.y) >= 0,
        )
        if not all(values) or min(edit.rgb) < 0:
            raise ValueError(f"{edit} is no edit of the picture")
