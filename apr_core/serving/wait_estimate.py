"""Wait estimate: queue waiting time from recent run times."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from apr_core.serving.requests import View

REMEMBERED = 30
"""Ended runs that the pace is of."""


class WaitEstimator:
    """Note how long runs took; ask how long a place waits.

    Args:
        at_once: runs that go on at the same time.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._took: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, view: View[Any, Any, Any]) -> None:
        """A run has ended."""
        self._took.append(view.seconds)

    def wait(self, place: int, running: Iterable[View[Any, Any, Any]]) -> float | None:
        """Seconds until the run at a place of the queue starts, None while nobody can know.

        Args:
            running: what goes on now; where none has ended yet, the budgets of these tell.
        """
        took = list(self._took) or [
            view.seconds + view.seconds_left for view in running if view.seconds_left is not None
        ]
        return fmean(took) * place / self._at_once if took else None


def in_words(seconds: float | None) -> str:
    """A wait as people say it, to follow "starts"; "" where it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f" in about {max(1, round(seconds))} s"
    return f" in about {round(seconds / 60)} min"
