"""What a defence costs in training and in inference, beside the undefended model (table 4).

Everything is timed in turn in one run (`take_turns`), and a ratio is taken within each round: what
slows the machine for a while slows both of its sides. An overhead is the median of the rounds'
ratios less 1, and its interval the 95 % one of a median, from order statistics alone.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import torch

from apr_core.base.provenance import Environment, environment
from apr_core.base.types import InputError
from apr_core.data.dataset import Split
from apr_core.data.registry import find_dataset
from apr_core.defences import DEFENCES
from apr_core.defences.distillation import Distillation
from apr_core.defences.input_transform import InputTransformation
from apr_core.defences.recipe import PRESETS, TrainConfig
from apr_core.models import ARCHITECTURES, Classifier, build_model
from apr_core.models.inference import keep_memory, prepare
from apr_core.training.batches import AugmentedBatches
from apr_core.training.fit import Run
from apr_core.training.precision import choose_precision
from benchmarks.speed.case import Timed, Work, synchronise
from benchmarks.speed.turns import (
    Report,
    input_batch,
    passes_work,
    quotients,
    take_turns,
)

PAPER = {"resnet18": (0.273, 0.086), "vgg16": (0.315, 0.092)}
"""The overheads of a training epoch and of inference in the paper's section V.E, table 4."""
WHOLE = ("apr", "apr-exact")
"""The defences that are the paper's, with nothing left out: what its figures stand beside."""
REFERENCE, FRONTED = "vanilla", ("apr", "apr-plus")
"""What all is compared with, and whose fronts inference is timed with; `apr-exact` has APR's."""
TRAINED = tuple(
    name
    for name in DEFENCES
    if not isinstance(DEFENCES.get(name), InputTransformation | Distillation)
)
"""The defences whose training needs no other model's: those that can be timed."""
FORMS = ("loaded", "searched")
"""A model in inference: the `Classifier` itself, and the folded copy that a search runs."""
TRAIN_IMAGES = 50_000
RANGES = {
    "batch_size": (2, TRAIN_IMAGES),
    "steps": (1, TRAIN_IMAGES // 2),
    "rounds": (1, 1000),
    "inference_batch": (1, 16_384),
    "seconds": (0.0, 60.0),
}


@dataclass(frozen=True)
class OverheadConfig:
    """What to measure, and how much of it.

    Attributes:
        defences: trained with; the vanilla one is measured whether it is named or not.
        batch_size: of training.
        steps: of training in one measurement.
        rounds: everything is measured once in each. One more, before them, warms up.
        mixed_precision: in training, or None for what is faster; inference is in float32.
        inference_batch: images in a forward pass.
        seconds: about how long one measurement of inference lasts.
    """

    architecture: str = "resnet18"
    defences: tuple[str, ...] = (REFERENCE, *WHOLE, "apr-plus")
    batch_size: int = 128
    steps: int = 5
    rounds: int = 11
    mixed_precision: bool | None = None
    inference_batch: int = 128
    seconds: float = 1.0

    def __post_init__(self) -> None:
        ARCHITECTURES.get(self.architecture)
        for name in self.defences:
            _check_trained(name)
        if REFERENCE not in self.defences:
            object.__setattr__(self, "defences", (REFERENCE, *self.defences))
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name} is {value}, but must lie between {low} and {high}.")
        if self.steps * self.batch_size > TRAIN_IMAGES:
            raise InputError(
                f"{self.steps} steps of {self.batch_size} images are more than an epoch has; take "
                f"at most {TRAIN_IMAGES // self.batch_size} steps."
            )


def _check_trained(name: str) -> None:
    DEFENCES.get(name)
    if name not in TRAINED:
        raise InputError(
            f"The defence '{name}' is not trained by itself but built on a vanilla model; leave it "
            "out."
        )


@dataclass(frozen=True)
class Part:
    """One thing that is timed: "training" with a defence, or "inference as" one of `FORMS`."""

    kind: str
    defence: str

    def __str__(self) -> str:
        return f"{self.kind}, {self.defence}"


@dataclass(frozen=True)
class TrainingCost:
    """Training with one defence; an epoch is 50,000 images, in whole batches.

    Attributes:
        interval: of the overhead; None where there are too few rounds for one.
    """

    defence: str
    seconds_per_step: float
    seconds_per_epoch: float
    overhead: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class InferenceCost:
    """A forward pass of the model in one of `FORMS`, with one defence's front."""

    form: str
    defence: str
    seconds_per_image: float
    overhead: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class OverheadResult(Environment):
    """One measurement.

    Attributes:
        training: one entry a defence.
        inference: for each of `FORMS`, the plain model and the same one behind each front.
        paper: the overheads it gives in table 4, None for an architecture that is not in it.
    """

    architecture: str
    device: str
    threads: int
    config: dict[str, Any]
    training: tuple[TrainingCost, ...]
    inference: tuple[InferenceCost, ...]
    paper: dict[str, float] | None


