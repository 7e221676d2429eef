"""A recording as the player takes it; no streamlit here."""

from __future__ import annotations

from typing import Any

from apr_core.attacks.config import OnePixelConfig
from apr_core.serving.requests import RunView


def player_data(
    recording: dict[str, Any], view: RunView | None = None, first: int = 0
) -> dict[str, Any]:
    """What the player draws.

    Args:
        recording: of the run, as `apr_core.serving.run_export.record` makes it.
        view: the run as it stands, None for one that ended long ago.
        first: the first frame to send.
    """
    config = OnePixelConfig(**recording["config"])
    shared = ("run", "width", "height", "image", "classes", "label", "status")
    return {
        **{name: recording[name] for name in shared},
        "live": view is not None and view.live,
        "target": config.target,
        "generations": config.generations,
        "max_queries": config.max_queries,
        "queue_place": view.queue_place if view else 0,
        "wait": view.wait if view else None,
        "seconds_left": view.seconds_left if view else None,
        "frames": recording["frames"][first:],
    }
