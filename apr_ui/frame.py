"""The beginning of every page."""

from __future__ import annotations

from typing import Literal

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

import apr_ui.streamlit_patches  # noqa: F401
from apr_core.base.paths import shipped
from apr_ui.changing_text import changing_container
from apr_ui.page_table import page_entry
from apr_ui.persistent_widget import enter
from apr_ui.terms import explain

FRAMED = "app.framed"
"""Session key: set once `app.py` has drawn the navigation around the pages."""

ACTIONS = "app-actions"
"""Key of a page's main buttons: on a phone they stay at the bottom of the screen."""

PRESENT = "present"
"""Query parameter: show the page as on a projector, with nothing but the lesson."""

_sheet = st.components.v2.component(
    "apr_sheet",
    html="<i hidden></i>",
    css=shipped("assets/app.css").read_text("utf-8"),
    isolate_styles=False,
)


def menu_place() -> Literal["top", "hidden"]:
    """The place of the page menu; a projector shows none."""
    return "hidden" if PRESENT in st.query_params else "top"


def add_sheet() -> None:
    """Style every page by `assets/app.css`.

    Neither by `st.html` nor by HTML in Markdown: the browser fetches the code of either on its own,
    and a page whose components arrive before it would stand unstyled and then jump. This arrives
    with the code of all components.
    """
    _sheet(key="app.sheet")


def add_style(css: str) -> None:
    """Style one page, or a part of it."""
    st.markdown(f"<style>{css}</style>", unsafe_allow_html=True)


def begin_page(key: str, heading: bool = True) -> None:
    """The page's heading, summary and terms, unless the page has a heading of its own.

    Streamlit takes a folder `pages/` beside the entry point for an older kind of app until some
    session has called `st.navigation`: the first request after a start, if it goes straight to a
    page, would run that page without the app around it. Such a run is started over.
    """
    if not st.session_state.get(FRAMED):
        PagesManager.uses_pages_directory = False
        st.rerun()
    enter(key)
    if not heading:
        return
    entry = page_entry(key)
    changing_container("app.heading", entry.heading).title(entry.heading, anchor=False)
    st.markdown(entry.summary)
    if entry.terms:
        explain(key, entry.terms)
