"""A page's address: done once what it asks for, and kept in step with what the page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from apr_core.types import InputError
from apr_ui.words import plain


def follow_address(page: str, do: Callable[[dict[str, str]], None]) -> None:
    """Do what the address asks for, once; where that cannot be done, say so.

    Args:
        page: what the page's keys begin with.
        do: takes the query parameters, of which there is one at least; raises InputError.
    """
    params = st.query_params.to_dict()
    if not params or params == st.session_state.get(f"{page}.address"):
        return
    st.session_state[f"{page}.address"] = params
    try:
        do(params)
    except InputError as error:
        st.error(plain(error), icon=":material/link_off:")


def keep_address(page: str, params: Mapping[str, str]) -> None:
    """Let the address name what the page shows, so that a reload finds it again."""
    st.session_state[f"{page}.address"] = dict(params)
    if st.query_params.to_dict() != params:
        st.query_params.from_dict(params)
