"""The keeper: a text that this browser keeps for the lab, and gives back after a reload.

A seat in a class, or a teacher's token, must outlive a phone that slept, and has no place in an
address that a projector shows.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_mount = st.components.v2.component(
    "apr_keeper", js=(Path(__file__).parent / "keeper.js").read_text(encoding="utf-8")
)


def kept(name: str) -> str | None:
    """What the browser keeps under a name: "" for nothing, None until it has said."""
    result = _mount(
        key=f"keeper.{name}",
        data={"name": name, "value": st.session_state.pop(_order(name), None)},
        on_kept_change=lambda: None,
    )
    said = result.kept
    return said if isinstance(said, str) else None


def keep(name: str, value: str) -> None:
    """Have the browser keep a text from its next answer on; "" forgets."""
    st.session_state[_order(name)] = value


def _order(name: str) -> str:
    return f"keeper.order.{name}"
