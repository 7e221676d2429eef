"""What to say of a run that an address names and that is no longer there."""

from __future__ import annotations

import streamlit as st

from apr_core.base.types import InputError, shown
from apr_ui.controls import UPLOAD, show_request
from apr_ui.resources import service
from apr_ui.upload import await_own


def missing_run(run_id: str) -> InputError:
    """A sentence; the settings of a run on a person's own picture are set for another try."""
    head = service().lost(run_id)
    if head is None:
        return InputError(
            f"The run {shown(run_id, 16)} is not known here any more; choose a picture and start "
            "again."
        )
    show_request(head)
    st.session_state["attack.source"] = UPLOAD
    await_own(head.label)
    return InputError(
        "That run was on a picture of your own, which is never written to disk, and so was lost "
        "when the server stopped or needed the room; choose the picture again, and the settings "
        "shown here make the same run."
    )
