"""Target models: what a command works on, a checkpoint or a person's own model, and its data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.zoo.checkpoints import Card, load_card, load_model, model_names
from apr_core.zoo.external import check_images, check_model, is_external, load_external


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

    @cached_property
    def data_sha256(self) -> str:
        """Of the test pictures and labels; "" where the data set's name fixes them."""
        return "" if self.data.hashes else self.data.load("test").sha256


def data_of(model: str) -> str:
    """The data set that a model is of, by the names of both; a person's own is held to CIFAR-10."""
    return load_card(model).dataset if model in model_names() else DEFAULT


def load_target(
    name: str, device: torch.device, randomised: bool = False, data: str = ""
) -> tuple[TargetModel, tuple[str, ...]]:
    """The model of a name or a path, and what the check of a person's own has to say of it.

    Args:
        randomised: whether its answers may differ from call to call.
        data: what it is measured on, as `find_dataset` takes it; by default what it was made for.

    Raises:
        InputError: there is no such model or data set, they do not fit each other, or the model
            fails the check.
    """
    dataset = find_dataset(data or data_of(name))
    if not is_external(name):
        _check_fit(name, find_dataset(data_of(name)), dataset)
        return TargetModel(name, load_model(name, device), dataset, load_card(name)), ()
    model = load_external(name, device)
    check = check_model(model, *check_images(dataset), randomised=randomised)
    _check_count(name, check.classes, dataset)
    model.differentiable = model.differentiable and check.differentiable
    alone = ("The model takes one image at a time.",) if model.most == 1 else ()
    return TargetModel(name, model, dataset), (*alone, *check.notes)


def _check_fit(name: str, made_for: DataSet, data: DataSet) -> None:
    """Raise InputError unless a model of one data set can be measured on another."""
    if data.channels != made_for.channels:
        raise InputError(
            f"{name} takes pictures of {made_for.channels} channels, and those of {data.title} "
            f"have {data.channels}; choose other data."
        )
    if data.size != made_for.size:
        raise InputError(
            f"{name} takes pictures of {made_for.size[1]} x {made_for.size[0]} pixels, and those "
            f"of {data.title} have {data.size[1]} x {data.size[0]}; choose other data."
        )
    _check_count(name, len(made_for.classes), data)


def _check_count(name: str, classes: int, data: DataSet) -> None:
    if data.name != DEFAULT and classes != len(data.classes):
        raise InputError(
            f"{name} tells {classes} classes apart, and {data.title} has {len(data.classes)}; "
            "choose data with the model's classes."
        )
