"""Data sets by name: those that the project knows, and a person's own."""

from __future__ import annotations

from torch import Tensor

from apr_core.base.registry import Registry
from apr_core.base.types import InputError
from apr_core.data.cifar10 import CIFAR10
from apr_core.data.dataset import DataSet
from apr_core.data.fashion_mnist import FASHION_MNIST
from apr_core.data.gtsrb import GTSRB
from apr_core.data.imagenet import IMAGENET, NIPS2017
from apr_core.data.medmnist import BREASTMNIST, RETINAMNIST
from apr_core.data.own import is_path, own_data

DATASETS: Registry[DataSet] = Registry("data set")
for _known in (
    CIFAR10, IMAGENET, NIPS2017, GTSRB, BREASTMNIST, RETINAMNIST, FASHION_MNIST,
):  # fmt: skip
    DATASETS.add(_known.name, _known)
DEFAULT = CIFAR10.name
"""Where nobody says otherwise: what a person's own model is held to, and the pages show."""


def names_dataset(name: str) -> bool:
    """Whether `find_dataset` knows the name, or takes it for a path to a person's own data."""
    return name in DATASETS or is_path(name)


def find_dataset(name: str = DEFAULT, size: tuple[int, int] | None = None) -> DataSet:
    """A data set by its name, or a person's own by its path (`apr_core.data.own`).

    Args:
        size: height and width that pictures of one's own are brought to where they differ in size,
            or are photographs: what the model takes. By default 224 x 224, or 32 x 32 where they
            are small.

    Raises:
        InputError: there is none of this name, or nothing that can be used at this path.
    """
    if name not in DATASETS and is_path(name):
        return own_data(name, size)
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
