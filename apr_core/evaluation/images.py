"""Evaluation images: the first N of one fixed order of the test set, and their hash.

The shipped sample comes first, shuffled, so that up to 1,000 images (100 a class) need no download;
the other 9,000 follow, shuffled too. The order comes from this package's own generator, which is
whole-number arithmetic and the same everywhere.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache

import torch
from torch import Tensor

from apr_core.base import random
from apr_core.base.types import InputError
from apr_core.data.cifar10 import load_cifar10
from apr_core.data.sample import TEST_IMAGES, load_sample

ORDER_SEED = 2019


@cache
def image_order() -> Tensor:
    """Every index of the test set, (10000,) int64, in the order of evaluation."""
    sample = load_sample().indices
    rest = torch.ones(TEST_IMAGES, dtype=torch.bool).index_fill(0, sample, False).nonzero()[:, 0]
    return torch.cat([_shuffled(sample, 0), _shuffled(rest, 1)])


def _shuffled(indices: Tensor, key: int) -> Tensor:
    keys = random.keys_for(ORDER_SEED, torch.tensor([key]))
    return indices[random.uniform(keys, 0, (len(indices),))[0].argsort(stable=True)]


def choose_indices(count: int) -> Tensor:
    """Test-set indices (N,) of the first `count`, without their images.

    Raises:
        InputError: there are not so many.
    """
    if not 1 <= count <= TEST_IMAGES:
        raise InputError(f"images is {count}, but must lie between 1 and {TEST_IMAGES}.")
    return image_order()[:count]


@lru_cache(maxsize=2)
def choose_images(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first `count`: images uint8 (N, 3, 32, 32), labels (N,), test-set indices (N,).

    Raises:
        InputError: there are not so many, or they need the full data set and it is not here.
    """
    chosen, sample = choose_indices(count), load_sample()
    if count <= len(sample.indices):
        place = {index: row for row, index in enumerate(sample.indices.tolist())}
        rows = torch.tensor([place[index] for index in chosen.tolist()])
        return sample.images[rows], sample.labels[rows], chosen
    data = load_cifar10()
    return data.test_images[chosen], data.test_labels[chosen], chosen


def indices_sha256(indices: Tensor) -> str:
    """SHA-256 of the indices as little-endian int64."""
    return hashlib.sha256(indices.contiguous().numpy().astype("<i8").tobytes()).hexdigest()
