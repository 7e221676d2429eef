"""How the app does while many use it: what each of them waits for, and what it takes of memory.

The app runs as people start it. Visitors come over its own websocket, as browsers do, and watch
runs on the Attack page; see `benchmarks.load.driving`. Runs alone come before and after those
together, so that what slows the machine for a while slows both. The pictures are those that the
model is surest of: the search learns little there, so that hardly an edit is proposed twice, and a
query is an image through the network.

What browsers do with what they are sent is not measured: no page is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import fmean, median

from apr_core.base.hardware import default_device, describe_hardware
from apr_core.base.version import find_commit, versions
from apr_core.data.sample import load_sample
from apr_core.zoo.checkpoints import load_model
from benchmarks.load.case import LoadConfig
from benchmarks.load.driving import Visitors
from benchmarks.load.figures import Waits, every, fairness, growth, rate, throughput
from benchmarks.load.phases import Phase, Phases
from benchmarks.load.record import Alone, ClassLink, Crowd, LoadResult, Memory, judge
from benchmarks.load.server import App
from benchmarks.speed.measure import surest_rows
from benchmarks.speed.turns import Report

LEAST_STAY = 120.0
"""Seconds, below which nothing is said of the growth of memory."""
SERIES_SECONDS = 30.0


def measure_load(config: LoadConfig, report: Report = lambda done, total, what: None) -> LoadResult:
    """Start the app, and have it visited.

    Raises:
        InputError: there is no such model, the app does not start, or a run is not seen to end.
    """
    images = choose_indices(config)
    with App() as app, Visitors() as visitors:
        phases = Phases(config, images, app, visitors, report)
        phases.warm_up()
        first = app.memory()
        lone = [phases.alone()]
        together: list[Phase] = []
        for _ in range(config.rounds):
            together.append(phases.together(_pace(lone[-1])))
            lone.append(phases.alone())
        link = class_link(*phases.open_class())
        stay = phases.stay_long() if config.minutes else None
        series = every(app.samples, SERIES_SECONDS)
        memory = Memory(first, app.peak_memory(), app.memory(), _growth(app, stay), series)
        troubles = [*phases.troubles, *app.tracebacks()]
    rounds = tuple(
        crowd(phase, config.sessions, [*before, *after])
        for phase, before, after in zip(together, lone, lone[1:], strict=False)
    )
    long = crowd(stay, config.sessions, lone[-1]) if stay else None
    device = default_device()
    return LoadResult(
        model=config.model,
        device=str(device),
        hardware=describe_hardware(device),
        versions=versions() | {"streamlit": version("streamlit")},
        commit=find_commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        config=asdict(config),
        alone=alone([phase for block in lone for phase in block]),
        rounds=rounds,
        class_link=link,
        long=long,
        memory=memory,
        aims=judge(rounds, long, link, memory),
        troubles=tuple(dict.fromkeys(troubles)),
    )


def choose_indices(config: LoadConfig) -> list[int]:
    """Test images, one a session, that the model is surest of."""
    model = load_model(config.model, default_device())
    indices: list[int] = load_sample().indices[surest_rows(model, config.sessions)].tolist()
    return indices


def alone(phases: Sequence[Phase]) -> Alone:
    """Runs with nobody else there."""
    found = (rate(phase.diary.runs) for phase in phases)
    rates = tuple(known for known in found if known is not None)
    return Alone(
        median(rates) if rates else None, rates, Waits.of([phase.diary for phase in phases])
    )


def crowd(phase: Phase, sessions: int, lone: Sequence[Phase]) -> Crowd:
    """Many at the same time, beside the pace of runs alone."""
    diary = phase.diary
    queries, seconds = throughput(diary.runs)
    together, pace = rate(diary.runs), _pace(lone)
    over_median, over_fastest = fairness(diary.ended)
    return Crowd(
        sessions=sessions,
        runs=len(diary.ended),
        queries=queries,
        seconds=seconds,
        queries_per_second=together,
        over_alone=together / pace if together and pace else None,
        waits=Waits.of([diary]),
        slowest_over_median=over_median,
        slowest_over_fastest=over_fastest,
        server_cpu_seconds=phase.cpu_seconds,
        visitors_cpu_seconds=diary.cpu_seconds,
    )


def class_link(phase: Phase, noted: int) -> ClassLink:
    """Sessions that opened one class link."""
    runs = phase.diary.runs
    return ClassLink(
        sessions=len({run.visitor for run in runs}),
        runs_seen=len({run.run for run in runs}),
        runs_noted=noted,
        queries=max(run.frames[-1][1] for run in runs if run.frames),
        waits=Waits.of([phase.diary]),
    )


def _pace(phases: Sequence[Phase]) -> float | None:
    rates = alone(phases).rates
    return fmean(rates) if rates else None


def _growth(app: App, stay: Phase | None) -> float | None:
    if stay is None or stay.ended - stay.began < LEAST_STAY:
        return None
    return growth(app.samples, (stay.began + stay.ended) / 2, stay.ended)
