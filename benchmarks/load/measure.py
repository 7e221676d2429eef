"""Load test of the app: what each of many sessions waits for, and what the server takes of memory.

Visitors come over the app's own websocket, as browsers do, and watch runs on the Attack page.
Single runs come before and after those together, so that what slows the machine for a while slows
both. The pictures are those that the model is surest of: there hardly a candidate is proposed
twice, and a query is an image through the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from statistics import fmean, median

from apr_core.attacks.enumeration import is_large
from apr_core.base.hardware import default_device
from apr_core.base.provenance import environment
from apr_core.serving.gallery import race_file
from apr_core.serving.model_loader import load_served
from apr_core.serving.requests import data_behind
from benchmarks.load.case import LoadConfig
from benchmarks.load.figures import Diary, Waits, every, fairness, growth, rate, throughput
from benchmarks.load.phases import Phases
from benchmarks.load.record import Alone, ClassLink, Crowd, LoadResult, Memory, judge
from benchmarks.load.server import App
from benchmarks.speed.images import surest_rows
from benchmarks.speed.turns import Report

LEAST_STAY = 120.0
"""Seconds of a stay below which nothing is said of the growth of memory."""
SERIES_SECONDS = 30.0


def measure_load(config: LoadConfig, report: Report = lambda done, total, what: None) -> LoadResult:
    """Start the app, and have it visited.

    Raises:
        InputError: there is no such model, the app does not start, or a run is not seen to end.
    """
    device = default_device()
    data = data_behind(config.model)
    rows = surest_rows(load_served(config.model, device), config.sessions, data)
    with App() as app:
        phases = Phases(config, data.shipped_sample().indices[rows].tolist(), app, report)
        phases.warm_up()
        first = app.memory()
        lone = [phases.alone()]
        together: list[Diary] = []
        for _ in range(config.rounds):
            together.append(phases.together(_pace(lone[-1])))
            lone.append(phases.alone())
        teachable = race_file(data.name).exists()
        link = _class_link(*phases.open_class()) if teachable else None
        stay = phases.stay_long() if config.minutes else None
        series = every(app.samples, SERIES_SECONDS)
        memory = Memory(first, app.memory("VmHWM"), app.memory(), _growth(app, stay), series)
        troubles = [*phases.troubles, *app.tracebacks()]
    rounds = tuple(
        _crowd(diary, config.sessions, [*before, *after])
        for diary, before, after in zip(together, lone, lone[1:], strict=False)
    )
    long = _crowd(stay, config.sessions, lone[-1]) if stay else None
    return LoadResult(
        model=config.model,
        device=str(device),
        **environment(device, streamlit=version("streamlit")),
        config=asdict(config),
        alone=_alone([diary for block in lone for diary in block]),
        rounds=rounds,
        class_link=link,
        long=long,
        memory=memory,
        aims=judge(rounds, long, link, memory, large=is_large(*data.size)),
        troubles=tuple(dict.fromkeys(troubles)),
    )


def _alone(diaries: Sequence[Diary]) -> Alone:
    found = (rate(diary.runs) for diary in diaries)
    rates = tuple(known for known in found if known is not None)
    return Alone(median(rates) if rates else None, rates, Waits.of(diaries))


def _crowd(diary: Diary, sessions: int, lone: Sequence[Diary]) -> Crowd:
    """Many at the same time, beside the pace of single runs."""
    queries, seconds = throughput(diary.runs)
    together, pace = rate(diary.runs), _pace(lone)
    return Crowd(
        sessions,
        len(diary.ended),
        queries,
        seconds,
        together,
        together / pace if together and pace else None,
        Waits.of([diary]),
        *fairness(diary.ended),
        diary.server_cpu_seconds,
        diary.visitors_cpu_seconds,
    )


def _class_link(diary: Diary, noted: int) -> ClassLink:
    runs = diary.runs
    return ClassLink(
        sessions=len({run.visitor for run in runs}),
        runs_seen=len({run.run for run in runs}),
        runs_noted=noted,
        queries=max(run.frames[-1][1] for run in runs if run.frames),
        waits=Waits.of([diary]),
    )


def _pace(diaries: Sequence[Diary]) -> float | None:
    """Mean queries per second of single runs."""
    rates = _alone(diaries).rates
    return fmean(rates) if rates else None


def _growth(app: App, stay: Diary | None) -> float | None:
    if stay is None or stay.ended_at - stay.began < LEAST_STAY:
        return None
    return growth(app.samples, (stay.began + stay.ended_at) / 2, stay.ended_at)
