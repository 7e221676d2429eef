"""Patches of the pinned Streamlit version; imported before any page is run."""

from __future__ import annotations

import asyncio
from typing import Any

from streamlit import net_util
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType

RETRY_SECONDS = 0.01
_request_rerun = AppSession.request_rerun


def request_rerun_in_order(session: Any, client_state: Any) -> None:
    """Start a fragment's run only when all messages of the run before have arrived.

    A run's messages reach the session through its event loop. If a fragment's timer fires when a
    run of the whole page has just ended and its last messages are still on their way, the session
    would start a new runner and drop the messages of the old one, among them the page's new timers:
    the player would stop for good (https://github.com/streamlit/streamlit/issues/9921 has the same
    cause). So the timer waits until the session has dropped the old runner.
    """
    runner = session._scriptrunner
    is_fragment = client_state is not None and bool(client_state.fragment_id)
    if is_fragment and runner is not None and runner._requests._state is ScriptRequestType.STOP:
        loop = asyncio.get_running_loop()
        loop.call_later(RETRY_SECONDS, request_rerun_in_order, session, client_state)
        return
    _request_rerun(session, client_state)


def no_external_ip() -> None:
    """Replaces Streamlit's request to a server on the internet for the machine's own address.

    Streamlit makes it whenever a page of another site connects, and serves nobody meanwhile.
    """


AppSession.request_rerun = request_rerun_in_order  # type: ignore[method-assign, assignment]
net_util.get_external_ip = no_external_ip
