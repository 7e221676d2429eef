"""Concurrency: a memory budget and warning filters shared by threads that decode pictures."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Memory that is lent out; who asks for more than is left waits.

    Args:
        total: of any unit.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Hold an amount, of the total at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify_all()


class Silence:
    """No warnings while any thread is inside, and the caller's filters after the last has left.

    `catch_warnings` alone is not safe between threads: one may put back what another has set.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._kept = warnings.catch_warnings()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._kept = warnings.catch_warnings()
                self._kept.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._kept.__exit__(None, None, None)
