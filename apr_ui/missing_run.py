"""The error for a run that an address names and that no longer exists."""

from __future__ import annotations

import streamlit as st

from apr_core.base.types import InputError, shown
from apr_ui.choose_picture import UPLOAD
from apr_ui.controls import show_request
from apr_ui.resources import service
from apr_ui.upload import await_own


def missing_run(run_id: str) -> InputError:
    """The error; the controls are set to a lost run on an uploaded picture, to repeat it."""
    head = service().lost(run_id)
    if head is None:
        return InputError(
            f"The run {shown(run_id, 16)} is no longer known here; choose a picture and start "
            "again."
        )
    show_request(head)
    st.session_state["attack.source"] = UPLOAD
    await_own(head.label if head.named else None)
    return InputError(
        "That run was on an uploaded picture, which is never written to disk, so it was lost when "
        "the server stopped or needed the memory; choose the picture again, and the settings shown "
        "here make the same run."
    )
