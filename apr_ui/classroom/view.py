"""A place in a class: the seat, the steps that follow the teacher's, and how it ends."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from apr_core.base.types import InputError
from apr_core.classroom.board import Room
from apr_core.classroom.names import LONGEST_NICKNAME
from apr_ui.changing_text import changing_markdown
from apr_ui.classroom.doors import ALONE
from apr_ui.classroom.seating import browser_said, remember, remembered
from apr_ui.dataset import shown_data
from apr_ui.errors import errors_on_page
from apr_ui.lesson.attendance import Attendance, Role
from apr_ui.resources import classrooms
from apr_ui.words import plain

FOLLOW_SECONDS = 2.0
LEARNT = (
    "One pixel can be enough to change what a network sees. Usually it is not.",
    "A search finds that pixel with queries alone. It does not look inside the network.",
    "Being sure is not being right.",
    "A defence that resists one search is not proven safe.",
    "No threshold for asking a person is free.",
)


def attend(room: Room) -> Attendance | None:
    """The visitor's place in a class; None while they have none and are asked for a nickname."""
    said = browser_said(room.code)
    mine = remembered(room.code)
    teacher, seat = mine.get("teacher", ""), mine.get("seat", "")
    if teacher and classrooms().is_teacher(room.code, teacher):
        return Attendance(Role.TEACHER, room.plan, room.step, room.code, teacher, round=room.round)
    seated = classrooms().seat(room.code, seat) if seat else None
    if seated is not None:
        name = seated.nickname
        return Attendance(Role.STUDENT, room.plan, room.step, room.code, seat, name, room.round)
    if not said and not mine:
        st.caption("One moment …")  # the browser has not answered yet whether it has a seat
        return None
    _ask_nickname(room)
    return None


def _ask_nickname(room: Room) -> None:
    st.title(plain(room.title) or f"Class {room.code}", anchor=False)
    with st.form("classroom.seat"):
        nickname = st.text_input(
            "Your nickname", key="classroom.nickname", max_chars=LONGEST_NICKNAME
        )
        if st.form_submit_button("Take a seat", type="primary"):
            with errors_on_page():
                remember(room.code, "seat", classrooms().join(room.code, nickname).token)
                st.rerun()
    st.caption("The class sees it. Don't use your real name.")
    with st.expander("I am the teacher", icon=":material/key:"):
        key = st.text_input("The teacher's key", type="password", key="classroom.key")
        if key and classrooms().is_teacher(room.code, key):
            remember(room.code, "teacher", key)
            st.rerun()
        elif key:
            st.error(
                f"This is not the key of class {room.code}; find the key under “Manage” on the "
                "screen where the class was opened.",
                icon=":material/key_off:",
            )


def follow(attendance: Attendance, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Draw the page anew when the teacher changes the step or begins another round.

    Args:
        meanwhile: done at each poll of the class.
    """
    st.fragment(_follow, run_every=FOLLOW_SECONDS)(attendance, meanwhile)


def _follow(attendance: Attendance, meanwhile: Callable[[], None]) -> None:
    meanwhile()
    try:
        room = classrooms().room(attendance.code)
        moved = (room.step, room.round) != (attendance.step, attendance.round)
    except InputError:
        moved = True  # the page says it
    if moved:
        st.rerun()


def count_seats(room: Room) -> None:
    """The class, its code, and its number of students."""
    st.fragment(_seats, run_every=FOLLOW_SECONDS)(room.code)


def _seats(code: str) -> None:
    try:
        room = classrooms().room(code)
    except InputError:
        return  # the page says it
    words = f"**{plain(room.title) or 'Class'}** · code **{room.code}** · {room.students} here"
    changing_markdown("classroom.seats", words)


def farewell() -> None:
    """The last page of a class that its teacher has ended, for those who were in it."""
    st.title("The class is over", anchor=False)
    st.markdown("Thank you for taking part.")
    with st.container(border=True):
        st.header("What to remember", anchor=False)
        st.markdown("\n".join(f"- {line}" for line in LEARNT))
    with st.container(horizontal=True):
        st.page_link("pages/attack.py", label="Try a picture of your own")
        if st.button("Take the lesson again, alone", key="classroom.again"):
            st.query_params.from_dict({ALONE: shown_data().name})
            st.rerun()
