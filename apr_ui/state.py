"""What a session remembers beyond its widgets."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from apr_core.base.tickets import Ticket
from apr_core.base.types import Status
from apr_core.serving.requests import AttackRequest, Phase, RunView
from apr_ui.resources import service


@dataclass(frozen=True)
class CurrentRun:
    """The run on the Attack page: what was asked, and the session's claim on it."""

    request: AttackRequest
    ticket: Ticket


_RUN, _PICTURE = "attack.current-run", "attack.run-picture"


def current_run(picture: str) -> CurrentRun | None:
    """The session's run, while the picture that it was started on is the chosen one.

    Args:
        picture: key of the chosen picture, "" while there is none.
    """
    run: CurrentRun | None = st.session_state.get(_RUN)
    started_on = st.session_state.setdefault(_PICTURE, picture)
    return run if picture in ("", started_on) else None


def start_run(request: AttackRequest, replay: bool = False) -> CurrentRun:
    """Submit a request, or join the run of an equal one, and remember it.

    Args:
        replay: whether a run that somebody else had made already is played from its beginning.
    """
    run, before = CurrentRun(request, service().submit(request)), st.session_state.get(_RUN)
    if before and before.ticket.run_id == run.ticket.run_id:
        service().cancel(before.ticket.run_id, before.ticket.token)  # it goes on: claimed anew
    st.session_state[_RUN] = run
    st.session_state.pop(_PICTURE, None)
    set_replay(replay)
    return run


def open_run(request: AttackRequest) -> CurrentRun:
    """Take up the run that an address names: join it, or start it.

    One that broke off, was cancelled, or was interrupted when the server stopped, is shown as it
    is: it is for the person to say whether it is run again.
    """
    view = service().view(request.run_id)
    if view is None or not (view.phase is Phase.FAILED or cancelled(view)):
        return start_run(request)
    run = CurrentRun(request, Ticket(request.run_id, ""))
    st.session_state[_RUN] = run
    st.session_state.pop(_PICTURE, None)
    return run


def forget_run() -> None:
    """Show no run; it goes on while anybody looks at it, and is found again by its address."""
    st.session_state.pop(_RUN, None)
    st.session_state.pop(_PICTURE, None)


def cancel_runs(*tickets: Ticket) -> None:
    """Cancel runs, and say so if somebody keeps one of them going."""
    for ticket in tickets:
        service().cancel(ticket.run_id, ticket.token)
    if service().count_live(ticket.run_id for ticket in tickets):
        st.toast(
            "It goes on: someone else is looking at it too, or did so a moment ago. Cancel again "
            "in a few seconds.",
            icon=":material/group:",
            duration="long",
        )


def cancelled(view: RunView) -> bool:
    """Whether a run was ended before it had decided anything."""
    return view.outcome is not None and view.outcome.status is Status.CANCELLED


def set_replay(replay: bool, page: str = "attack") -> None:
    """Whether a page's run, if it had ended before it is seen, is played from its beginning."""
    st.session_state[f"{page}.replay"] = replay


def take_replay(page: str = "attack") -> bool:
    """Whether an ended run is to be played from its beginning: true once."""
    return bool(st.session_state.pop(f"{page}.replay", False))
