"""Training jobs: their state on disk, and the view that callers get.

What a run is, how far it is and what it has learnt lie in files beside its state
(`TrainRequest.state_file`): they outlive the process that trains and whoever looks after it.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from apr_core.base import schema
from apr_core.base.files import Claim
from apr_core.base.types import InputError
from apr_core.defences.recipe import TrainConfig
from apr_core.training.fit import Progress
from apr_core.training.trainer import TrainRequest
from apr_core.zoo.checkpoints import Card, is_own, load_card, model_names

LOG = logging.getLogger(__name__)


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
class TrainRun:
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
                    report = schema.build(Progress, schema.parse(line, finite=False))
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

    def discard(self) -> None:
        """Delete the notes on it, and its state.

        Raises:
            InputError: a process trains under this name.
        """
        claim = Claim(self.request.state_file)
        if not claim.take():
            raise InputError(f"{self.request.name} is being trained; cancel it first.")
        self.forget()
        self.request.state_file.unlink(missing_ok=True)
        claim.forget()


def holder_of(request: TrainRequest) -> int:
    """The process that trains under the request's name at this moment, 0 if none does."""
    return Claim(request.state_file).holder


def remember(name: str) -> TrainView | None:
    """An ended training as the card of a person's own checkpoint tells it; None without one."""
    if name not in model_names() or not is_own(name):
        return None
    card = load_card(name)
    settings = {key: value for key, value in card.recipe.items() if key not in ("defence", "start")}
    try:
        request = TrainRequest(
            card.architecture,
            card.defence,
            TrainConfig(**settings),
            name,
            data=card.dataset,
            start=card.recipe.get("start", ""),
        )
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
