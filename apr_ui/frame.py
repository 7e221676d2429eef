"""What every page begins with."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

import apr_ui.streamlit_patches  # noqa: F401
from apr_ui.fresh import fresh
from apr_ui.page_table import page_entry
from apr_ui.persistent_widget import enter

FRAMED = "app.framed"
"""What the app notes in each session that it frames."""


PRESENT = "present"
"""In an address, it asks for the page as a room sees it: nothing but what is presented."""


def menu_place() -> Literal["top", "hidden"]:
    """Where the menu of pages stands; a projector shows none."""
    return "hidden" if PRESENT in st.query_params else "top"


def begin_page(key: str, heading: bool = True) -> None:
    """The page's heading and its one sentence, unless the page has a heading of its own.

    Beside an entry point, Streamlit takes a folder `pages/` for an older kind of app until some
    session has called `st.navigation`; the first request after a start, if it goes straight to a
    page, would run that page without the app around it. Such a run is started over.
    """
    if not st.session_state.get(FRAMED):
        PagesManager.uses_pages_directory = False
        st.rerun()
    enter(key)
    if not heading:
        return
    entry = page_entry(key)
    fresh("app.heading", entry.heading).title(entry.heading, anchor=False)
    st.markdown(entry.summary)
