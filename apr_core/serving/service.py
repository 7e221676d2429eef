"""Attack service: many callers, one device, one batch per step.

One thread owns the device. Each step it asks every live run for its candidates, scores all those
for one model in one padded batch, and tells each run its part: thirty callers share the device
fairly, a generation at a time, and each search goes exactly as it would have gone alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from apr_core.attacks.oracle import QueryOracle
from apr_core.base.hardware import give_way
from apr_core.base.tickets import Ticket, give_up_claim, new_token, note_look, past_claims
from apr_core.base.types import InputError
from apr_core.serving.archive.archive_format import Head
from apr_core.serving.archive.store import Archive
from apr_core.serving.batch_step import TROUBLE, Run, advance, apology
from apr_core.serving.memory_limits import count_fitting, forget_ended
from apr_core.serving.model_loader import load_oracle
from apr_core.serving.requests import Phase, Request, View
from apr_core.serving.wait_estimate import WaitEstimator, in_words

LOG = logging.getLogger(__name__)
MAX_LIVE = 32
"""Runs that are searched at once; the rest queue."""
MAX_QUEUED = 200
IDLE_SECONDS = 120.0
"""A run that nobody looked at for this long is ended: its caller is gone."""
CLAIM_SECONDS = 10.0
"""A claim whose holder did not look for this long no longer keeps a run from being cancelled."""


class AttackService:
    """Submit, view, cancel.

    Args:
        load: a scorer for a model's name; called in the service's thread, once a name.
        max_live: runs that are searched at once.
        max_queued: runs that may wait.
        idle_seconds: how long a run that nobody views goes on.
        archive: where runs are kept that have ended, and found after a restart; by default nowhere.
    """

    def __init__(
        self,
        load: Callable[[str], QueryOracle] | None = None,
        max_live: int = MAX_LIVE,
        max_queued: int = MAX_QUEUED,
        idle_seconds: float = IDLE_SECONDS,
        archive: Archive | None = None,
    ) -> None:
        self._load = load or load_oracle
        self._max_live, self._max_queued = max_live, max_queued
        self._idle_seconds = idle_seconds
        self._archive = archive
        self._pace = WaitEstimator(max_live)
        self._scorers: dict[str, QueryOracle] = {}
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="attack-service", daemon=True)
        self._thread.start()

    def submit(self, request: Request, visitor: str = "") -> Ticket:
        """Start, or join, the run of a request; one that is kept on disk has ended already.

        Args:
            visitor: who asks, see `new_token`.

        Raises:
            InputError: too many runs wait already.
        """
        self._recall(request.run_id)
        with self._changed:
            run = self._runs.get(request.run_id)
            if run is None or run.cancelled or run.view.phase is Phase.FAILED:
                run = self._enqueue(request, run)
            ticket = Ticket(request.run_id, new_token(visitor))
            run.seen = run.claims[ticket.token] = time.monotonic()
            self._changed.notify_all()
            return ticket

    def _enqueue(self, request: Request, before: Run | None) -> Run:
        place = 1 + sum(run.view.phase is Phase.QUEUED for run in self._runs.values())
        wait = self._pace.wait(place, [run.view for run in self._runs.values() if run.view.live])
        if place > self._max_queued:
            raise InputError(
                f"{place - 1} attacks are waiting already, and place {place} would start"
                f"{in_words(wait) or ' after all of them'}; try again in a minute or two."
            )
        claims = past_claims(before.claims if before else ())
        run = Run(View(request, Phase.QUEUED, queue_place=place, wait=wait), claims)
        self._runs[request.run_id] = run
        self._runs.move_to_end(request.run_id)
        forget_ended(self._runs)
        if self._archive:
            self._archive.begin(request)
        return run

    def _recall(self, run_id: str) -> None:
        """Take a run that is not in memory from the archive, if it is there."""
        if self._archive is None or run_id in self._runs:
            return
        view = self._archive.view(run_id)
        with self._changed:
            if view is not None and run_id not in self._runs:
                self._runs[run_id] = Run(view)
                forget_ended(self._runs)

    def view(self, run_id: str, token: str = "", wait: float = 0.0) -> View[Any, Any, Any] | None:
        """The run as it stands, None if it is not known (any more). Looking keeps it going.

        A run that an earlier service left unfinished has failed, with a sentence that says so.

        Args:
            wait: seconds to wait, at most, for a run's first snapshot.
        """
        self._recall(run_id)
        with self._changed:
            run = self._runs.get(run_id)
            if run is None:
                return None
            first = run  # for the closure: never None
            self._changed.wait_for(lambda: first.view.snapshots or not first.view.live, wait)
            run.seen = time.monotonic()
            if not run.view.live and run_id in self._runs:
                self._runs.move_to_end(run_id)
            note_look(run.claims, token, run.seen)
            return run.view

    def cancel(self, run_id: str, token: str) -> bool:
        """Give up all claims of the token's visitor; the run ends unless someone else who claims
        it is looking.

        Returns:
            Whether it ends. If not, the same token may try again; False too if it is no claim.
        """
        return self._let_go(run_id, token, alone=False)

    def release(self, run_id: str, token: str) -> bool:
        """Give up one claim, as `cancel` does; another tab of the same visitor keeps the run."""
        return self._let_go(run_id, token, alone=True)

    def _let_go(self, run_id: str, token: str, alone: bool) -> bool:
        with self._changed:
            run = self._runs.get(run_id)
            recent = time.monotonic() - CLAIM_SECONDS
            if run is None or not give_up_claim(run.claims, token, recent, alone):
                return False
            run.cancelled = run.cancelled or run.view.live
            return True

    def lost(self, run_id: str) -> Head | None:
        """What was asked of a run on a person's own picture, which is no longer in memory."""
        if self._archive is None or run_id in self._runs:
            return None
        return self._archive.lost(run_id)

    def count_live(self, run_ids: Iterable[str]) -> int:
        """How many of some runs have not ended; to count is not to look."""
        with self._changed:
            known = [self._runs[run_id] for run_id in run_ids if run_id in self._runs]
            return sum(run.view.live and not run.cancelled for run in known)

    def close(self) -> None:
        """Stop the thread; what is live stays as it is."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        if self._archive:
            self._archive.close()

    def _work(self) -> None:
        give_way()  # pages are served, and drawn, by others of this machine's threads
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._any_live())
                if self._closed:
                    return
                live = [run for run in self._runs.values() if run.view.live]
            try:
                with self._changed:
                    self._reap()
                    live = self._admit()
                self._step(live)
            except TROUBLE as error:
                for run in live:
                    self._fail(run, error)

    def _any_live(self) -> bool:
        return any(run.view.live for run in self._runs.values())

    def _reap(self) -> None:
        """Mark the runs whose callers are gone."""
        oldest = time.monotonic() - self._idle_seconds
        for run in self._runs.values():
            if run.view.live and not run.cancelled and run.seen < oldest:
                run.cancelled = run.unwatched = True

    def _admit(self) -> list[Run]:
        """The runs to step, those that waited longest first, and a place for each that waits."""
        live = [run for run in self._runs.values() if run.view.live]
        live.sort(key=lambda run: (not run.cancelled, run.view.phase is Phase.QUEUED))
        count = count_fitting(live, self._max_live)
        started, views = live[:count], [run.view for run in live[:count]]
        for place, run in enumerate(live[count:], start=1):
            wait = self._pace.wait(place, views)
            run.view = replace(run.view, queue_place=place, wait=wait)
        return started

    def _step(self, runs: list[Run]) -> None:
        """One step of every run."""
        groups: dict[str, list[Run]] = {}
        for run in runs:
            self._begin(run)
            if run.cancelled and run.work is not None and run.work.live:
                run.work.cancel()
                run.view = replace(run.view, unwatched=run.unwatched)
            if run.work is not None and run.work.live:
                groups.setdefault(run.view.request.model, []).append(run)
        scored = {id(run) for members in groups.values() for run in members}
        self._publish_all([run for run in runs if id(run) not in scored])
        for model, members in groups.items():
            advance(self._scorers[model], members, self._fail)
            self._publish_all(members)

    def _publish_all(self, runs: list[Run]) -> None:
        """Show what became of runs at once: others' models may take a while."""
        for run in runs:
            try:
                self._publish(run)
            except TROUBLE as error:
                self._fail(run, error)

    def _begin(self, run: Run) -> None:
        """Load the model and look at the clean image, before a run's first step."""
        if run.work is not None:
            return
        request = run.view.request
        run.began = time.monotonic()
        try:
            run.work = request.begin(self._scorer(request.model))
        except TROUBLE as error:
            self._fail(run, error)
            return
        run.view = replace(run.view, phase=Phase.RUNNING, queue_place=0, wait=None)

    def _scorer(self, name: str) -> QueryOracle:
        if name not in self._scorers:
            if self._archive:
                self._archive.note_model(name)
            self._scorers[name] = self._load(name)
        return self._scorers[name]

    def _fail(self, run: Run, error: BaseException) -> None:
        """End a run with a sentence for its viewers; what nobody foresaw is logged as well."""
        sentence, foreseen = apology(error)
        if not foreseen:
            LOG.error("run %s broke off", run.view.request.run_id, exc_info=error)
        run.work = None
        if not run.view.live:
            return
        with self._changed:
            run.view = replace(run.view, phase=Phase.FAILED, error=sentence, seconds_left=None)
        self._keep(run)

    def _keep(self, run: Run) -> None:
        """Note the pace, and leave an ended run to the archive, unless one that was asked for since
        has taken its place there. Nothing that goes wrong here ends the service."""
        try:
            if run.view.phase is Phase.ENDED:
                self._pace.note(run.view)
            with self._changed:
                latest = self._runs.get(run.view.request.run_id, run)
                if self._archive and latest is run:
                    self._archive.end(run.view)
        except Exception:
            LOG.exception("run %s was not kept", run.view.request.run_id)

    def _publish(self, run: Run) -> None:
        """Swap in a new view."""
        work, view = run.work, run.view
        if work is None or not view.live:
            return
        snapshots = view.snapshots
        if work.step > len(snapshots):
            snapshots = (*snapshots, work.snapshot())
        seconds = time.monotonic() - run.began
        done = len(snapshots)
        left = seconds / done * (work.steps - done) if done else None
        view = replace(view, snapshots=snapshots, seconds=seconds, seconds_left=left)
        if not work.live:
            view = replace(view, phase=Phase.ENDED, outcome=work.result(), seconds_left=None)
        with self._changed:
            run.view = view
            if not view.live:
                run.work = None
            self._changed.notify_all()
        if not view.live:
            self._keep(run)
