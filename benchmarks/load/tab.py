"""A browser's tab as the server sees it: Streamlit's messages, as its own front end speaks them.

Spoken by hand, and not by Chromium: on two cores thirty pages would be most of the load. One page
that watched a run took 0.7 s of processor time for each second of the server's; thirty tabs like
this one together took 0.02 s. So what browsers do with what they are sent is not measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

NO_TOKEN = "PLACEHOLDER_AUTH_TOKEN"
"""What the front end sends in place of a cross-site token while it has none."""
DONE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)
Kind = Literal["began", "drew", "done", "other"]


@dataclass(frozen=True)
class Heard:
    """A message of the server.

    Attributes:
        at: `time.monotonic` of its arrival.
        whole: whether it is of a run of the whole page, not of a fragment.
        element: what was drawn, None if nothing.
    """

    kind: Kind
    at: float
    whole: bool
    element: Any = None


@dataclass
class Tab:
    """A tab; `open_tab` gives one that is connected.

    Attributes:
        widgets: ids of the widgets on the page, by their keys.
        keeps: values that this browser has stored, by name.
    """

    socket: ClientConnection
    base: str
    page: str
    query: str
    keeps: dict[str, str] = field(default_factory=dict)
    widgets: dict[str, str] = field(default_factory=dict)
    _page_hash: str = ""
    _states: dict[str, WidgetState] = field(default_factory=dict)
    _cache: dict[str, ForwardMsg] = field(default_factory=dict)
    _ages: dict[str, int] = field(default_factory=dict)
    _most_age: int = 2
    _timers: dict[str, tuple[float, asyncio.Task[None]]] = field(default_factory=dict)

    async def rerun(
        self, fragment: str = "", auto: bool = False, trigger: WidgetState | None = None
    ) -> None:
        """Request a run of the page, or of a fragment.

        Args:
            auto: a timer asks, not a person.
            trigger: a button that was clicked.
        """
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_script_hash = self.query, self._page_hash
        asked.page_name = "" if self._page_hash else self.page
        asked.fragment_id, asked.is_auto_rerun = fragment, auto
        asked.widget_states.widgets.extend(self._states.values())
        if trigger is not None:
            asked.widget_states.widgets.append(trigger)
        asked.cached_message_hashes.extend(self._cache)
        context = asked.context_info
        context.timezone, context.locale, context.color_scheme = "UTC", "en-GB", "light"
        context.url = f"{self.base}/{self.page}?{self.query}"
        with contextlib.suppress(ConnectionClosed):
            await self.socket.send(message.SerializeToString())

    async def set_number(self, key: str, value: float) -> None:
        """Type a number into an input."""
        known = self.widgets[key]
        self._states[known] = WidgetState(id=known, double_value=value)
        await self.rerun()

    async def click(self, key: str) -> None:
        """Click a button."""
        await self.rerun(trigger=WidgetState(id=self.widgets[key], trigger_value=True))

    async def listen(self) -> AsyncIterator[Heard]:
        """Messages of the server, until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            async for payload in self.socket:
                at = time.monotonic()
                assert isinstance(payload, bytes)
                message = self._cached(ForwardMsg.FromString(payload))
                whole = not message.metadata.run.fragment_ids
                kind, element = await self._take(message, whole)
                yield Heard(kind, at, whole, element)

    def close(self) -> None:
        """Stop the timers."""
        self._stop_timers(list(self._timers))

    def _cached(self, message: ForwardMsg) -> ForwardMsg:
        """The whole message, where its hash alone is sent because the tab has it."""
        known = message.ref_hash or message.hash
        if message.WhichOneof("type") == "ref_hash":
            self._cache[known].metadata.CopyFrom(message.metadata)
        elif not (message.metadata.cacheable and known):
            return message
        else:
            self._cache[known] = message
        self._ages[known] = 0
        return self._cache[known]

    def _forget_old(self, fragments: set[str]) -> None:
        """Drop messages that were not used for as many runs as the server counts on."""
        for known, message in list(self._cache.items()):
            self._ages[known] += 1
            ours = not fragments or message.delta.fragment_id in fragments
            if ours and self._ages[known] > self._most_age:
                del self._cache[known]

    async def _take(self, message: ForwardMsg, whole: bool) -> tuple[Kind, Any]:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            if whole:
                self._begin(message)
            return "began", None
        if kind == "delta":
            drawn = message.delta.WhichOneof("type") == "new_element"
            if drawn:
                await self._draw(message.delta.new_element)
            return "drew", message.delta.new_element if drawn else None
        if kind == "script_finished" and message.script_finished in DONE:
            self._forget_old(set(message.metadata.run.fragment_ids))
            return "done", None
        if kind == "auto_rerun":
            self._set_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            self._stop_timers(message.stop_auto_rerun.fragment_ids)
        elif kind == "navigation":
            self._page_hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        return "other", None

    def _begin(self, message: ForwardMsg) -> None:
        """A run of the whole page, which ends the timers of its fragments."""
        self._page_hash = message.new_session.page_script_hash
        self._most_age = message.new_session.config.max_cached_message_age
        self.close()

    def _set_timer(self, fragment: str, seconds: float) -> None:
        if fragment not in self._timers or self._timers[fragment][0] != seconds:
            self._stop_timers([fragment])
            self._timers[fragment] = seconds, asyncio.create_task(self._tick(fragment, seconds))

    def _stop_timers(self, fragments: Iterable[str]) -> None:
        for fragment in fragments:
            if known := self._timers.pop(fragment, None):
                known[1].cancel()

    async def _tick(self, fragment: str, seconds: float) -> None:
        due = time.monotonic()
        while True:
            due = max(due + seconds, time.monotonic())  # a timer does not catch up
            await asyncio.sleep(due - time.monotonic())
            await self.rerun(fragment, auto=True)

    async def _draw(self, element: Any) -> None:
        drawn = getattr(element, element.WhichOneof("type"))
        known = getattr(drawn, "id", "")
        if known.startswith("$$ID-"):
            self.widgets[known.split("-", 2)[2]] = known
        if is_component(element, "apr_keeper"):
            await self._keep(known, json.loads(drawn.json))

    async def _keep(self, known: str, data: dict[str, Any]) -> None:
        """What `apr_ui/keeper/keeper.js` does."""
        if isinstance(data["value"], str):
            self.keeps[data["name"]] = data["value"]
        said = json.dumps({"kept": self.keeps.get(data["name"], "")})
        if known not in self._states or self._states[known].json_value != said:
            self._states[known] = WidgetState(id=known, json_value=said)
            await self.rerun()


def is_component(element: Any, name: str) -> bool:
    """Whether an element is this component of ours."""
    return (
        element is not None
        and element.WhichOneof("type") == "bidi_component"
        and element.bidi_component.component_name.rpartition(".")[2] == name
    )


@contextlib.asynccontextmanager
async def open_tab(base: str, page: str, query: str, keeps: dict[str, str]) -> AsyncIterator[Tab]:
    """Connect to the server at `base` as a browser does, and request the page."""
    address = base.replace("http", "ws", 1) + "/_stcore/stream"
    tokens = [Subprotocol("streamlit"), Subprotocol(NO_TOKEN)]
    async with connect(
        address, origin=Origin(base), subprotocols=tokens, max_size=None, open_timeout=60
    ) as socket:
        tab = Tab(socket, base, page, query, dict(keeps))
        try:
            await tab.rerun()
            yield tab
        finally:
            tab.close()
