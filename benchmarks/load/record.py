"""Record of a load test, and the aims that it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from apr_core.base.provenance import Environment
from benchmarks.load.figures import Waits

LEAST_THROUGHPUT = 0.95
MOST_OVER_MEDIAN = 1.5
MOST_CLICK, MOST_CLICK_P99 = 0.3, 1.0
MOST_MEMORY, MOST_MEMORY_LARGE = 3 * 1024.0, 6 * 1024.0
MOST_GROWTH = 5.0
"""MB a minute. Ended runs are kept in memory, up to a bound that takes hours to reach."""


@dataclass(frozen=True)
class Alone:
    """Single runs: queries per second of each that was seen in more than one frame, and their
    median; None if there was none."""

    queries_per_second: float | None
    rates: tuple[float, ...]
    waits: Waits


@dataclass(frozen=True)
class Crowd:
    """Many at the same time.

    Attributes:
        runs: that were seen to end.
        queries, seconds: after the first frame of all.
        over_alone: rate over the mean rate of the single runs just before and after; None, as the
            rate, where a run was over in a single frame.
        slowest_over_median, slowest_over_fastest: sessions, by the duration of their runs.
    """

    sessions: int
    runs: int
    queries: int
    seconds: float
    queries_per_second: float | None
    over_alone: float | None
    waits: Waits
    slowest_over_median: float
    slowest_over_fastest: float
    server_cpu_seconds: float
    visitors_cpu_seconds: float


@dataclass(frozen=True)
class ClassLink:
    """Sessions that open one class link, at the step where a class watches its run.

    Attributes:
        runs_seen: different runs that the sessions saw.
        runs_noted: runs that the server noted.
        queries: of the run.
    """

    sessions: int
    runs_seen: int
    runs_noted: int
    queries: int
    waits: Waits


@dataclass(frozen=True)
class Memory:
    """The server's resident memory in MB: after one run, at its peak, and in the end.

    Attributes:
        growth: of its floor, MB a minute, over the second half of the long stay; None without one,
            or if it was too short.
        series: every half minute.
    """

    first: float
    peak: float
    last: float
    growth: float | None
    series: tuple[float, ...] = ()


@dataclass(frozen=True)
class Aim:
    """What was aimed at, and whether the measurement meets it."""

    what: str
    wanted: float
    measured: float
    met: bool


@dataclass(frozen=True)
class LoadResult(Environment):
    """One load test.

    Attributes:
        rounds: each time that all sessions ran one run each.
        class_link: None where the lesson does not teach with such pictures.
        long: the last phase; None without one.
        troubles: errors that pages showed, connections lost, and tracebacks in the server's log.
    """

    model: str
    device: str
    config: dict[str, Any]
    alone: Alone
    rounds: tuple[Crowd, ...]
    class_link: ClassLink | None
    long: Crowd | None
    memory: Memory
    aims: tuple[Aim, ...]
    troubles: tuple[str, ...]


def judge(
    rounds: tuple[Crowd, ...],
    long: Crowd | None,
    link: ClassLink | None,
    memory: Memory,
    large: bool = False,
) -> tuple[Aim, ...]:
    """The aims, each beside the worst measurement; of the throughputs the median.

    They are for thirty sessions on two cores with a ResNet-20, or with a network on photographs.
    What was not measured is left out.

    Args:
        large: whether the pictures are photographs.
    """
    crowds = [*rounds, *([long] if long else [])]
    clicks = [crowd.waits.click for crowd in crowds if crowd.waits.click]
    shares = [crowd.over_alone for crowd in rounds if crowd.over_alone is not None]
    at_most = {
        "the slowest session, over the median one": (
            MOST_OVER_MEDIAN,
            max(crowd.slowest_over_median for crowd in crowds),
        ),
        "runs that a class link costs": (
            1,
            max(link.runs_seen, link.runs_noted) if link else None,
        ),
        "memory, MB": (MOST_MEMORY_LARGE if large else MOST_MEMORY, memory.peak),
        "a click answered, seconds, median": (
            MOST_CLICK,
            max((click.median for click in clicks), default=None),
        ),
        "a click answered, seconds, 99th percentile": (
            MOST_CLICK_P99,
            max((click.p99 for click in clicks), default=None),
        ),
        "growth of memory, MB a minute": (MOST_GROWTH, memory.growth),
    }
    aims = [
        Aim(f"{what}, at most", wanted, measured, measured <= wanted)
        for what, (wanted, measured) in at_most.items()
        if measured is not None
    ]
    if shares:
        what, share = "throughput, over a run's alone, at least", median(shares)
        aims.insert(0, Aim(what, LEAST_THROUGHPUT, share, share >= LEAST_THROUGHPUT))
    return tuple(aims)
