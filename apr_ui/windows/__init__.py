"""The windows: which places of each layer's map a pixel of the picture changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from apr_ui.component import Component


class Stage(TypedDict):
    """One map.

    `size` and `window` are heights and widths in places; `rows` and `columns` say where the window
    begins, for each row and each column of the picture; `whole` is whether all of it is computed
    nevertheless. `lines` stand beneath the title.
    """

    title: str
    lines: Sequence[str]
    size: Sequence[int]
    window: Sequence[int]
    rows: Sequence[int]
    columns: Sequence[int]
    whole: bool


class WindowsData(TypedDict):
    """The picture, base64 of H*W*3 bytes; the pixel (x, y) that is shown first; and the maps."""

    width: int
    height: int
    image: str
    label: str
    hint: str
    pixel: Sequence[int]
    stages: Sequence[Stage]


_mount = Component("apr_windows", Path(__file__).parent)


def windows(data: WindowsData, key: str) -> None:
    """Draw the picture and the maps; pointing at another pixel moves the windows."""
    _mount(key, data)
