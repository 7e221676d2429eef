"""The pictures that the Classes page counts and shows."""

from __future__ import annotations

from functools import lru_cache

import torch

from apr_core.data.dataset import DataSet, Sample

MOST = 1000
"""Pictures that are taken of a test set."""


def pictures_of(data: DataSet) -> Sample:
    """The labelled pictures of a data set that come with the project; where none do, the first of
    each class of the test set.

    Raises:
        InputError: neither is here.
    """
    return _of_test_set(data) if data.sample is None and data.here() else data.shipped_sample()


@lru_cache(maxsize=2)
def _of_test_set(data: DataSet) -> Sample:
    test, each = data.load("test"), MOST // len(data.classes)
    firsts = [(test.labels == label).nonzero()[:each, 0] for label in range(len(data.classes))]
    places = torch.cat(firsts).sort().values
    return Sample(test.take(places), test.labels[places], places)
