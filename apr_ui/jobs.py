"""Work in threads: with progress, cancelled by a button or when nobody waits.

Attribution maps are made so, stickers learned, and pictures shifted.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from apr_core.base.types import InputError
from apr_core.explain.attributions import Cancelled

ABANDONED = 60.0
"""Seconds after which what nobody asks for is cancelled."""
GLANCE = 0.5
"""Seconds between two looks of one who waits."""

T = TypeVar("T")


class Report(Protocol):
    """Told how much is done of how much, and, by work that may be watched, what there is so far."""

    def __call__(self, done: int, total: int, seen: object = None, /) -> None: ...


Make = Callable[[Report, Callable[[], bool]], T]
"""Does the work; told how to report, and when to end."""


@dataclass(eq=False)
class Job(Generic[T]):
    """One piece of work: in the queue, in the making, or ended.

    Attributes:
        done: the share of the work, in [0, 1].
        seen: what there is so far, of work that may be watched.
        made: what came of it; None before the end, and where nothing did.
        error: why nothing did, "" while nothing went wrong.
    """

    done: float = 0.0
    seen: object = None
    made: T | None = None
    error: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    _begun: bool = False
    _stopped: threading.Event = field(default_factory=threading.Event)
    _seen: float = field(default_factory=time.monotonic)
    _viewers: dict[str, float] = field(default_factory=dict)

    def wait(self, seconds: float | None, viewer: str = "") -> bool:
        """Whether it has ended within some seconds; None for as long as it takes.

        Args:
            viewer: who asks, if that person may `leave` it.
        """
        self._seen = self._viewers[viewer] = time.monotonic()
        until = None if seconds is None else self._seen + seconds
        while not self.ended.is_set() and (until is None or time.monotonic() < until):
            self._seen = time.monotonic()
            self.ended.wait(GLANCE if until is None else min(GLANCE, until - time.monotonic()))
        return self.ended.is_set()

    def cancel(self) -> None:
        """End it: after the pass that it is in, or at once where it waits for its turn."""
        self._stopped.set()
        if not self._begun:
            self.ended.set()

    def leave(self, viewer: str) -> None:
        """Cancel it for one viewer: it goes on only if another has looked at it lately."""
        self._viewers.pop(viewer, None)
        lately = time.monotonic() - ABANDONED
        if all(seen < lately for seen in self._viewers.copy().values()):
            self.cancel()

    @property
    def waiting(self) -> bool:
        """Whether its turn has not come yet."""
        return not self._begun

    def is_over(self) -> bool:
        """Whether it was cancelled, or nobody waits any more."""
        return self._stopped.is_set() or time.monotonic() - self._seen > ABANDONED

    def run(self, make: Make[T]) -> None:
        """Do the work, in the calling thread."""
        self._begun = True  # before the look at `is_over`, or `cancel` could miss it
        try:
            if not self.is_over():
                self.made = make(self._report, self.is_over)
        except Cancelled:
            pass
        except InputError as error:
            self.error = str(error)
        finally:
            self.ended.set()

    def _report(self, done: int, total: int, seen: object = None, /) -> None:
        self.done, self.seen = min(1.0, done / total), seen


class Jobs(Generic[T]):
    """Work by what it is for: one piece is done at a time, and the last results are kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: OrderedDict[Hashable, Job[T]] = OrderedDict()
        self._known, self._turn = threading.Lock(), threading.Lock()
        self._threads: set[threading.Thread] = set()

    def ask(self, key: Hashable, make: Make[T]) -> Job[T]:
        """What is for a key: kept, in the making, or begun now."""
        with self._known:
            job = self._jobs.get(key)
            if job is None or (job.is_over() and job.made is None and not job.error):
                job = self._jobs[key] = self._begin(make)
            self._jobs.move_to_end(key)
            while len(self._jobs) > self._most:
                self._jobs.popitem(last=False)[1].cancel()
            return job

    def get(self, key: Hashable) -> Job[T] | None:
        """What was asked for under a key, if it is still kept."""
        return self._jobs.get(key)

    def drop(self, key: Hashable) -> None:
        """Forget what was made for a key, so that it is made anew when it is asked for."""
        with self._known:
            self._jobs.pop(key, None)

    def _begin(self, make: Make[T]) -> Job[T]:
        job: Job[T] = Job()

        def work() -> None:
            with self._turn:
                job.run(make)
            self._threads.discard(thread)

        thread = threading.Thread(target=work, name="job", daemon=True)
        self._threads.add(thread)
        thread.start()
        return job

    def close(self) -> None:
        """Cancel all, and wait for the one that is in the making."""
        for job in list(self._jobs.values()):
            job.cancel()
        for thread in list(self._threads):
            thread.join()
