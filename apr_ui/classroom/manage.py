"""The teacher's tools; those that delete something ask first."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from apr_core.classroom.names import LONGEST_NICKNAME
from apr_ui.errors import errors_on_page
from apr_ui.lesson.attendance import Attendance
from apr_ui.resources import classrooms


def manage(attendance: Attendance) -> None:
    """The teacher's tools."""
    code, token = attendance.code, attendance.token
    if st.toggle(
        "Show the teacher's key",
        key="classroom.show-key",
        help="With it you can lead this class from another machine. Keep it off the projector.",
    ):
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
        _ask_to_empty(code, token)
    if st.button("End the class", key="classroom.over", icon=":material/delete:"):
        _ask_to_end(code, token)


@st.dialog("Empty the board and the answers?")
def _ask_to_empty(code: str, token: str) -> None:
    students = classrooms().room(code).students
    st.markdown(
        f"Every entry on the board and every answer of {students} students is deleted, for another "
        "round. Everyone keeps their seat. This cannot be undone."
    )
    _yes_or_no("Empty them", lambda: classrooms().reset(code, token))


@st.dialog("End the class?")
def _ask_to_end(code: str, token: str) -> None:
    students = classrooms().room(code).students
    st.markdown(
        f"The class is deleted, with {students} nicknames, the board and the answers. The students "
        "see a last page. This cannot be undone: download the CSV first if you want to keep it."
    )
    _yes_or_no("Delete the class", lambda: classrooms().close_class(code, token))


def _yes_or_no(yes: str, act: Callable[[], None]) -> None:
    with st.container(horizontal=True):
        if st.button("Cancel", key="classroom.keep"):
            st.rerun()
        if st.button(yes, type="primary", key="classroom.sure"):
            _try(act)


def _try(act: Callable[[], None]) -> None:
    with errors_on_page():
        act()
        st.rerun()
