"""The processes that tests start, to their end.

Each run of pytest puts a mark of its own into its environment. What it starts inherits the mark,
so that a training that outlives its server is found too, whoever its parent is by then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from pathlib import Path

MARK = "APR_TESTED_BY"
HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
"""Python's own, which end with the process that they help."""
ENDING_SECONDS = 60.0
"""How long a process that was told to end may take, on a busy machine."""


def mark_children() -> None:
    """Mark what this process starts from now on."""
    os.environ[MARK] = uuid.uuid4().hex


def started_by(mark: str) -> dict[int, str]:
    """Command lines of the processes, by id, whose mark begins so; none where there is no /proc."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            marked = f"{MARK}={mark}".encode() in (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").strip()
            own = int(folder.name) == os.getpid()
            if marked and not own and not any(helper in command for helper in HELPERS):
                found[int(folder.name)] = command.decode(errors="replace")
    return found


def end_all(mark: str) -> None:
    """End the processes with a mark, and wait until they are gone."""
    while left := started_by(mark):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def left_behind(mark: str, seconds: float = ENDING_SECONDS) -> list[str]:
    """Command lines of the processes with a mark that do not end by themselves; they are ended."""
    deadline = time.monotonic() + seconds
    while (left := started_by(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    end_all(mark)
    return sorted(left.values())
