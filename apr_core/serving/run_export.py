"""A run as one JSON document: the request, a frame a generation, and the outcome.

The app's player draws it, the Start page ships one, and the JSON export is it.
"""

from __future__ import annotations

import csv
import io
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import Outcome, as_rgb, to_edits
from apr_core.base import schema
from apr_core.base.paths import shipped
from apr_core.base.types import InputError
from apr_core.base.version import versions
from apr_core.serving.frame import Frame, frame, from_format_1, packed
from apr_core.serving.requests import AttackRequest, RunView
from apr_core.serving.service import AttackService

FORMAT = 2
START_RUN = shipped("assets") / "start-run.json"
"""The run that plays on the Start page."""
UNWATCHED = "unwatched"
"""The status of a run that was ended because nobody watched it."""


@dataclass(frozen=True)
class _Recording:
    """What `record` makes; files are checked against it."""

    format: int
    run: str
    model: str
    index: int
    label: int
    config: OnePixelConfig
    classes: tuple[str, ...]
    width: int
    height: int
    image: str
    status: str
    outcome: Outcome | None
    seconds: float
    versions: dict[str, str]
    frames: tuple[Frame, ...]
    named: bool = True


def record(view: RunView, first: int = 0) -> dict[str, Any]:
    """A run as JSON values; `frames` grows by one a generation.

    Args:
        first: the first frame to make; who polls asks for the newest alone.
    """
    request = view.request
    _, height, width = request.image.shape
    return {
        "format": FORMAT,
        "run": request.run_id,
        "model": request.model,
        "index": request.index,
        "label": request.label,
        "named": request.named,
        "config": asdict(request.config),
        "classes": list(request.data.classes),
        "width": width,
        "height": height,
        "image": packed(as_rgb(request.image.permute(1, 2, 0)), torch.uint8),
        "status": status_of(view),
        "outcome": asdict(view.outcome) if view.outcome else None,
        "seconds": view.seconds,
        "versions": versions(),
        "frames": [frame(snapshot) for snapshot in view.snapshots[first:]],
    }


def status_of(view: RunView) -> str:
    """The run in one word, for the player: its phase, or how it ended."""
    if view.unwatched:
        return UNWATCHED
    return view.phase.value if view.outcome is None else view.outcome.status.value


def to_json(recording: dict[str, Any]) -> str:
    """Compact JSON text."""
    return json.dumps(recording, separators=(",", ":"))


def to_csv(view: RunView) -> str:
    """A line a generation: queries, and the best candidate's pixels and probabilities."""
    file = io.StringIO()
    lines = csv.writer(file)
    lines.writerow(
        ["generation", "queries", "pixels", "true_probability", "leading_class", "confidence"]
    )
    for snapshot in view.snapshots:
        edits = to_edits(snapshot.positions[snapshot.best], snapshot.colours[snapshot.best])
        pixels = "; ".join(f"({e.x} {e.y}) rgb({' '.join(map(str, e.rgb))})" for e in edits)
        leading = view.request.data.class_name(snapshot.best_label)
        said = [f"{snapshot.best_true:.6f}", leading, f"{snapshot.best_confidence:.6f}"]
        lines.writerow([snapshot.generation, snapshot.queries, pixels, *said])
    return file.getvalue()


def load_recording(path: Path) -> dict[str, Any]:
    """A recording from a file.

    Raises:
        InputError: the file is missing, damaged or of another format.
    """
    try:
        recording: dict[str, Any] = schema.build(dict[str, Any], schema.read(path))
        if recording.get("format") == 1:
            frames = schema.build(list[dict[str, Any]], recording.get("frames"), "frames")
            recording |= {"format": FORMAT, "frames": [from_format_1(old) for old in frames]}
        schema.build(_Recording, recording)
        if recording["format"] != FORMAT:
            raise ValueError(f"it is of format {recording['format']}")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path.name} is not a recording of a run ({error}); make it with "
            "`python -m apr_core gallery`."
        ) from None
    return recording


def run_and_record(request: AttackRequest) -> dict[str, Any]:
    """Run a request to its end, apart from any other, and record it."""
    service = AttackService()
    try:
        ticket = service.submit(request)
        while (view := service.view(ticket.run_id, ticket.token)) and view.live:
            time.sleep(0.05)
    finally:
        service.close()
    if view is None or view.error:
        raise InputError(view.error if view else "The run was lost; start it again.")
    return record(view)
