"""Runs on disk, so that a restart loses none.

A run's file has only the request at first, and the whole run when it has ended. It does not contain
the picture: a shipped test image is loaded again by its index, and of an uploaded picture only the
settings are kept, as pictures never leave memory. A run on other weights than the model's present
ones is not shown, and neither is a damaged file.
"""

from __future__ import annotations

import gzip
import io
import logging
import os
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from apr_core.attacks.result import Snapshot
from apr_core.base.files import write_whole
from apr_core.base.paths import written
from apr_core.base.types import InputError, Status
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.archive.archive_format import (
    Head,
    head_of,
    pack,
    read_frames,
    read_head,
    request_of,
    weights_of,
)
from apr_core.serving.requests import AttackRequest, Phase, RunView, View

LOG = logging.getLogger(__name__)
MOST_RUNS = 2000
MOST_BYTES = 200 * 2**20
"""Of all files together: a full run of the published attack takes some 70 kB."""
RUN_ID = re.compile(r"[0-9a-f]{16}")
INTERRUPTED = (
    "This run was interrupted when the server stopped; run it again with the same seed to get the "
    "same run."
)


def runs_folder() -> Path:
    """Where runs lie; see `written`."""
    return written("runs")


class Archive:
    """Stores runs and reads them again. Files are written in a thread of its own.

    Args:
        most_runs, most_bytes: of the folder; beyond them, the runs seen longest ago are deleted.
    """

    def __init__(self, most_runs: int = MOST_RUNS, most_bytes: int = MOST_BYTES) -> None:
        self._most_runs, self._most_bytes = most_runs, most_bytes
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._weights: dict[str, str] = {}
        self._thread = threading.Thread(target=self._work, name="archive", daemon=True)
        self._thread.start()

    def note_model(self, model: str) -> None:
        """Note a model's weights as it is loaded: its runs belong to these, even if its card has
        changed by the time that they are written."""
        try:
            self._weights[model] = weights_of(model)
        except InputError as error:
            LOG.warning("runs on %s are not kept (%s)", model, error)

    def begin(self, request: object) -> None:
        """Note that a run was requested, so that a restart can report it as interrupted."""
        if isinstance(request, AttackRequest):
            self._put(request, ended=False)

    def end(self, view: View[Any, Any, Any]) -> None:
        """Store a run that has ended; one that was cancelled or has failed is deleted."""
        request, outcome = view.request, view.outcome
        if not isinstance(request, AttackRequest):
            return
        own = request.index == OWN_PICTURE
        if own:
            self._put(request, ended=True)
        elif outcome is None or outcome.status is Status.CANCELLED:
            self._jobs.put(lambda: _path(request.run_id).unlink(missing_ok=True))
        else:
            self._put(request, ended=True, view=view)

    def _put(self, request: AttackRequest, ended: bool, view: RunView | None = None) -> None:
        """Queue a run for writing, of the loaded weights or else of those on disk."""
        loaded = self._weights.get(request.model)

        def write() -> None:
            head = head_of(request, loaded or weights_of(request.model), ended, view)
            self._write(head, view.snapshots if view else ())

        self._jobs.put(write)

    def view(self, run_id: str) -> RunView | None:
        """A stored run: ended, or failed with `INTERRUPTED`; None if there is none to show."""
        try:
            with _opened(run_id) as file:
                head = read_head(run_id, file)
                if head.own_picture or head.weights != weights_of(head.model):
                    return None
                request = request_of(head)
                if not head.ended:
                    return View(request, Phase.FAILED, error=INTERRUPTED)
                frames = tuple(read_frames(head, file))
        except _DAMAGE as error:
            _tell(run_id, error)
            return None
        _touch(run_id)
        return View(request, Phase.ENDED, frames, head.outcome, seconds=head.seconds)

    def lost(self, run_id: str) -> Head | None:
        """The request of a run on an uploaded picture, which was not stored."""
        try:
            with _opened(run_id) as file:
                head = read_head(run_id, file)
        except _DAMAGE as error:
            _tell(run_id, error)
            return None
        return head if head.own_picture else None

    def flush(self) -> None:
        """Wait until everything is on disk."""
        written = threading.Event()
        self._jobs.put(written.set)
        written.wait()

    def close(self) -> None:
        """Write what is queued, and stop."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # whatever it is, the next run is to be kept
                LOG.warning("a run was not kept (%s)", error)

    def _write(self, head: Head, snapshots: Iterable[Snapshot]) -> None:
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0) as file:
            lines: list[Head | Snapshot] = [head, *snapshots]
            for line in lines:
                file.write(pack(line))
        write_whole(_path(head.run), packed.getvalue())
        self._forget()

    def _forget(self) -> None:
        """Delete the runs seen longest ago, if there are too many."""
        found = sorted(_ages(), reverse=True)
        room = self._most_bytes
        for place, (_, size, path) in enumerate(found):
            room -= size
            if place >= self._most_runs or room < 0:
                path.unlink(missing_ok=True)


_DAMAGE = (OSError, EOFError, zlib.error, ValueError)
"""Raised by reading a file that is missing, damaged or of another format."""


def _ages() -> Iterator[tuple[int, int, Path]]:
    """When each file was last seen, its size, and where it is."""
    for entry in os.scandir(runs_folder()):
        if RUN_ID.fullmatch(entry.name.partition(".")[0]):
            known = entry.stat()
            yield known.st_mtime_ns, known.st_size, Path(entry.path)


def _path(run_id: str) -> Path:
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"{run_id!r:.40} is no run's name")
    return runs_folder() / f"{run_id}.json.gz"


def _opened(run_id: str) -> gzip.GzipFile:
    return gzip.GzipFile(_path(run_id))


def _touch(run_id: str) -> None:
    try:
        os.utime(_path(run_id))
    except OSError as error:
        LOG.debug("%s could not be marked as seen (%s)", run_id, error)


def _tell(run_id: str, error: Exception) -> None:
    if not isinstance(error, FileNotFoundError) and RUN_ID.fullmatch(run_id):
        LOG.warning("the kept run %s is not shown (%s)", run_id, error)
