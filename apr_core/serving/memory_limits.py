"""Memory limits: how many runs, and how much of their history, the attack service keeps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from apr_core.serving.batch_step import Run
from apr_core.serving.requests import View

MAX_KEPT = 300
"""Ended runs that stay in memory, the most recently seen ones."""
MAX_BYTES = 128 * 2**20
"""Of the snapshots of ended runs together, and again of those of live ones once they are done."""


def forget_ended(runs: OrderedDict[str, Run]) -> None:
    """Let go of ended runs, the longest unseen first, where they are too many or too big.

    Args:
        runs: by id, the longest unseen first.
    """
    ended = [(run_id, run.view) for run_id, run in runs.items() if not run.view.live]
    room = MAX_BYTES
    for place, (run_id, view) in enumerate(reversed(ended)):
        room -= _size(view)
        if place >= MAX_KEPT or room < 0:
            del runs[run_id]


def count_fitting(live: list[Run], most: int) -> int:
    """How many runs, from the first, may go on at once: their number and memory are bounded."""
    room = MAX_BYTES
    for place, run in enumerate(live[:most]):
        room -= _planned(run.view)
        if room < 0 and place and run.work is None:
            return place
    return min(len(live), most)


def _planned(view: View[Any, Any, Any]) -> int:
    """Bytes that a run's snapshots take if it uses up its budget, about."""
    return int(view.request.step_bytes * view.request.steps)


def _size(view: View[Any, Any, Any]) -> int:
    """Bytes of a run's snapshots, about."""
    return int(view.request.step_bytes * len(view.snapshots))