def measure_overhead(
    config: OverheadConfig,
    device: torch.device,
    report: Report = lambda done, total, what: None,
) -> OverheadResult:
    """Time training steps and forward passes of fresh models, with the defences and without."""
    keep_memory()
    config = replace(config, mixed_precision=_precision(config, device))
    works = {**training_works(config, device), **inference_works(config, device)}
    rounds = take_turns(works, config.rounds, report)
    return OverheadResult(
        architecture=config.architecture,
        device=str(device),
        **environment(device),
        threads=torch.get_num_threads(),
        config=asdict(config),
        training=training_costs(rounds, config.batch_size),
        inference=inference_costs(rounds),
        paper=paper_figures(config.architecture),
    )


def _precision(config: OverheadConfig, device: torch.device) -> bool:
    """Whether all train in bfloat16: as asked, or as the undefended network is faster."""
    model = build_model(config.architecture).to(device).train()
    images = input_batch(config.batch_size, device)
    labels = torch.zeros(len(images), dtype=torch.int64, device=device)
    return choose_precision(model, images, labels, config.mixed_precision)


def paper_figures(architecture: str) -> dict[str, float] | None:
    """The overheads that `PAPER` has for an architecture."""
    if architecture not in PAPER:
        return None
    return dict(zip(("training", "inference"), PAPER[architecture], strict=True))


def training_works(config: OverheadConfig, device: torch.device) -> dict[Part, Work]:
    """For each defence, a short epoch of `fit`'s own; all see the same batches."""
    sample = find_dataset().shipped_sample()
    rows = torch.arange(config.steps * config.batch_size) % len(sample.images)
    images, labels = sample.images[rows], sample.labels[rows]
    batches = AugmentedBatches(Split.in_memory(images, labels), config.batch_size, 0, device)
    return {
        Part("training", name): _training_work(name, config, batches, device)
        for name in config.defences
    }


def _training_work(
    name: str, config: OverheadConfig, batches: AugmentedBatches, device: torch.device
) -> Work:
    defence = DEFENCES.get(name)
    model = build_model(config.architecture, defence.make_front())
    training = Run(model, defence, _recipe(config), device)

    def work() -> Timed:
        synchronise(device)
        began = time.perf_counter()
        training.train_epoch(batches, lambda progress: None)
        synchronise(device)
        return len(batches), time.perf_counter() - began

    return work


def _recipe(config: OverheadConfig) -> TrainConfig:
    """The fast preset, at a rate that keeps the loss finite however short the cycle is."""
    return replace(
        PRESETS.get("fast"),
        epochs=config.rounds + 1,
        batch_size=config.batch_size,
        learning_rate=1e-3,
        mixed_precision=config.mixed_precision,
    )


def inference_works(config: OverheadConfig, device: torch.device) -> dict[Part, Work]:
    """Forward passes in evaluation mode: one network, plain and behind each of the fronts."""
    plain = build_model(config.architecture)
    models = {REFERENCE: plain}
    for name in FRONTED:
        models[name] = Classifier(copy.deepcopy(plain.backbone), DEFENCES.get(name).make_front())
    for model in models.values():
        model.to(device).eval()
    images = input_batch(config.inference_batch, device)
    return {
        Part(f"inference as {form}", name): passes_work(
            prepare(model) if form == "searched" else model, images, config.seconds
        )
        for form in FORMS
        for name, model in models.items()
    }


def training_costs(rounds: dict[Part, list[Timed]], batch_size: int) -> tuple[TrainingCost, ...]:
    """The figures of every defence that was trained with, from what its rounds took."""
    each = _seconds_each(rounds, "training")
    return tuple(
        TrainingCost(
            defence=name,
            seconds_per_step=median(seconds),
            seconds_per_epoch=median(seconds) * (TRAIN_IMAGES // batch_size),
            overhead=_overhead(seconds, each[REFERENCE]),
            interval=_interval(seconds, each[REFERENCE]),
        )
        for name, seconds in each.items()
    )


def inference_costs(rounds: dict[Part, list[Timed]]) -> tuple[InferenceCost, ...]:
    """The figures of every forward pass, from what its rounds took."""
    return tuple(
        InferenceCost(
            form=form,
            defence=name,
            seconds_per_image=median(seconds),
            overhead=_overhead(seconds, each[REFERENCE]),
            interval=_interval(seconds, each[REFERENCE]),
        )
        for form in FORMS
        for each in [_seconds_each(rounds, f"inference as {form}")]
        for name, seconds in each.items()
    )


def _seconds_each(rounds: dict[Part, list[Timed]], kind: str) -> dict[str, list[float]]:
    """By defence, the seconds that a step or an image took in each round."""
    return {
        part.defence: [seconds / count for count, seconds in timed]
        for part, timed in rounds.items()
        if part.kind == kind
    }


def _overhead(ours: list[float], reference: list[float]) -> float:
    return median(quotients(ours, reference)) - 1


def _interval(ours: list[float], reference: list[float]) -> tuple[float, float] | None:
    from scipy.stats import quantile_test  # noqa: PLC0415  slow to import, and needed at the end

    low, high = quantile_test(quotients(ours, reference), p=0.5, q=1.0).confidence_interval(0.95)
    return None if math.isnan(low + high) else (float(low) - 1, float(high) - 1)
