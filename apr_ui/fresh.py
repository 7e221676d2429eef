"""Texts that change, for people whose browser translates the page."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def fresh(place: str, text: str, within: DeltaGenerator | None = None) -> DeltaGenerator:
    """A container for a text; the browser makes it anew whenever the text is another.

    Streamlit edits a changed text in place where words in bold, code or a line break stand in it.
    A translator has taken those pieces out of the page and put its own there, so that a person
    would go on reading the old ones. So there are two seats, and another text takes the other one.
    (A container with another key would not do: the browser shows the old text in it until the new
    one arrives.)

    Args:
        place: names the text; no two in one run of a page may have the same.
        text: what will be said.
        within: where it stands; None for where the script is.
    """
    name = f"fresh.{place}"
    said, seat = st.session_state.get(name, (text, 0))
    if said != text:
        seat = 1 - seat
    both = (within or st).container()
    if seat == 1:
        both.empty()
    chosen = both.container()
    if seat == 0:
        both.empty()
    st.session_state[name] = text, seat
    return chosen


def fresh_markdown(place: str, text: str) -> None:
    """Write a text that changes, where the script is; arguments as `fresh` takes them."""
    fresh(place, text).markdown(text)
