"""The search in a person's place: as many queries from the same picture, and both together."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
import torch
from PIL import Image

from apr_core.attacks.config import OnePixelConfig
from apr_core.base.tickets import Ticket
from apr_core.base.types import InputError, Status
from apr_core.by_hand.game import Game
from apr_core.by_hand.helps import search_config
from apr_core.serving.requests import AttackRequest, MapRequest, RunView
from apr_ui.hand.figures import duel, duel_words, looked_by_person, looked_by_search
from apr_ui.pictures import mapped
from apr_ui.proof.truth import follow_map, in_words
from apr_ui.resources import service
from apr_ui.stage import watch
from apr_ui.state import CurrentRun, cancel_runs, set_replay
from apr_ui.words import plain

SCALE = 10
"""Screen pixels for one of the picture's: three pictures stand side by side."""


def offer_search(game: Game, index: int, page: str = "hand") -> None:
    """Buttons that let the search try, in a fragment or out of one.

    Args:
        game: as it stands; before its first try there is nothing to offer.
        index: of the test image, or OWN_PICTURE; with the seed it fixes the search's draws.
        page: what the keys begin with.
    """
    if not game.queries:
        return
    st.subheader("Now let the search try", anchor=False)
    same = search_config(game.queries, game.pixels)
    full = OnePixelConfig(pixels=game.pixels)
    st.markdown(_budget_words(game, same))
    with st.container(horizontal=True):
        asked = AttackRequest(game.model, game.image, game.label, index, same)
        words = "With as many tries as you"
        if st.button(words, key=f"{page}.search-same", type="primary", icon=":material/search:"):
            _begin(asked, page)
        words = f"Give it the full {full.max_queries:,} queries"
        if st.button(words, key=f"{page}.search-full", icon=":material/all_inclusive:"):
            _begin(replace(asked, config=full), page)


def show_search(game: Game, page: str = "hand") -> None:
    """The search while it runs, and the person and the search together when it has ended.

    Args:
        page: what the keys begin with.
    """
    run = run_on(game, page)
    if run is None or not game.queries:
        return
    stop = st.empty()
    view = watch(run, page)
    if view is None:
        st.info("The search is no longer in memory; let it try again.")
    elif view.live:
        if stop.button("Cancel", key=f"{page}.search-cancel"):
            cancel_runs(run.ticket)
    else:
        _together(game, view, page)


def _budget_words(game: Game, config: OnePixelConfig) -> str:
    """How many queries the search gets, in the shape that it needs."""
    generations = config.generations + 1
    shape = f"{config.population} candidates in each of {generations} generations"
    if generations == 1:
        shape = f"{config.population} candidates, placed at random, and none evolved from them"
    tries = f"{game.queries:,} {'try' if game.queries == 1 else 'tries'}"
    if config.max_queries > game.queries:
        return f"You had {tries}. A search takes {config.max_queries} at the least: {shape}."
    if config.max_queries < game.queries:
        return f"You had {tries}. A search gets {config.max_queries:,} of them: {shape}."
    return f"You had {tries}, and so has the search: {shape}."


def _begin(request: AttackRequest, page: str) -> None:
    try:
        start_search(request, page, replay=True)
    except InputError as error:
        st.error(plain(error), icon=":material/error:")
        return
    st.rerun()


def start_search(request: AttackRequest, page: str, replay: bool = False) -> None:
    """Let the search try.

    Raises:
        InputError: too many runs wait already.
    """
    run = CurrentRun(request, service().submit(request))
    before: CurrentRun | None = st.session_state.get(f"{page}.search")
    if before:
        service().cancel(before.ticket.run_id, before.ticket.token)
    st.session_state[f"{page}.search"] = run
    set_replay(replay, page)


def run_on(game: Game, page: str) -> CurrentRun | None:
    """The session's search, where it is on this game's picture, model and number of pixels."""
    run: CurrentRun | None = st.session_state.get(f"{page}.search")
    if run is None:
        return None
    asked = run.request
    same = (asked.model, asked.label, asked.config.pixels) == (game.model, game.label, game.pixels)
    return run if same and torch.equal(asked.image, game.image) else None


def _together(game: Game, view: RunView, page: str) -> None:
    """The person and the search side by side: words, a curve, and where each looked."""
    words = duel_words(game, view)
    flipped = view.outcome is not None and view.outcome.status is Status.FLIPPED
    st.info(words, icon=":material/bolt:" if flipped or game.first_flip else ":material/shield:")
    if not view.snapshots:
        return
    st.plotly_chart(
        duel(game, view),
        key=f"{page}.duel",
        config={"displayModeBar": False},
        alt=f"The true class's probability against queries, yours and the search's. {words}",
    )
    grid = st.grid("auto", min_column_width=32 * SCALE)
    with grid.cell():
        _picture(looked_by_person(game, SCALE), "Where you looked", "A cross: it flipped.")
    with grid.cell():
        seen = (
            "Who stood in its population, generation by generation; who lost at once is not shown."
        )
        _picture(looked_by_search(view, SCALE), "Where it looked", seen)
    with grid.cell():
        _truth(game, page)


def _picture(picture: Image.Image, title: str, note: str) -> None:
    st.markdown(f"**{title}**")
    st.image(picture, width=picture.width, alt=f"{title}. {note}")
    st.caption(note)


def _truth(game: Game, page: str) -> None:
    """What every pixel by itself could have done to the picture that both started from."""
    request = MapRequest(game.model, game.image, game.label)
    ticket: Ticket | None = st.session_state.get(f"{page}.truth")
    if ticket is None or ticket.run_id != request.run_id or not service().view(ticket.run_id):
        try:
            ticket = st.session_state[f"{page}.truth"] = service().submit(request)
        except InputError as error:
            st.error(plain(error), icon=":material/error:")
            return
    view = follow_map(ticket, f"{page}.truth", shown=False)
    if view is not None and view.outcome is not None:
        note = f"One pixel by itself, in the eight corner colours: {in_words(view.outcome)}"
        _picture(mapped(game.image, view.outcome, SCALE), "Where it was", note)
