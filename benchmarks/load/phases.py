"""Phases of a load test: single runs, all sessions at once, one class link, a long stay."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace

from apr_core.base.types import InputError
from apr_core.classroom.board import Classrooms
from apr_core.classroom.plan import Plan
from benchmarks.load.case import LoadConfig, Visit, hunts
from benchmarks.load.figures import Diary
from benchmarks.load.server import App
from benchmarks.speed.turns import Report

PATIENCE = 300.0
"""Seconds: the longest that a single run may take, and what many may take beyond their share."""
SLOWER = 4.0
"""How many times slower than a single run many together may be."""
CLASS_STEP = "full-speed"
"""The step of the lesson at which a class watches its run."""


class Phases:
    """Visits to an app by sessions with a test image each; `troubles` says what went wrong."""

    def __init__(self, config: LoadConfig, images: Sequence[int], app: App, report: Report) -> None:
        self._config, self._images, self._app, self._report = config, images, app, report
        self._count = 0
        self.troubles: list[str] = []

    def warm_up(self) -> None:
        """A short run, so that the model is loaded and the page's code has been used."""
        short = replace(self._config, population=4, generations=1)
        self._visit(hunts(short, self._images[:1], self._next()), "warm-up", short.queries)

    def alone(self) -> list[Diary]:
        """Runs one after the other, each by a new visitor and on another picture."""
        diaries = []
        for _ in range(self._config.alone):
            number = self._next()
            image = self._images[number % len(self._images)]
            visits = hunts(self._config, [image], number)
            diaries.append(self._visit(visits, "a run alone", self._config.queries))
        return diaries

    def together(self, pace: float | None) -> Diary:
        """All at once, one run each; `pace` is a single run's queries per second, if known."""
        queries = self._config.queries * len(self._images)
        seconds = SLOWER * queries / pace if pace else 0.0
        return self._visit(self._hunts(), "all at once", queries, PATIENCE + seconds)

    def stay_long(self) -> Diary:
        """All at once, one run after the other until the time is up."""
        seconds = self._config.minutes * 60
        visits = self._hunts(seconds)
        return self._visit(visits, "a long stay", 0, seconds + PATIENCE, seconds)

    def open_class(self) -> tuple[Diary, int]:
        """All open one class link, with a seat each; and how many runs the server noted then."""
        index = self._config.class_image
        index = self._images[0] if index is None else index
        classrooms = Classrooms(self._app.classes_file)
        opened = classrooms.open(Plan(index, self._config.model, seed=self._next()))
        classrooms.go_to(opened.code, opened.token, CLASS_STEP)
        visits = []
        for visitor in range(self._config.sessions):
            seat = classrooms.join(opened.code, f"Student {visitor + 1}")
            keeps = {f"class.{opened.code}": json.dumps({"seat": seat.token})}
            delay = visitor * self._config.apart_seconds
            visits.append(Visit(visitor, "classroom", f"class={opened.code}", keeps, delay))
        before = self._app.runs_noted()
        diary = self._visit(visits, "one class link", 0)
        return diary, self._app.runs_noted() - before

    def _hunts(self, stay: float = 0.0) -> list[Visit]:
        clicks = self._config.click_seconds
        return hunts(self._config, self._images, self._next(), clicks, stay)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _visit(
        self,
        visits: Sequence[Visit],
        what: str,
        queries: int,
        seconds: float = PATIENCE,
        stay: float = 0.0,
    ) -> Diary:
        """Send visitors.

        Args:
            queries: of all their runs; 0 where it is not known.
            seconds: the longest that they may stay.
            stay: how long they mean to stay; 0 for until their runs have ended.
        """
        from benchmarks.load.visitors import make_visits  # noqa: PLC0415  streamlit: slow, an extra

        began, cpu = time.monotonic(), self._app.cpu_seconds()

        def watch(diary: Diary) -> None:
            self._app.sample()
            spent = sum(run.frames[-1][1] for run in diary.runs if run.frames)
            done = round(time.monotonic() - began) if stay else spent
            self._report(done, round(stay) or queries, what)

        diary = asyncio.run(make_visits(self._app.url, visits, seconds, watch))
        diary.server_cpu_seconds = self._app.cpu_seconds() - cpu
        self.troubles += diary.troubles
        missing = {visit.visitor for visit in visits} - {run.visitor for run in diary.ended}
        if missing:
            why = f" ({diary.troubles[0][:200]})" if diary.troubles else ""
            raise InputError(
                f"{len(missing)} of {len(visits)} sessions saw no run end within "
                f"{diary.ended_at - began:.0f} s{why}; ask for fewer sessions or generations, or "
                "for more minutes."
            )
        return diary
