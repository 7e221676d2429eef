"""Hints, hot or cold, on a pixel: its percentile rank in a truth map made in the background."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from apr_core.attacks.result import edit_image
from apr_core.base.tickets import Ticket
from apr_core.base.types import InputError
from apr_core.by_hand.game import Game, Heat
from apr_core.by_hand.helps import with_hint
from apr_core.serving.requests import MapRequest, MapView
from apr_ui.changing_text import changing_markdown
from apr_ui.hand.games import current_game, keep_game
from apr_ui.proof.truth import follow_map
from apr_ui.resources import service
from apr_ui.words import plain

MARKS = {Heat.HOT: "▲", Heat.WARM: "◆", Heat.COLD: "▼"}
HELP = (
    "Ranks the pixel that you tried last among all pixels, each in the worst of the eight corner "
    "colours, by how close it comes to fooling the model. Hot: the first 5 %, or any pixel that "
    "fools it. Warm: the next 20 %. The H key asks about the pixel under the cursor. Hints are "
    "counted."
)
NO_HINTS = (
    "There are no hints and no truth map on a picture of this size: to try each of its pixels in "
    "eight colours takes hours."
)


@dataclass(frozen=True)
class _Asked:
    """A hint that waits for its map."""

    place: str
    x: int
    y: int
    ticket: Ticket


def ask_hint(page: str, place: str, x: int, y: int) -> None:
    """Start the truth map that the hint is read from, or find it made.

    It is the map of the picture that the next try edits: the clean one if a single pixel may be
    changed. A picture that already fools the model has none.
    """
    game = current_game(page, place)
    if game is None or not can_hint(game) or waiting(page, place):
        return
    seen = edit_image(game.image, game.base)
    try:
        ticket = service().submit(MapRequest(game.model, seen, game.label))
    except InputError as error:
        st.session_state[f"{page}.hint-error"] = str(error)
        return
    st.session_state[f"{page}.hint-asked"] = _Asked(place, x, y, ticket)


def can_hint(game: Game) -> bool:
    """Whether the model is still right about the picture that the next try edits."""
    last = next((tried for tried in game.tries if tried.edits == game.base), None)
    return not game.base or last is None or not game.broke(last)


def waiting(page: str, place: str) -> bool:
    """Whether a hint on the game at a place waits for its map."""
    asked: _Asked | None = st.session_state.get(f"{page}.hint-asked")
    return asked is not None and asked.place == place


def take_hint(page: str, place: str) -> None:
    """Add the hint that was asked for to the game, once its map has ended."""
    asked: _Asked | None = st.session_state.get(f"{page}.hint-asked")
    if asked is None:
        return
    view: MapView | None = service().view(asked.ticket.run_id, asked.ticket.token)
    if view is not None and view.live and asked.place == place:
        return
    del st.session_state[f"{page}.hint-asked"]
    game = current_game(page, asked.place)
    if view is None or view.live or game is None:
        service().release(asked.ticket.run_id, asked.ticket.token)
    elif view.outcome is None:
        st.session_state[f"{page}.hint-error"] = view.error
    elif view.outcome.done == 1:
        keep_game(page, asked.place, with_hint(game, view.outcome, asked.x, asked.y))


def show_hint(page: str, place: str, game: Game) -> None:
    """The last hint, or the progress of its map."""
    error = st.session_state.pop(f"{page}.hint-error", "")
    if error:
        st.error(plain(error), icon=":material/error:")
    if waiting(page, place):
        st.caption("Trying every pixel for the hint. You can continue meanwhile.")
        asked: _Asked = st.session_state[f"{page}.hint-asked"]
        if follow_map(asked.ticket, f"{page}.hint", shown=False) is not None:
            st.rerun()
    elif game.hints:
        changing_markdown(f"{page}.hint-words", hint_words(game))


def hint_words(game: Game) -> str:
    """The last hint in a sentence or two."""
    hint = game.hints[-1]
    where = f"x {hint.x}, y {hint.y} is **{hint.heat}** {MARKS[hint.heat]}"
    if not hint.rank:
        return f"{where}: it is proven that no colour of this pixel can fool the model."
    words = f"{where}: rank {hint.rank:,} of {hint.pixels:,} pixels."
    before = next((old for old in reversed(game.hints[:-1]) if old.rank), None)
    if before is None or before.rank == hint.rank:
        return words
    return f"{words} {'Warmer' if hint.rank < before.rank else 'Colder'} than the hint before."
