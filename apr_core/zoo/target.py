"""Target models: the model that a command works on, a checkpoint or a person's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from apr_core.zoo.checkpoints import Card, load_card, load_model
from apr_core.zoo.external import check_images, check_model, is_external, load_external


@dataclass(frozen=True)
class TargetModel:
    """A model to measure: its name, itself, and its card if it has one."""

    name: str
    model: nn.Module
    card: Card | None = None

    @property
    def sha256(self) -> str:
        """Of its weights; "" where nothing tells whether it is still the same."""
        return self.card.sha256 if self.card else getattr(self.model, "sha256", "")


def load_target(
    name: str, device: torch.device, randomised: bool = False
) -> tuple[TargetModel, tuple[str, ...]]:
    """The model of a name or a path, and what the check of a person's own has to say of it.

    Args:
        randomised: whether its answers may differ from call to call.

    Raises:
        InputError: there is no such model, or it fails the check.
    """
    if not is_external(name):
        return TargetModel(name, load_model(name, device), load_card(name)), ()
    model = load_external(name, device)
    check = check_model(model, *check_images(), randomised=randomised)
    model.differentiable = model.differentiable and check.differentiable
    alone = ("The model takes one image at a time.",) if model.most == 1 else ()
    return TargetModel(name, model), (*alone, *check.notes)
