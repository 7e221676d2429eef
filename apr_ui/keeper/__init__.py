"""A text in this browser's local storage, which is there again after a reload.

A seat in a class, or a teacher's token, must outlive a phone that slept, and must not be in an
address that a projector shows.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_mount = st.components.v2.component(
    "apr_keeper", js=(Path(__file__).parent / "keeper.js").read_text(encoding="utf-8")
)


def kept(name: str) -> str | None:
    """The text under a name: "" for none, None until the browser has answered."""
    result = _mount(
        key=f"keeper.{name}",
        data={"name": name, "value": st.session_state.pop(_order(name), None)},
        on_kept_change=lambda: None,
    )
    said = result.kept
    return said if isinstance(said, str) else None


def keep(name: str, value: str) -> None:
    """Have the browser store a text; "" deletes it."""
    st.session_state[_order(name)] = value


def _order(name: str) -> str:
    return f"keeper.order.{name}"
