"""The challenge board on the page: who flipped the picture by hand with the fewest queries."""

from __future__ import annotations

import html

import streamlit as st

from apr_core.base.types import InputError
from apr_core.classroom.board import Entry
from apr_ui.resources import classrooms

POLL_SECONDS = 1.5
SHOWN = 12


def show_board(code: str) -> None:
    """The board, updated as entries come in."""
    st.markdown("**Challenge board**: who flips it with the fewest queries?")
    st.fragment(_draw, run_every=POLL_SECONDS)(code)


def _draw(code: str) -> None:
    try:
        entries = classrooms().board(code)
    except InputError:
        return  # the page says it
    if not entries:
        st.caption("Nobody yet.")
        return
    st.html(as_html(entries[:SHOWN]))
    if len(entries) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(entries)}.")


def as_html(entries: tuple[Entry, ...]) -> str:
    """An HTML table; nicknames are escaped."""
    rows = "".join(
        f"<tr><td>{entry.place}</td><td>{html.escape(entry.nickname)}</td>"
        f"<td>{entry.queries:,}</td><td>{entry.pixels}</td><td>{entry.hints}</td></tr>"
        for entry in entries
    )
    head = "".join(f"<th>{word}</th>" for word in ("", "Who", "Queries", "Pixels", "Hints"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
