"""The step by hand: the game, and its best tries of the class."""

from __future__ import annotations

import html
import json
from dataclasses import asdict
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from apr_core.base.types import InputError
from apr_core.by_hand.game import Game
from apr_ui.classroom.board import POLL_SECONDS, show_board
from apr_ui.classroom.seating import remember, remembered
from apr_ui.dataset import class_name
from apr_ui.errors import errors_on_page
from apr_ui.hand.games import adopt_game, current_game, game_name
from apr_ui.hand.view import play
from apr_ui.lesson.attendance import Attendance, Role
from apr_ui.resources import classrooms
from apr_ui.words import count_text, percent

PAGE = "classroom.hand"
STRIP = "classroom-strip"
"""Key of the strip that stays at the bottom of a phone: verdict, bars and board at a glance."""
STRIP_ENTRIES = 3
_STYLE = f"""<style>
:has(> .st-key-{STRIP}) {{ display: none; }}
@media (max-width: 640px) {{
  :has(> .st-key-{STRIP}) {{ display: flex; position: sticky; bottom: 0; z-index: 9; }}
}}
.strip {{
  padding: 0.5rem 0.75rem; border-radius: 0.5rem 0.5rem 0 0;
  background: #1b1f24; color: #fff; box-shadow: 0 0 0 1px #6b7a90;
  font-size: 1rem; line-height: 1.35;
}}
.strip p {{ margin: 0; }}
.strip .bar {{
  display: grid; grid-template-columns: 6rem 1fr 3.6rem; gap: 0.5rem; align-items: center;
}}
.strip .bar i {{ height: 0.7rem; border-radius: 0.35rem; background: #6b7a90; }}
.strip .bar i.other {{ background: #ff9d5c; }}
.strip .bar b {{ text-align: right; }}
</style>"""


def show_by_hand(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    """The game in `main`, the class's board in `side`."""
    image, label = attendance.picture
    kind = f"game-{attendance.round}"
    name = remembered(attendance.code).get(kind, "")
    if name and f"{PAGE}.games" not in st.session_state:
        adopt_game(PAGE, name)  # a phone that slept goes on where it was
    hints, model = attendance.sees("hints"), attendance.plan.model
    with main, errors_on_page("help"):
        more = None if attendance.slide else partial(_strip_place, attendance)
        game = play(attendance.place, model, image, label, PAGE, hints, (1,), more)
        now = game_name(PAGE, st.session_state[f"{PAGE}.place"])
        if attendance.code and now != name:
            remember(attendance.code, kind, now)
            st.rerun()  # so that the browser is told before the first try
        with side:
            _enter(attendance, game)
    with side:
        if attendance.code and attendance.sees("board"):
            show_board(attendance.code)


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


def _strip_place(attendance: Attendance, game: Game) -> None:
    st.html(_STYLE)
    with st.container(key=STRIP):
        st.fragment(_strip, run_every=POLL_SECONDS)(attendance)


def _strip(attendance: Attendance) -> None:
    game = current_game(PAGE, st.session_state.get(f"{PAGE}.place", ""))
    if game is not None:
        st.html(strip_html(game, _best_of(attendance)))


def _best_of(attendance: Attendance) -> str:
    """The best of the board in a line; "" where there is none to see."""
    if not attendance.code or not attendance.sees("board"):
        return ""
    try:
        entries = classrooms().board(attendance.code)[:STRIP_ENTRIES]
    except InputError:
        return ""  # the page says it
    best = [f"{entry.place}. {entry.nickname} ({entry.queries:,})" for entry in entries]
    return f"Board: {', '.join(best)}" if best else "Board: nobody yet"


def strip_html(game: Game, board: str) -> str:
    """The state of a game for a phone: the bars repeat above, and are not read out twice."""
    said = class_name(game.answer.label)
    verdict = f"⚡ Flipped: {class_name(game.label)} → {said}" if game.flipped else f"Still {said}"
    tries = count_text(game.queries, "try", "tries")
    shown = [game.label, _rival(game)]
    rows = "".join(_bar(game, label, label != game.label) for label in shown)
    line = f"<p>{html.escape(board)}</p>" if board else ""
    return (
        f'<div class="strip" data-testid="strip"><p><b>{html.escape(verdict)}</b> · {tries}</p>'
        f'<div aria-hidden="true">{rows}</div>{line}</div>'
    )


def _rival(game: Game) -> int:
    """The most likely class beside the true one."""
    order = sorted(range(len(game.answer.probabilities)), key=game.answer.probabilities.__getitem__)
    return next(label for label in reversed(order) if label != game.label)


def _bar(game: Game, label: int, other: bool) -> str:
    share = game.answer.probabilities[label]
    kind = ' class="other"' if other else ""
    name = html.escape(class_name(label))
    bar = f'<i{kind} style="width: {100 * share:.1f}%"></i>'
    return f'<div class="bar"><span>{name}</span>{bar}<b>{percent(share)}</b></div>'
