"""The address of a sticker: what is to be learned, and how it lies on the picture, so that a reload
or a link finds it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from apr_core.attacks.sticker import StickerConfig
from apr_core.base.types import InputError, shown
from apr_core.data.dataset import DataSet
from apr_core.serving.requests import data_behind
from apr_ui.resources import check_known
from apr_ui.stickers.learning import SIZES, Asked

PLACES = {"across": (0.0, 1.0), "down": (0.0, 1.0), "size": (0.1, 0.9), "turn": (-180.0, 180.0)}
"""How a sticker may lie on a picture: see `Views`."""


def to_params(asked: Asked, place: Mapping[str, float] | None) -> dict[str, str]:
    """As query parameters; a place of None is the usual one."""
    model, data, config = asked
    lies = {"place": ",".join(f"{place[name]:.3g}" for name in PLACES)} if place else {}
    return lies | {
        "model": model,
        "target": data.class_name(config.target),
        "sizes": f"{config.smallest:.2f},{config.largest:.2f}",
        "steps": str(config.steps),
    }


def place_from_params(params: Mapping[str, str]) -> dict[str, float] | None:
    """How the sticker lies; None where the link does not say.

    Raises:
        InputError: it says anything but four numbers within their ranges.
    """
    given = params.get("place")
    if given is None:
        return None
    try:
        place = dict(zip(PLACES, map(float, given.split(",")), strict=True))
    except ValueError:
        place = {}
    if place and all(low <= place[name] <= high for name, (low, high) in PLACES.items()):
        return place
    ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in PLACES.items())
    raise InputError(f"The link's place is '{shown(given)}'; use four numbers: {ranges}.")


def from_params(params: dict[str, str], usual_for: Callable[[DataSet], StickerConfig]) -> Asked:
    """Undo `to_params`.

    Args:
        usual_for: gives the other settings, by data set.

    Raises:
        InputError: there is no such model or class, or a number is none or out of range.
    """
    model = params.get("model", "")
    check_known(model)
    data = data_behind(model)
    usual = usual_for(data)
    try:
        smallest, largest = map(float, params["sizes"].split(","))
        steps = int(params["steps"])
    except (KeyError, ValueError):
        raise InputError(
            "The link names no sizes or steps of a sticker; copy it again, whole."
        ) from None
    low, high = SIZES
    if not (low <= smallest and largest <= high):
        raise InputError(
            f"The link's sizes are {smallest:g} and {largest:g}; use sizes from {low} to {high}."
        )
    target = data.class_number(params.get("target", ""))
    config = replace(usual, target=target, smallest=smallest, largest=largest, steps=steps)
    return model, data, config
