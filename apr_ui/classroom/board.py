"""The challenge board on the page: who flipped the picture by hand with the fewest queries."""

from __future__ import annotations

import html

import streamlit as st

from apr_core.base.types import InputError
from apr_core.classroom.board import Entry
from apr_ui.resources import classrooms

POLL_SECONDS = 1.5
SHOWN, ON_SLIDE = 12, 5
"""Entries on a page, and on a slide, whose text would be small with more."""


def show_board(code: str, most: int = SHOWN) -> None:
    """The board, updated as entries come in.

    Args:
        most: entries that are shown, the best first.
    """
    st.markdown("**Challenge board**: who flips it with the fewest queries?")
    st.fragment(_draw, run_every=POLL_SECONDS)(code, most)


def _draw(code: str, most: int) -> None:
    try:
        entries = classrooms().board(code)
    except InputError:
        return  # the page says it
    if not entries:
        st.caption("Nobody yet.")
        return
    st.html(as_html(entries[:most]))
    if len(entries) > most:
        st.caption(f"The first {most} of {len(entries)}.")


def as_html(entries: tuple[Entry, ...]) -> str:
    """An HTML table; nicknames are escaped."""
    rows = "".join(
        f"<tr><td>{entry.place}</td><td>{html.escape(entry.nickname)}</td>"
        f"<td>{entry.queries:,}</td><td>{entry.pixels}</td><td>{entry.hints}</td></tr>"
        for entry in entries
    )
    head = "".join(f"<th>{word}</th>" for word in ("", "Who", "Queries", "Pixels", "Hints"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
