"""How often a page polls its run: four times a second for a few people, less often for a class.

Each poll costs the server about two milliseconds, in which no search goes on. Thirty pages that
poll four times a second would take a quarter of a core for frames that come every few seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from streamlit.runtime.scriptrunner import get_script_run_ctx

SHORTEST_PAUSE = 0.25
POLLS_A_SECOND = 30
"""Of all sessions together, about."""
WATCHING_SECONDS = 10.0
"""A session counts as watching for so long after its last poll."""


class PollRate:
    """The pause between two polls, from the number of sessions that poll.

    Args:
        clock: seconds from any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def poll(self, session: str) -> float:
        """Note that a session polls now; seconds until it should poll again."""
        now = self._clock()
        with self._lock:
            self._seen[session] = now
            oldest = now - WATCHING_SECONDS
            self._seen = {name: at for name, at in self._seen.items() if at >= oldest}
            return pause_for(len(self._seen))


def pause_for(watchers: int) -> float:
    """Seconds between two polls of one of `watchers` sessions: multiples of the shortest pause."""
    return SHORTEST_PAUSE * max(1, math.ceil(watchers / (POLLS_A_SECOND * SHORTEST_PAUSE)))


_ALL = PollRate()


def note_poll() -> float:
    """Note that this script's session polls now; seconds until it should poll again."""
    context = get_script_run_ctx()
    return _ALL.poll(context.session_id) if context else SHORTEST_PAUSE
