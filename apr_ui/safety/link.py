"""A net and a picture as query parameters, and back."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.types import InputError, shown
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import find_dataset
from apr_core.safety.config import PipelineConfig
from apr_core.serving.requests import AttackRequest
from apr_ui.choose_picture import Choice, place_of
from apr_ui.dataset import CHOSEN
from apr_ui.resources import guards
from apr_ui.safety.nets import SLIDERS

SHORT = 8
"""Digits of a hash that name a net."""


def to_params(
    measured: PipelineConfig, config: PipelineConfig, choice: Choice | None
) -> dict[str, str]:
    """The query parameters that show this again; a picture of one's own is not among them."""
    params = {"net": measured.sha256[:SHORT]}
    if choice is not None and choice.index != OWN_PICTURE:
        params["index"] = str(choice.index)
    for layer in SLIDERS:
        part = getattr(config, layer)
        if part is not None and part != getattr(measured, layer):
            params[layer] = f"{part.threshold:.3f}"
    return params


def open_link(params: Mapping[str, str]) -> None:
    """Set the controls to what a link asks for.

    Raises:
        InputError: it names a net, a picture or a threshold that there is none of.
    """
    if "net" not in params:
        return
    name = params["net"]
    settings = (record.setting for record in guards()[0])
    setting = next((one for one in settings if one.pipeline.sha256[:SHORT] == name), None)
    if setting is None:
        raise InputError(
            f"There is no measured safety net '{shown(name)}'; choose one of those on the page."
        )
    found, data = setting.pipeline, find_dataset(setting.data)
    state: dict[str, object] = {CHOSEN: data.name, "safety.net": found.sha256}
    if text := params.get("index"):
        if not text.isdecimal():
            raise InputError(
                f"The link's index is '{shown(text)}', which is no test image; indices go from 0 "
                f"to {data.tested - 1}."
            )
        index = int(text[:9])
        image, label = data.test_image(index)
        request = AttackRequest(found.model, image, label, index, OnePixelConfig())
        state |= {f"attack.{key}": value for key, value in place_of(request).items()}
    for layer in SLIDERS:
        if layer in params and getattr(found, layer) is not None:
            state[f"safety.{layer}-{found.sha256[:SHORT]}"] = _threshold(layer, params[layer])
    st.session_state.update(state)


def _threshold(layer: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(
            f"The link's {layer} is '{shown(text)}', but a threshold lies between 0 and 1."
        )
    return value
