"""The Classroom page's parts: opening, joining and leading a class."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from apr_core.base.types import InputError
from apr_core.classroom.board import Room
from apr_core.classroom.names import LONGEST_NICKNAME, LONGEST_TITLE
from apr_core.classroom.plan import HIDEABLE, STEPS, Plan
from apr_core.classroom.qr import qr_png
from apr_core.data.dataset import with_article
from apr_ui.changing_text import changing_markdown
from apr_ui.classroom.board import show_board
from apr_ui.classroom.seating import browser_said, remember, remembered
from apr_ui.dataset import class_name, shown_data
from apr_ui.errors import errors_on_page
from apr_ui.lesson.attendance import Attendance, Role, first_plan
from apr_ui.lesson.steps import LESSON, minutes_of
from apr_ui.model_names import model_labels
from apr_ui.pictures import enlarge
from apr_ui.resources import cards, classrooms, gallery, probabilities
from apr_ui.words import plain

CLASS, ALONE, STEP = "class", "alone", "step"
"""Query parameters of the page."""
FOLLOW_SECONDS = 2.0
HIDDEN_WORDS = {
    "hints": "hot-or-cold hints",
    "board": "the challenge board",
    "answers": "the quiz's answers",
}
_OTHER = "another test image"


def doors() -> None:
    """Join a class, open one, or take the lesson alone."""
    join, lead, alone = st.columns(3, gap="large")
    with join, st.container(border=True):
        st.subheader("Join a class", anchor=False)
        with st.form("classroom.join", border=False):
            code = st.text_input("Class code", key="classroom.code", max_chars=12)
            if st.form_submit_button("Go to the class", type="primary"):
                with errors_on_page("meeting_room"):
                    _go_to_class(classrooms().room(code).code)
    with alone, st.container(border=True):
        st.subheader("Take it alone", anchor=False)
        st.markdown(f"Nine steps, about {minutes_of(STEPS):.0f} minutes, at your own pace.")
        if st.button("Begin the lesson", key="classroom.alone"):
            st.query_params.from_dict({ALONE: "1"})
            st.rerun()
    with lead, st.container(border=True):
        st.subheader("Teach a class", anchor=False)
        st.markdown(
            "Open a class, show its code, and lead the nine steps from your screen; the students' "
            "phones follow. No accounts: a nickname is enough."
        )
        _plan_form()


def _plan_form() -> None:
    """The settings of a class, and the button that opens it."""
    first = first_plan()
    pictures: dict[str, int] = {}
    for entry in gallery():
        pictures.setdefault(f"{entry.title}, test image {entry.index}", entry.index)
    with st.expander("Settings of the lesson", icon=":material/tune:"):
        chosen = st.selectbox("Picture", [*pictures, _OTHER], key="classroom.picture")
        index = pictures.get(chosen, first.index)
        if chosen == _OTHER:
            index = int(st.number_input("Test image", 0, 9999, index, key="classroom.index"))
        _preview(index)
        names = list(cards()[0])
        place = names.index(first.model) if first.model in names else 0
        model = st.selectbox(
            "Model", names, place, format_func=model_labels().__getitem__, key="classroom.model"
        )
        seed = int(st.number_input("Seed", 0, 2**31 - 1, first.seed, key="classroom.seed"))
        steps = st.multiselect(
            "Steps, in this order",
            STEPS,
            STEPS,
            format_func=lambda step: LESSON[step].title,
            key="classroom.steps",
            wrap=True,
        )
        hidden = st.pills(
            "Hide from students",
            HIDEABLE,
            selection_mode="multi",
            format_func=lambda what: HIDDEN_WORDS[what],
            key="classroom.hidden",
        )
    title = st.text_input("Name of the class", key="classroom.title", max_chars=LONGEST_TITLE)
    if st.button("Open the class", type="primary", key="classroom.open"):
        _open(partial(Plan, index, model, seed, tuple(steps), tuple(hidden)), title)


def _go_to_class(code: str) -> None:
    st.query_params.from_dict({CLASS: code})
    st.rerun()


def _preview(index: int) -> None:
    with errors_on_page("image"):
        image, label = shown_data().test_image(index)
        seen, what = enlarge(image, 4), with_article(class_name(label))
        st.image(seen, width=seen.width, caption=class_name(label), alt=what)


def _check_right(plan: Plan) -> None:
    """Raise InputError if there is no such picture, or the model misclassifies it."""
    image, label = shown_data().test_image(plan.index)
    said = int(probabilities(plan.model, [image])[0].argmax())
    if said != label:
        raise InputError(
            f"{plan.model} already takes test image {plan.index}, "
            f"{with_article(class_name(label))}, for {with_article(class_name(said))}; choose "
            "another picture or another model."
        )


def _open(make: Callable[[], Plan], title: str) -> None:
    with errors_on_page():
        plan = make()
        _check_right(plan)
        opened = classrooms().open(plan, title)
        remember(opened.code, "teacher", opened.token)
        _go_to_class(opened.code)


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
    st.subheader(plain(room.title) or f"Class {room.code}", anchor=False)
    with st.form("classroom.seat"):
        nickname = st.text_input(
            "Your nickname", key="classroom.nickname", max_chars=LONGEST_NICKNAME
        )
        if st.form_submit_button("Take a seat", type="primary"):
            with errors_on_page():
                remember(room.code, "seat", classrooms().join(room.code, nickname).token)
                st.rerun()
    st.caption("The class sees it. Choose one that does not reveal who you are.")
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
    """The class, and its number of students."""
    st.fragment(_seats, run_every=FOLLOW_SECONDS)(room.code)


def _seats(code: str) -> None:
    try:
        room = classrooms().room(code)
    except InputError:
        return  # the page says it
    words = f"**{plain(room.title) or 'Class'}** · {room.code} · {room.students} here"
    changing_markdown("classroom.seats", words)


def invite(room: Room, link: str) -> None:
    """The way into the class: address, code and QR code."""
    picture, words = st.columns([1, 2], gap="large", vertical_alignment="center")
    picture.image(qr_png(link), width=260, alt=f"A QR code of {link}")
    with words:
        st.markdown(f"Class code\n# {room.code}")
        st.code(link, language=None, wrap_lines=True)
        if "//127.0.0.1" in link or "//localhost" in link:
            st.caption(
                "Only this machine can open that address. For a classroom, start the app with "
                "`make serve` and open this page under the machine's own name."
            )


def manage(attendance: Attendance, room: Room) -> None:
    """The teacher's tools."""
    code, token = attendance.code, attendance.token
    st.markdown("**The teacher's key**, to lead this class from another machine:")
    st.code(token, language=None, wrap_lines=True)
    st.download_button(
        "Board and answers as CSV",
        lambda: classrooms().export(code, token),
        f"class-{code}.csv",
        "text/csv",
        key="classroom.export",
        on_click="ignore",
        icon=":material/download:",
    )
    name = st.text_input("Remove a nickname", key="classroom.remove", max_chars=LONGEST_NICKNAME)
    if name and st.button("Remove it", key="classroom.remove-go"):
        _try(lambda: classrooms().remove(code, token, name))
    if st.button("Empty the board and the answers", key="classroom.reset"):
        _try(lambda: classrooms().reset(code, token))
    if st.checkbox("This class is over", key="classroom.over") and st.button(
        "Delete the class and all of it", key="classroom.close"
    ):
        _try(lambda: classrooms().close_class(code, token))


def _try(act: Callable[[], None]) -> None:
    with errors_on_page():
        act()
        st.rerun()


def board_of(attendance: Attendance) -> None:
    """The challenge board, for those who may see it."""
    if attendance.code and attendance.sees("board"):
        show_board(attendance.code)
