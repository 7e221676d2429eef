"""Sending visitors to the app, and what they tell.

The visitors are `benchmarks/load`, a process of its own. They speak Streamlit's messages with
Streamlit's own classes, which nothing in the engine may import; a description of the messages kept
here would be wrong one version later, and not say so. And so their work is not the server's, but
for the processors that both share, which is measured too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from benchmarks.load.case import Visit
from benchmarks.load.server import ROOT

Told = dict[str, Any]
"""A line that the visitors told; see `benchmarks/load/__main__.py`."""


@dataclass
class Seen:
    """A run as one visitor saw it; times are `time.monotonic`.

    Attributes:
        asked: when it was asked for.
        frames: when frames arrived, and the queries spent by then.
        ended: when it was seen to have ended, None if it was not.
    """

    visitor: int
    asked: float
    run: str = ""
    frames: list[tuple[float, int]] = field(default_factory=list)
    ended: float | None = None


@dataclass(frozen=True)
class Diary:
    """What a group of visitors told.

    Attributes:
        runs: in the order in which they were asked for.
        clicks: seconds until the page had answered, and until something of it was drawn anew.
        troubles: errors that pages showed, and connections lost, in words.
        cpu_seconds: that the visitors took of this machine.
    """

    runs: tuple[Seen, ...]
    clicks: tuple[tuple[float, float], ...]
    troubles: tuple[str, ...]
    cpu_seconds: float

    @property
    def ended(self) -> tuple[Seen, ...]:
        """Those runs that were seen to end."""
        return tuple(run for run in self.runs if run.ended is not None)


class Visitors:
    """Their process; a context."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Visitors:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def send(
        self, base: str, visits: Sequence[Visit], seconds: float, listen: Callable[[Told], None]
    ) -> Diary:
        """Have visits made, and wait until all have left.

        Args:
            base: the app's address.
            seconds: the most that they may stay.
            listen: takes each line as it is told.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        plan = {"base": base, "seconds": seconds, "visits": [asdict(visit) for visit in visits]}
        print(json.dumps(plan), file=self._process.stdin, flush=True)
        told: list[Told] = []
        for line in self._process.stdout:
            told.append(json.loads(line))
            listen(told[-1])
            if told[-1]["what"] == "left":
                return read(told)
        raise RuntimeError(f"the visitors broke off with exit code {self._process.wait()}")


def read(told: Sequence[Told]) -> Diary:
    """Make sense of what was told."""
    runs: list[Seen] = []
    latest: dict[int, Seen] = {}
    for line in told:
        seen = latest.get(line["visitor"])
        if line["what"] == "asked":
            latest[line["visitor"]] = Seen(line["visitor"], line["at"])
            runs.append(latest[line["visitor"]])
        elif line["what"] == "frame" and seen:
            seen.run = line["run"]
            seen.frames.append((line["at"], line["queries"]))
        elif line["what"] == "end" and seen:
            seen.ended = line["at"]
    return Diary(
        tuple(runs),
        tuple((line["answered"], line["drawn"]) for line in told if line["what"] == "click"),
        tuple(line["text"] for line in told if line["what"] == "trouble"),
        sum(line["cpu_seconds"] for line in told if line["what"] == "left"),
    )
