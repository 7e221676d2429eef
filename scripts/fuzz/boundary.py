"""What is held of every way in, and how: a right result or a plain error, in bounds."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from apr_core.base.types import InputError

MOST_SECONDS = 2.0
MOST_MEGABYTES = 300.0
LONGEST_SENTENCE = 1500
"""Characters; an unknown name is answered with all the known ones."""
FOLDERS = ("APR_CHECKPOINTS", "APR_RESULTS", "APR_TRAINING", "APR_RUNS", "APR_DATA")
Attempt = Callable[[Any], None]


@dataclass(frozen=True)
class Boundary:
    """A way in.

    Attributes:
        inputs: what is tried.
        ready: gives what takes one input: it returns where that led to a right result, and raises
            InputError where it is refused. Its argument is a folder that it may write to.
        works: whether a right result takes work of its own; then only refusals are held to the
            bounds on time and memory.
    """

    name: str
    inputs: SearchStrategy[Any]
    ready: Callable[[Path], AbstractContextManager[Attempt]]
    works: bool = False


@dataclass
class Tally:
    """What came of the inputs so far: seconds are of the processor, megabytes over idle."""

    tried: int = 0
    right: int = 0
    refused: int = 0
    slowest: float = 0.0
    slowest_wall: float = 0.0
    peak: float = 0.0
    sentences: set[str] = field(default_factory=set)


class BoundError(AssertionError):
    """An input led to what no input may lead to."""


def hold(attempt: Attempt, value: Any, tally: Tally, works: bool = False) -> None:
    """Try one input, and hold what comes against what may; `works` as a boundary has it."""
    idle = _reset_peak()
    began, wall = time.process_time(), time.monotonic()
    try:
        attempt(value)
        said = ""
    except InputError as error:
        said = str(error)
    seconds, megabytes = time.process_time() - began, _peak() - idle
    tally.tried += 1
    tally.right += not said
    tally.refused += bool(said)
    tally.sentences.add(said[:12])
    if works and not said:
        return
    tally.slowest = max(tally.slowest, seconds)
    tally.slowest_wall = max(tally.slowest_wall, time.monotonic() - wall)
    tally.peak = max(tally.peak, megabytes)
    if said and not is_plain(said):
        raise BoundError(f"This is no plain sentence: {said!r}")
    if seconds > MOST_SECONDS or megabytes > MOST_MEGABYTES:
        raise BoundError(f"It took {seconds:.2f} s and {megabytes:.0f} MB.")


def is_plain(text: str) -> bool:
    """Whether an error is one short printable line that ends as a sentence does."""
    return (
        len(text) < LONGEST_SENTENCE
        and text.isprintable()
        and text.endswith(".")
        and "Traceback (most" not in text
    )


@contextmanager
def apart(boundary: Boundary) -> Iterator[Attempt]:
    """Make a boundary ready in folders of its own; nothing may be written beside them."""
    before = {name: os.environ.get(name) for name in FOLDERS}
    with tempfile.TemporaryDirectory() as outside:
        inside = Path(outside) / "inside"
        for name in FOLDERS:
            os.environ[name] = str(inside / name)
            (inside / name).mkdir(parents=True)
        try:
            with boundary.ready(inside) as attempt:
                yield attempt
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        strays = [path.name for path in Path(outside).iterdir() if path != inside]
        if strays:
            raise BoundError(f"{strays} was written outside the folder.")


def _reset_peak() -> float:
    """Begin to watch the peak of this process's memory; megabytes in use now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    """A figure of this process in megabytes; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
