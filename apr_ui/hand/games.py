"""Games by hand: a session's own, and each by a name in the address, so that a reload finds it."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

import streamlit as st

from apr_core.by_hand.game import Game

MOST_KEPT = 1000


class GameBook:
    """Games by names that only their players know; the last `most` that were played are kept."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._games: OrderedDict[str, tuple[str, Game]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, name: str, place: str, game: Game) -> None:
        """Keep a game and its place under a name."""
        with self._lock:
            self._games[name] = place, game
            self._games.move_to_end(name)
            while len(self._games) > self._most:
                self._games.popitem(last=False)

    def find(self, name: str) -> tuple[str, Game] | None:
        """The place and the game under a name, None if there is none (any more)."""
        with self._lock:
            return self._games.get(name)


@st.cache_resource(show_spinner=False)
def book() -> GameBook:
    """Everybody's games; one is found by its name alone."""
    return GameBook()


def place_of(game_key: str, model: str, label: int, pixels: int) -> str:
    """The place of a game: one session has one game for each model, picture and count of pixels."""
    return f"{game_key}|{model}|{label}|{pixels}"


def current_game(page: str, place: str) -> Game | None:
    """The session's game at a place, None before it has begun."""
    kept = _own(page).get(place)
    return kept[1] if kept else None


def keep_game(page: str, place: str, game: Game) -> Game:
    """Replace the game at a place, and return the new one."""
    return _put(page, place, game_name(page, place) or secrets.token_urlsafe(9), game)


def leave_game(page: str, place: str) -> None:
    """Begin anew at a place; the game that was there is still found by its name."""
    _own(page).pop(place, None)


def game_name(page: str, place: str) -> str:
    """The name of the game at a place, "" before it has begun."""
    kept = _own(page).get(place)
    return kept[0] if kept else ""


def adopt_game(page: str, name: str) -> Game | None:
    """Continue the game of a name as one's own; None if it is not in memory.

    Whoever else has the name continues theirs: a game is a value, and this copy gets a new name. A
    name that the session gave itself stays.
    """
    found = book().find(name)
    if found is None:
        return None
    place, game = found
    return _put(page, place, name if name in _names(page) else secrets.token_urlsafe(9), game)


def _put(page: str, place: str, name: str, game: Game) -> Game:
    _names(page).add(name)
    _own(page)[place] = name, game
    book().keep(name, place, game)
    return game


def _names(page: str) -> set[str]:
    """Every name that the session gave a game."""
    names: set[str] = st.session_state.setdefault(f"{page}.names", set())
    return names


def _own(page: str) -> dict[str, tuple[str, Game]]:
    games: dict[str, tuple[str, Game]] = st.session_state.setdefault(f"{page}.games", {})
    return games
