"""What holds of any input from outside."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apr_core.base.types import InputError

Attempt = Callable[[Any], object]
MOST_SECONDS = 60.0
"""Processor time of one input: only a hang reaches it."""
MOST_MEGABYTES = 300.0
"""Memory of one input, beyond what was in use before it."""
LONGEST_SENTENCE = 1500
"""Characters; an unknown name is answered with all the known ones."""


@contextmanager
def foreseen() -> Iterator[None]:
    """Warnings and errors in the log are expected here."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def nothing_beside(inside: Path) -> Iterator[None]:
    """Nothing may be written to the folder around this one."""
    before = set(inside.parent.iterdir())
    yield
    assert set(inside.parent.iterdir()) == before, "something was written outside the folder"


def hold(attempt: Attempt, value: Any, works: bool = False) -> str:
    """Try one input; returns the sentence that refused it, empty for a right result.

    Args:
        works: a right result takes work of its own; only refusals are held to the bounds then.
    """
    idle, began = _idle_megabytes(), time.process_time()
    try:
        attempt(value)
        said = ""
    except InputError as error:
        said = str(error)
        assert is_plain(said), f"no plain sentence: {said!r}"
    seconds, megabytes = time.process_time() - began, _megabytes("VmHWM") - idle
    if said or not works:
        assert seconds <= MOST_SECONDS, f"it took {seconds:.2f} s"
        assert megabytes <= MOST_MEGABYTES, f"it took {megabytes:.0f} MB"
    return said


def is_plain(text: str) -> bool:
    """Whether an error is one short printable line that ends as a sentence does."""
    return (
        len(text) < LONGEST_SENTENCE
        and text.isprintable()
        and text.endswith(".")
        and "Traceback (most" not in text
    )


def _idle_megabytes() -> float:
    """Memory in use now; the process's peak, VmHWM, is counted from here on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _megabytes("VmHWM")
    return _megabytes("VmRSS")


def _megabytes(name: str) -> float:
    """A figure of this process; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
