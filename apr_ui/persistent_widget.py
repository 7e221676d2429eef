"""Widgets that keep their values when a person visits another page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

_PAGE, _VISIT, _DRAWN = "app.page", "app.visit", "app.drawn"


def enter(page: str) -> None:
    """Note which page runs, before it draws any widget."""
    if st.session_state.get(_PAGE) != page:
        st.session_state[_PAGE] = page
        st.session_state[_VISIT] = visit() + 1


def page_now() -> str:
    """The page that runs."""
    return str(st.session_state.get(_PAGE, ""))


def visit() -> int:
    """How often the session has changed pages."""
    count: int = st.session_state.get(_VISIT, 0)
    return count


def keep_among(key: str, options: Sequence[object]) -> None:
    """Give a picker its first option where what it has is none of them; call before it is drawn."""
    if options and st.session_state.get(key, options[0]) not in options:
        st.session_state[key] = options[0]


def persistent(key: str, first: Any = None) -> dict[str, Any]:
    """Keyword arguments that make a widget keep its value across pages.

    A value that the app has set, and no person, lasts only on the page that it was set on: on the
    next page Streamlit gives the widget its first choice. So it is set again once a visit; setting
    it at every run would overwrite what is being typed.

    Args:
        key: of the widget.
        first: its value before a person or a link has given it one; None for the widget's own.
    """
    drawn: dict[str, int] = st.session_state.setdefault(_DRAWN, {})
    if key not in st.session_state:
        if first is not None:
            st.session_state[key] = first
    elif drawn.get(key) != visit():
        st.session_state[key] = st.session_state[key]
    drawn[key] = visit()
    return {"key": key, "persist_state": "session"}
