"""Files to take away."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import streamlit as st

File = tuple[str, Callable[[], str | bytes], str, str]
"""Its kind, what makes it when asked for, its MIME type, and what it is, in a few words."""


def offer_files(page: str, name: str, files: Iterable[File]) -> None:
    """A button a file, in a row.

    Args:
        page: what the keys begin with.
        name: of the files, without the kind.
    """
    with st.container(horizontal=True):
        for kind, make, mime, described in files:
            st.download_button(
                kind,
                make,
                file_name=f"{name}.{kind.lower()}",
                mime=mime,
                key=f"{page}.{kind.lower()}",
                help=described,
                on_click="ignore",
                icon=":material/download:",
            )
