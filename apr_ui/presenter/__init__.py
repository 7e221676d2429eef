"""The presenter's bar: the stop of the lesson, the clock, and keys for the next slide.

On a projector, `PROJECTOR` turns the page into a slide: nothing but the lesson, as large as fits
the window without scrolling. The bar is then at the bottom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

from apr_ui.component import Component

_mount = Component("apr_presenter", Path(__file__).parent)
BAR = "classroom-bar"
"""Key of the container at the bottom of a slide."""
LARGER = "classroom-maps"
"""Key of a container whose pictures have a fixed width, which a slide enlarges."""
PROJECTOR = f"""
html {{ font-size: 24px; --on-slide: none; }}
.stMain :is(h1, h2) {{ font-size: 1.75rem; }}
[data-testid="stHeader"] {{ display: none; }}
.stMain .stMainBlockContainer {{
  zoom: var(--projector, 1);
  display: flex; flex-direction: column; justify-content: safe center;
  flex-shrink: 0; max-width: none; min-height: 100%;
  padding: 1rem 1.7rem 3rem;
}}
.stMain .stMainBlockContainer > * {{ flex: none; height: auto; }}
.st-key-{BAR} {{
  position: fixed; inset: auto 0 0 0; padding: 0 1.7rem 0.2rem; zoom: var(--projector-bar, 1);
}}
.st-key-{BAR} p {{ font-size: 20px; }}
.st-key-{LARGER} {{ zoom: 1.3; }}
"""
"""`presenter.js` sets the zoom; the bar keeps its size. Components hide what has `--on-slide`: what
only the person at the keyboard needs. Streamlit has no setting for any of this."""


@dataclass(frozen=True)
class Stop:
    """One stop of the bar: a step of the lesson, or what comes before it.

    Attributes:
        key: told to who moves there.
        title: in words.
        label: on its button: a step's number, or a short word.
        minutes: in class.
        slides: how many slides the arrow keys walk through here on a projector.
    """

    key: str
    title: str
    label: str
    minutes: float = 0
    slides: int = 1


def presenter(
    stops: Sequence[Stop],
    now: str,
    clock: str,
    on_move: Callable[[str, int], None],
    slide: int = 0,
) -> None:
    """Draw the bar.

    Args:
        stops: in their order.
        now: key of the current one.
        clock: name of the clock in the browser's storage.
        on_move: called with the key of the stop that was chosen, and the slide there, from 1.
        slide: the current one of this stop, from 1; 0 for a page that is on no projector.
    """
    key = f"presenter.{clock}"
    keys = [stop.key for stop in stops]

    def move() -> None:
        place = st.session_state[key].move
        if place and place["stop"] in keys:
            on_move(place["stop"], int(place["slide"]))

    data = {
        "stops": [asdict(stop) for stop in stops],
        "now": keys.index(now),
        "clock": clock,
        "slide": slide,
    }
    _mount(key, data, on_move_change=move)
