"""A person's own data as a model takes them, and data sets known by their description alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from apr_core.base import schema
from apr_core.base.types import InputError, shown
from apr_core.data.dataset import DataSet, Say, Split, unnamed
from apr_core.data.own import is_path, own_data


def fit_to(data: DataSet, made_for: DataSet) -> DataSet:
    """A person's own data with the classes of a model's; grey pictures in colour if need be.

    Args:
        data: whose classes are found among the model's by their names or ids.
        made_for: the data set of the model.

    Returns:
        The data themselves where nothing need be changed, or where no class has a name that the
        model knows.
    """
    if data.channels == 1 and made_for.channels != 1:
        data = _changed(data, lambda split: replace(split, take=_in_colour(split)))
        data = replace(data, channels=3, mean=data.mean * 3, std=data.std * 3)
    if data.classes == made_for.classes:
        return data
    known = _labels(made_for)
    labels = [known.get(_plain(name)) for name in data.classes]
    if all(label is None for label in labels):
        return data
    strange = [place for place, label in enumerate(labels) if label is None]

    def refuse(among: Iterable[int]) -> None:
        for place in among:
            raise InputError(
                f"{data.title} has a class {shown(data.classes[place], 60)}, which is none of "
                f"{made_for.title}'s; leave it out, or call it as the model does."
            )

    def relabelled(split: Split) -> Split:
        refuse(set(strange) & set(split.labels.tolist()))
        return replace(split, labels=mapping[split.labels])

    refuse(place for place in strange if data.classes[place] != unnamed(place))
    mapping = torch.tensor([-1 if label is None else label for label in labels])
    return replace(_changed(data, relabelled), classes=made_for.classes)


def describe(data: DataSet) -> dict[str, Any]:
    """What a card must keep of a person's own data, for its model to be used without them."""
    return {
        "classes": list(data.classes),
        "size": list(data.size),
        "channels": data.channels,
        "mean": list(data.mean),
        "std": list(data.std),
        "variogram": data.variogram().tolist(),
    }


def described(name: str, entry: dict[str, Any]) -> DataSet:
    """The data set that `describe` kept, without its pictures; `load` says that they are gone.

    Raises:
        InputError: the description is damaged.
    """
    try:
        classes = schema.build(tuple[str, ...], entry["classes"])
        size = schema.build(tuple[int, int], entry["size"])
        channels = schema.build(int, entry["channels"])
        mean, std = (schema.build(tuple[float, ...], entry[key]) for key in ("mean", "std"))
        gamma = torch.tensor(entry["variogram"], dtype=torch.float64)
        if not min(size) > 0 or channels not in (1, 3) or len(mean) != channels:
            raise ValueError(f"pictures of {channels} channels and {size} pixels")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"A card does not describe its data ({error}); restore it.") from None

    def own() -> DataSet:
        if not is_path(name):
            raise InputError(f"The data {shown(name, 200)} are not here; give --data.")
        return own_data(name, size)

    def fetch(source: str, say: Say) -> None:
        own().fetch(source, say)

    return DataSet(
        name, name, classes, size, channels, mean, std, name, "not known here",
        "a person's own data", 0, lambda split: own().load(split), lambda: False, fetch,
        lambda: gamma,
    )  # fmt: skip


def _labels(made_for: DataSet) -> dict[str, int]:
    """Labels by plain names and ids; of a name that several classes have, none."""
    known: dict[str, int] = {}
    for label, name in enumerate(made_for.classes):
        if made_for.classes.count(name) == 1:
            known[_plain(name)] = label
    return known | {_plain(one): label for label, one in enumerate(made_for.ids)}


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _changed(data: DataSet, change: Callable[[Split], Split]) -> DataSet:
    return replace(data, load=cache(lambda split: change(data.load(split))))


def _in_colour(split: Split) -> Callable[[Tensor], Tensor]:
    return lambda places: split.take(places).expand(-1, 3, -1, -1)
