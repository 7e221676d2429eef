"""What a visitor does on a page, and what they see of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.Alert_pb2 import Alert

from benchmarks.load.tab import Heard, Kind, Tab, is_component, open_tab

SEED, HUNT = "attack.seed", "attack.hunt"
"""Keys of the control that is clicked on, and of the button that starts a run."""

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Visit:
    """A visitor's plan.

    Attributes:
        visitor: their number.
        page, query: where they go: a link that starts a run, or shows one.
        keeps: what their browser has kept from before.
        delay: seconds before they come.
        click_seconds: between clicks on a control while a run goes on; 0 for none.
        seed: the run's that the link starts; each click adds one, and the next run has it.
        stay_seconds: once a run has ended they start another until so long after they came, and
            then leave, in the middle of a run too; 0 to leave when the first has ended.
    """

    visitor: int
    page: str
    query: str
    keeps: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    click_seconds: float = 0.0
    seed: int = 0
    stay_seconds: float = 0.0


class Visitor:
    """A visitor on a tab.

    Args:
        tell: takes what happens, as JSON values.
    """

    def __init__(self, visit: Visit, tab: Tab, tell: Tell) -> None:
        self._visit, self._tab, self._tell = visit, tab, tell
        self._leaves = time.monotonic() + visit.stay_seconds if visit.stay_seconds else None
        self._seed = visit.seed
        self._run, self._seen = "", -1
        self._past: set[str] = set()
        self._live = False
        self._click: dict[str, float] | None = None
        self._settled = asyncio.Event()

    async def stay(self) -> None:
        """Listen, and act, until there is nothing left to do or the server hangs up."""
        listening = asyncio.create_task(self._listen())
        acting = asyncio.create_task(self._act())
        clicking = asyncio.create_task(self._click_now_and_then())
        try:
            await asyncio.wait({listening, acting}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
                self._say("trouble", time.monotonic(), text="The server closed the connection.")
        finally:
            for task in (listening, acting, clicking):
                task.cancel()

    async def _act(self) -> None:
        """See a run to its end, and start another after each while there is time."""
        await self._settled.wait()
        while self._leaves is not None and time.monotonic() < self._leaves:
            self._settled.clear()
            self._past.add(self._run)
            self._run, self._seen = "", -1
            await self._tab.set_number(SEED, self._next_seed())
            self._say("asked", time.monotonic())
            await self._tab.click(HUNT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), self._leaves - time.monotonic())

    async def _click_now_and_then(self) -> None:
        while self._visit.click_seconds:
            await asyncio.sleep(self._visit.click_seconds)
            if self._live and self._click is None:
                self._click = {"at": time.monotonic()}
                await self._tab.set_number(SEED, self._next_seed())

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed

    async def _listen(self) -> None:
        async for heard in self._tab.listen():
            if heard.whole and self._click is not None:
                self._time_click(self._click, heard)
            if heard.kind is Kind.DONE and heard.whole and self._run and not self._live:
                self._settled.set()
            if is_component(heard.element, "apr_player"):
                self._look(json.loads(heard.element.bidi_component.json), heard.at)
            elif heard.element is not None:
                self._look_for_trouble(heard)

    def _time_click(self, click: dict[str, float], heard: Heard) -> None:
        if heard.kind is Kind.BEGAN:
            click["began"] = heard.at
        elif "began" in click and heard.kind is Kind.DREW:
            click.setdefault("drawn", heard.at - click["at"])
        elif "began" in click and heard.kind is Kind.DONE:
            answered = heard.at - click["at"]
            self._say("click", click["at"], drawn=click.get("drawn", answered), answered=answered)
            self._click = None

    def _look(self, shown: dict[str, Any], at: float) -> None:
        """At the player."""
        if shown["run"] in self._past:
            return
        was_live = self._live or not self._run
        self._run, self._live = shown["run"], shown["live"]
        frames = [frame for frame in shown["frames"] if frame["generation"] > self._seen]
        if frames:
            self._seen, queries = frames[-1]["generation"], frames[-1]["queries"]
            self._say("frame", at, run=self._run, new=len(frames), queries=queries)
        if was_live and not self._live:
            self._say("end", at, run=self._run, status=shown["status"])

    def _look_for_trouble(self, heard: Heard) -> None:
        kind = heard.element.WhichOneof("type")
        if kind == "exception":
            self._say("trouble", heard.at, text=heard.element.exception.message)
        elif kind == "alert" and heard.element.alert.format == Alert.ERROR:
            self._say("trouble", heard.at, text=heard.element.alert.body)

    def _say(self, what: str, at: float, **more: object) -> None:
        self._tell({"what": what, "visitor": self._visit.visitor, "at": at, **more})


async def make_visit(base: str, visit: Visit, tell: Tell) -> None:
    """Come, stay and leave."""
    await asyncio.sleep(visit.delay)
    tell({"what": "asked", "visitor": visit.visitor, "at": time.monotonic()})
    try:
        async with open_tab(base, visit.page, visit.query, visit.keeps) as tab:
            await Visitor(visit, tab, tell).stay()
    except (OSError, TimeoutError) as error:
        text = f"No connection ({type(error).__name__})."
        tell({"what": "trouble", "visitor": visit.visitor, "at": time.monotonic(), "text": text})
