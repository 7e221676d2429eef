"""Attacks for many callers on one device.

One thread owns the device. Each step it asks every live run for its candidates, scores all those
for one model in one padded batch, and tells each run its part: thirty callers share the device
fairly, a generation at a time, and each search goes exactly as it would have gone alone.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from apr_core.attacks.scoring import Edits, Scorer
from apr_core.defences.lattice_masking import behind_lattice
from apr_core.runs import (
    BEHIND_LATTICE,
    Phase,
    Request,
    Ticket,
    View,
    Work,
    give_up_claim,
    known_claim,
)
from apr_core.types import InputError
from apr_core.zoo import load_model

LOG = logging.getLogger(__name__)
MAX_LIVE = 32
"""Runs that are searched at once; the rest queue."""
MAX_QUEUED = 200
MAX_KEPT = 300
"""Ended runs that stay in memory, the most recently seen ones."""
IDLE_SECONDS = 120.0
"""A run that nobody looked at for this long is ended: its caller is gone."""
CLAIM_SECONDS = 10.0
"""A claim whose holder did not look for this long no longer keeps a run from being cancelled."""


@dataclass
class _Run:
    """A run as the service holds it; `claims` are tokens, with when each was last seen."""

    view: View[Any, Any, Any]
    claims: dict[str, float] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)
    began: float = 0.0
    work: Work | None = None
    cancelled: bool = False


class AttackService:
    """Submit, view, cancel.

    Args:
        load: a scorer for a model's name; called in the service's thread, once a name.
        max_live: runs that are searched at once.
        max_queued: runs that may wait.
        idle_seconds: how long a run that nobody views goes on.
    """

    def __init__(
        self,
        load: Callable[[str], Scorer] | None = None,
        max_live: int = MAX_LIVE,
        max_queued: int = MAX_QUEUED,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._load = load or load_scorer
        self._max_live, self._max_queued = max_live, max_queued
        self._idle_seconds = idle_seconds
        self._scorers: dict[str, Scorer] = {}
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="attack-service", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Ticket:
        """Start, or join, the run of a request.

        Raises:
            InputError: too many runs wait already.
        """
        with self._changed:
            run = self._runs.get(request.run_id)
            if run is None or run.cancelled or run.view.phase is Phase.FAILED:
                run = self._enqueue(request)
            ticket = Ticket(request.run_id, secrets.token_urlsafe(16))
            run.seen = run.claims[ticket.token] = time.monotonic()
            self._changed.notify_all()
            return ticket

    def _enqueue(self, request: Request) -> _Run:
        queued = sum(run.view.phase is Phase.QUEUED for run in self._runs.values())
        if queued >= self._max_queued:
            raise InputError(f"{queued} attacks are waiting already; try again in a minute or two.")
        run = _Run(View(request, Phase.QUEUED, queue_place=queued + 1))
        self._runs[request.run_id] = run
        self._runs.move_to_end(request.run_id)
        self._forget()
        return run

    def view(self, run_id: str, token: str = "", wait: float = 0.0) -> View[Any, Any, Any] | None:
        """The run as it stands, None if it is not known (any more). Looking keeps it going.

        Args:
            wait: seconds to wait, at most, for a run's first snapshot.
        """
        with self._changed:
            run = self._runs.get(run_id)
            if run is None:
                return None
            first = run  # for the closure: never None
            self._changed.wait_for(lambda: first.view.snapshots or not first.view.live, wait)
            run.seen = time.monotonic()
            if not run.view.live:
                self._runs.move_to_end(run_id)
            claim = known_claim(run.claims, token)
            if claim:
                run.claims[claim] = run.seen
            return run.view

    def cancel(self, run_id: str, token: str) -> bool:
        """Give up a claim; the run ends unless someone else who claims it is looking.

        Returns:
            False if the token is no claim on this run.
        """
        with self._changed:
            run = self._runs.get(run_id)
            recent = time.monotonic() - CLAIM_SECONDS
            unwanted = give_up_claim(run.claims, token, recent) if run else None
            if run is None or unwanted is None:
                return False
            run.cancelled = run.cancelled or (run.view.live and unwanted)
            return True

    def close(self) -> None:
        """Stop the thread; what is live stays as it is."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _forget(self) -> None:
        ended = [run_id for run_id, run in self._runs.items() if not run.view.live]
        for run_id in ended[: max(0, len(ended) - MAX_KEPT)]:
            del self._runs[run_id]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._any_live())
                if self._closed:
                    return
                self._reap()
                live = self._admit()
            self._step(live)

    def _any_live(self) -> bool:
        return any(run.view.live for run in self._runs.values())

    def _reap(self) -> None:
        """Mark the runs whose callers are gone."""
        oldest = time.monotonic() - self._idle_seconds
        for run in self._runs.values():
            if run.view.live and run.seen < oldest:
                run.cancelled = True

    def _admit(self) -> list[_Run]:
        """The runs to step, those that waited longest first, and a place for each that waits."""
        live = [run for run in self._runs.values() if run.view.live]
        live.sort(key=lambda run: (not run.cancelled, run.view.phase is Phase.QUEUED))
        for place, run in enumerate(live[self._max_live :], start=1):
            run.view = replace(run.view, queue_place=place)
        return live[: self._max_live]

    def _step(self, runs: list[_Run]) -> None:
        """One step of every run."""
        groups: dict[str, list[_Run]] = {}
        for run in runs:
            self._begin(run)
            if run.cancelled and run.work is not None:
                run.work.cancel()
            if run.work is not None and run.work.live:
                groups.setdefault(run.view.request.model, []).append(run)
        scored = {id(run) for members in groups.values() for run in members}
        self._publish_all([run for run in runs if id(run) not in scored])
        for model, members in groups.items():
            self._advance(self._scorers[model], members)
            self._publish_all(members)

    def _publish_all(self, runs: list[_Run]) -> None:
        """Show what became of runs at once: others' models may take a while."""
        for run in runs:
            try:
                self._publish(run)
            except Exception as error:
                self._fail(run, error)

    def _begin(self, run: _Run) -> None:
        """Load the model and look at the clean image, before a run's first step."""
        if run.work is not None:
            return
        request = run.view.request
        run.began = time.monotonic()
        try:
            run.work = request.begin(self._scorer(request.model))
        except Exception as error:
            self._fail(run, error)
            return
        run.view = replace(run.view, phase=Phase.RUNNING, queue_place=0)

    def _scorer(self, name: str) -> Scorer:
        if name not in self._scorers:
            self._scorers[name] = self._load(name)
        return self._scorers[name]

    def _advance(self, scorer: Scorer, runs: list[_Run]) -> None:
        """Score the runs' candidates together, and let each take its part.

        Should scoring them together fail, each is scored alone, to find out whose fault it is.
        """
        parts = [(run, run.work, run.work.propose()) for run in runs if run.work is not None]
        try:
            merged = scorer.score(Edits.merge([edits for _, _, edits in parts]))
            logits = list(torch.split(merged, [len(edits) for _, _, edits in parts]))
        except Exception as error:
            if len(runs) == 1:
                self._fail(runs[0], error)
                return
            for run in runs:
                self._advance(scorer, [run])
            return
        for (run, work, _), part in zip(parts, logits, strict=True):
            try:
                work.advance(part)
            except Exception as error:
                self._fail(run, error)

    def _fail(self, run: _Run, error: Exception) -> None:
        """End a run with a sentence for its viewers; what nobody foresaw is logged as well."""
        if isinstance(error, InputError):
            sentence = str(error)
        else:
            kind = type(error).__name__
            sentence = f"The attack broke off ({kind}); start it again, or choose another model."
            LOG.error("run %s broke off", run.view.request.run_id, exc_info=error)
        run.work = None
        with self._changed:
            run.view = replace(run.view, phase=Phase.FAILED, error=sentence, seconds_left=None)

    def _publish(self, run: _Run) -> None:
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


def load_scorer(name: str, device: str | torch.device = "cpu") -> Scorer:
    """The model of a name, which may end with `BEHIND_LATTICE`, ready to be attacked.

    Raises:
        InputError: there is no such model.
    """
    bare = name.removesuffix(BEHIND_LATTICE)
    model = load_model(bare, device)
    return Scorer(model if bare == name else behind_lattice(model))
