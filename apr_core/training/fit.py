"""The training loop: one loop for every architecture and every defence."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from apr_core.base import schema
from apr_core.base.files import write_whole
from apr_core.base.hardware import describe_hardware
from apr_core.base.types import InputError
from apr_core.data.dataset import Split
from apr_core.defences.recipe import Defence, TrainConfig, learning_rate, make_optimizer
from apr_core.models.inference import keep_memory
from apr_core.models.precision import precision_name
from apr_core.training.batches import AugmentedBatches
from apr_core.training.precision import choose_precision
from apr_core.training.workers import ALONE, Workers

REPORT_EVERY = 20
"""Steps between reports, in long epochs: each one waits for the device."""
REPORTS_AN_EPOCH = 5
"""Reports in a short one."""


@dataclass(frozen=True)
class Progress:
    """Where a run is: enough for a bar, a log line or a live chart.

    Attributes:
        epoch, step: both from 1.
        loss, parts, accuracy: means over the epoch so far.
        seconds: of training, over all sittings.
        seconds_left: at the same pace.
        found: what a look at the model found, at the end of an epoch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    parts: dict[str, float]
    accuracy: float
    seconds: float
    seconds_left: float
    found: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Kept:
    """How far a run was that was written down."""

    epoch: int
    seconds: float
    history: list[dict[str, float]]
    hardware: list[str] = field(default_factory=list)


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Fitted:
    """A finished run, over all its sittings.

    Attributes:
        seconds: of training.
        history: a log line an epoch.
        hardware: that it was trained on, in turn.
    """

    seconds: float
    history: list[dict[str, float]]
    hardware: str


def fit(
    model: nn.Module,
    defence: Defence,
    split: Split,
    config: TrainConfig,
    device: torch.device,
    state_file: Path | None = None,
    report: Report = lambda progress: None,
    look: Callable[[], dict[str, float]] = dict,
    workers: Workers = ALONE,
    mirrored: bool = True,
) -> Fitted:
    """Train `model` in place; go on from `state_file` where it holds an unfinished run.

    Args:
        split: the training set.
        state_file: written after every epoch, replaced atomically; read at the start.
        report: called every few steps, and at the end of an epoch by the first worker.
        look: called after an epoch, by the first worker; what it finds goes into the history.
        workers: the processes that train together, all from the same arguments.
        mirrored: whether images are flipped, half of them.

    Raises:
        InputError: the loss is not finite, the state file is of a different run, or it cannot be
            written.
    """
    batches = AugmentedBatches(split, config.batch_size, config.seed, device, workers, mirrored)
    run = Run(model, defence, config, device, workers)
    if state_file is not None and state_file.exists():
        run.restore(state_file)
    run.begin(*next(batches.epoch(run.epoch)))
    while run.epoch < config.epochs:
        progress = run.train_epoch(batches, report)
        if workers.first:
            found = look()
            run.history[-1] |= found
            report(replace(progress, found=found))
            if state_file is not None:
                run.save(state_file)
    return Fitted(run.seconds, run.history, ", then ".join(run.hardware))


