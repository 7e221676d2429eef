"""A page's address: followed once when it changes, and kept in step with what the page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from apr_ui.errors import errors_on_page
from apr_ui.persistent_widget import visit

_REPLACED = "app.replaced-address"


def follow_address(
    page: str,
    do: Callable[[dict[str, str]], None],
    forget: Callable[[], None] = lambda: None,
) -> None:
    """Do what the address asks for, once; show an error where that cannot be done.

    The browser's Back may lead to the page's bare address. The page then shows what it showed
    there: nothing that an address names. If it wrote the later address again, Back would seem to
    do nothing.

    Args:
        page: what the page's keys begin with.
        do: takes the query parameters, at least one; raises InputError.
        forget: drops what the address named; Forward brings the address back, which finds it.
    """
    params = st.query_params.to_dict()
    if params == st.session_state.get(f"{page}.address", {}):
        return
    if st.session_state.get(_REPLACED) == (visit(), params) and not by_history():
        return  # the browser asked for this run before the newer address had reached it
    st.session_state[f"{page}.address"] = params
    if not params:
        if by_history():
            forget()
        return
    with errors_on_page("link_off"):
        do(params)


def by_history() -> bool:
    """Whether the browser's Back or Forward led to this run of the page."""
    context = get_script_run_ctx()
    return context is not None and context.is_history_navigation


def keep_address(page: str, params: Mapping[str, str]) -> None:
    """Write what the page shows into the address, so that a reload finds it again."""
    st.session_state[f"{page}.address"] = dict(params)
    before = st.query_params.to_dict()
    if before != params:
        st.session_state[_REPLACED] = visit(), before
        st.query_params.from_dict(params)


def page_link(params: Mapping[str, str]) -> str:
    """This page's whole address, with these query parameters."""
    return f"{(st.context.url or '').partition('?')[0]}?{urlencode(params, safe=',')}"


def share_link(title: str, params: Mapping[str, str]) -> None:
    """An expander with a link to copy."""
    with st.expander(title, icon=":material/link:"):
        if "picture" in params:
            st.caption("The link contains the picture itself: share it only if you are allowed to.")
        st.code(page_link(params), language=None, wrap_lines=True)
