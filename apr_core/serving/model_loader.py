"""Model loader: the models that the attack service serves, by name."""

from __future__ import annotations

import torch
from torch import nn

from apr_core.attacks.oracle import ModelOracle
from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import behind_lattice
from apr_core.serving.offered import load_offered, offered
from apr_core.serving.requests import BEHIND_LATTICE
from apr_core.zoo.checkpoints import load_model, model_names


def load_served(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """A checkpoint, or a library's model that is offered, in evaluation mode.

    Raises:
        InputError: there is no such model.
    """
    if name in offered():
        return load_offered(name, device)
    if name not in model_names():
        raise InputError(unknown_name("model", name, (*model_names(), *offered())))
    return load_model(name, device)


def load_oracle(name: str, device: str | torch.device = "cpu") -> ModelOracle:
    """The model of a name, which may end with `BEHIND_LATTICE`, for the service.

    No other name that a visitor sends fetches anything, or is taken for a path.

    Raises:
        InputError: there is no such model.
    """
    bare = name.removesuffix(BEHIND_LATTICE)
    model = load_served(bare, device)
    if bare != name:
        return ModelOracle(behind_lattice(model), checked=True)
    return ModelOracle(model, checked=True, incremental=True, background=True)
