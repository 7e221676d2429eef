"""Evaluation images: the first N of one fixed order of a test set, and their hash.

The shipped sample, if there is one, comes first, shuffled, so that its images need no download; the
others follow, shuffled too. The order comes from this package's own generator, which is
whole-number arithmetic and the same everywhere.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from apr_core.base import random
from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet

ORDER_SEED = 2019


def image_order(data: DataSet) -> Tensor:
    """Every index of a test set, (N,) int64, in the order of evaluation."""
    sample = data.leading_indices()
    rest = torch.ones(data.tested, dtype=torch.bool).index_fill(0, sample, False).nonzero()[:, 0]
    return torch.cat([_shuffled(sample, 0), _shuffled(rest, 1)])


def _shuffled(indices: Tensor, key: int) -> Tensor:
    keys = random.keys_for(ORDER_SEED, torch.tensor([key]))
    return indices[random.uniform(keys, 0, (len(indices),))[0].argsort(stable=True)]


def choose_indices(data: DataSet, count: int) -> Tensor:
    """Test-set indices (N,) of the first `count`, without their images.

    Raises:
        InputError: there are not so many.
    """
    if not data.tested:
        data.load("test")  # which says why there are none
    if not 1 <= count <= data.tested:
        raise InputError(f"images is {count}, but must lie between 1 and {data.tested}.")
    return image_order(data)[:count]


@lru_cache(maxsize=2)
def choose_images(data: DataSet, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first `count`: images uint8 (N, C, H, W), labels (N,), test-set indices (N,).

    Raises:
        InputError: there are not so many, or they need the full data set and it is not here.
    """
    chosen = choose_indices(data, count)
    part = data.test_part(chosen)
    return part.images, part.labels, chosen


def indices_sha256(indices: Tensor) -> str:
    """SHA-256 of the indices as little-endian int64."""
    return hashlib.sha256(indices.contiguous().numpy().astype("<i8").tobytes()).hexdigest()
