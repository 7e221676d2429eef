"""What the app mends of Streamlit: if a new version has other insides, this says so."""

from __future__ import annotations

import asyncio
import types
from typing import Any

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests

import apr_ui.frame  # noqa: F401  as every page does
from apr_ui import streamlit_patches


def session_with(requests: ScriptRequests) -> Any:
    """A session whose runner has these requests."""
    return types.SimpleNamespace(_scriptrunner=types.SimpleNamespace(_requests=requests))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reached Streamlit's own method."""
    reached: list[Any] = []
    monkeypatch.setattr(
        streamlit_patches, "_request_rerun", lambda session, state: reached.append(state)
    )
    return reached


def test_a_fragment_waits_for_the_last_words_of_the_run_before(asked: list[Any]) -> None:
    requests = ScriptRequests()
    requests.on_scriptrunner_ready()  # nothing was asked for: the runner ends
    session, state = session_with(requests), ClientState(fragment_id="a", is_auto_rerun=True)

    async def play() -> None:
        streamlit_patches.request_rerun_in_order(session, state)
        await asyncio.sleep(5 * streamlit_patches.RETRY_SECONDS)
        assert asked == []
        session._scriptrunner = None  # as when the runner's last message has arrived
        await asyncio.sleep(5 * streamlit_patches.RETRY_SECONDS)
        assert asked == [state]

    asyncio.run(play())


@pytest.mark.parametrize("state", [None, ClientState(), ClientState(fragment_id="a")])
def test_nothing_else_waits(asked: list[Any], state: ClientState | None) -> None:
    streamlit_patches.request_rerun_in_order(
        session_with(ScriptRequests()), state
    )  # a runner at work
    streamlit_patches.request_rerun_in_order(types.SimpleNamespace(_scriptrunner=None), state)
    assert asked == [state, state]


def test_a_run_of_the_whole_page_does_not_wait(asked: list[Any]) -> None:
    requests = ScriptRequests()
    requests.on_scriptrunner_ready()
    streamlit_patches.request_rerun_in_order(session_with(requests), ClientState())
    assert asked == [ClientState()]


def test_streamlit_has_the_insides_that_are_mended() -> None:
    assert AppSession.request_rerun is streamlit_patches.request_rerun_in_order
    assert "_scriptrunner" in AppSession.__init__.__code__.co_names
    assert hasattr(ScriptRequests(), "_state")
