"""A race on the page: several models, one attack, watched live."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.tickets import Ticket
from apr_core.base.types import InputError
from apr_core.serving.requests import AttackRequest
from apr_ui.changing_text import changing_markdown
from apr_ui.choose_picture import Choice
from apr_ui.controls import make_request
from apr_ui.dataset import data_words, shown_data
from apr_ui.model_names import model_labels
from apr_ui.persistent_widget import persistent
from apr_ui.player import player, player_data
from apr_ui.race.cards import named, show_cards
from apr_ui.race.link import MOST_MODELS
from apr_ui.race.words import Runner, shown_names, standing, status_words
from apr_ui.resources import cards, known_cards, service
from apr_ui.state import OnPicture, set_replay, take_replay
from apr_ui.words import plain

POLL_SECONDS = 1.0
"""A quarter as often as for one run: a poll carries several pictures, and takes from the search."""
FIRST_FRAME_SECONDS = 0.9
"""How long the page waits for the first model's first frame, rather than for the next poll."""
OVERLAP_POLLS = 4
"""A browser may skip a poll, so each sends again what the last four sent."""
NARROWEST = 160
"""Pixels of a picture: two fit side by side on a phone of 390."""
FIRST_DEFENCES = ("vanilla", "at", "it", "dd", "apr", "apr-plus")


@dataclass(frozen=True)
class Race:
    """The request to each model, and the session's claims on the runs."""

    requests: tuple[AttackRequest, ...]
    tickets: tuple[Ticket, ...]

    @property
    def key(self) -> str:
        """Equal for equal races."""
        return "-".join(ticket.run_id for ticket in self.tickets)


RACE: OnPicture[Race] = OnPicture("compare.race")


def choose_models() -> tuple[str, ...]:
    """The models to race; at first one of each defence."""
    known = known_cards()
    kept = persistent("compare.models", list(default_models()))
    chosen = st.session_state["compare.models"]
    if not set(chosen) <= set(known):  # written only then, or a quick second choice would be undone
        still = [name for name in chosen if name in known]
        st.session_state["compare.models"] = still or list(default_models())
    models = st.multiselect(
        "Models",
        list(known),
        format_func=model_labels().__getitem__,
        max_selections=MOST_MODELS,
        wrap=True,
        **kept,
        help=f"Up to {MOST_MODELS}. “Clean” is the model's accuracy on the test images of "
        f"{shown_data().title}.",
    )
    if len(known) == 1:
        st.caption(
            f"There is one model for {data_words(shown_data().name)} here. `apr-lab app "
            "--library torchvision:resnet50` offers others."
        )
    return tuple(models)


def default_models() -> tuple[str, ...]:
    """The ResNet-20 of each defence that there is, the undefended one first."""
    known = cards()[0]
    wanted = [f"{shown_data().name}-resnet20-{defence}" for defence in FIRST_DEFENCES]
    return tuple([name for name in wanted if name in known] or list(known)[:MOST_MODELS])


def requests_for(
    choice: Choice, models: Sequence[str], config: OnePixelConfig
) -> tuple[AttackRequest, ...]:
    """One request a model; a picture without a class gets the first model's prediction."""
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
        _release(tickets)
        raise
    if before := RACE.get():
        _release(before.tickets)  # what both races share goes on: the new one has claimed it
    set_replay(replay, "compare")
    return RACE.put(Race(tuple(requests), tuple(tickets)))


def _release(tickets: Sequence[Ticket]) -> None:
    for ticket in tickets:
        service().release(ticket.run_id, ticket.token)


def requests_of(run_ids: Sequence[str]) -> tuple[AttackRequest, ...]:
    """The requests of the runs that an address names.

    Raises:
        InputError: one of them is no longer in memory.
    """
    found = []
    for run_id in run_ids:
        view = service().view(run_id)
        if view is None or not isinstance(view.request, AttackRequest):
            raise InputError(
                f"The run {run_id[:16]} is no longer in memory, and uploaded pictures are kept "
                "nowhere else; choose a picture and start again."
            )
        found.append(view.request)
    return tuple(found)


def watch_race(race: Race, with_results: bool = False) -> list[Runner]:
    """The small players, redrawn while any run is live; none if the race is not in memory.

    Args:
        with_results: whether each model's result stands in a card above them.
    """
    first = race.tickets[0]
    service().view(first.run_id, first.token, wait=FIRST_FRAME_SECONDS)
    runners = _runners(race)
    live = any(runner.view.live for runner in runners)
    if runners:
        st.fragment(_poll, run_every=POLL_SECONDS if live else None)(race, live, with_results)
    else:
        st.info("The race is no longer in memory; press **Race** to run it again.")
    return runners


def _runners(race: Race) -> list[Runner]:
    views = [service().view(ticket.run_id, ticket.token) for ticket in race.tickets]
    names = shown_names([request.model for request in race.requests])
    if any(view is None for view in views):
        return []
    return [Runner(name, view) for name, view in zip(names, views, strict=True) if view]


def _poll(race: Race, was_live: bool, with_results: bool) -> None:
    runners = _runners(race)
    live = any(runner.view.live for runner in runners)
    st.markdown(standing(runners))
    if with_results:
        show_cards(runners)
        st.header("The searches, side by side", anchor=False)
    replay = take_replay("compare") and not was_live
    grid = st.grid(max(2, len(runners)), min_column_width=NARROWEST)
    for number, runner in enumerate(runners):
        with grid.cell():
            player(_frames(runner, replay), key=f"compare.player-{number}")
            words = runner.name
            if not with_results:
                words = f"{named(runner)}  \n{plain(status_words(runner.view))}"
            changing_markdown(f"compare.status-{number}", words)
    if was_live and not live:
        st.rerun()


def _frames(runner: Runner, replay: bool) -> dict[str, Any]:
    """What one small player is sent: the newest frames, and at least the last one."""
    view = runner.view
    sent: dict[str, deque[int]] = st.session_state.setdefault("compare.sent", {})
    counts = sent.setdefault(view.request.run_id, deque(maxlen=OVERLAP_POLLS))
    newest = max(0, len(view.snapshots) - 1)
    first = 0 if replay else min(counts[0] if counts else newest, newest)
    counts.append(len(view.snapshots))
    title = f"{runner.name}, the search"
    return player_data(view, first) | {"compact": True, "title": title, "autoplay": replay}
