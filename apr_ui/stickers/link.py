"""The address of a sticker: what is to be learned, so that a reload or a link finds it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apr_core.attacks.sticker import StickerConfig
from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.serving.requests import data_behind
from apr_ui.resources import check_known
from apr_ui.stickers.learning import SIZES, Asked


def to_params(asked: Asked) -> dict[str, str]:
    """As query parameters."""
    model, data, config = asked
    return {
        "model": model,
        "target": data.class_name(config.target),
        "sizes": f"{config.smallest:.2f},{config.largest:.2f}",
        "steps": str(config.steps),
    }


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
