"""Trainer: a request to a checkpoint; build, fit, measure, save weights and card."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from apr_core.base.files import Claim, write_whole
from apr_core.base.hardware import describe_hardware
from apr_core.base.paths import written
from apr_core.base.types import InputError, shown
from apr_core.base.version import versions
from apr_core.data.dataset import DataSet
from apr_core.data.fitting import describe
from apr_core.data.registry import DATASETS, DEFAULT
from apr_core.defences import DEFENCES
from apr_core.defences.distillation import Distillation
from apr_core.defences.input_transform import InputTransformation
from apr_core.defences.recipe import Defence, TrainConfig, constants
from apr_core.models import ARCHITECTURES, Classifier, build_model
from apr_core.training.fit import Report, fit
from apr_core.training.monitor import TrainingMonitor, count_correct
from apr_core.training.workers import ALONE, Workers
from apr_core.zoo.checkpoints import (
    Card,
    check_name,
    half_precision,
    is_own,
    load_card,
    load_model,
    model_names,
    save_checkpoint,
)
from apr_core.zoo.library import load_library

TORCHVISION = "torchvision"
"""As a start: that library's weights of the architecture."""


@dataclass(frozen=True)
class TrainRequest:
    """What to train; unknown names are refused at once.

    Attributes:
        name: by default dataset-architecture-defence if it is to be shipped; else with six letters
            and digits that stand for everything about the run, so that no run is another's end.
        ship: keep the checkpoint among those that come with the project, not among one's own.
        data: the data set, by its name or a path.
        start: where the weights come from that training begins with: "torchvision", or the name of
            a checkpoint of the same architecture; "" for fresh ones.
    """

    architecture: str
    defence: str
    config: TrainConfig
    name: str = ""
    ship: bool = False
    data: str = DEFAULT
    start: str = ""

    def __post_init__(self) -> None:
        ARCHITECTURES.get(self.architecture)
        DEFENCES.get(self.defence)
        if not self.name:
            name = f"{model_prefix(self.data)}-{self.architecture}-{self.defence}"
            object.__setattr__(self, "name", name if self.ship else f"{name}-{self._digest()}")
        check_name(self.name)
        self._check_prefix()
        if not self.ship and self.name in model_names():
            self._check_free()

    def _check_prefix(self) -> None:
        """A name that begins with a data set's is of a model on it: tables and commands rely on
        that."""
        known = next((one for one in DATASETS if self.name.startswith(f"{one}-")), self.data)
        if known != self.data:
            raise InputError(
                f"{self.name} would name a model of {known}, and the data are "
                f"{shown(self.data, 200)}; choose a name that does not begin with {known}."
            )

    def _check_free(self) -> None:
        """Nothing that was trained is written over by another run."""
        if not is_own(self.name):
            raise InputError(
                f"{self.name} is the name of a model that came with the project; choose another "
                "name."
            )
        if find_finished(self) is None:
            raise InputError(
                f"There is a {self.name} already, trained with other settings; choose another name."
            )

    def _digest(self) -> str:
        settings = replace(self.config, mixed_precision=True)  # 0.1 named it, and it was on
        everything = repr((DEFENCES.get(self.defence), settings))
        everything += "" if self.data == DEFAULT else self.data
        everything += self.start
        return hashlib.sha256(everything.encode()).hexdigest()[:6]

    @property
    def state_file(self) -> Path:
        """Where an unfinished run is kept."""
        return training_folder() / f"{self.name}-seed{self.config.seed}.safetensors"


def training_folder() -> Path:
    """Where unfinished runs lie; see `written`."""
    return written("training")


def train(
    request: TrainRequest,
    data: DataSet,
    device: torch.device,
    report: Report = lambda progress: None,
    notes: str = "",
    probe: bool = False,
    workers: Workers = ALONE,
) -> Card:
    """Train, or go on with what was begun, and keep the checkpoint.

    Args:
        data: the one that the request names, fetched.
        probe: after each epoch, look at how the model does (`apr_core.training.monitor.Probe`).
        workers: the processes that train together; all return the card, and the first one writes.

    Raises:
        InputError: the loss is not finite, an unfinished run has other settings, another process
            trains under this name, or the defence builds on a checkpoint that is not there.
    """
    config = request.config
    torch.manual_seed(config.seed)  # fixes the initial weights
    defence = _taught(DEFENCES.get(request.defence), request, device)
    card = _new_card(request, defence, data, device, notes)
    if isinstance(defence, InputTransformation):
        only = {"defence": constants(defence)}
        card = replace(card, epochs=0, recipe=only, base=_vanilla(request))
        model = load_model(card.base, device)
        model.front = defence.make_front(data.channels)
        return save_measured(model, card, data, own=not request.ship)
    model = build_model(request.architecture, defence.make_front(data.channels), data)
    if request.start:
        start_from(model, request)
    split = data.load("train")
    split = split.first(config.subset) if config.subset else split
    look = TrainingMonitor(model, data) if probe else dict
    state = request.state_file
    with _claimed(state) if workers.first else nullcontext():
        fitted = fit(
            model, defence, split, config, device, state, report, look, workers, data.mirrored
        )
        card = replace(
            card,
            wall_time=round(fitted.seconds, 1),
            history=fitted.history,
            hardware=fitted.hardware or card.hardware,
        )
        if workers.first:
            card = save_measured(model, card, data, own=not request.ship)
            state.unlink(missing_ok=True)
    return card