class _Objective(nn.Module):
    """The defence's loss as a module, for gradients of several processes to be averaged."""

    def __init__(self, model: nn.Module, defence: Defence) -> None:
        super().__init__()
        self.model, self.defence = model, defence

    def forward(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self.defence.loss(self.model, images, labels, generator)


class Run:
    """A run under way: what an epoch changes and what a resumed run must find again."""

    def __init__(
        self,
        model: nn.Module,
        defence: Defence,
        config: TrainConfig,
        device: torch.device,
        workers: Workers = ALONE,
    ) -> None:
        keep_memory()
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model, self.defence, self.config = model, defence, config
        self.device, self.workers = device, workers
        self.optimizer = make_optimizer(model, config)
        self.objective = workers.share(_Objective(model, defence), device)
        self.epoch = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self.hardware: list[str] = []
        self.mixed = bool(config.mixed_precision)

    def begin(self, images: Tensor, labels: Tensor) -> None:
        """Choose the precision of this sitting, and note what it runs on, if any of it is left.

        Args:
            images, labels: a batch, to measure the precision on.
        """
        if self.epoch == self.config.epochs:
            return
        self.model.train()
        chosen = choose_precision(self.model, images, labels, self.config.mixed_precision)
        share = self.workers.mean(torch.tensor(float(chosen), device=self.device))
        self.mixed = bool(share > 0.5)
        found = f"{describe_hardware(self.device)}, {precision_name(self.mixed)}"
        if self.hardware[-1:] != [found]:
            self.hardware.append(found)

    def train_epoch(self, batches: AugmentedBatches, report: Report) -> Progress:
        """An epoch, reported but for its end, which is returned."""
        self.model.train()
        seed = self.config.seed * 100_003 + self.epoch + 50_000 + 1_000_003 * self.workers.rank
        generator = torch.Generator().manual_seed(seed)
        totals: dict[str, Tensor] = {}
        began, before = time.monotonic(), self.seconds
        every = min(REPORT_EVERY, math.ceil(len(batches) / REPORTS_AN_EPOCH))
        for step, (images, labels) in enumerate(batches.epoch(self.epoch), start=1):
            done = (self.epoch * len(batches) + step - 1) / (self.config.epochs * len(batches))
            loss, parts = self._step(images, labels, generator, done)
            for name, part in {"loss": loss, **parts}.items():
                totals[name] = totals.get(name, 0.0) + part.detach()
            if step % every == 0 or step == len(batches):
                overall = self.workers.mean(torch.stack(list(totals.values())) / step)
                means = dict(zip(totals, overall.tolist(), strict=True))
                self._check_finite(means["loss"])
                self.seconds = before + time.monotonic() - began
                progress = self._progress(step, len(batches), means)
                if step < len(batches):
                    report(progress)
        self.epoch += 1
        self.history.append({"epoch": self.epoch, **means, "seconds": self.seconds})
        return progress

    def _step(
        self,
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        done: float,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, done)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            loss, parts = self.objective(images, labels, generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss, parts

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise InputError(
                f"The loss became {loss} in epoch {self.epoch + 1}, and the state before it is "
                f"kept; train again with a --learning-rate below "
                f"{self.config.learning_rate}."
            )

    def _progress(self, step: int, steps: int, means: dict[str, float]) -> Progress:
        done = self.epoch * steps + step
        left = self.seconds / done * (self.config.epochs * steps - done)
        return Progress(
            epoch=self.epoch + 1,
            epochs=self.config.epochs,
            step=step,
            steps=steps,
            loss=means["loss"],
            parts={name: mean for name, mean in means.items() if name != "loss"},
            accuracy=means.get("accuracy", float("nan")),
            seconds=self.seconds,
            seconds_left=left,
        )

    def _identity(self) -> dict[str, str]:
        shapes = {name: list(value.shape) for name, value in self.model.state_dict().items()}
        return {
            "config": json.dumps(self.config.identity),
            "defence": repr(self.defence),
            "shapes": json.dumps(shapes),
        }

    def save(self, path: Path) -> None:
        """Write weights, optimiser state and the log, whole or not at all.

        Raises:
            InputError: there is no room, or no leave to write.
        """
        tensors = {f"model.{k}": v.contiguous() for k, v in self.model.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            for name, value in slots.items():
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).contiguous()
        progress = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "history": self.history,
            "hardware": self.hardware,
        }
        metadata = {**self._identity(), "progress": json.dumps(progress)}
        try:
            write_whole(path, save(tensors, metadata))
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"Epoch {self.epoch} cannot be written to {path} ({error}); make room and start "
                "again: it goes on from the last epoch that was written."
            ) from None

    def restore(self, path: Path) -> None:
        """Go on from a file that `save` wrote.

        Raises:
            InputError: the file is damaged, or of a run with another configuration.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                self._check_identity(path, metadata)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._take_up(tensors, schema.build(_Kept, schema.parse(metadata["progress"], False)))
        except InputError:
            raise
        except (SafetensorError, OSError, RuntimeError, ValueError, LookupError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[-1].strip().rstrip(".")
            raise InputError(
                f"{path} is damaged ({reason:.200}); delete it to start afresh."
            ) from None

    def _check_identity(self, path: Path, metadata: dict[str, str]) -> None:
        for name, value in self._identity().items():
            if _told(metadata, name) != value:
                raise InputError(
                    f"{path} holds a run with another {name}; delete it to start afresh, "
                    "or train again with the settings it was started with."
                )

    def _take_up(self, tensors: dict[str, Tensor], kept: _Kept) -> None:
        """Be where the run was; what cannot be is a ValueError."""
        if not 0 <= kept.epoch <= self.config.epochs:
            raise ValueError(f"it stands at epoch {kept.epoch}")
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        )
        trained = [value for group in self.optimizer.param_groups for value in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                if value.shape not in ((), trained[int(index)].shape):
                    raise ValueError(f"{key} has shape {tuple(value.shape)}")
                slots.setdefault(int(index), {})[name] = value
        state = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**state, "state": slots})
        self.epoch, self.seconds, self.history = kept.epoch, kept.seconds, kept.history
        self.hardware = kept.hardware


def _told(metadata: dict[str, str], name: str) -> str:
    """What a state says of its run; those of 0.1 had the precision among the settings."""
    told = metadata.get(name, "")
    if name != "config":
        return told
    config = schema.build(dict[str, Any], schema.parse(told))
    config.pop("mixed_precision", None)
    return json.dumps(config)
