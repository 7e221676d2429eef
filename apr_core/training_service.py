"""Training for many callers on one machine: one run at a time, each in a process of its own.

A run is the `train` command. What it is, how far it is and what it has learnt lie in files beside
its state (`TrainRequest.state_file`); so a run outlives its viewers, and a service that was killed
finds its runs again: those that still go on, and those that can be resumed.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from apr_core import strict
from apr_core.runs import Ticket, give_up_claim, known_claim
from apr_core.trainer import TrainRequest, find_finished, training_folder
from apr_core.training.fit import Progress
from apr_core.training.recipes import TrainConfig
from apr_core.types import InputError
from apr_core.zoo import Card, is_own, load_card, model_names

LOG = logging.getLogger(__name__)
MAX_QUEUED = 20
CLAIM_SECONDS = 3.0
"""A claim whose holder did not look for this long no longer keeps a run from being cancelled."""
POLL_SECONDS = 0.2
NICENESS = 10
"""Training gives way to whoever is clicking."""


class TrainPhase(StrEnum):
    """Where a training is. What is interrupted goes on from its last epoch when asked for again."""

    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    ENDED = "ended"


@dataclass(frozen=True)
class TrainView:
    """A training as its viewers see it.

    Attributes:
        progress: reports so far, in the order of the epochs.
        error: a sentence, "" unless it failed.
        queue_place: 1 for the next to start; 0 once started.
        card: the checkpoint's, once there is one.
    """

    request: TrainRequest
    phase: TrainPhase
    progress: tuple[Progress, ...] = ()
    error: str = ""
    queue_place: int = 0
    card: Card | None = None

    @property
    def live(self) -> bool:
        return self.phase in (TrainPhase.QUEUED, TrainPhase.RUNNING)


@dataclass
class _Run:
    """A training as the service holds it; `claims` are tokens, with when each was last seen."""

    request: TrainRequest
    phase: TrainPhase = TrainPhase.QUEUED
    error: str = ""
    claims: dict[str, float] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    progress: list[Progress] = field(default_factory=list)
    read: int = 0

    def path(self, suffix: str) -> Path:
        """A file beside the run's state."""
        return self.request.state_file.with_suffix(suffix)

    def catch_up(self) -> None:
        """Read what the log has gained; an epoch begun anew takes the place of the old."""
        if not self.path(".log").exists():
            return
        with self.path(".log").open("rb") as log:
            log.seek(self.read)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self.read += len(line)
                try:
                    report = strict.build(Progress, strict.parse(line, finite=False))
                except ValueError as error:
                    LOG.warning("a line of %s is no report (%s)", self.path(".log"), error)
                    continue
                place = (report.epoch, report.step)
                while self.progress and (self.progress[-1].epoch, self.progress[-1].step) >= place:
                    self.progress.pop()
                self.progress.append(report)

    def forget(self) -> None:
        """Delete the notes on a run that has come to its end; the card has them all."""
        for suffix in (".order", ".log", ".errors"):
            self.path(suffix).unlink(missing_ok=True)


