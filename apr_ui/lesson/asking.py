"""Questions to a class, and the counts of its answers."""

from __future__ import annotations

import html
from collections.abc import Mapping

import streamlit as st

from apr_core.base.types import InputError
from apr_ui.changing_text import changing_container
from apr_ui.errors import errors_on_page
from apr_ui.frame import add_style
from apr_ui.lesson.attendance import Attendance, Role

TALLY_SECONDS = 1.5
_STYLE = """
.tally { margin: 0 0 0.5rem; }
.tally .track { height: 0.7rem; border-radius: 0.35rem; background: rgb(128 136 150 / 25%); }
.tally .track div { height: 100%; border-radius: 0.35rem; background: #6b7a90; }
.tally.right .track div { background: #2a9d5c; }
"""
"""A right answer has a colour of its own, and a mark and a word as well."""


def ask(
    attendance: Attendance, question: str, words: str, choices: Mapping[str, str], saved: str
) -> str | None:
    """A question whose answer is saved at once; returns the answer.

    Args:
        question: its name among the answers.
        words: the question itself.
        choices: what each answer says, by its name.
        saved: what is said once an answer is saved.
    """
    kept = attendance.answered().get(question)
    if attendance.role is Role.TEACHER:
        return kept
    chosen = _choose(attendance, question, words, choices, kept)
    if chosen is not None and chosen != kept:
        with errors_on_page():
            attendance.answer(question, chosen)
    if chosen is not None:
        st.markdown(f":material/check_circle: {saved}")
    return chosen


def ask_once(
    attendance: Attendance, question: str, words: str, choices: Mapping[str, str], button: str
) -> str | None:
    """A question with a button, for an answer that stands; returns the answer.

    The answers are read with the arrow keys, and each move would be an answer without the button.
    Arguments as in `ask`.
    """
    kept = attendance.answered().get(question)
    if kept in choices or attendance.role is Role.TEACHER:
        return kept
    with st.form(f"classroom.form-{question}-{attendance.place}", border=False):
        chosen = _choose(attendance, question, words, choices, None)
        if st.form_submit_button(button, type="primary") and chosen is not None:
            with errors_on_page():
                attendance.answer(question, chosen)
                st.rerun()
    return None


def _choose(
    attendance: Attendance,
    question: str,
    words: str,
    choices: Mapping[str, str],
    kept: str | None,
) -> str | None:
    keys = list(choices)
    return st.radio(
        words,
        keys,
        index=keys.index(kept) if kept in keys else None,
        format_func=lambda choice: choices[choice],
        key=f"classroom.answer-{question}-{attendance.place}",
    )


def show_marked(choices: Mapping[str, str], chosen: str, right: str) -> None:
    """The answers, with the right one and the visitor's own marked in words, signs and colours."""
    for choice, words in choices.items():
        if choice == right:
            mine = ", and yours" if chosen == right else ""
            st.markdown(f":green[:material/check_circle: **{words}** (the right answer{mine})]")
        elif choice == chosen:
            st.markdown(f":orange[:material/cancel: {words} (your answer)]")
        else:
            st.markdown(f":material/radio_button_unchecked: {words}")


def tally(
    attendance: Attendance, question: str, choices: Mapping[str, str], right: str = ""
) -> None:
    """The count of each answer, updated as answers come in; for the teacher's screen alone."""
    if attendance.role is Role.TEACHER:
        add_style(_STYLE)
        st.fragment(_draw, run_every=TALLY_SECONDS)(attendance, question, choices, right)


def _draw(attendance: Attendance, question: str, choices: Mapping[str, str], right: str) -> None:
    try:
        counts = attendance.tally(question)
    except InputError:
        return  # the page says it
    total = sum(counts.get(choice, 0) for choice in choices)
    rows = "".join(
        _row(words, counts.get(choice, 0), total, choice == right)
        for choice, words in choices.items()
    )
    changing_container(f"classroom.tally-{question}", rows).html(rows)


def _row(words: str, count: int, total: int, right: bool) -> str:
    """An answer with its count as HTML."""
    kind, mark = ("tally right", " ✓ right") if right else ("tally", "")
    told = f"<span>{html.escape(words)}: <b>{count}</b>{mark}</span>"
    share = f'<div style="width: {100 * count / total if total else 0:.0f}%"></div>'
    return f'<div class="{kind}">{told}<div class="track">{share}</div></div>'
