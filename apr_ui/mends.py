"""What the app mends of the Streamlit that it is pinned to; imported before any page is run."""

from __future__ import annotations

import asyncio
from typing import Any

from streamlit import net_util
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType

AGAIN_SECONDS = 0.01
_ask = AppSession.request_rerun


def ask_in_turn(session: Any, client_state: Any) -> None:
    """Have a fragment run only once all that the run before said has arrived.

    A run's messages reach the session by its event loop. Where a fragment's timer knocks when a run
    of the whole page has just ended and its last messages are still on their way, the session would
    take a new runner, and drop what still comes from the old one: among it the page's new timers,
    so that a player stands still for good (https://github.com/streamlit/streamlit/issues/9921 is of
    the same origin). Here the timer waits until the old runner has been let go.
    """
    runner = session._scriptrunner
    is_fragment = client_state is not None and bool(client_state.fragment_id)
    if is_fragment and runner is not None and runner._requests._state is ScriptRequestType.STOP:
        loop = asyncio.get_running_loop()
        loop.call_later(AGAIN_SECONDS, ask_in_turn, session, client_state)
        return
    _ask(session, client_state)


def ask_nobody() -> None:
    """In place of asking a server on the internet for one's own address, which Streamlit does
    whenever another site's page knocks, answering nobody meanwhile."""


AppSession.request_rerun = ask_in_turn  # type: ignore[method-assign, assignment]
net_util.get_external_ip = ask_nobody
