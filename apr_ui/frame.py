"""What every page begins with."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from apr_ui.page_table import page_entry

FRAMED = "app.framed"
"""What the app notes in each session that it frames."""


def begin_page(key: str) -> None:
    """The page's heading and its one sentence.

    Beside an entry point, Streamlit takes a folder `pages/` for an older kind of app until some
    session has called `st.navigation`; the first request after a start, if it goes straight to a
    page, would run that page without the app around it. Such a run is started over.
    """
    if not st.session_state.get(FRAMED):
        PagesManager.uses_pages_directory = False
        st.rerun()
    entry = page_entry(key)
    st.title(entry.heading, anchor=False)
    st.markdown(entry.summary)
