"""The player: one canvas component that shows a run of the search, live and in replay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apr_core.serving.requests import RunView
from apr_core.serving.run_export import record
from apr_ui.component import Component
from apr_ui.component.assets import ZOOM

_mount = Component("apr_player", Path(__file__).parent, ZOOM)


def player_data(view: RunView, first: int = 0, picture: bool = True) -> dict[str, Any]:
    """A run as the player draws it: its record, and how far it is.

    Args:
        first: the first frame to send.
        picture: whether to send the picture; a browser that was sent it keeps it.
    """
    data = record(view, first)
    if not picture:
        del data["image"]
    return data | {
        "live": view.live,
        "queue_place": view.queue_place,
        "wait": view.wait,
        "seconds_left": view.seconds_left,
    }


def player(data: Mapping[str, Any], key: str) -> None:
    """Show a run under a key that stays the same for as long as the player stands.

    The browser keeps the picture and the frames of a run, and merges new ones by generation, so
    a poll may send only the newest. A browser may skip a poll, and a reloaded page has none: send
    some overlap while live, the picture and all frames at a session's first poll, and all at the
    end.

    Args:
        data: of `player_data`, or the record of an ended run. `autoplay` makes an ended run play by
            itself at the mount; `loop` makes it play again and again, with fewer controls;
            `compact` leaves only the picture and a line, `title` is its name for screen readers.
            Neither of these zooms.
            Where people prefer reduced motion, nothing plays by itself.
    """
    _mount(key, data)
