"""Errors at a boundary, as a sentence on the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from apr_core.base.types import InputError
from apr_ui.words import plain


@contextmanager
def errors_on_page(icon: str = "error") -> Iterator[None]:
    """Show an InputError of the block on the page; what follows the block is still drawn."""
    try:
        yield
    except InputError as error:
        st.error(plain(error), icon=f":material/{icon}:")
