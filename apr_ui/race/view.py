"""A race on the page: several models, one attack, watched live."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.tickets import Ticket
from apr_core.base.types import InputError
from apr_core.serving.requests import AttackRequest
from apr_ui.controls import Choice, make_request
from apr_ui.fresh import fresh_markdown
from apr_ui.persistent_widget import persistent
from apr_ui.player import player, player_data
from apr_ui.race.link import MOST_MODELS
from apr_ui.race.words import (
    Runner,
    shown_names,
    status_words,
)
from apr_ui.resources import cards, model_labels, service
from apr_ui.state import cancel_runs
from apr_ui.words import plain

POLL_SECONDS = 1.0
"""A quarter as often as for one run: a poll carries several pictures, and takes from the search."""
FIRST_FRAME_SECONDS = 0.9
"""How long the page waits for the first model's first frame, rather than for the next poll."""
OVERLAP_POLLS = 4
"""A browser may skip a poll, so each sends again what the last four sent."""
NARROWEST = 160
"""Pixels of a picture: two stand side by side on a phone of 390."""
FIRST_DEFENCES = ("vanilla", "at", "it", "dd", "apr", "apr-plus")
FIRST_ARCHITECTURE = "resnet20"
_RACE, _PICTURE, _REPLAY = "compare.race", "compare.race-picture", "compare.replay"
_SENT = "compare.sent"


@dataclass(frozen=True)
class Race:
    """What was asked of each model, and the session's claims on the runs."""

    requests: tuple[AttackRequest, ...]
    tickets: tuple[Ticket, ...]

    @property
    def key(self) -> str:
        """Equal for equal races."""
        return "-".join(ticket.run_id for ticket in self.tickets)


def choose_models() -> tuple[str, ...]:
    """The models to race; at first one of each defence."""
    known, damaged = cards()
    for sentence in damaged:
        st.warning(plain(sentence), icon=":material/broken_image:")
    kept = persistent("compare.models", list(default_models()))
    chosen = st.session_state["compare.models"]
    if not set(chosen) <= set(known):  # written only then, or a quick second choice would be undone
        st.session_state["compare.models"] = [name for name in chosen if name in known]
    return tuple(
        st.multiselect(
            "Models that race",
            list(known),
            format_func=model_labels().__getitem__,
            max_selections=MOST_MODELS,
            wrap=True,
            **kept,
            help=f"Up to {MOST_MODELS}. “Clean” is the share of the 10,000 CIFAR-10 test images "
            "that a model gets right.",
        )
    )


def default_models() -> tuple[str, ...]:
    """One light model of each defence that there is, the undefended first."""
    known = cards()[0]
    wanted = [
        card.name
        for defence in FIRST_DEFENCES
        for card in known.values()
        if card.name == f"cifar10-{FIRST_ARCHITECTURE}-{defence}"
    ]
    return tuple(wanted or list(known)[:MOST_MODELS])


def requests_for(
    choice: Choice, models: Sequence[str], config: OnePixelConfig
) -> tuple[AttackRequest, ...]:
    """One request a model; a picture without a class has the one that the first model gives it."""
    first = make_request(choice, models[0], config)
    return tuple(replace(first, model=name) for name in models)


def start_race(requests: Sequence[AttackRequest], replay: bool = False) -> Race:
    """Submit every request, or join its run, and remember the race in place of the one before.

    Args:
        replay: whether a race that had been run already is played from its beginning.

    Raises:
        InputError: too many runs wait already; then none of these is left waiting.
    """
    tickets: list[Ticket] = []
    try:
        for request in requests:
            tickets.append(service().submit(request))
    except InputError:
        _give_up(tickets)
        raise
    race, before = Race(tuple(requests), tuple(tickets)), st.session_state.get(_RACE)
    if before:
        _give_up(before.tickets)  # what both races share goes on: the new one has claimed it
    st.session_state[_RACE] = race
    st.session_state.pop(_PICTURE, None)
    st.session_state[_REPLAY] = replay
    return race


