"""What visitors saw, and the figures made of it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median

import numpy as np

Sample = tuple[float, float]
"""`time.monotonic`, and the app's resident memory in MB."""


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


@dataclass
class Diary:
    """What a group of visitors saw; times are `time.monotonic`.

    Attributes:
        runs: in the order in which they were asked for.
        clicks: seconds until the page had answered, and until a part of it was drawn anew.
        troubles: errors that pages showed, and connections lost, in words.
    """

    runs: list[Seen] = field(default_factory=list)
    clicks: list[tuple[float, float]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    ended_at: float = 0.0
    server_cpu_seconds: float = 0.0
    visitors_cpu_seconds: float = 0.0

    def ask(self, visitor: int) -> Seen:
        """Note that a visitor asks for a run now."""
        self.runs.append(Seen(visitor, time.monotonic()))
        return self.runs[-1]

    @property
    def ended(self) -> list[Seen]:
        """The runs that were seen to end."""
        return [run for run in self.runs if run.ended is not None]


@dataclass(frozen=True)
class Seconds:
    """Durations: how many, their median, 99th percentile and maximum."""

    n: int
    median: float
    p99: float
    longest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Seconds | None:
        """None if there are none."""
        if not values:
            return None
        p99 = float(np.percentile(values, 99))
        return cls(len(values), median(values), p99, max(values))


@dataclass(frozen=True)
class Waits:
    """What visitors waited for, in seconds.

    Attributes:
        first_frame: from the link, or the click that starts a run, to its first generation.
        frame_interval: between arrivals of new generations.
        end: from the link or the click to the end of the run.
        click: on a control during the run, until the page has answered it whole.
        click_drawn: until a part of the page is drawn anew.
    """

    first_frame: Seconds | None
    frame_interval: Seconds | None
    end: Seconds | None
    click: Seconds | None
    click_drawn: Seconds | None

    @classmethod
    def of(cls, diaries: Sequence[Diary]) -> Waits:
        runs = [run for diary in diaries for run in diary.runs]
        clicks = [click for diary in diaries for click in diary.clicks]
        news = [pair for run in runs for pair in pairwise(run.frames)]
        return cls(
            Seconds.of([run.frames[0][0] - run.asked for run in runs if run.frames]),
            Seconds.of([later - earlier for (earlier, _), (later, _) in news]),
            Seconds.of([run.ended - run.asked for run in runs if run.ended is not None]),
            Seconds.of([answered for answered, _ in clicks]),
            Seconds.of([drawn for _, drawn in clicks]),
        )


def throughput(runs: Sequence[Seen]) -> tuple[int, float]:
    """Queries whose frames arrived after the very first frame, and the seconds that they took.

    Neither the opening of a page nor the query of the clean image counts, in one run as in many.
    """
    news = sorted(
        (at, after - before)
        for run in runs
        for (_, before), (at, after) in pairwise([(run.asked, 0), *run.frames])
    )
    if len(news) < 2:
        return 0, 0.0
    return sum(count for _, count in news[1:]), news[-1][0] - news[0][0]


def rate(runs: Sequence[Seen]) -> float | None:
    """Queries per second; see `throughput`. None if a single frame showed all."""
    queries, seconds = throughput(runs)
    return queries / seconds if seconds else None


def fairness(runs: Sequence[Seen]) -> tuple[float, float]:
    """Mean run of the slowest visitor over that of the median one, and of the fastest."""
    taken: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        if run.ended is not None:
            taken[run.visitor].append(run.ended - run.asked)
    means = [fmean(durations) for durations in taken.values()]
    return max(means) / median(means), max(means) / min(means)


def growth(samples: Sequence[Sample], begin: float, end: float) -> float:
    """Growth of memory in MB a minute: from the least sample of the first half of a period to the
    least of its second half; 0 for too few samples.

    Runs that begin and end together make the memory rise and fall: its floor is what stays.
    """
    middle = (begin + end) / 2
    first = [size for at, size in samples if begin <= at < middle]
    second = [size for at, size in samples if middle <= at <= end]
    if not first or not second:
        return 0.0
    return (min(second) - min(first)) / ((middle - begin) / 60)


def every(samples: Sequence[Sample], seconds: float) -> tuple[float, ...]:
    """Memory in MB: the first sample of each such span of seconds."""
    taken: dict[int, float] = {}
    for at, size in samples:
        taken.setdefault(int((at - samples[0][0]) // seconds), round(size, 1))
    return tuple(taken.values())
