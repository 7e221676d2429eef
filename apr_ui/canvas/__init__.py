"""The canvas: one picture, large, of which a person tries pixels in a chosen colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import streamlit as st

from apr_ui.component import Component


class CanvasEdit(TypedDict):
    """A pixel and its colour."""

    x: int
    y: int
    rgb: Sequence[int]


class CanvasColour(TypedDict):
    """A colour to choose, and what it is called."""

    name: str
    rgb: Sequence[int]


class CanvasHint(TypedDict):
    """A word beside a pixel, with a mark that says the same."""

    x: int
    y: int
    word: str
    mark: str


class CanvasData(TypedDict):
    """What the canvas draws."""

    game: str  # what tries are of: they come back with it
    width: int
    height: int
    image: str  # base64 of H*W*3 bytes, row by row: the clean picture
    title: str  # for screen readers
    edits: Sequence[CanvasEdit]  # in the picture now, the newest last
    pixels: int  # that may be changed: beyond it, the newest edit gives way
    tried: Sequence[Sequence[int]]  # x, y of the tries so far
    colours: Sequence[CanvasColour]
    own: Sequence[int]  # one colour more, which is chosen when it changes
    acked: int  # the last try that was taken
    hints: bool  # whether H asks for one
    hint: NotRequired[CanvasHint | None]


class CanvasTry(TypedDict):
    """One try as the browser sends it; `n` counts up by one a try."""

    n: int
    game: str
    x: int
    y: int
    rgb: Sequence[int]


_mount = Component("apr_canvas", Path(__file__).parent)


def canvas(
    data: CanvasData,
    key: str,
    on_tries: Callable[[Sequence[CanvasTry]], None],
    on_hint: Callable[[str, int, int], None],
    on_undo: Callable[[str], None],
) -> None:
    """Draw the picture under a key that stays the same for as long as it stands.

    Args:
        on_tries: told of the tries that are not in `acked` yet, and of earlier ones now and then.
        on_hint: told for which game, and for which x and y, a hint is asked by a key.
        on_undo: told of which game the newest edit is taken back by a key.
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
