"""The canvas: one large picture whose pixels a person edits in a chosen colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import streamlit as st

from apr_ui.component import Component
from apr_ui.component.assets import ZOOM


class CanvasData(TypedDict):
    """What the canvas draws; an edit is `{x, y, rgb}`."""

    game: str  # what tries are of: they come back with it
    width: int
    height: int
    image: str  # base64 of H*W*3 bytes, row by row: the clean picture
    title: str  # for screen readers
    edits: Sequence[Mapping[str, Any]]  # in the picture now, the newest last
    pixels: int  # that may be changed: beyond it, the newest edit is replaced
    tried: Sequence[Sequence[int]]  # x, y of the tries so far
    colours: Sequence[Mapping[str, Any]]  # to choose from: {name, rgb}
    own: Sequence[int]  # one colour more, which is chosen when it changes
    acked: int  # number of the last try that was taken
    hints: bool  # whether the H key asks for one
    hint: Mapping[str, Any] | None  # {x, y, word, mark}, shown beside its pixel


class CanvasTry(TypedDict):
    """One try as the browser sends it; `n` counts up by one a try."""

    n: int
    game: str
    x: int
    y: int
    rgb: Sequence[int]


_mount = Component("apr_canvas", Path(__file__).parent, ZOOM)


def canvas(
    data: CanvasData,
    key: str,
    on_tries: Callable[[Sequence[CanvasTry]], None],
    on_hint: Callable[[str, int, int], None],
    on_undo: Callable[[str], None],
) -> None:
    """Draw the picture under a key that stays the same for as long as it stands.

    Args:
        on_tries: called with the tries after `acked`, and sometimes with earlier ones too.
        on_hint: called with the game, x and y for which the H key asks a hint.
        on_undo: called with the game whose newest edit a key takes back.
    """

    def tried() -> None:
        on_tries(st.session_state[key].tries)

    def hint() -> None:
        asked = st.session_state[key].hint
        on_hint(asked["game"], asked["x"], asked["y"])

    def undo() -> None:
        on_undo(st.session_state[key].undo)

    _mount(
        key,
        data,
        default={"tries": []},
        on_tries_change=tried,
        on_hint_change=hint,
        on_undo_change=undo,
    )
