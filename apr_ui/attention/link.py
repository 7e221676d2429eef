"""A view of the Attention page as query parameters, and back.

It is a run's link (`permalink`) with the class and the methods, and with the edits of an attack, so
that maps after the attack need no new attack.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
import torch

from apr_core.attacks.result import PixelEdit
from apr_core.base.types import InputError
from apr_core.serving.requests import SERVED, AttackRequest
from apr_ui.choose_picture import Choice

FIRST_METHODS = ("attention", "integrated-gradients", "gradcam")
FIRST_OPACITY = 0.6

_EDIT = re.compile(r"(\d{1,3})\.(\d{1,3})\.([0-9a-f]{6})")
MOST_EDITS = SERVED["pixels"][1]


@dataclass(frozen=True)
class AttentionView:
    """The settings of the page, beyond the picture and the model.

    Attributes:
        target: the class that is explained; None for the model's prediction.
        methods: attribution methods, in their order.
        opacity: of the maps, in [0, 1].
        edits: of an attack, none where there was none.
    """

    target: int | None
    methods: tuple[str, ...]
    opacity: float | None
    edits: tuple[PixelEdit, ...] = ()


def view_to_params(view: AttentionView) -> dict[str, str]:
    """The query parameters that restore a view."""
    params = {"methods": ",".join(view.methods)}
    if view.target is not None:
        params["class"] = str(view.target)
    if view.opacity is not None:
        params["opacity"] = f"{view.opacity:g}"
    if view.edits:
        params["edits"] = ",".join(
            f"{edit.x}.{edit.y}.{bytes(edit.rgb).hex()}" for edit in view.edits
        )
    return params


def view_from_params(
    params: Mapping[str, str],
    known: Sequence[str],
    shape: tuple[int, int],
    classes: int,
) -> AttentionView:
    """The view that a link stands for; methods that are not `known` are ignored.

    Args:
        shape: height and width of the picture.
        classes: how many the model tells apart.

    Raises:
        InputError: the link names a class, an opacity or an edit that cannot be.
    """
    target = _number("class", params, classes - 1, whole=True)
    asked = params.get("methods", "").split(",")
    return AttentionView(
        None if target is None else int(target),
        tuple(name for name in asked if name in known),
        _number("opacity", params, 1, whole=False),
        tuple(_edit(text, shape) for text in _texts(params.get("edits", ""))),
    )


def _texts(text: str) -> list[str]:
    found = [part for part in text.split(",") if part]
    if len(found) > MOST_EDITS:
        raise InputError(f"The link edits {len(found)} pixels; it may edit {MOST_EDITS} at most.")
    return found


def _number(name: str, params: Mapping[str, str], high: int, whole: bool) -> float | None:
    if name not in params:
        return None
    text = params[name][:20]
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise InputError(
            f"The link's {name} is '{text}', but must be {kind} from 0 to {high}; copy the link "
            "again."
        )
    return value


def _edit(text: str, shape: tuple[int, int]) -> PixelEdit:
    parts = _EDIT.fullmatch(text)
    if parts is None or int(parts[2]) >= shape[0] or int(parts[1]) >= shape[1]:
        raise InputError(
            f"The link's edit '{text[:20]}' is no pixel of the picture with a colour, as in "
            "3.5.ff0000; copy the link again."
        )
    red, green, blue = bytes.fromhex(parts[3])
    return PixelEdit(int(parts[1]), int(parts[2]), (red, green, blue))


def show_view(request: AttackRequest, view: AttentionView) -> None:
    """Set the page's own controls, and remember the edits of an attack."""
    values = {
        "model": request.model,
        "methods": list(view.methods or FIRST_METHODS),
        "class": view.target,
        "class-of": request.data.name,
        "opacity": FIRST_OPACITY if view.opacity is None else view.opacity,
        "linked": (request.model, request.image, view.edits),
    }
    for name, value in values.items():
        st.session_state[f"attention.{name}"] = value


def linked_edits(choice: Choice, model: str) -> tuple[PixelEdit, ...]:
    """The edits of this picture in the link that the page was opened with."""
    attacked, image, edits = st.session_state.get("attention.linked", ("", choice.image, ()))
    same = attacked == model and torch.equal(image, choice.image)
    return tuple(edits) if same else ()
