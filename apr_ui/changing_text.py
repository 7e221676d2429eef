"""Texts that change, for people whose browser translates the page."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def changing_container(
    place: str, text: str, within: DeltaGenerator | None = None
) -> DeltaGenerator:
    """A container for a text, which the browser mounts anew whenever the text has changed.

    Streamlit edits a changed text in place around bold words, code and line breaks. A translator
    has replaced those pieces by its own, so that a person would go on reading the old ones. So
    there are two slots, and a changed text takes the other one. (A container with a new key would
    not do: the browser shows the old text in it until the new one arrives.)

    Args:
        place: names the text; unique within one run of a page.
        text: what will be shown.
        within: the parent container; None for where the script is.
    """
    name = f"changing.{place}"
    said, slot = st.session_state.get(name, (text, 0))
    if said != text:
        slot = 1 - slot
    both = (within or st).container()
    if slot == 1:
        both.empty()
    chosen = both.container()
    if slot == 0:
        both.empty()
    st.session_state[name] = text, slot
    return chosen


def changing_markdown(place: str, text: str) -> None:
    """Write a text that changes where the script is; arguments as in `changing_container`."""
    changing_container(place, text).markdown(text)
