"""The Classroom page: the lesson, alone or with a class."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import streamlit as st

import apr_ui.loading  # noqa: F401  before anything else: see there
from apr_core.base.types import InputError
from apr_core.classroom.board import NoClassError, Room
from apr_ui.classroom.doors import ALONE, CLASS, STEP, doors
from apr_ui.classroom.manage import manage
from apr_ui.classroom.projector import invite, present, project, stops_of
from apr_ui.classroom.seating import browser_said, remembered
from apr_ui.classroom.view import attend, count_seats, farewell, follow
from apr_ui.frame import PRESENT, begin_page
from apr_ui.lesson.attendance import Attendance, Role, first_plan, lesson_data, show_plans_data
from apr_ui.lesson.shows import prepare, show_step
from apr_ui.lesson.steps import LESSON
from apr_ui.presenter import presenter
from apr_ui.resources import classrooms
from apr_ui.words import plain


def step_of(attendance: Attendance) -> None:
    """The step, and more about it for those who read."""
    show_step(attendance)
    with st.expander("Further reading", icon=":material/menu_book:"):
        st.markdown(LESSON[attendance.step].more)


def take_alone() -> None:
    """The lesson at one's own pace."""
    known, asked = lesson_data(), st.query_params[ALONE]
    plan = first_plan(asked if asked in known else known[0])
    show_plans_data(plan)
    step = st.query_params.get(STEP, "")
    attendance = Attendance(Role.ALONE, plan, step if step in plan.steps else plan.steps[0])
    presenter(stops_of(attendance), attendance.step, "alone", _go_alone)
    step_of(attendance)


def _go_alone(step: str, _: int) -> None:
    st.query_params.from_dict({ALONE: st.query_params[ALONE], STEP: step})


def lead(attendance: Attendance, room: Room) -> None:
    """The teacher's page, or the projector's."""
    move = partial(classrooms().go_to, attendance.code, attendance.token)
    if PRESENT in st.query_params:
        project(attendance, room, move)
    else:
        _lead_on_own(attendance, room, lambda step, _: move(step))
    follow(attendance, partial(prepare, attendance))


def _lead_on_own(attendance: Attendance, room: Room, move: Callable[[str, int], None]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        count_seats(room)
        with st.popover("Invite", icon=":material/qr_code_2:"):
            invite(room)
        with st.popover("Manage", icon=":material/settings:"):
            manage(attendance)
        icon = ":material/present_to_all:"
        st.button("Present", "classroom.present", icon=icon, on_click=present, args=(attendance,))
    presenter(stops_of(attendance), attendance.step, room.code, move)
    st.info(LESSON[attendance.step].notes, icon=":material/sticky_note_2:")
    step_of(attendance)


def take_part(attendance: Attendance) -> None:
    """A student's page: the current step of the class."""
    steps = attendance.plan.steps
    where = f"Step {steps.index(attendance.step) + 1} of {len(steps)}"
    st.caption(f"You are {attendance.nickname}. {where}; your teacher moves the class on.")
    step_of(attendance)
    follow(attendance)


def enter(code: str) -> None:
    """A class, by its code."""
    try:
        room = classrooms().room(code)
    except NoClassError as error:
        _without_class(code, error)
        return
    except InputError as error:
        st.error(plain(error), icon=":material/meeting_room:")
        doors()
        return
    try:
        _be_in(room)
    except NoClassError:  # ended while this page was drawn
        farewell()


def _be_in(room: Room) -> None:
    show_plans_data(room.plan)
    attendance = attend(room)
    if attendance is None:
        return
    if attendance.step not in room.plan.steps:
        attendance = replace(attendance, step=room.plan.steps[0])
    if attendance.role is Role.TEACHER:
        lead(attendance, room)
    else:
        take_part(attendance)


def _without_class(code: str, error: InputError) -> None:
    """The last page for those who were in the class; for others, the ways into one."""
    browser_said(code)
    if remembered(code):
        farewell()
        return
    st.warning(plain(error), icon=":material/meeting_room:")
    doors()


begin_page("classroom", heading=not {CLASS, ALONE} & set(st.query_params))
if CLASS in st.query_params:
    enter(st.query_params[CLASS])
elif ALONE in st.query_params:
    take_alone()
else:
    doors()
