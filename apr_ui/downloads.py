"""Files to download."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import streamlit as st

File = tuple[str, Callable[[], str | bytes], str]
"""Its kind, as in `MIMES`; what makes it when it is clicked; and a short description."""
SHARED = "Picture to share"
MIMES = {
    SHARED: "image/png",
    "PNG": "image/png",
    "GIF": "image/gif",
    "CSV": "text/csv",
    "JSON": "application/json",
    "HTML": "text/html",
    "PDF": "application/pdf",
    "MD": "text/markdown",
    "TEX": "text/x-tex",
}


def offer_files(page: str, name: str, files: Iterable[File], label: str = "{kind}") -> None:
    """A row of download buttons.

    Args:
        page: what the keys begin with.
        name: of the files, without the ending.
        label: of each button; a page with several rows needs a name for each.
    """
    with st.container(horizontal=True):
        for kind, make, description in files:
            ending = "share.png" if kind == SHARED else kind.lower()
            st.download_button(
                label.format(kind=kind),
                make,
                file_name=f"{name}.{ending}",
                mime=MIMES[kind],
                key=f"{page}.{ending}",
                help=description or None,
                on_click="ignore",
                icon=":material/download:",
            )
