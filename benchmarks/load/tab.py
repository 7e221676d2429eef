"""A browser's tab as the server sees it: what it sends, and what it makes of what it is sent.

As Streamlit's own front end does: a fragment's timer stands until the next run of the whole page;
a message that may be kept is kept for as long as the server counts on it, and each request says
which are. Nothing is drawn.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

NO_TOKEN = "PLACEHOLDER_AUTH_TOKEN"
"""What the front end sends in place of a cross-site token while it has none."""
DONE = (
    ForwardMsg.FINISHED_SUCCESSFULLY,
    ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
)


class Kind(StrEnum):
    """What the server said."""

    BEGAN = "began"
    DREW = "drew"
    DONE = "done"
    OTHER = "other"


@dataclass(frozen=True)
class Heard:
    """One message.

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
class _Kept:
    message: ForwardMsg
    age: int = 0


@dataclass
class Tab:
    """One tab; `async with open_tab(...)` gives one that is connected.

    Attributes:
        widgets: the ids of the widgets on the page, by their keys.
        keeps: what this browser keeps, by name.
    """

    socket: ClientConnection
    base: str
    page: str
    query: str
    keeps: dict[str, str] = field(default_factory=dict)
    widgets: dict[str, str] = field(default_factory=dict)
    _page_hash: str = ""
    _states: dict[str, WidgetState] = field(default_factory=dict)
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _most_age: int = 2
    _timers: dict[str, tuple[float, asyncio.Task[None]]] = field(default_factory=dict)

    async def rerun(
        self, fragment: str = "", auto: bool = False, trigger: WidgetState | None = None
    ) -> None:
        """Ask for a run of the page, or of a fragment.

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
        asked.cached_message_hashes.extend(self._kept)
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
        """Click on a button."""
        await self.rerun(trigger=WidgetState(id=self.widgets[key], trigger_value=True))

    async def listen(self) -> AsyncIterator[Heard]:
        """What the server says, until the connection ends."""
        try:
            async for payload in self.socket:
                at = time.monotonic()
                assert isinstance(payload, bytes)
                message = self._look_up(ForwardMsg.FromString(payload))
                yield await self._take(message, at)
        except ConnectionClosed:
            pass

    def close(self) -> None:
        """Stop the timers."""
        self._stop_timers(list(self._timers))

    def _look_up(self, message: ForwardMsg) -> ForwardMsg:
        """A message that was sent before, where only its hash is sent; what may be kept is kept."""
        if message.WhichOneof("type") == "ref_hash":
            kept = self._kept[message.ref_hash]
            kept.age = 0
            kept.message.metadata.CopyFrom(message.metadata)
            return kept.message
        if message.metadata.cacheable and message.hash:
            self._kept[message.hash] = _Kept(message)
        return message

    async def _take(self, message: ForwardMsg, at: float) -> Heard:
        kind, whole = message.WhichOneof("type"), not message.metadata.run.fragment_ids
        if kind == "new_session":
            self._begin(message, whole)
            return Heard(Kind.BEGAN, at, whole)
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            await self._draw(message.delta.new_element)
            return Heard(Kind.DREW, at, whole, message.delta.new_element)
        if kind == "delta":
            return Heard(Kind.DREW, at, whole)
        if kind == "script_finished" and message.script_finished in DONE:
            self._grow_old(set(message.metadata.run.fragment_ids))
            return Heard(Kind.DONE, at, whole)
        if kind == "auto_rerun":
            self._set_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            self._stop_timers(message.stop_auto_rerun.fragment_ids)
        elif kind == "navigation":
            self._page_hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        return Heard(Kind.OTHER, at, whole)

    def _begin(self, message: ForwardMsg, whole: bool) -> None:
        if whole:
            begun = message.new_session
            self._page_hash = begun.page_script_hash
            self._most_age = begun.config.max_cached_message_age
            self.close()

    def _grow_old(self, fragments: set[str]) -> None:
        """Forget kept messages that were not used for as many runs as the server goes by."""
        for known, kept in list(self._kept.items()):
            kept.age += 1
            ours = not fragments or kept.message.delta.fragment_id in fragments
            if ours and kept.age > self._most_age:
                del self._kept[known]

    def _set_timer(self, fragment: str, seconds: float) -> None:
        known = self._timers.get(fragment)
        if known is None or known[0] != seconds:
            self._stop_timers([fragment])
            task = asyncio.create_task(self._tick(fragment, seconds))
            self._timers[fragment] = seconds, task

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
async def open_tab(
    base: str, page: str, query: str, keeps: dict[str, str] | None = None
) -> AsyncIterator[Tab]:
    """Connect as a browser does, and ask for the page.

    Args:
        base: the server's address, such as http://127.0.0.1:8501.
        keeps: what this browser has kept from before.
    """
    address = base.replace("http", "ws", 1) + "/_stcore/stream"
    tokens = [Subprotocol("streamlit"), Subprotocol(NO_TOKEN)]
    async with connect(
        address, origin=Origin(base), subprotocols=tokens, max_size=None, open_timeout=60
    ) as socket:
        tab = Tab(socket, base, page, query, dict(keeps or {}))
        try:
            await tab.rerun()
            yield tab
        finally:
            tab.close()
