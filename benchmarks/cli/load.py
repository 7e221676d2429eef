"""`bench --load`: its options, and its record in words."""

from __future__ import annotations

import argparse

from benchmarks.load.case import LoadConfig
from benchmarks.load.figures import Seconds, Waits
from benchmarks.load.record import Crowd, LoadResult

DEFAULT = LoadConfig()
OPTIONS = {"population": DEFAULT.population, "minutes": DEFAULT.minutes}
"""What goes with --load only."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `OPTIONS` and the option itself."""
    group = parser.add_argument_group("how the app does under load")
    group.add_argument(
        "--load",
        type=int,
        metavar="SESSIONS",
        help="start the app and have so many use it at the same time; each run has "
        f"{DEFAULT.generations} generations if --generations says nothing else",
    )
    group.add_argument("--population", type=int, help="of each run")
    group.add_argument("--minutes", type=float, help="all stay for so long in the end")
    parser.set_defaults(load=None, **OPTIONS)


def config_of(args: argparse.Namespace) -> LoadConfig:
    """What was asked for."""
    return LoadConfig(
        args.model,
        args.load,
        args.population,
        DEFAULT.generations if args.generations is None else args.generations,
        args.rounds,
        minutes=args.minutes,
    )


def in_words(result: LoadResult) -> str:
    """The record as a table."""
    alone = result.alone
    lines = [
        f"{result.model} on {result.hardware}; seconds: median, 99th percentile (of how many)",
        f"{'':22}{'first frame':>20}{'frame interval':>20}{'end':>20}{'click':>20}",
        _row("a run alone", alone.waits),
    ]
    crowds = [(f"{crowd.sessions} at once", crowd) for crowd in result.rounds]
    if result.long:
        crowds.append((f"{result.config['minutes']:g} minutes", result.long))
    lines += [_row(name, crowd.waits) for name, crowd in crowds]
    link = result.class_link
    if link:
        lines.append(_row("one class link", link.waits))
    lines.append(f"a run alone: {_pace(alone.queries_per_second)}")
    lines += [f"{name}: {_crowd(crowd)}" for name, crowd in crowds]
    if link:
        lines.append(
            f"one class link: {link.sessions} sessions saw {_runs(link.runs_seen)}, and the server "
            f"noted {_runs(link.runs_noted)}, of {link.queries:,} queries"
        )
    memory = result.memory
    slope = "" if memory.growth is None else f", growing by {memory.growth:.1f} MB a minute"
    lines.append(
        f"memory: {memory.first:,.0f} MB after one run, {memory.peak:,.0f} at the most, "
        f"{memory.last:,.0f} in the end{slope}"
    )
    lines += [
        f"{'met' if aim.met else 'NOT MET':8} {aim.what} {aim.wanted:g}: {aim.measured:.4g}"
        for aim in result.aims
    ]
    lines += [f"trouble: {trouble}" for trouble in result.troubles]
    return "\n".join(lines)


def _row(name: str, waits: Waits) -> str:
    taken = (waits.first_frame, waits.frame_interval, waits.end, waits.click)
    return f"{name:22}" + "".join(f"{_seconds(seconds):>20}" for seconds in taken)


def _seconds(seconds: Seconds | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds.median:.2f} {seconds.p99:.2f} ({seconds.n:,})"


def _pace(queries_per_second: float | None) -> str:
    if queries_per_second is None:
        return "over in a single look, too soon to be timed; ask for more generations"
    return f"{queries_per_second:,.0f} queries/s"


def _crowd(crowd: Crowd) -> str:
    share = "" if crowd.over_alone is None else f", {crowd.over_alone:.3f} of a run alone"
    return (
        f"{_pace(crowd.queries_per_second)}{share}; the slowest took "
        f"{crowd.slowest_over_median:.2f} times the median and "
        f"{crowd.slowest_over_fastest:.2f} times the fastest; processors: server "
        f"{crowd.server_cpu_seconds:.0f} s, visitors {crowd.visitors_cpu_seconds:.0f} s"
    )


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
