"""The data set that the pages show."""

from __future__ import annotations

from apr_core.data.dataset import DataSet
from apr_core.data.registry import find_dataset


def shown_data() -> DataSet:
    """What the pages' pictures and class names are of."""
    return find_dataset()


def class_name(label: int) -> str:
    """A class of it in words."""
    return shown_data().class_name(label)
