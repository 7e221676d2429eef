"""The step by hand: the game, and its best tries of the class."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from apr_core.base.types import InputError
from apr_core.by_hand.game import Game
from apr_core.classroom.board import Entry
from apr_ui.classroom.board import ON_SLIDE, POLL_SECONDS, SHOWN, show_board
from apr_ui.classroom.seating import remember, remembered
from apr_ui.errors import errors_on_page
from apr_ui.frame import add_style
from apr_ui.hand.games import adopt_game, game_name
from apr_ui.hand.view import play
from apr_ui.lesson.attendance import Attendance, Role
from apr_ui.resources import classrooms

PAGE = "classroom.hand"
STRIP = "classroom-strip"
"""Key of the line that stays at the bottom of a phone: the board at a glance."""
STRIP_ENTRIES = 3
_STYLE = f"""
:has(> .st-key-{STRIP}) {{ display: none; }}
@media (max-width: 640px) {{
  :has(> .st-key-{STRIP}) {{ display: flex; position: sticky; bottom: 0; z-index: 9; }}
}}
.st-key-{STRIP} {{
  padding: 0.5rem 0.75rem; border-radius: 0.5rem 0.5rem 0 0;
  background: #1b1f24; color: #fff; box-shadow: 0 0 0 1px #6b7a90;
}}
"""


def show_by_hand(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    """The game in `main`, the class's board in `side`."""
    image, label = attendance.picture
    kind = f"game-{attendance.round}"
    name = remembered(attendance.code).get(kind, "")
    if name and f"{PAGE}.games" not in st.session_state:
        adopt_game(PAGE, name)  # a phone that slept goes on where it was
    hints, model = attendance.sees("hints"), attendance.plan.model
    board = attendance.code and attendance.sees("board")
    with main, errors_on_page("help"):
        more = partial(_strip, attendance) if board and not attendance.slide else None
        game = play(attendance.place, model, image, label, PAGE, hints, (1,), more)
        now = game_name(PAGE, st.session_state[f"{PAGE}.place"])
        if attendance.code and now != name:
            remember(attendance.code, kind, now)
            st.rerun()  # so that the browser is told before the first try
        with side:
            _enter(attendance, game)
    with side:
        if board:
            show_board(attendance.code, ON_SLIDE if attendance.slide else SHOWN)


def _enter(attendance: Attendance, game: Game) -> None:
    """Enter a student's first flip on the board; tries before starting over count too."""
    if attendance.role is not Role.STUDENT or not game.first_flip or game.earlier_best:
        return
    edits = json.dumps([asdict(edit) for edit in game.tries[game.first_flip - 1].edits])
    queries, hints = game.earlier + game.first_flip, game.earlier_hints + len(game.hints)
    entered = classrooms().enter(
        attendance.code, attendance.token, queries, game.pixels, hints, edits
    )
    st.success(f"You are on the board, at place {entered.place}.", icon=":material/leaderboard:")


def _strip(attendance: Attendance, game: Game) -> None:
    add_style(_STYLE)
    with st.container(key=STRIP):
        st.fragment(_best, run_every=POLL_SECONDS)(attendance)


def _best(attendance: Attendance) -> None:
    try:
        entries = classrooms().board(attendance.code)
    except InputError:
        return  # the page says it
    st.html(best_html(entries[:STRIP_ENTRIES]))


def best_html(entries: Sequence[Entry]) -> str:
    """The best of the board in a line of HTML; nicknames are escaped."""
    best = [f"{entry.place}. {entry.nickname} ({entry.queries:,})" for entry in entries]
    line = html.escape(", ".join(best) or "nobody yet")
    return f'<span data-testid="best"><b>Board:</b> {line}</span>'
