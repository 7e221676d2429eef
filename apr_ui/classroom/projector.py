"""A class on the projector: the join screen, then the lesson's slides, none of which scrolls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from apr_core.classroom.board import Room
from apr_core.classroom.qr import qr_png
from apr_ui.address import page_link
from apr_ui.classroom.doors import CLASS
from apr_ui.classroom.view import count_seats
from apr_ui.frame import PRESENT, add_style
from apr_ui.lesson.attendance import Attendance
from apr_ui.lesson.shows import show_step, slides_of
from apr_ui.lesson.steps import LESSON
from apr_ui.presenter import BAR, PROJECTOR, Stop, presenter

JOIN = "join"
"""The stop before the first step."""
CODE = '<div style="font-size: 4.7rem; line-height: 1.2; font-weight: 700">{}</div>'
ONLY_HERE = (
    "Only this machine can open that address. For a classroom, start the app with `make serve` and "
    "open this page under the machine's own name."
)


def stops_of(attendance: Attendance) -> list[Stop]:
    """The steps of a lesson as stops of the presenter's bar."""
    slides = slides_of(attendance)
    return [
        Stop(step, LESSON[step].title, str(number), LESSON[step].minutes, slides[step])
        for number, step in enumerate(attendance.plan.steps, 1)
    ]


def present(attendance: Attendance) -> None:
    """Begin to present: with the join screen, unless the lesson has begun."""
    first = attendance.step == attendance.plan.steps[0]
    st.query_params[PRESENT] = JOIN if first else f"{attendance.step}.1"


def leave() -> None:
    """Back to the teacher's own page."""
    st.query_params.pop(PRESENT, None)


def project(attendance: Attendance, room: Room, move: Callable[[str], None]) -> None:
    """The slide that the address names, and the bar.

    Args:
        move: takes the class to a step.
    """
    at, slide = _place(attendance)
    add_style(PROJECTOR)

    def turn(stop: str, slide: int) -> None:
        if stop not in (JOIN, attendance.step):
            move(stop)
        st.query_params[PRESENT] = JOIN if stop == JOIN else f"{stop}.{slide}"

    with st.container(key=BAR, horizontal=True, vertical_alignment="center"):
        stops = [Stop(JOIN, "Join the class", "Join"), *stops_of(attendance)]
        presenter(stops, at, room.code, turn, slide)
        count_seats(room)
        st.button("Leave", key="classroom.leave", on_click=leave, type="tertiary")
    if at == JOIN:
        join_screen(room)
    else:
        show_step(replace(attendance, slide=slide))


def _place(attendance: Attendance) -> tuple[str, int]:
    """The stop and the slide that the address names; a step that the class has left is none."""
    place = st.query_params.get(PRESENT, "")
    if place == JOIN:
        return JOIN, 1
    step, _, number = place.rpartition(".")
    most = slides_of(attendance)[attendance.step]
    known = step == attendance.step and number.isdecimal() and 1 <= int(number) <= most
    return attendance.step, int(number) if known else 1


def join_screen(room: Room) -> None:
    """The way into the class, for the last row: code, address and QR code."""
    link = page_link({CLASS: room.code})
    picture, words = st.columns(2, gap="large", vertical_alignment="center")
    picture.image(qr_png(link), width=560, alt=f"A QR code of {link}")
    with words:
        st.title("Join the class", anchor=False)
        address = _bare(page_link({}))
        st.markdown(f"Scan the picture with your phone, or open\n\n**{address}**\n\nand type")
        st.html(CODE.format(room.code))
        _warn_of_own(link)


def invite(room: Room) -> None:
    """The same on the teacher's own page."""
    link = page_link({CLASS: room.code})
    picture, words = st.columns([1, 2], gap="large", vertical_alignment="center")
    picture.image(qr_png(link), width=260, alt=f"A QR code of {link}")
    with words:
        st.markdown("Class code")
        st.html(CODE.format(room.code))
        st.code(link, language=None, wrap_lines=True)
        _warn_of_own(link)


def _bare(link: str) -> str:
    """An address as people type it."""
    return link.removesuffix("?").removeprefix("https://").removeprefix("http://")


def _warn_of_own(link: str) -> None:
    if "//127.0.0.1" in link or "//localhost" in link:
        st.caption(ONLY_HERE)
