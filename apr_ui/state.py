"""What a session remembers beyond its widgets."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from apr_core.service import AttackRequest, Ticket
from apr_ui.resources import service


@dataclass(frozen=True)
class CurrentRun:
    """The run on the Attack page: what was asked, and the session's claim on it."""

    request: AttackRequest
    ticket: Ticket


_RUN = "attack.current-run"


def current_run() -> CurrentRun | None:
    """The session's run, if it has one."""
    run: CurrentRun | None = st.session_state.get(_RUN)
    return run


def start_run(request: AttackRequest) -> CurrentRun:
    """Submit a request, or join the run of an equal one, and remember it."""
    run = CurrentRun(request, service().submit(request))
    st.session_state[_RUN] = run
    return run


def forget_run() -> None:
    """Back to choosing; the run itself goes on while somebody looks at it."""
    st.session_state.pop(_RUN, None)
