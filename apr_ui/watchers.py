"""How often a page looks at its run: four times a second for a few people, less often for a class.

Each look costs the server a couple of milliseconds, in which no search goes on. Thirty pages that
looked four times a second would take a quarter of a core for frames that come every few seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from streamlit.runtime.scriptrunner import get_script_run_ctx

SHORTEST_PAUSE = 0.25
LOOKS_A_SECOND = 30
"""Of all sessions together, about."""
WATCHING_SECONDS = 10.0
"""A session that looked so long ago is watching still."""


class Watchers:
    """Which sessions have looked at a run of late.

    Args:
        clock: seconds from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def look(self, session: str) -> float:
        """A session looks now; seconds until it had best look again."""
        now = self._clock()
        with self._lock:
            self._seen[session] = now
            oldest = now - WATCHING_SECONDS
            self._seen = {name: at for name, at in self._seen.items() if at >= oldest}
            return pause_for(len(self._seen))


def pause_for(watchers: int) -> float:
    """Seconds between two looks of one of so many, in steps of the shortest pause."""
    return SHORTEST_PAUSE * max(1, math.ceil(watchers / (LOOKS_A_SECOND * SHORTEST_PAUSE)))


_ALL = Watchers()


def look() -> float:
    """The session whose script this is looks now; seconds until it had best look again."""
    context = get_script_run_ctx()
    return _ALL.look(context.session_id) if context else SHORTEST_PAUSE
