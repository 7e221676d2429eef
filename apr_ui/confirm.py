"""The question before something is deleted."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st


def confirmed(page: str, title: str, told: str, yes: str, keep: Callable[[], None]) -> bool:
    """Ask whether to delete something, in the place of the button that would; whether to do it.

    Args:
        page: what the keys begin with.
        title, told: the question, and what would be deleted.
        yes: words of the button that deletes.
        keep: called if the answer is no.
    """
    st.markdown(f"**{title}**")
    st.markdown(told)
    with st.container(horizontal=True):
        st.button("Cancel", f"{page}.keep", on_click=keep)
        return st.button(yes, f"{page}.sure", type="primary")
