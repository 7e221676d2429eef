"""A visitor's data on a class in the browser: the seat or the teacher's token, and the game."""

from __future__ import annotations

import json

import streamlit as st

from apr_ui.keeper import keep, kept


def browser_said(code: str) -> bool:
    """Ask the browser for its data on a class, once a page run; whether it has answered yet."""
    said = kept(f"class.{code}")
    if said:
        st.session_state[_place(code)] = _read(said) | remembered(code)
    return said is not None


def remembered(code: str) -> dict[str, str]:
    """The data on a class, by kind: teacher, seat, game."""
    known: dict[str, str] = st.session_state.get(_place(code), {})
    return known


def remember(code: str, kind: str, value: str) -> None:
    """Store it in this session and in the browser."""
    known = remembered(code) | {kind: value}
    st.session_state[_place(code)] = known
    keep(f"class.{code}", json.dumps(known))


def _place(code: str) -> str:
    return f"classroom.kept-{code}"


def _read(text: str) -> dict[str, str]:
    """The data in a browser's text, which may be anything."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {kind: value for kind, value in found.items() if isinstance(value, str)}
