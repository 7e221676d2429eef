"""Models by name: a checkpoint, a library's or a person's own; with data, a command's target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.data.fitting import fit_to
from apr_core.data.registry import DATASETS, DEFAULT, find_dataset
from apr_core.zoo.checkpoints import Card, data_of, load_card, model_names
from apr_core.zoo.checkpoints import load_model as load_checkpoint
from apr_core.zoo.external import check_images, check_model, is_external, load_external
from apr_core.zoo.fronts import Fronted, split_front
from apr_core.zoo.library import LITE0, find_library, is_library, load_library
from apr_core.zoo.library.entry import IMAGENET


@dataclass(frozen=True)
class TargetModel:
    """A model to measure: its name, itself, what it is measured on, and its card if it has one."""

    name: str
    model: nn.Module
    data: DataSet
    card: Card | None = None

    @property
    def sha256(self) -> str:
        """Of its weights; "" where nothing tells whether it is still the same."""
        return self.card.sha256 if self.card else getattr(self.model, "sha256", "")

    @property
    def data_size(self) -> tuple[int, int] | None:
        """Height and width that a person's own pictures were brought to."""
        return None if self.data.name in DATASETS else self.data.size

    @cached_property
    def data_sha256(self) -> str:
        """Of the test pictures and labels; "" where the data set's name fixes them."""
        return "" if self.data.hashes else self.data.load("test").sha256


def load_model(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """A model by its name, in evaluation mode.

    Args:
        name: of a checkpoint (`model_names`), of a library's model (`find_library`), or what
            `load_external` takes; each may stand behind a front (`FRONTS`), as in "NAME+clamp". A
            person's own is not checked; `check_model` does that.

    Returns:
        Images (B, C, H, W) float in [0, 1] -> logits (B, K).

    Raises:
        InputError: there is no such model, or its weights are missing or damaged.
    """
    name, front = split_front(str(name))
    if front:
        return Fronted(load_model(name, device), front).to(device)
    if is_library(name):
        return load_library(name, device)
    if is_external(name):
        return load_external(name, device)
    _check_known(name)
    return load_checkpoint(name, device)


def dataset_of(model: str) -> DataSet:
    """The data set that a model is of, by its name; a person's own is held to CIFAR-10."""
    model, _ = split_front(model)
    if is_library(model):
        return find_dataset(IMAGENET)
    return data_of(load_card(model)) if model in model_names() else find_dataset()


def _find_data(name: str, made_for: DataSet, size: tuple[int, int]) -> DataSet:
    """What a model is measured on: what was asked for, or what it was made for."""
    if not name and (made_for.name in DATASETS or not Path(made_for.name).exists()):
        return made_for
    data = find_dataset(name or made_for.name, size)
    return data if data.name in DATASETS else fit_to(data, made_for)


def load_target(
    name: str, device: torch.device, randomised: bool = False, data: str = ""
) -> tuple[TargetModel, tuple[str, ...]]:
    """The model of a name or a path, and what the check of a person's own has to say of it.

    Args:
        name: as `load_model` takes it.
        randomised: whether its answers may differ from call to call.
        data: what it is measured on, as `find_dataset` takes it; by default what it was made for.

    Raises:
        InputError: there is no such model or data set, they do not fit each other, or the model
            fails the check.
    """
    base, front = split_front(name)
    if front:
        bare, notes = load_target(base, device, randomised, data)
        return TargetModel(name, Fronted(bare.model, front).to(device), bare.data), notes
    if is_library(name):
        entry = find_library(name)  # weights are fetched only if the data fit
        dataset = _find_data(data, dataset_of(name), entry.size)
        _check_fit(name, entry.channels, entry.size, entry.num_classes, dataset)
        return TargetModel(entry.name, entry.load(device), dataset), ()
    if not is_external(name):
        _check_known(name)
        made_for = dataset_of(name)
        dataset = _find_data(data, made_for, made_for.size)
        _check_fit(name, made_for.channels, made_for.size, len(made_for.classes), dataset)
        return TargetModel(name, load_checkpoint(name, device), dataset, load_card(name)), ()
    dataset = find_dataset(data or DEFAULT)
    model = load_external(name, device)
    check = check_model(model, *check_images(dataset), randomised=randomised)
    if dataset.name != DEFAULT:  # CIFAR-10 stands in where nobody named the data
        _check_count(name, check.classes, dataset)
    model.differentiable = model.differentiable and check.differentiable
    alone = ("The model takes one image at a time.",) if model.most == 1 else ()
    return TargetModel(name, model, dataset), (*alone, *check.notes)


def _check_known(name: str) -> None:
    if name not in model_names():
        raise InputError(unknown_name("model", name, (*model_names(), LITE0)))


def _check_fit(
    name: str, channels: int, size: tuple[int, int], classes: int, data: DataSet
) -> None:
    """Raise InputError unless a model that takes such pictures can be measured on a data set."""
    if data.channels != channels:
        raise InputError(
            f"{name} takes pictures of {channels} channels, and those of {data.title} have "
            f"{data.channels}; choose other data."
        )
    if data.size != size:
        raise InputError(
            f"{name} takes pictures of {size[1]} x {size[0]} pixels, and those of {data.title} "
            f"have {data.size[1]} x {data.size[0]}; choose other data, or scale the pictures."
        )
    _check_count(name, classes, data)


def _check_count(name: str, classes: int, data: DataSet) -> None:
    if classes != len(data.classes):
        raise InputError(
            f"{name} tells {classes:,} classes apart, and {data.title} has "
            f"{len(data.classes):,}; choose data with the model's classes."
        )
