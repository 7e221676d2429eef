"""Runs in the lesson: live through the service, or a recorded one in their place."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from apr_core.base.types import InputError
from apr_core.serving.requests import AttackRequest, RunView
from apr_core.serving.run_export import START_RUN, load_recording
from apr_ui.player import player
from apr_ui.resources import service
from apr_ui.stage import watch
from apr_ui.state import CurrentRun, cancelled, set_replay


def join_run(request: AttackRequest) -> CurrentRun | None:
    """The run of a request, started if there is none or it was cancelled; None if it cannot be
    started now."""
    place = f"classroom.joined.{request.run_id}"
    kept: CurrentRun | None = st.session_state.get(place)
    view = service().view(kept.ticket.run_id) if kept else None
    if kept is not None and view is not None and not cancelled(view):
        return kept
    try:
        joined = CurrentRun(request, service().submit(request))
    except InputError:
        return None
    st.session_state[place] = joined
    return joined


def view_of(request: AttackRequest) -> RunView | None:
    """The run as it stands, None if it cannot be started or failed."""
    run = join_run(request)
    view = service().view(run.ticket.run_id, run.ticket.token) if run else None
    return None if view is None or view.error else view


def make_ready(requests: Iterable[AttackRequest]) -> None:
    """Run requests in advance, one after the other; call it repeatedly.

    Watching a run keeps it going.
    """
    for request in requests:
        view = view_of(request)
        if view is not None and view.live:
            return


def show_run(request: AttackRequest, page: str, with_result: bool = False) -> RunView | None:
    """The player on a run: live, or played from its beginning if it has ended.

    If the run cannot be started, the shipped recording plays in its place, with a caption.

    Args:
        page: what the keys begin with.
        with_result: whether the result view stands above the player.

    Returns:
        The run, once it has ended; None before, and where the recording stands in for it.
    """
    if view_of(request) is None:
        st.caption("This run cannot be started now. This is a recorded one.")
        recording = load_recording(START_RUN)
        player({**recording, "autoplay": True}, key=f"{page}.recorded")
        return None
    if st.session_state.get(f"{page}.shown") != request.run_id:
        st.session_state[f"{page}.shown"] = request.run_id
        set_replay(True, page)
    run = join_run(request)
    view = watch(run, page, with_result) if run else None
    return None if view is None or view.live or view.error else view
