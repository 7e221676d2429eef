"""The board: a picture with a sticker on it, which a person drags, turns and resizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

import streamlit as st

from apr_ui.component import Component


class BoardData(TypedDict):
    """What the board draws; `view` has the fields of a `Views`, of one picture."""

    picture: str  # base64 of a PNG
    sticker: str  # the same
    width: int  # of the picture, in its pixels
    height: int
    title: str  # for screen readers
    view: Mapping[str, float]
    smallest: float  # sizes that the board lets a person choose
    largest: float
    answered: int  # number of the last view that was taken


_mount = Component("apr_sticker_board", Path(__file__).parent)


def board(data: BoardData, key: str, on_view: Callable[[int, Mapping[str, float]], None]) -> None:
    """Draw the board; `on_view` learns how often the sticker was moved, and how it lies now."""

    def moved() -> None:
        view = dict(st.session_state[key].view)
        on_view(int(view.pop("n")), view)

    _mount(key, data, default={"view": {"n": 0}}, on_view_change=moved)
