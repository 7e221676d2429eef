"""Visitors, and the app itself with a few of them, over its own websocket."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from apr_core.serving.gallery import load_gallery
from apr_ui.poll_rate import SHORTEST_PAUSE, WATCHING_SECONDS, PollRate, pause_for
from benchmarks.load import visitors
from benchmarks.load.case import LoadConfig, Visit
from benchmarks.load.figures import Diary
from benchmarks.load.measure import measure_load
from benchmarks.load.record import LoadResult
from benchmarks.load.tab import Heard, Tab
from benchmarks.load.visitors import HUNT, SEED, Visitor
from tests.conftest import PATIENCE

FOLLOWING = "fragment-1"


class Wire:
    """A connection: what the server says, and what the tab has sent."""

    def __init__(self, *said: ForwardMsg) -> None:
        self.said = list(said)
        self.sent: list[Any] = []

    async def send(self, payload: bytes) -> None:
        self.sent.append(BackMsg.FromString(payload).rerun_script)

    async def __aiter__(self):
        for message in self.said:
            yield message.SerializeToString()


def began(*fragments: str) -> ForwardMsg:
    message = ForwardMsg()
    message.new_session.page_script_hash = "main"
    message.new_session.config.max_cached_message_age = 1
    message.metadata.run.fragment_ids.extend(fragments)
    return message


def finished(*fragments: str) -> ForwardMsg:
    message = ForwardMsg(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY)
    message.metadata.run.fragment_ids.extend(fragments)
    return message


def drawn(text: str) -> ForwardMsg:
    message = ForwardMsg(hash=text)
    message.delta.new_element.markdown.body = text
    message.metadata.cacheable = True
    return message


def timer(seconds: float) -> ForwardMsg:
    message = ForwardMsg()
    message.auto_rerun.fragment_id, message.auto_rerun.interval = FOLLOWING, seconds
    return message


async def listen(*said: ForwardMsg, asked: bool = False) -> tuple[list[str], Wire]:
    """What a tab makes of what is said: the texts drawn; and the wire, once a timer has asked."""
    wire = Wire(*said)
    tab = Tab(wire, "http://here", "attack", "index=3")
    texts = [
        heard.element.markdown.body async for heard in tab.listen() if heard.element is not None
    ]
    await tab.rerun()
    while asked and not any(request.is_auto_rerun for request in wire.sent):
        await asyncio.sleep(0.001)
    going = len(tab._timers)
    tab.close()
    assert going == asked
    return texts, wire


def test_a_message_that_was_kept_is_found_by_its_hash() -> None:
    said = [began(), drawn("a"), drawn("b"), finished(), began(), ForwardMsg(ref_hash="a")]
    texts, wire = asyncio.run(listen(*said))
    assert texts == ["a", "b", "a"]
    assert set(wire.sent[-1].cached_message_hashes) == {"a", "b"}


def test_what_is_not_used_again_is_forgotten_when_the_server_forgets_it() -> None:
    again = ForwardMsg(ref_hash="a")
    said = [began(), drawn("a"), drawn("b"), finished(), began(), again, finished(), finished()]
    assert set(asyncio.run(listen(*said[:7]))[1].sent[-1].cached_message_hashes) == {"a"}
    assert not asyncio.run(listen(*said))[1].sent[-1].cached_message_hashes


def test_a_timer_asks_for_its_fragment_until_the_page_is_drawn_anew() -> None:
    _, wire = asyncio.run(listen(began(), timer(0.01), began(FOLLOWING), asked=True))
    asked = [request for request in wire.sent if request.is_auto_rerun]
    assert asked
    assert {request.fragment_id for request in asked} == {FOLLOWING}
    _, wire = asyncio.run(listen(began(), timer(0.01), began()))
    assert not [request for request in wire.sent if request.is_auto_rerun]


def test_the_first_request_names_the_page_and_the_next_its_script() -> None:
    _, wire = asyncio.run(listen())
    first = wire.sent[0]
    assert (first.page_name, first.page_script_hash, first.query_string) == (
        "attack",
        "",
        "index=3",
    )
    told, moved = ForwardMsg(), ForwardMsg()
    told.navigation.page_script_hash = "attack-script"
    moved.page_info_changed.query_string = "run=1"
    _, wire = asyncio.run(listen(began(), told, moved))
    later = wire.sent[0]
    assert (later.page_name, later.page_script_hash) == ("", "attack-script")
    assert later.query_string == "run=1"


class Page:
    """The Attack page as a visitor hears of it: run a, a click on the seed, then run b."""

    def __init__(self) -> None:
        self.pressed: asyncio.Queue[str] = asyncio.Queue()

    async def set_number(self, key: str, value: float) -> None:
        self.pressed.put_nowait(key)

    async def click(self, key: str) -> None:
        self.pressed.put_nowait(key)

    async def listen(self):
        yield player("a", live=True)
        assert await self.pressed.get() == SEED
        for kind in ("began", "drew", "done"):
            yield Heard(kind, time.monotonic(), whole=True)
        yield player("a", live=False)
        yield Heard("done", time.monotonic(), whole=True)
        while await self.pressed.get() != HUNT:
            pass
        yield player("b", live=False)


def player(run: str, live: bool) -> Heard:
    element = ForwardMsg().delta.new_element
    element.bidi_component.component_name = "app.apr_player"
    shown = {"run": run, "live": live, "status": "survived"}
    element.bidi_component.json = json.dumps(shown | {"frames": [{"generation": 0, "queries": 8}]})
    return Heard("drew", time.monotonic(), whole=True, element=element)


def test_a_visitor_who_stays_clicks_and_hunts_again() -> None:
    diary = Diary()

    async def stay() -> None:
        visit = Visit(0, "attack", "", click_seconds=0.001, stay_seconds=PATIENCE)
        await Visitor(visit, Page(), diary, diary.ask(0)).stay()

    asyncio.run(stay())
    assert [run.run for run in diary.ended] == ["a", "b"]
    assert all(run.frames[0][1] == 8 for run in diary.runs)
    answered, drawn = diary.clicks[0]
    assert answered >= drawn > 0
    assert diary.troubles  # the server hung up


def test_a_visitor_whose_time_is_up_leaves_in_the_middle_of_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    diary = Diary()
    still = SimpleNamespace(monotonic=lambda: 0.0)  # the event loop's clock goes on
    monkeypatch.setattr(visitors, "time", still)

    class Endless(Page):
        async def listen(self):
            yield player("a", live=False)
            yield Heard("done", time.monotonic(), whole=True)
            yield player("b", live=True)
            await asyncio.Event().wait()

    visit = Visit(0, "attack", "", stay_seconds=0.05)
    asyncio.run(Visitor(visit, Endless(), diary, diary.ask(0)).stay())
    assert [run.run for run in diary.runs] == ["a", "b"]
    assert [run.run for run in diary.ended] == ["a"]
    assert diary.troubles == []


def test_many_watchers_look_less_often() -> None:
    now = [0.0]
    watchers = PollRate(lambda: now[0])
    pauses = [watchers.poll(f"session {number}") for number in range(30)]
    assert pauses[0] == SHORTEST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == pause_for(30) == 1.0
    assert watchers.poll("session 0") == pauses[-1]  # a session counts once
    now[0] += WATCHING_SECONDS + 1
    assert watchers.poll("session 0") == SHORTEST_PAUSE


@pytest.fixture(scope="module")
def measured() -> LoadResult:
    """Four sessions and small runs, on the real app."""
    quick = min(
        (entry for entry in load_gallery() if entry.kind == "flips"),
        key=lambda entry: entry.outcome.queries,
    )
    return measure_load(
        LoadConfig(
            sessions=4,
            population=8,
            generations=3,
            alone=1,
            minutes=0.01,
            apart_seconds=0.0,
            click_seconds=0.01,
            class_image=quick.index,
        )
    )


def test_every_session_sees_its_run_through(measured: LoadResult) -> None:
    (crowd,) = measured.rounds
    assert crowd.sessions == crowd.runs == 4
    assert 0 < crowd.queries <= 4 * 32
    assert crowd.waits.first_frame.n == crowd.waits.end.n == 4
    assert crowd.slowest_over_fastest >= crowd.slowest_over_median >= 1
    assert measured.alone.waits.end.n == 2
    assert all(rate > 0 for rate in measured.alone.rates)  # of those not over in a single look


def test_sessions_that_stay_see_a_run_through_each(measured: LoadResult) -> None:
    assert measured.long.sessions == 4
    assert measured.long.runs >= 4


def test_one_class_link_costs_one_run(measured: LoadResult) -> None:
    link = measured.class_link
    assert link is not None
    assert link.sessions == link.waits.end.n == 4
    assert (link.runs_seen, link.runs_noted) == (1, 1)
    assert link.queries % 400 == 0


def test_nothing_goes_wrong_and_the_record_is_json(measured: LoadResult) -> None:
    assert measured.troubles == ()
    entry = json.loads(json.dumps(asdict(measured)))
    assert entry["hardware"]
    assert entry["versions"]["streamlit"]
    assert 0 < entry["memory"]["first"] <= entry["memory"]["peak"]
    assert entry["memory"]["growth"] is None
    assert {aim["what"] for aim in entry["aims"]} >= {"runs that a class link costs, at most"}
