"""Visits to one app: runs alone, all at once, one class link, a long stay."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from apr_core.base.types import InputError
from apr_core.classroom.board import Classrooms
from apr_core.classroom.plan import Plan
from benchmarks.load.case import LoadConfig, Visit, hunts
from benchmarks.load.driving import Diary, Told, Visitors
from benchmarks.load.server import App
from benchmarks.speed.turns import Report

PATIENCE = 300.0
"""Seconds: the longest that a run alone may take, and what many have beside their fair share."""
SLOWER = 4.0
"""How many times as long as at the pace of a run alone many together may take."""
CLASS_STEP = "full-speed"
"""The step of the lesson at which a class watches its run."""


@dataclass(frozen=True)
class Phase:
    """What was seen, when (`time.monotonic`), and what the server took of the processors."""

    diary: Diary
    began: float
    ended: float
    cpu_seconds: float


class Phases:
    """Visits to an app.

    Args:
        images: indices of test images, one a session.

    Attributes:
        troubles: what went wrong so far, in words.
    """

    def __init__(
        self,
        config: LoadConfig,
        images: Sequence[int],
        app: App,
        visitors: Visitors,
        report: Report,
    ) -> None:
        self._config, self._images, self._report = config, images, report
        self._app, self._visitors = app, visitors
        self._count = 0
        self.troubles: list[str] = []

    def warm_up(self) -> None:
        """A short run, so that the model is loaded and the page's code has been used."""
        short = replace(self._config, population=4, generations=1)
        self._visit(hunts(short, self._images[:1], self._next()), "warm-up", short.queries)

    def alone(self) -> list[Phase]:
        """Runs one after the other, each by a new visitor and on another picture."""
        phases = []
        for _ in range(self._config.alone):
            number = self._next()
            image = self._images[number % len(self._images)]
            visits = hunts(self._config, [image], number)
            phases.append(self._visit(visits, "a run alone", self._config.queries))
        return phases

    def together(self, pace: float | None) -> Phase:
        """All at once, one run each.

        Args:
            pace: queries per second of a run alone; None where it was too fast to be told.
        """
        visits = hunts(self._config, self._images, self._next(), self._config.click_seconds)
        queries = self._config.queries * len(visits)
        seconds = SLOWER * queries / pace if pace else 0.0
        return self._visit(visits, "all at once", queries, PATIENCE + seconds)

    def stay_long(self) -> Phase:
        """All at once, one run after the other until the time is up."""
        seconds = self._config.minutes * 60
        click = self._config.click_seconds
        visits = hunts(self._config, self._images, self._next(), click, seconds)
        return self._visit(visits, "a long stay", 0, seconds + PATIENCE, seconds)

    def open_class(self) -> tuple[Phase, int]:
        """All open one class link, with a seat each; and how many runs the server noted then."""
        config = self._config
        index = config.class_image
        plan = Plan(self._images[0] if index is None else index, config.model, seed=self._next())
        classrooms = Classrooms(self._app.classes_file)
        opened = classrooms.open(plan)
        classrooms.go_to(opened.code, opened.token, CLASS_STEP)
        visits = []
        for visitor in range(config.sessions):
            seat = classrooms.join(opened.code, f"Student {visitor + 1}")
            keeps = {f"class.{opened.code}": json.dumps({"seat": seat.token})}
            delay = visitor * config.apart_seconds
            visits.append(Visit(visitor, "classroom", f"class={opened.code}", keeps, delay))
        before = self._app.runs_noted()
        phase = self._visit(visits, "one class link", 0)
        return phase, self._app.runs_noted() - before

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
    ) -> Phase:
        """Send visitors.

        Args:
            queries: of all their runs; 0 where it is not known.
            seconds: the most that they may stay.
            stay: how long they mean to, 0 for until their runs have ended.
        """
        began, cpu = time.monotonic(), self._app.cpu_seconds()
        spent: dict[int, int] = {}  # by visitor

        def listen(told: Told) -> None:
            if told["what"] == "frame":
                spent[told["visitor"]] = told["queries"]
            done = round(time.monotonic() - began) if stay else sum(spent.values())
            self._report(done, round(stay) or queries, what)

        diary = self._visitors.send(self._app.url, visits, seconds, listen)
        ended = time.monotonic()
        self.troubles += diary.troubles
        missing = {visit.visitor for visit in visits} - {run.visitor for run in diary.ended}
        if missing:
            why = f" ({diary.troubles[0][:200]})" if diary.troubles else ""
            raise InputError(
                f"{len(missing)} of {len(visits)} sessions saw no run end within "
                f"{ended - began:.0f} s{why}; ask for fewer sessions or generations, or for more "
                "minutes."
            )
        return Phase(diary, began, ended, self._app.cpu_seconds() - cpu)
