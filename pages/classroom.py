"""The Classroom page: the lesson, alone or with a class."""

from dataclasses import replace
from functools import partial

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.base.types import InputError
from apr_core.classroom.board import Room
from apr_ui.address import page_link
from apr_ui.changing_text import changing_container
from apr_ui.classroom.view import (
    ALONE,
    CLASS,
    STEP,
    attend,
    board_of,
    count_seats,
    doors,
    follow,
    invite,
    manage,
)
from apr_ui.frame import PRESENT, begin_page
from apr_ui.lesson.attendance import Attendance, Role, first_plan
from apr_ui.lesson.shows import prepare, show_step
from apr_ui.lesson.steps import LESSON
from apr_ui.presenter import presenter
from apr_ui.resources import classrooms
from apr_ui.words import plain


def step_of(attendance: Attendance) -> None:
    """The step's text and its demonstration."""
    step = LESSON[attendance.step]
    with changing_container("classroom.step", step.title):
        st.header(step.title, anchor=False)
        st.markdown(step.text)
    show_step(attendance)
    if attendance.step == "by-hand":
        board_of(attendance)
    if PRESENT not in st.query_params:
        with st.expander("Further reading", icon=":material/menu_book:"):
            st.markdown(step.more)


def take_alone() -> None:
    """The lesson at one's own pace."""
    plan = first_plan()
    step = st.query_params.get(STEP, "")
    attendance = Attendance(Role.ALONE, plan, step if step in plan.steps else plan.steps[0])
    presenter(plan.steps, attendance.step, "alone", False, _go_alone)
    step_of(attendance)


def _go_alone(step: str) -> None:
    st.query_params.from_dict({ALONE: "1", STEP: step})


def lead(attendance: Attendance, room: Room) -> None:
    """The teacher's page, and the projector's."""
    presenting = PRESENT in st.query_params
    above = st.container(horizontal=True, vertical_alignment="center")
    move = partial(classrooms().go_to, attendance.code, attendance.token)
    presenter(attendance.plan.steps, attendance.step, room.code, presenting, move)
    if not presenting:
        st.info(LESSON[attendance.step].notes, icon=":material/sticky_note_2:")
    step_of(attendance)
    below = st.container(horizontal=True, vertical_alignment="center")
    with below if presenting else above:
        _class_bar(attendance, room, presenting)
    follow(attendance, partial(prepare, attendance))


def _class_bar(attendance: Attendance, room: Room, presenting: bool) -> None:
    count_seats(room)
    with st.popover("Invite", icon=":material/qr_code_2:"):
        invite(room, page_link({CLASS: room.code}))
    if presenting:
        st.button("Leave", key="classroom.leave", on_click=_present, args=(False,))
        return
    with st.popover("Manage", icon=":material/settings:"):
        manage(attendance, room)
    icon = ":material/present_to_all:"
    st.button("Present", key="classroom.present", icon=icon, on_click=_present, args=(True,))


def _present(on: bool) -> None:
    if on:
        st.query_params[PRESENT] = "1"
    else:
        st.query_params.pop(PRESENT, None)


def take_part(attendance: Attendance, room: Room) -> None:
    """A student's page: the current step of the class."""
    steps = attendance.plan.steps
    where = f"Step {steps.index(attendance.step) + 1} of {len(steps)}"
    st.caption(f"You are {attendance.nickname}. {where}; your teacher chooses the step.")
    step_of(attendance)
    follow(attendance)


def enter(code: str) -> None:
    """A class, by its code."""
    try:
        room = classrooms().room(code)
    except InputError as error:
        st.error(plain(error), icon=":material/meeting_room:")
        doors()
        return
    attendance = attend(room)
    if attendance is None:
        return
    if attendance.step not in room.plan.steps:
        attendance = replace(attendance, step=room.plan.steps[0])
    (lead if attendance.role is Role.TEACHER else take_part)(attendance, room)


begin_page("classroom", heading=not {CLASS, ALONE} & set(st.query_params))
if CLASS in st.query_params:
    enter(st.query_params[CLASS])
elif ALONE in st.query_params:
    take_alone()
else:
    doors()
