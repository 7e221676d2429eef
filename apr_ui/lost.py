"""What to say of a run that an address names and that is no longer there."""

from __future__ import annotations

import streamlit as st

from apr_core.data.cifar10 import CLASSES
from apr_core.types import InputError, shown
from apr_ui.controls import UPLOAD, show_request
from apr_ui.resources import service


def lost_run(run_id: str) -> InputError:
    """A sentence; the settings of a run on a person's own picture are set for another try."""
    head = service().lost(run_id)
    if head is None:
        return InputError(
            f"The run {shown(run_id, 16)} is not known here any more; choose a picture and start "
            "again."
        )
    show_request(head)
    st.session_state["attack.source"] = UPLOAD
    st.session_state["attack.truth"] = CLASSES[head.label]
    return InputError(
        f"The run {head.run} was on a picture of your own, which stays in memory and is never "
        "written to disk; the server has stopped since, or needed the room. Choose the picture "
        "again, and the settings that stand here, which were its own, make the same run."
    )
