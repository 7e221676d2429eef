"""What a measurement of the load says: values that go to JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.load.figures import Waits

LEAST_THROUGHPUT = 0.95
MOST_OVER_MEDIAN = 1.5
MOST_CLICK, MOST_CLICK_P99 = 0.3, 1.0
MOST_MEMORY = 3 * 1024.0
MOST_GROWTH = 5.0
"""MB a minute. Runs that have ended are kept in memory, up to a bound that takes hours to reach."""


@dataclass(frozen=True)
class Alone:
    """Runs with nobody else there: the queries per second of each that was seen in more than one
    look, and their median; None if all were over sooner."""

    queries_per_second: float | None
    rates: tuple[float, ...]
    waits: Waits


@dataclass(frozen=True)
class Crowd:
    """Many at the same time.

    Attributes:
        runs: that were seen to end.
        queries, seconds: after the first frame of all.
        over_alone: its rate over the mean rate of the runs alone just before and after it.
            None, as the rate, where one of them was over in a single look.
        slowest_over_median, slowest_over_fastest: sessions, by how long their runs took.
        server_cpu_seconds, visitors_cpu_seconds: of the processors, which both share.
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
        runs_seen: different runs among all that the sessions saw.
        runs_noted: runs that the server noted as asked for.
        queries: of the run.
    """

    sessions: int
    runs_seen: int
    runs_noted: int
    queries: int
    waits: Waits


@dataclass(frozen=True)
class Memory:
    """The server's resident memory in MB: after one run, at the most, and in the end.

    Attributes:
        growth: MB a minute, of what it falls back to, over the second half of the long stay; None
            if there was none, or one too short to tell.
        series: from the start on, every half minute.
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
class LoadResult:
    """One measurement.

    Attributes:
        rounds: each time that all ran one run each.
        long: all, for the minutes that were asked for; None if none were.
        troubles: errors that pages showed, connections lost, and tracebacks in the server's log.
        commit: of the working tree, "-dirty" if tracked files differ, "" where it is unknown.
    """

    model: str
    device: str
    hardware: str
    versions: dict[str, str]
    commit: str
    date: str
    config: dict[str, Any]
    alone: Alone
    rounds: tuple[Crowd, ...]
    class_link: ClassLink
    long: Crowd | None
    memory: Memory
    aims: tuple[Aim, ...]
    troubles: tuple[str, ...]


def judge(
    rounds: tuple[Crowd, ...], long: Crowd | None, link: ClassLink, memory: Memory
) -> tuple[Aim, ...]:
    """The aims, each beside what was measured: of several the worst, of the throughputs the median.

    They are for thirty sessions on two cores with a ResNet-20. What was not measured is left out.
    """
    crowds = [*rounds, *([long] if long else [])]
    clicks = [crowd.waits.click for crowd in crowds if crowd.waits.click]
    shares = [crowd.over_alone for crowd in rounds if crowd.over_alone is not None]
    aims = [
        _at_most(
            "the slowest session, over the median one",
            MOST_OVER_MEDIAN,
            max(crowd.slowest_over_median for crowd in crowds),
        ),
        _at_most("runs that a class link costs", 1, max(link.runs_seen, link.runs_noted)),
        _at_most("memory, MB", MOST_MEMORY, memory.peak),
    ]
    if shares:
        what = "throughput, over a run's alone"
        aims.insert(0, _at_least(what, LEAST_THROUGHPUT, median(shares)))
    if clicks:
        slowest, p99 = max(click.median for click in clicks), max(click.p99 for click in clicks)
        aims.append(_at_most("a click answered, seconds, median", MOST_CLICK, slowest))
        aims.append(_at_most("a click answered, seconds, 99th percentile", MOST_CLICK_P99, p99))
    if memory.growth is not None:
        aims.append(_at_most("growth of memory, MB a minute", MOST_GROWTH, memory.growth))
    return tuple(aims)


def _at_most(what: str, wanted: float, measured: float) -> Aim:
    return Aim(f"{what}, at most", wanted, measured, measured <= wanted)


def _at_least(what: str, wanted: float, measured: float) -> Aim:
    return Aim(f"{what}, at least", wanted, measured, measured >= wanted)
