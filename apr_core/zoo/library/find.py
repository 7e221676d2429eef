"""Finding a library model by its name."""

from __future__ import annotations

from collections.abc import Callable

import torch

from apr_core.zoo.library.efficientnet_lite0 import LITE0, SHORT, find_lite0
from apr_core.zoo.library.entry import LibraryEntry, LibraryModel
from apr_core.zoo.library.timm_models import find_timm
from apr_core.zoo.library.torchvision_models import find_torchvision

LIBRARIES: dict[str, Callable[[str], LibraryEntry]] = {
    "torchvision": find_torchvision,
    "timm": find_timm,
}


def is_library(name: str) -> bool:
    """Whether a name means a pretrained model of a library, known there or not."""
    library, colon, _ = name.partition(":")
    return name in (LITE0, SHORT) or bool(colon and library in LIBRARIES)


def find_library(name: str) -> LibraryEntry:
    """What is known of a library's model before its weights are here; nothing is fetched.

    Args:
        name: `torchvision:NAME`, `torchvision:NAME:WEIGHTS`, `timm:NAME`, `timm:NAME.TAG`, one of
            these with a file of weights (`torchvision:NAME:weights.safetensors`), or
            `efficientnet-lite0`.

    Raises:
        InputError: the library has no such model or no such weights.
    """
    return find_lite0() if name in (LITE0, SHORT) else LIBRARIES[name.partition(":")[0]](name)


def load_library(name: str, device: str | torch.device = "cpu") -> LibraryModel:
    """A library's model in evaluation mode; its weights are fetched if they are not here.

    Args:
        name: as for `find_library`.

    Raises:
        InputError: there is no such model, or its weights cannot be fetched, are damaged or do not
            fit.
    """
    return find_library(name).load(device)
