"""Data sets by name: those that the project knows, and a person's own."""

from __future__ import annotations

from torch import Tensor

from apr_core.base.registry import Registry
from apr_core.base.types import InputError
from apr_core.data.cifar10 import CIFAR10
from apr_core.data.dataset import DataSet
from apr_core.data.gtsrb import GTSRB
from apr_core.data.medmnist import BREASTMNIST, RETINAMNIST

DATASETS: Registry[DataSet] = Registry("data set")
for _known in (CIFAR10, GTSRB, BREASTMNIST, RETINAMNIST):
    DATASETS.add(_known.name, _known)
DEFAULT = CIFAR10.name
"""Where nobody says otherwise: what a person's own model is held to, and the pages show."""


def find_dataset(name: str = DEFAULT) -> DataSet:
    """A data set by its name.

    Raises:
        InputError: there is none of this name.
    """
    known = DATASETS.get(name)
    return known.current() if known.current else known


def load_images(dataset: str = DEFAULT, count: int = 8) -> tuple[Tensor, Tensor]:
    """Shipped test pictures of a data set, as models and attacks take them.

    Args:
        dataset: "cifar10", or another that comes with a sample.
        count: how many; these are the first of the sample.

    Returns:
        Images float32 (B, C, H, W) in [0, 1] and their labels int64 (B,).

    Raises:
        InputError: no such data set, no sample of it, or not that many pictures in it.
    """
    sample = find_dataset(str(dataset)).shipped_sample()
    whole = isinstance(count, int) and not isinstance(count, bool)
    if not whole or not 1 <= count <= len(sample.images):
        raise InputError(
            f"count is {count!r:.40}, but must be a whole number from 1 to {len(sample.images):,}."
        )
    return sample.images[:count].float() / 255, sample.labels[:count].clone()
