"""What a session remembers beyond its widgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import streamlit as st

from apr_core.base.tickets import Ticket
from apr_core.base.types import Status
from apr_core.serving.requests import AttackRequest, Phase, RunView
from apr_ui.resources import service

T = TypeVar("T")
NOT_STOPPED = "Not stopped: someone else is watching this run."


@dataclass(frozen=True)
class CurrentRun:
    """The run on a page: the request, and the session's claim on it."""

    request: AttackRequest
    ticket: Ticket


@dataclass(frozen=True)
class OnPicture(Generic[T]):
    """Something that a page shows while the picture that it was made on is the chosen one.

    Attributes:
        key: where the session keeps it.
    """

    key: str

    def get(self) -> T | None:
        """What is kept, whichever picture is chosen."""
        kept: T | None = st.session_state.get(self.key)
        return kept

    def current(self, picture: str) -> T | None:
        """What is kept, if it belongs to a picture.

        Args:
            picture: key of the chosen picture, "" while there is none.
        """
        made_on = st.session_state.setdefault(f"{self.key}-picture", picture)
        return self.get() if picture in ("", made_on) else None

    def put(self, value: T) -> T:
        """Keep a value, for the next picture that `current` names."""
        st.session_state.pop(f"{self.key}-picture", None)
        st.session_state[self.key] = value
        return value

    def forget(self) -> None:
        """Show nothing; runs go on while anybody watches them, and an address finds them again."""
        st.session_state.pop(self.key, None)
        st.session_state.pop(f"{self.key}-picture", None)


ATTACK: OnPicture[CurrentRun] = OnPicture("attack.current-run")


def start_run(request: AttackRequest, replay: bool = False) -> CurrentRun:
    """Submit a request, or join the run of an equal one, and remember it.

    Args:
        replay: whether a run that had ended already is played from its beginning.
    """
    run, before = CurrentRun(request, service().submit(request)), ATTACK.get()
    if before and before.ticket.run_id == run.ticket.run_id:
        service().release(before.ticket.run_id, before.ticket.token)  # it goes on: claimed anew
    set_replay(replay)
    return ATTACK.put(run)


def open_run(request: AttackRequest) -> CurrentRun:
    """Join or start the run that an address names.

    A run that failed, was cancelled, or was interrupted when the server stopped, is shown as it is:
    the person decides whether to run it again.
    """
    view = service().view(request.run_id)
    if view is None or not (view.phase is Phase.FAILED or cancelled(view)):
        return start_run(request)
    return ATTACK.put(CurrentRun(request, Ticket(request.run_id, "")))


def cancel_runs(*tickets: Ticket) -> None:
    """Cancel runs, and say so if another visitor keeps one of them going."""
    for ticket in tickets:
        service().cancel(ticket.run_id, ticket.token)
    if service().count_live(ticket.run_id for ticket in tickets):
        st.toast(NOT_STOPPED, icon=":material/group:", duration="long")


def cancelled(view: RunView) -> bool:
    """Whether a run was ended before it had a result."""
    return view.outcome is not None and view.outcome.status is Status.CANCELLED


def set_replay(replay: bool, page: str = "attack") -> None:
    """Whether a page plays its run from the beginning if it has ended before it is seen."""
    st.session_state[f"{page}.replay"] = replay


def take_replay(page: str = "attack") -> bool:
    """Whether an ended run is to be played from its beginning: true once."""
    return bool(st.session_state.pop(f"{page}.replay", False))