def current_race(picture: str) -> Race | None:
    """The session's race, while the picture that it was started on is the chosen one.

    Args:
        picture: key of the chosen picture, "" while there is none.
    """
    race: Race | None = st.session_state.get(_RACE)
    started_on = st.session_state.setdefault(_PICTURE, picture)
    return race if picture in ("", started_on) else None


def forget_race() -> None:
    """Show no race; its runs go on while anybody looks, and are found again by its address."""
    st.session_state.pop(_RACE, None)
    st.session_state.pop(_PICTURE, None)


def any_race() -> bool:
    """Whether the session has one, on this picture or another."""
    return _RACE in st.session_state


def requests_of(run_ids: Sequence[str]) -> tuple[AttackRequest, ...]:
    """What was asked of the runs that an address names.

    Raises:
        InputError: one of them is no longer in memory.
    """
    found = []
    for run_id in run_ids:
        view = service().view(run_id)
        if view is None or not isinstance(view.request, AttackRequest):
            raise InputError(
                f"The run {run_id[:16]} is no longer in memory, and pictures that people bring are "
                "kept nowhere else; choose a picture and start again."
            )
        found.append(view.request)
    return tuple(found)


def cancel_race(race: Race) -> None:
    """Give up every claim, for a person who asked for it."""
    cancel_runs(*race.tickets)


def _give_up(tickets: Sequence[Ticket]) -> None:
    for ticket in tickets:
        service().cancel(ticket.run_id, ticket.token)


def watch_race(race: Race) -> list[Runner]:
    """The small pictures, redrawn while any run is live; none if the race is not in memory."""
    first = race.tickets[0]
    service().view(first.run_id, first.token, wait=FIRST_FRAME_SECONDS)
    runners = _runners(race)
    live = any(runner.view.live for runner in runners)
    if runners:
        st.fragment(_poll, run_every=POLL_SECONDS if live else None)(race, live)
    else:
        st.info("The race is no longer in memory; press **Race** to run it again.")
    return runners


def _runners(race: Race) -> list[Runner]:
    views = [service().view(ticket.run_id, ticket.token) for ticket in race.tickets]
    names = shown_names([request.model for request in race.requests], cards()[0])
    if any(view is None for view in views):
        return []
    return [Runner(name, view) for name, view in zip(names, views, strict=True) if view]


def _poll(race: Race, was_live: bool) -> None:
    runners = _runners(race)
    live = [runner for runner in runners if runner.view.live]
    progress = st.empty()  # keeps its place, or the pictures below would be made anew at the end
    if live:
        progress.caption(f"{len(live)} of {len(runners)} still searching{_time_left(live)}.")
    replay = bool(st.session_state.pop(_REPLAY, False)) and not was_live
    grid = st.grid(max(2, len(runners)), min_column_width=NARROWEST)
    for number, runner in enumerate(runners):
        with grid.cell():
            player(_frames(runner, replay), key=f"compare.player-{number}")
            words = f"**{runner.name}**  \n{plain(status_words(runner.view))}"
            fresh_markdown(f"compare.status-{number}", words)
    if was_live and not live:
        st.rerun()


def _time_left(live: Sequence[Runner]) -> str:
    known = [runner.view.seconds_left for runner in live if runner.view.seconds_left]
    if not known:
        return ""
    seconds = max(known)
    words = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f", at most about {words} left"


def _frames(runner: Runner, replay: bool) -> dict[str, object]:
    """What one small player is sent: the newest frames, and at the least the last one."""
    view = runner.view
    sent: dict[str, deque[int]] = st.session_state.setdefault(_SENT, {})
    counts = sent.setdefault(view.request.run_id, deque(maxlen=OVERLAP_POLLS))
    newest = max(0, len(view.snapshots) - 1)
    first = 0 if replay else min(counts[0] if counts else newest, newest)
    counts.append(len(view.snapshots))
    data = player_data(view, first)
    return {**data, "compact": True, "title": f"{runner.name}, the search", "autoplay": replay}
