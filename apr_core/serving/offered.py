"""Library models that the app serves: EfficientNet-Lite0, and those that whoever runs it named.

Every other model of a library would be fetched for any visitor who sends its name. This is the one
place where the app reaches the libraries.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import nn

from apr_core.base.types import InputError, shown
from apr_core.zoo.library import LITE0, LITE0_SHA256, find_library, is_library, load_library

OFFERED = "APR_LIBRARY"
"""Environment variable: models that are offered beside EfficientNet-Lite0, spaces between."""


def offered() -> dict[str, str]:
    """The models, and the SHA-256 of their weights; "" where only loading them tells it."""
    named = os.environ.get(OFFERED, "").split()
    return {LITE0: LITE0_SHA256} | {name: "" for name in named if name != LITE0}


def offer(names: Sequence[str]) -> None:
    """Serve these models too.

    Args:
        names: as `find_library` takes them.

    Raises:
        InputError: there is no such model, or it is not for ImageNet's classes at 224 x 224.
    """
    usual = find_library(LITE0)
    for name in names:
        if not is_library(name):
            raise InputError(
                f"'{shown(name)}' is no model of a library; name one as in torchvision:resnet50."
            )
        entry = find_library(name)
        if (entry.size, entry.num_classes) != (usual.size, usual.num_classes):
            raise InputError(
                f"{name} takes {entry.size[1]} x {entry.size[0]} pixels and tells "
                f"{entry.num_classes:,} classes apart; the app shows photographs at 224 x 224 with "
                "ImageNet's 1,000: name a model for these."
            )
    os.environ[OFFERED] = " ".join(names)


def load_offered(name: str, device: str | torch.device = "cpu") -> nn.Module:
    """A model that is offered, in evaluation mode.

    Raises:
        InputError: it is not offered, or its weights cannot be fetched, are damaged or do not fit.
    """
    if name not in offered():
        raise InputError(f"{shown(name)} is not offered here; `apr-lab app --library` offers it.")
    return load_library(name, device)
