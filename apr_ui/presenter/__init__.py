"""The presenter's bar: the step of the lesson, the clock, and keys for the next step.

While it presents, all text is half as large again: 24 pixels and more.
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
        now: the current one.
        clock: name of the clock in the browser's storage.
        large: whether the page is on a projector.
        on_move: called with the step that was chosen.
    """
    key = f"presenter.{clock}"

    def move() -> None:
        number = st.session_state[key].step
        if isinstance(number, int) and 0 <= number < len(steps):
            on_move(steps[number])

    named = [{"title": LESSON[step].title, "minutes": LESSON[step].minutes} for step in steps]
    data = {"steps": named, "now": list(steps).index(now), "clock": clock, "large": large}
    _mount(key, data, on_step_change=move)
