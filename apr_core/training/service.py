"""Training service: a queue of runs for many callers, one at a time, each in its own process.

A run is the `train` command, and what is known of it lies in files (`training_runs`); so a run
outlives its viewers, and a service that was killed finds its runs again: those that still go on,
and those that can be resumed.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from apr_core.base import schema
from apr_core.base.files import write_whole
from apr_core.base.hardware import BACKGROUND, give_way
from apr_core.base.paths import python_path
from apr_core.base.tickets import (
    Ticket,
    give_up_claim,
    known_claim,
    new_token,
    note_look,
    past_claims,
    visitor_of,
)
from apr_core.base.types import InputError
from apr_core.training.jobs import TrainPhase, TrainRun, TrainView, holder_of, remember
from apr_core.training.trainer import TrainRequest, find_finished, training_folder
from apr_core.zoo.checkpoints import load_card

LOG = logging.getLogger(__name__)
MAX_QUEUED = 20
CLAIM_SECONDS = 3.0
"""A claim whose holder did not look for this long no longer keeps a run from being cancelled."""
POLL_SECONDS = 0.2


class TrainingService:
    """Submit, view, cancel, discard.

    Args:
        command: what runs a request, appending its progress to a file.
        at_once: how many are trained at the same time.
    """

    def __init__(
        self,
        command: Callable[[TrainRequest, Path], list[str]] | None = None,
        at_once: int = 1,
    ) -> None:
        self._command = command or train_command
        self._at_once = at_once
        self._runs: dict[str, TrainRun] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._find()
        self._thread = threading.Thread(target=self._work, name="training-service", daemon=True)
        self._thread.start()

    def submit(self, request: TrainRequest, visitor: str = "") -> Ticket:
        """Start a training, go on with one that was interrupted, or join one that runs.

        Args:
            visitor: who asks, see `new_token`.

        Raises:
            InputError: too many wait already, or another run has this name.
        """
        with self._lock:
            run = self._runs.get(request.name)
            if run is not None and run.request != request and run.phase is not TrainPhase.ENDED:
                raise InputError(
                    f"An unfinished run with other settings is called {request.name}; finish it, "
                    "or choose another name."
                )
            if run is None or run.phase in (TrainPhase.INTERRUPTED, TrainPhase.FAILED):
                run = self._enqueue(request, run)
            ticket = Ticket(request.name, new_token(visitor))
            run.claims[ticket.token] = time.monotonic()
            return ticket

    def _enqueue(self, request: TrainRequest, before: TrainRun | None) -> TrainRun:
        queued = sum(run.phase is TrainPhase.QUEUED for run in self._runs.values())
        if queued >= MAX_QUEUED:
            raise InputError(f"{queued} trainings are waiting already; try again when one ended.")
        run = TrainRun(request)
        if before:
            run.progress, run.read = before.progress, before.read
            run.claims = past_claims(before.claims)
        try:
            write_whole(run.path(".order"), json.dumps(asdict(request)))
        except OSError as error:
            raise InputError(
                f"{training_folder()} cannot be written ({error.strerror}); make room there."
            ) from None
        self._runs.pop(request.name, None)
        self._runs[request.name] = run
        return run

    def view(self, name: str, token: str = "") -> TrainView | None:
        """The training as it stands, from its card if it ended long ago; None if unknown."""
        with self._lock:
            run = self._runs.get(name)
            if run is None:
                return remember(name)
            note_look(run.claims, token, time.monotonic())
            return self._seen(run)

    def views(self) -> list[TrainView]:
        """Every training that is known, the latest first."""
        with self._lock:
            return [self._seen(run) for run in reversed(self._runs.values())]

    def _seen(self, run: TrainRun) -> TrainView:
        run.catch_up()
        waiting = [other for other in self._runs.values() if other.phase is TrainPhase.QUEUED]
        place = waiting.index(run) + 1 if run in waiting else 0
        card = load_card(run.request.name) if run.phase is TrainPhase.ENDED else None
        return TrainView(run.request, run.phase, tuple(run.progress), run.error, place, card)

    def cancel(self, name: str, token: str) -> bool:
        """Give up all claims of the token's visitor; the training is interrupted unless someone
        else who claims it looks.

        Returns:
            Whether it is interrupted. If not, the same token may try again; False too if it is no
            claim.
        """
        return self._let_go(name, token, alone=False)

    def release(self, name: str, token: str) -> bool:
        """Give up one claim, as `cancel` does; another tab of the same visitor keeps the
        training."""
        return self._let_go(name, token, alone=True)

    def _let_go(self, name: str, token: str, alone: bool) -> bool:
        with self._lock:
            run = self._runs.get(name)
            recent = time.monotonic() - CLAIM_SECONDS
            if run is None or not give_up_claim(run.claims, token, recent, alone):
                return False
            self._interrupt(run)
            return True

    def _interrupt(self, run: TrainRun) -> None:
        if run.phase is TrainPhase.QUEUED:
            run.phase = TrainPhase.INTERRUPTED
        elif run.phase is TrainPhase.RUNNING:
            pid = run.process.pid if run.process else holder_of(run.request)
            if pid:
                os.kill(pid, signal.SIGTERM)

    def discard(self, name: str, token: str) -> None:
        """Delete what is kept of a training that was interrupted or has failed.

        Args:
            token: of a visitor who claimed it; any one where no claim is known, as after a restart.

        Raises:
            InputError: it is no such training, is someone else's, or cannot be deleted.
        """
        with self._lock:
            run = self._runs.get(name)
            if run is None or run.phase not in (TrainPhase.INTERRUPTED, TrainPhase.FAILED):
                raise InputError(f"{name} is not an unfinished training; nothing was deleted.")
            visitors = [visitor_of(claim) for claim in run.claims]
            if visitors and not known_claim(visitors, visitor_of(token)):
                raise InputError(f"Someone else trained {name}; only they can discard it.")
            try:
                run.discard()
            except OSError as error:
                raise InputError(
                    f"{training_folder()} cannot be written ({error.strerror}); check its "
                    "permissions."
                ) from None
            del self._runs[name]

    def close(self) -> None:
        """Stop looking after the runs, and interrupt those that this service started."""
        self._closed.set()
        self._thread.join()
        for run in self._runs.values():
            if run.process is not None and run.process.poll() is None:
                run.process.terminate()
                run.process.wait()

    def _find(self) -> None:
        """The runs that an earlier service left."""
        for path in sorted(
            training_folder().glob("*.order"), key=lambda path: path.stat().st_mtime
        ):
            try:
                request = schema.build(TrainRequest, schema.read(path))
                run = TrainRun(request, TrainPhase.INTERRUPTED)
                run.catch_up()
            except (OSError, ValueError) as error:
                LOG.warning("%s is no order for a training (%s)", path, error)
                continue
            if holder_of(request):
                run.phase = TrainPhase.RUNNING
            elif find_finished(request):
                self._end(run)
            self._runs[request.name] = run

    def _work(self) -> None:
        while not self._closed.wait(POLL_SECONDS):
            with self._lock:
                for run in self._in(TrainPhase.RUNNING):
                    self._guarded(self._check, run)
                room = self._at_once - len(self._in(TrainPhase.RUNNING))
                for run in self._in(TrainPhase.QUEUED)[: max(0, room)]:
                    self._guarded(self._start, run)

    def _in(self, phase: TrainPhase) -> list[TrainRun]:
        return [run for run in self._runs.values() if run.phase is phase]

    def _guarded(self, act: Callable[[TrainRun], None], run: TrainRun) -> None:
        """Whatever goes wrong with one run ends that run alone."""
        try:
            act(run)
        except Exception as error:
            LOG.exception("the training %s cannot be looked after", run.request.name)
            reason = str(error) or type(error).__name__
            run.phase = TrainPhase.FAILED
            run.error = f"The training could not be followed ({reason}); start it again."

    def _start(self, run: TrainRun) -> None:
        threads = max(1, (os.cpu_count() or 1) // 2)
        try:
            with run.path(".errors").open("wb") as errors:
                run.process = subprocess.Popen(
                    self._command(run.request, run.path(".log")),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env=_environment(threads),
                )
            give_way(BACKGROUND, run.process.pid)
        except OSError as error:
            run.phase, run.error = TrainPhase.FAILED, f"The training could not start ({error})."
            return
        run.phase, run.error = TrainPhase.RUNNING, ""

    def _check(self, run: TrainRun) -> None:
        """See whether a process has ended, and how."""
        if run.process is None:
            if not holder_of(run.request):
                self._settle(run, 0 if find_finished(run.request) else -signal.SIGKILL)
        elif (code := run.process.poll()) is not None:
            run.process = None
            self._settle(run, code)

    def _settle(self, run: TrainRun, code: int) -> None:
        if code == 0:
            self._end(run)
        elif code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGKILL, 130):
            run.phase = TrainPhase.INTERRUPTED
        else:
            said = run.path(".errors").read_text(errors="replace").strip().splitlines()
            last = said[-1] if said else f"exit code {code}"
            run.error = last if code == 2 else f"The training broke off ({last}); start it again."
            run.phase = TrainPhase.FAILED

    def _end(self, run: TrainRun) -> None:
        run.catch_up()
        run.forget()
        run.phase = TrainPhase.ENDED


def train_command(request: TrainRequest, log: Path) -> list[str]:
    """The command that trains exactly what is asked, every setting of it."""
    asked = f"--request={json.dumps(asdict(request))}"
    train = [sys.executable, "-m", "apr_core", "train"]
    return [*train, asked, f"--log={log}", "--probe", "--json"]


def _environment(threads: int) -> Mapping[str, str]:
    return os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": python_path()}
