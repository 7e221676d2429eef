"""The search on the same picture, with as many queries as the person, and both results together."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
import torch
from PIL import Image

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.enumeration import is_large
from apr_core.base.tickets import Ticket
from apr_core.by_hand.game import Game
from apr_core.by_hand.helps import search_config
from apr_core.serving.requests import AttackRequest, MapRequest, RunView
from apr_ui.chart_view import show_chart
from apr_ui.controls import usual_config
from apr_ui.errors import errors_on_page
from apr_ui.hand.figures import duel, duel_words, tried_by_person, tried_by_search
from apr_ui.pictures import mapped, scale_to
from apr_ui.proof.truth import follow_map, truth_map_text
from apr_ui.resources import service
from apr_ui.stage import watch
from apr_ui.state import CurrentRun, cancel_runs, set_replay
from apr_ui.words import count_text

SIDE = 320
"""Screen pixels of a picture's side, about: three stand side by side."""


def offer_search(game: Game, index: int, page: str = "hand") -> None:
    """Buttons that start the search, once the person has tried something.

    Args:
        index: of the test image, or OWN_PICTURE; with the seed it fixes the search's random draws.
        page: what the keys begin with.
    """
    if not game.queries:
        return
    st.header("Differential evolution on the same picture", anchor=False)
    same = search_config(game.queries, game.pixels)
    full = usual_config(game.pixels)
    st.markdown(_budget_words(game, same))
    with st.container(horizontal=True):
        asked = AttackRequest(game.model, game.image, game.label, index, same)
        words = "With as many queries as you"
        if st.button(words, key=f"{page}.search-same", type="primary", icon=":material/search:"):
            _begin(asked, page)
        words = f"With the full {full.max_queries:,} queries"
        if st.button(words, key=f"{page}.search-full", icon=":material/all_inclusive:"):
            _begin(replace(asked, config=full), page)


def show_search(game: Game, page: str = "hand") -> None:
    """The search while it runs, and both results together when it has ended."""
    run = run_on(game, page)
    if run is None or not game.queries:
        return
    stop = st.container()
    view = watch(run, page)
    if view is None:
        st.info("The search is no longer in memory; start it again.")
    elif not view.live:
        _together(game, view, page)
    elif stop.button("Cancel", key=f"{page}.search-cancel"):
        cancel_runs(run.ticket)


def _budget_words(game: Game, config: OnePixelConfig) -> str:
    """How many queries the search gets, and in how many generations."""
    generations = config.generations + 1
    shape = f"{config.population} candidates in each of {generations} generations"
    if generations == 1:
        shape = f"{config.population} random candidates, without evolution"
    mine = f"You used {count_text(game.queries, 'query', 'queries')}."
    if config.max_queries > game.queries:
        return f"{mine} A search needs at least {config.max_queries}: {shape}."
    if config.max_queries < game.queries:
        return f"{mine} The search gets {config.max_queries:,} of them: {shape}."
    return f"{mine} The search gets as many: {shape}."


def _begin(request: AttackRequest, page: str) -> None:
    with errors_on_page():
        start_search(request, page, replay=True)
        st.rerun()


def start_search(request: AttackRequest, page: str, replay: bool = False) -> None:
    """Start the search, or join an equal one.

    Raises:
        InputError: too many runs wait already.
    """
    run = CurrentRun(request, service().submit(request))
    before: CurrentRun | None = st.session_state.get(f"{page}.search")
    if before:
        service().release(before.ticket.run_id, before.ticket.token)
    st.session_state[f"{page}.search"] = run
    set_replay(replay, page)


def run_on(game: Game, page: str) -> CurrentRun | None:
    """The session's search, if it is on this game's picture, model and number of pixels."""
    run: CurrentRun | None = st.session_state.get(f"{page}.search")
    if run is None:
        return None
    asked = run.request
    same = (asked.model, asked.label, asked.config.pixels) == (game.model, game.label, game.pixels)
    return run if same and torch.equal(asked.image, game.image) else None


def _together(game: Game, view: RunView, page: str) -> None:
    """The person and the search side by side: words, a curve, and the pixels that each tried."""
    words = duel_words(game, view)
    flipped = game.first_flip or (view.outcome is not None and view.outcome.success)
    st.info(words, icon=":material/bolt:" if flipped else ":material/shield:")
    if not view.snapshots:
        return
    alt = f"The true class's probability against queries, yours and the search's. {words}"
    show_chart(duel(game, view), f"{page}.duel", alt)
    grid, scale = st.grid("auto", min_column_width=SIDE), scale_to(game.image, SIDE)
    with grid.cell():
        _picture(tried_by_person(game, scale), "Pixels that you tried", "A cross marks a flip.")
    with grid.cell():
        note = (
            "The population of each generation. Candidates that were discarded at once are not "
            "shown."
        )
        _picture(tried_by_search(view, scale), "Pixels that the search tried", note)
    if not is_large(*game.image.shape[1:]):
        with grid.cell():
            _truth(game, page, scale)


def _picture(picture: Image.Image, title: str, note: str) -> None:
    st.markdown(f"**{title}**")
    st.image(picture, width=picture.width, alt=f"{title}. {note}")
    st.caption(note)


def _truth(game: Game, page: str, scale: int) -> None:
    """The truth map of the picture that both started from."""
    request = MapRequest(game.model, game.image, game.label)
    ticket: Ticket | None = st.session_state.get(f"{page}.truth")
    with errors_on_page():
        if ticket is None or ticket.run_id != request.run_id or not service().view(ticket.run_id):
            ticket = st.session_state[f"{page}.truth"] = service().submit(request)
        view = follow_map(ticket, f"{page}.truth", shown=False)
        if view is not None and view.outcome is not None:
            note = f"Each pixel alone, in the eight corner colours: {truth_map_text(view.outcome)}"
            _picture(mapped(game.image, view.outcome, scale), "Truth map", note)