class TrainingService:
    """Submit, view, cancel.

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
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._find()
        self._thread = threading.Thread(target=self._work, name="training-service", daemon=True)
        self._thread.start()

    def submit(self, request: TrainRequest) -> Ticket:
        """Start a training, go on with one that was interrupted, or join one that runs.

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
            ticket = Ticket(request.name, secrets.token_urlsafe(16))
            run.claims[ticket.token] = time.monotonic()
            return ticket

    def _enqueue(self, request: TrainRequest, before: _Run | None) -> _Run:
        queued = sum(run.phase is TrainPhase.QUEUED for run in self._runs.values())
        if queued >= MAX_QUEUED:
            raise InputError(f"{queued} trainings are waiting already; try again when one ended.")
        run = _Run(request, progress=before.progress if before else [])
        run.read = before.read if before else 0
        order = {**asdict(request), "config": asdict(request.config)}
        try:
            training_folder().mkdir(parents=True, exist_ok=True)
            run.path(".order").write_text(json.dumps(order))
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
            claim = known_claim(run.claims, token)
            if claim:
                run.claims[claim] = time.monotonic()
            return self._seen(run)

    def views(self) -> list[TrainView]:
        """Every training that is known, the latest first."""
        with self._lock:
            return [self._seen(run) for run in reversed(self._runs.values())]

    def _seen(self, run: _Run) -> TrainView:
        run.catch_up()
        waiting = [other for other in self._runs.values() if other.phase is TrainPhase.QUEUED]
        place = waiting.index(run) + 1 if run in waiting else 0
        card = load_card(run.request.name) if run.phase is TrainPhase.ENDED else None
        return TrainView(run.request, run.phase, tuple(run.progress), run.error, place, card)

    def cancel(self, name: str, token: str) -> bool:
        """Give up a claim; the training is interrupted unless someone else who claims it looks.

        Returns:
            Whether it is interrupted; False too if the token is no claim on it.
        """
        with self._lock:
            run = self._runs.get(name)
            recent = time.monotonic() - CLAIM_SECONDS
            unwanted = give_up_claim(run.claims, token, recent) if run else None
            if run is None or not unwanted:
                return False
            self._interrupt(run)
            return True

    def _interrupt(self, run: _Run) -> None:
        if run.phase is TrainPhase.QUEUED:
            run.phase = TrainPhase.INTERRUPTED
        elif run.phase is TrainPhase.RUNNING:
            pid = run.process.pid if run.process else holder_of(run.request)
            if pid:
                os.kill(pid, signal.SIGTERM)

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
                request = strict.build(TrainRequest, strict.read(path))
                run = _Run(request, TrainPhase.INTERRUPTED)
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
                for run in self._runs.values():
                    if run.phase is TrainPhase.RUNNING:
                        self._check(run)
                running = sum(run.phase is TrainPhase.RUNNING for run in self._runs.values())
                waiting = [run for run in self._runs.values() if run.phase is TrainPhase.QUEUED]
                for run in waiting[: max(0, self._at_once - running)]:
                    self._start(run)

    def _start(self, run: _Run) -> None:
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
            os.setpriority(os.PRIO_PROCESS, run.process.pid, NICENESS)
        except OSError as error:
            run.phase, run.error = TrainPhase.FAILED, f"The training could not start ({error})."
            return
        run.phase, run.error = TrainPhase.RUNNING, ""

    def _check(self, run: _Run) -> None:
        """See whether a process has ended, and how."""
        if run.process is None:
            if not holder_of(run.request):
                self._settle(run, 0 if find_finished(run.request) else -signal.SIGKILL)
        elif (code := run.process.poll()) is not None:
            run.process = None
            self._settle(run, code)

    def _settle(self, run: _Run, code: int) -> None:
        if code == 0:
            self._end(run)
        elif code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGKILL, 130):
            run.phase = TrainPhase.INTERRUPTED
        else:
            said = run.path(".errors").read_text(errors="replace").strip().splitlines()
            last = said[-1] if said else f"exit code {code}"
            run.error = last if code == 2 else f"The training broke off ({last}); start it again."
            run.phase = TrainPhase.FAILED

    def _end(self, run: _Run) -> None:
        run.catch_up()
        run.forget()
        run.phase = TrainPhase.ENDED


def remember(name: str) -> TrainView | None:
    """An ended training as the card of a person's own checkpoint tells it; None without one."""
    if name not in model_names() or not is_own(name):
        return None
    card = load_card(name)
    settings = {key: value for key, value in card.recipe.items() if key != "defence"}
    try:
        request = TrainRequest(card.architecture, card.defence, TrainConfig(**settings), name)
        progress = tuple(_remembered(line, card) for line in card.history)
    except (TypeError, KeyError, InputError) as error:
        LOG.warning("the card of %s does not tell its training (%s)", name, error)
        return None
    return TrainView(request, TrainPhase.ENDED, progress, card=card)


def _remembered(line: Mapping[str, float], card: Card) -> Progress:
    """A line of a card's history as the report at the end of its epoch."""
    looks = {key: line[key] for key in ("test_accuracy", "probed", "flipped") if key in line}
    told = ("epoch", "loss", "accuracy", "seconds", *looks)
    return Progress(
        epoch=int(line["epoch"]),
        epochs=card.epochs,
        step=1,
        steps=1,
        loss=line["loss"],
        parts={key: value for key, value in line.items() if key not in told},
        accuracy=line.get("accuracy", float("nan")),
        seconds=line["seconds"],
        seconds_left=0.0,
        found=looks,
    )


def train_command(request: TrainRequest, log: Path) -> list[str]:
    """The command line of a request."""
    config = request.config
    options = {
        "architecture": request.architecture,
        "defence": request.defence,
        "preset": config.preset,
        "epochs": config.epochs,
        "batch-size": config.batch_size,
        "learning-rate": config.learning_rate,
        "subset": config.subset,
        "seed": config.seed,
        "name": request.name,
        "log": log,
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    mixed = "--mixed-precision" if config.mixed_precision else "--no-mixed-precision"
    return [sys.executable, "-m", "apr_core", "train", *given, mixed, "--probe", "--json"]


def _environment(threads: int) -> Mapping[str, str]:
    package = str(Path(__file__).parents[1])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": paths}


def holder_of(request: TrainRequest) -> int:
    """The process that trains under the request's name at this moment, 0 if none does."""
    path = request.state_file.with_suffix(".lock")
    if not path.exists():
        return 0
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = lock.read().strip()
            return int(held) if held.isascii() and held.isdecimal() and len(held) < 10 else 0
    return 0
