"""A run that goes on while another picture is chosen."""

from __future__ import annotations

import streamlit as st

from apr_core.data.images import OWN_PICTURE
from apr_ui.controls import show_request
from apr_ui.resources import service
from apr_ui.state import ATTACK, CurrentRun, cancel_runs

HIDDEN_SECONDS = 2.0
"""Between two looks at it."""


def offer_hidden_run() -> None:
    """A line on the run that goes on while another picture is chosen, so that it can be seen again
    or cancelled; and so that it is watched."""
    hidden = ATTACK.get()
    if hidden is not None and service().count_live([hidden.ticket.run_id]):
        st.fragment(_hidden_run, run_every=HIDDEN_SECONDS)(hidden)


def _hidden_run(hidden: CurrentRun) -> None:
    request, ticket = hidden.request, hidden.ticket
    view = service().view(ticket.run_id, ticket.token)
    live = view is not None and view.live
    with st.container(horizontal=True, vertical_alignment="center"):
        own = request.index == OWN_PICTURE
        what = "your picture" if own else request.data.one_of(request.label)
        st.caption(f"The attack on {what} {'is still running' if live else 'has ended'}.")
        shown = st.button("Show it", key="attack.show", on_click=_show_again, args=(hidden,))
        cancelled = live and st.button("Cancel it", key="attack.cancel-hidden")
        if cancelled:
            cancel_runs(ticket)
        if shown or cancelled:
            st.rerun()


def _show_again(run: CurrentRun) -> None:
    """Set the controls to a run of this visitor."""
    show_request(run.request)
    ATTACK.put(run)
