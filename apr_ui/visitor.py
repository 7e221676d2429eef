"""Who looks at a page: the same visitor in all tabs of a browser."""

from __future__ import annotations

import re

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_COOKIE = "_streamlit_xsrf"
_MASKED = re.compile(r"2\|([0-9a-f]{8})\|((?:[0-9a-f]{2}){8,})\|\d+")


def current_visitor() -> str:
    """The browser's secret in hexadecimal, "" where there is none: cookies may be off."""
    cookie = st.context.cookies.get(_COOKIE)
    return secret_in(cookie) if isinstance(cookie, str) else ""


def current_viewer() -> str:
    """The visitor or, without a cookie, the session: whose work something is."""
    context = get_script_run_ctx()
    return current_visitor() or (context.session_id if context else "")


def secret_in(cookie: str) -> str:
    """The secret in Streamlit's cookie against forged requests, "" if it holds none.

    Streamlit gives each browser one, and masks it anew each time it sets the cookie, which then is
    "2|mask|secret xor mask|time".
    """
    found = _MASKED.fullmatch(cookie.strip('"'))
    if found is None:
        return ""
    mask, masked = map(bytes.fromhex, found.groups())
    return bytes(byte ^ mask[k % len(mask)] for k, byte in enumerate(masked)).hex()
