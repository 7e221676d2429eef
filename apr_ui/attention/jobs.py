"""Attribution maps made in threads: with progress, cancelled by a button or when nobody waits."""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import streamlit as st
import torch

from apr_core.base.types import InputError
from apr_core.explain.attributions import Cancelled

MOST_KEPT = 400
"""Maps: a photograph's takes 200 kB."""
ABANDONED = 60.0
"""Seconds after which a map that nobody asks for is cancelled."""
GLANCE = 0.5
"""Seconds between two looks of one who waits."""

Report = Callable[[int, int], None]
Make = Callable[[Report, Callable[[], bool]], tuple[torch.Tensor, str]]
"""Makes a map (H, W) and a sentence on how far to trust it; told how to report, and when to end."""


@dataclass(eq=False)
class MapJob:
    """One map: in the queue, in the making, or ended.

    Attributes:
        done: the share of the work, in [0, 1].
        made: the map and its trust; None before the end, and where there is none.
        error: why there is none, "" while nothing went wrong.
    """

    done: float = 0.0
    made: tuple[torch.Tensor, str] | None = None
    error: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _seen: float = field(default_factory=time.monotonic)

    def wait(self, seconds: float | None) -> bool:
        """Whether it has ended within some seconds; None for as long as it takes."""
        self._seen = time.monotonic()
        until = None if seconds is None else self._seen + seconds
        while not self.ended.is_set() and (until is None or time.monotonic() < until):
            self._seen = time.monotonic()
            self.ended.wait(GLANCE if until is None else min(GLANCE, until - time.monotonic()))
        return self.ended.is_set()

    def cancel(self) -> None:
        """End it after the pass that it is in."""
        self._stopped.set()

    def is_over(self) -> bool:
        """Whether it was cancelled, or nobody waits any more."""
        return self._stopped.is_set() or time.monotonic() - self._seen > ABANDONED

    def run(self, make: Make) -> None:
        """Make the map, in the calling thread."""
        try:
            if not self.is_over():
                self.made = make(self._report, self.is_over)
        except Cancelled:
            pass
        except InputError as error:
            self.error = str(error)
        finally:
            self.ended.set()

    def _report(self, done: int, total: int) -> None:
        self.done = min(1.0, done / total)


class MapJobs:
    """Maps by what they are of: one is made at a time, and the last ones are kept."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._jobs: OrderedDict[Hashable, MapJob] = OrderedDict()
        self._known, self._turn = threading.Lock(), threading.Lock()
        self._threads: set[threading.Thread] = set()

    def ask(self, key: Hashable, make: Make) -> MapJob:
        """The map of a key: kept, in the making, or begun now."""
        with self._known:
            job = self._jobs.get(key)
            if job is None or (job.is_over() and job.made is None and not job.error):
                job = self._jobs[key] = self._begin(make)
            self._jobs.move_to_end(key)
            while len(self._jobs) > self._most:
                self._jobs.popitem(last=False)[1].cancel()
            return job

    def _begin(self, make: Make) -> MapJob:
        job = MapJob()

        def work() -> None:
            with self._turn:
                job.run(make)
            self._threads.discard(thread)

        thread = threading.Thread(target=work, name="attribution", daemon=True)
        self._threads.add(thread)
        thread.start()
        return job

    def close(self) -> None:
        """Cancel all, and wait for the one that is in the making."""
        for job in list(self._jobs.values()):
            job.cancel()
        for thread in list(self._threads):
            thread.join()


@st.cache_resource(show_spinner=False)
def map_jobs(large: bool) -> MapJobs:
    """Everybody's maps of large pictures, or of small ones, which do not wait for the large."""
    jobs = MapJobs()
    atexit.register(jobs.close)  # else a thread, inside torch, takes the process with it
    return jobs
