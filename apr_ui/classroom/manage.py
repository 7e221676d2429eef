"""The teacher's tools; those that delete something ask first."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from apr_core.classroom.names import LONGEST_NICKNAME
from apr_ui.confirm import confirmed
from apr_ui.errors import errors_on_page
from apr_ui.lesson.attendance import Attendance
from apr_ui.resources import classrooms
from apr_ui.words import count_text

_ASKED = "classroom.asked"
_DANGERS = (
    ("reset", "Empty the board and the answers", ":material/restart_alt:"),
    ("close", "End the class", ":material/delete:"),
)
"""What asks first: its name, its button and its icon."""
_TITLES = {"reset": "Empty the board and the answers?", "close": "End the class?"}
_YES = {"reset": "Empty them", "close": "Delete the class"}
_TOLD = {
    "reset": "The board and all answers of {students} are deleted, for another round. Everyone "
    "keeps their seat. This cannot be undone.",
    "close": "The class is deleted: {students}, the board and the answers. They see a last page. "
    "This cannot be undone; download the CSV first if you want to keep it.",
}


def manage(attendance: Attendance) -> None:
    """The teacher's tools, or the question whether to delete."""
    code, token = attendance.code, attendance.token
    if asked := st.session_state.get(_ASKED):
        _ask(code, token, asked)
    else:
        _tools(code, token)


def _tools(code: str, token: str) -> None:
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
    for asked, words, icon in _DANGERS:
        st.button(words, f"classroom.{asked}", icon=icon, on_click=_wonder, args=(asked,))


def _wonder(asked: str) -> None:
    st.session_state[_ASKED] = asked


def _ask(code: str, token: str, asked: str) -> None:
    """Say what would be deleted, and do it only then."""
    students = count_text(classrooms().room(code).students, "student", "students")
    told = _TOLD[asked].format(students=students)
    if confirmed("classroom", _TITLES[asked], told, _YES[asked], lambda: _wonder("")):
        _wonder("")
        act = classrooms().reset if asked == "reset" else classrooms().close_class
        _try(lambda: act(code, token))


def _try(act: Callable[[], None]) -> None:
    with errors_on_page():
        act()
        st.rerun()
