"""What the visitors told, in numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

import numpy as np

from benchmarks.load.driving import Diary, Seen
from benchmarks.load.server import Sample


@dataclass(frozen=True)
class Seconds:
    """How long something took: of n cases the median, the 99th percentile and the longest."""

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
        click: on a control while the run goes on, until the page has answered it whole.
        click_drawn: until something is drawn anew.
    """

    first_frame: Seconds | None
    frame_interval: Seconds | None
    end: Seconds | None
    click: Seconds | None
    click_drawn: Seconds | None

    @classmethod
    def of(cls, diaries: Sequence[Diary]) -> Waits:
        """Of all visitors together."""
        runs = [run for diary in diaries for run in diary.runs]
        clicks = [click for diary in diaries for click in diary.clicks]
        news = [pair for run in runs for pair in pairwise(run.frames)]
        return cls(
            Seconds.of([run.frames[0][0] - run.asked for run in runs if run.frames]),
            Seconds.of([later - earlier for (earlier, _), (later, _) in news]),
            Seconds.of([duration(run) for run in runs if run.ended is not None]),
            Seconds.of([answered for answered, _ in clicks]),
            Seconds.of([drawn for _, drawn in clicks]),
        )


def duration(run: Seen) -> float:
    """From the asking to the end of a run that ended."""
    assert run.ended is not None
    return run.ended - run.asked


def throughput(runs: Sequence[Seen]) -> tuple[int, float]:
    """Queries whose frames arrived after the very first frame, and the seconds that they took.

    So neither the opening of a page nor the first look at a picture counts, in one run as in many.
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
    """Queries per second; see `throughput`. None for what was over in a single look."""
    queries, seconds = throughput(runs)
    return queries / seconds if seconds else None


def fairness(runs: Sequence[Seen]) -> tuple[float, float]:
    """The slowest visitor over the median one, and over the fastest, by their mean run."""
    taken: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        taken[run.visitor].append(duration(run))
    means = [fmean(durations) for durations in taken.values()]
    return max(means) / median(means), max(means) / min(means)


def growth(samples: Sequence[Sample], begin: float, end: float) -> float:
    """MB a minute between the least of the first half and the least of the second half of what was
    sampled between two times; 0 for too few.

    Runs that begin and end together let the memory rise and fall by what they remember: what it
    falls back to is what stays.
    """
    middle = (begin + end) / 2
    first = [size for at, size in samples if begin <= at < middle]
    second = [size for at, size in samples if middle <= at <= end]
    if not first or not second:
        return 0.0
    return (min(second) - min(first)) / ((middle - begin) / 60)


def every(samples: Sequence[Sample], seconds: float) -> tuple[float, ...]:
    """The first sample of each so many seconds, in MB."""
    taken: dict[int, float] = {}
    for at, size in samples:
        taken.setdefault(int((at - samples[0][0]) // seconds), round(size, 1))
    return tuple(taken.values())
