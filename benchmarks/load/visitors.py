"""Visitors of the app: what they do on a page, and what they see of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from streamlit.proto.Alert_pb2 import Alert

from benchmarks.load.case import Visit
from benchmarks.load.figures import Diary, Seen
from benchmarks.load.tab import Heard, Tab, is_component, open_tab

SEED, HUNT = "attack.seed", "attack.hunt"
"""Keys of the control that is clicked, and of the button that starts a run."""


class Visitor:
    """A visitor on a tab.

    Args:
        seen: the run that their link starts, or shows.
    """

    def __init__(self, visit: Visit, tab: Tab, diary: Diary, seen: Seen) -> None:
        self._visit, self._tab, self._diary, self._seen = visit, tab, diary, seen
        self._leaves = time.monotonic() + visit.stay_seconds
        self._seed, self._generation = visit.seed, -1
        self._past: set[str] = set()
        self._live = False
        self._click: dict[str, float] | None = None

    async def stay(self) -> None:
        """See a run to its end, and start another after each while there is time."""
        clicking = asyncio.create_task(self._click_now_and_then())
        try:
            async with asyncio.timeout(None) as limit:
                async for heard in self._tab.listen():
                    self._take(heard)
                    settled = self._seen.run and not self._live
                    if settled and heard.kind == "done" and heard.whole:
                        if time.monotonic() >= self._leaves:
                            return
                        limit.reschedule(self._leaves)
                        await self._start_another()
                self._diary.troubles.append("The server closed the connection.")
        except TimeoutError:
            pass  # they leave in the middle of a run
        finally:
            clicking.cancel()

    async def _start_another(self) -> None:
        self._past.add(self._seen.run)
        self._seen, self._generation = self._diary.ask(self._visit.visitor), -1
        await self._tab.set_number(SEED, self._next_seed())
        self._seen.asked = time.monotonic()
        await self._tab.click(HUNT)

    async def _click_now_and_then(self) -> None:
        while self._visit.click_seconds:
            await asyncio.sleep(self._visit.click_seconds)
            if self._live and self._click is None:
                self._click = {"at": time.monotonic()}
                await self._tab.set_number(SEED, self._next_seed())

    def _next_seed(self) -> int:
        self._seed += 1
        return self._seed

    def _take(self, heard: Heard) -> None:
        if heard.whole and self._click is not None:
            self._time_click(self._click, heard)
        if is_component(heard.element, "apr_player"):
            self._watch(json.loads(heard.element.bidi_component.json), heard.at)
        elif heard.element is not None:
            self._note_trouble(heard.element)

    def _time_click(self, click: dict[str, float], heard: Heard) -> None:
        if heard.kind == "began":
            click["began"] = heard.at
        elif "began" in click and heard.kind == "drew":
            click.setdefault("drawn", heard.at - click["at"])
        elif "began" in click and heard.kind == "done":
            answered = heard.at - click["at"]
            self._diary.clicks.append((answered, click.get("drawn", answered)))
            self._click = None

    def _watch(self, shown: dict[str, Any], at: float) -> None:
        """Note what is new on the player."""
        if shown["run"] in self._past:
            return
        was_live = self._live or not self._seen.run
        self._seen.run, self._live = shown["run"], shown["live"]
        frames = [frame for frame in shown["frames"] if frame["generation"] > self._generation]
        if frames:
            self._generation = frames[-1]["generation"]
            self._seen.frames.append((at, frames[-1]["queries"]))
        if was_live and not self._live:
            self._seen.ended = at

    def _note_trouble(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "exception":
            self._diary.troubles.append(element.exception.message)
        elif kind == "alert" and element.alert.format == Alert.ERROR:
            self._diary.troubles.append(element.alert.body)


async def _visit(base: str, visit: Visit, diary: Diary) -> None:
    """Come, stay and leave."""
    await asyncio.sleep(visit.delay)
    seen = diary.ask(visit.visitor)
    try:
        async with open_tab(base, visit.page, visit.query, visit.keeps) as tab:
            await Visitor(visit, tab, diary, seen).stay()
    except (OSError, TimeoutError) as error:
        diary.troubles.append(f"No connection ({type(error).__name__}).")


async def make_visits(
    base: str, visits: Sequence[Visit], seconds: float, watch: Callable[[Diary], None]
) -> Diary:
    """Visit the app, and wait until all visitors have left.

    Args:
        base: the app's address.
        seconds: the longest that they may stay.
        watch: called about once a second.
    """
    diary, cpu = Diary(), time.process_time()
    here = {asyncio.create_task(_visit(base, visit, diary)) for visit in visits}
    while here and time.monotonic() < diary.began + seconds:
        left, here = await asyncio.wait(here, timeout=1.0)
        for task in left:
            task.result()
        watch(diary)
    if here:
        diary.troubles.append(f"{len(here)} visitors were still there after {seconds:.0f} s.")
    for task in here:
        task.cancel()
    await asyncio.gather(*here, return_exceptions=True)
    diary.ended_at, diary.visitors_cpu_seconds = time.monotonic(), time.process_time() - cpu
    return diary