@contextmanager
def _claimed(state_file: Path) -> Iterator[None]:
    """Keep others from training under the same name meanwhile, and say who trains."""
    claim = Claim(state_file)
    if not claim.take():
        raise InputError(
            f"{state_file.stem} is being trained already; wait for it, or choose another name."
        )
    try:
        yield
    finally:
        claim.release()


def start_from(model: Classifier, request: TrainRequest) -> None:
    """Give a fresh network trained weights, but for a last layer of other classes.

    Raises:
        InputError: there are no such weights, or they are of another architecture.
    """
    if request.start == TORCHVISION:
        found = load_library(f"torchvision:{request.architecture}").backbone.state_dict()
    else:
        found = load_model(request.start).backbone.state_dict()
    own = model.backbone.state_dict()
    fitting = (
        {name: tensor for name, tensor in found.items() if tensor.shape == own[name].shape}
        if found.keys() == own.keys()
        else {}
    )
    heads = {name.rpartition(".")[0] for name in own.keys() - fitting.keys()}
    if not fitting or len(heads) > 1:
        raise InputError(
            f"The weights of {request.start} do not fit {request.architecture}; give --from those "
            "of the same architecture."
        )
    model.backbone.load_state_dict(own | fitting)


def model_prefix(data: str) -> str:
    """What the names of a data set's models begin with: its name, or a folder's or file's."""
    if data in DATASETS:
        return data
    prefix = re.sub(r"[^a-z0-9]+", "", Path(data).stem.lower()) or "own"
    return f"own-{prefix}" if prefix in DATASETS else prefix


def _vanilla(request: TrainRequest) -> str:
    return f"{model_prefix(request.data)}-{request.architecture}-vanilla"


def _taught(defence: Defence, request: TrainRequest, device: torch.device) -> Defence:
    """The defence with its teacher, if it learns from one: the vanilla model, or torchvision's."""
    if not isinstance(defence, Distillation):
        return defence
    if request.start == TORCHVISION:
        library = load_library(f"torchvision:{request.architecture}", device)
        return replace(
            defence,
            teacher=f"{library.name} {library.sha256[:12]}",
            model=library.requires_grad_(False),
        )
    teacher = load_card(_vanilla(request))
    return replace(
        defence,
        teacher=f"{teacher.name} {teacher.sha256[:12]}",
        model=load_model(teacher.name, device).requires_grad_(False),
    )


def _new_card(
    request: TrainRequest, defence: Defence, data: DataSet, device: torch.device, notes: str
) -> Card:
    """What is known before the training."""
    return Card(
        name=request.name,
        dataset=request.data,
        architecture=request.architecture,
        defence=request.defence,
        recipe={
            "defence": constants(defence),
            **asdict(request.config),
            **({"start": request.start} if request.start else {}),
        },
        seed=request.config.seed,
        epochs=request.config.epochs,
        data_sha256=data.load("train").sha256,
        clean_accuracy=0.0,
        correct=0,
        tested=0,
        hardware=describe_hardware(device),
        wall_time=0.0,
        versions=versions(),
        notes=notes,
        data={} if data.name in DATASETS else describe(data),
    )


def save_measured(model: nn.Module, card: Card, data: DataSet, own: bool = False) -> Card:
    """Save with the accuracy of the weights as they will be loaded, half precision and all."""
    model.load_state_dict(half_precision(model), strict=False)
    test = data.load("test")
    correct, tested = count_correct(model, test), len(test)
    card = replace(card, clean_accuracy=correct / tested, correct=correct, tested=tested)
    card = save_checkpoint(model, card, own)
    load_model(card.name)
    return card


def seed_requests(request: TrainRequest, seeds: Sequence[int]) -> list[TrainRequest]:
    """The same run for several seeds, each but the first with its seed in the name.

    Only the first can be shipped; the others' weights are kept among one's own.
    """
    first, *others = (replace(request.config, seed=seed) for seed in seeds)
    return [replace(request, config=first)] + [
        replace(request, config=config, name=f"{request.name}-seed{config.seed}", ship=False)
        for config in others
    ]


def find_finished(request: TrainRequest) -> Card | None:
    """The card of the request's checkpoint, if that was trained with the same settings.

    A defence's teacher is not compared: it is known once it is loaded.
    """
    if request.name not in model_names():
        return None
    card = load_card(request.name)
    made = (card.dataset, card.architecture, card.defence)
    kind = made == (request.data, request.architecture, request.defence)
    asked = json.loads(json.dumps(constants(DEFENCES.get(request.defence))))
    asked.pop("teacher", None)
    same = kind and asked.items() <= card.recipe.get("defence", {}).items()
    settings = {} if card.base else request.config.identity
    same = same and card.recipe.get("start", "") == request.start
    return card if same and settings.items() <= card.recipe.items() else None


def write_seeds(path: Path, cards: Sequence[Card]) -> None:
    """A record of one recipe's runs: what each seed came to, and how to make them again."""
    first = cards[0]
    record = {
        "architecture": first.architecture,
        "defence": first.defence,
        "recipe": first.recipe,
        "runs": [
            {
                "name": card.name,
                "seed": card.seed,
                "clean_accuracy": card.clean_accuracy,
                "correct": card.correct,
                "tested": card.tested,
                "epochs": card.epochs,
                "wall_time": card.wall_time,
                "hardware": card.hardware,
                "versions": card.versions,
                "sha256": card.sha256,
            }
            for card in cards
        ],
    }
    write_whole(path, json.dumps(record, indent=1) + "\n")
