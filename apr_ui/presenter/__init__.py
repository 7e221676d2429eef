"""The presenter's bar: which step of the lesson it is, the clock, and the keys that go on.

While it presents, everything on the page is half as large again: 24 pixels and more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from apr_ui.component import Component
from apr_ui.lesson.steps import LESSON

_mount = Component("apr_presenter", Path(__file__).parent)


def presenter(
    steps: Sequence[str], now: str, clock: str, large: bool, on_move: Callable[[str], None]
) -> None:
    """Draw the bar.

    Args:
        steps: the lesson's, in their order.
        now: the present one.
        clock: what the browser keeps the clock under.
        large: whether the page is shown to a room.
        on_move: learns the step that was asked for.
    """
    key = f"presenter.{clock}"

    def move() -> None:
        number = st.session_state[key].step
        if isinstance(number, int) and 0 <= number < len(steps):
            on_move(steps[number])

    named = [{"title": LESSON[step].title, "minutes": LESSON[step].minutes} for step in steps]
    data = {"steps": named, "now": list(steps).index(now), "clock": clock, "large": large}
    _mount(key, data, on_step_change=move)
