"""Questions to a class, and the counts of its answers."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from apr_ui.changing_text import changing_container
from apr_ui.errors import errors_on_page
from apr_ui.lesson.attendance import Attendance, Role

TALLY_SECONDS = 1.5


def ask(
    attendance: Attendance, question: str, words: str, choices: Mapping[str, str]
) -> str | None:
    """A question whose answer is saved at once; returns the answer."""
    kept = attendance.answered().get(question)
    if attendance.role is Role.TEACHER:
        return kept
    keys = list(choices)
    key = f"classroom.answer-{question}-{attendance.place}"
    chosen = st.radio(
        words,
        keys,
        index=keys.index(kept) if kept in keys else None,
        format_func=lambda choice: choices[choice],
        key=key,
    )
    if chosen is not None and chosen != kept:
        with errors_on_page():
            attendance.answer(question, chosen)
    return chosen


def tally(
    attendance: Attendance, question: str, choices: Mapping[str, str], right: str = ""
) -> None:
    """The count of each answer, updated as answers come in; for the teacher's screen alone."""
    if attendance.role is Role.TEACHER:
        st.fragment(_draw, run_every=TALLY_SECONDS)(attendance, question, choices, right)


def _draw(attendance: Attendance, question: str, choices: Mapping[str, str], right: str) -> None:
    counts = attendance.tally(question)
    total = sum(counts.get(choice, 0) for choice in choices)
    for choice, words in choices.items():
        count = counts.get(choice, 0)
        mark = " :material/check:" if choice == right else ""
        told = f"{words}: **{count}**{mark}"
        bar = changing_container(f"classroom.tally-{question}-{choice}", told)
        bar.progress(count / total if total else 0.0, told)
