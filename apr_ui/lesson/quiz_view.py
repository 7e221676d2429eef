"""The quiz on the page: all questions on a phone, one at a time on a projector."""

from __future__ import annotations

import streamlit as st

from apr_ui.changing_text import changing_container
from apr_ui.lesson.asking import ask, ask_once, show_marked, tally
from apr_ui.lesson.attendance import Attendance, Role
from apr_ui.lesson.quiz import Question, questions_for


def count_slides(attendance: Attendance) -> int:
    """Two a question: one asks it, the next one answers it."""
    return 2 * len(questions_for(attendance.plan.steps))


def show_quiz(attendance: Attendance) -> None:
    """The questions that the lesson has taught."""
    questions = questions_for(attendance.plan.steps)
    if attendance.slide:
        number = (attendance.slide - 1) // 2
        st.caption(f"Question {number + 1} of {len(questions)}")
        st.header(questions[number].text, anchor=False)
        _count(attendance, questions[number], shown=attendance.slide % 2 == 0)
        return
    for number, question in enumerate(questions, 1):
        with st.container(border=True):
            if attendance.role is Role.TEACHER:
                st.markdown(f"**{question.text}**")
                shown = st.toggle(f"Show answer {number}", key=f"classroom.show-{question.key}")
                _count(attendance, question, shown)
            else:
                _put(attendance, question, number)


def _choices(question: Question) -> dict[str, str]:
    return {str(number): words for number, words in enumerate(question.answers)}


def _count(attendance: Attendance, question: Question, shown: bool) -> None:
    """What the class answered, and the right answer if it is to be shown."""
    right = str(question.right) if shown else ""
    tally(attendance, f"quiz-{question.key}", _choices(question), right)
    words = question.because if shown else ""
    with changing_container(f"classroom.because-{question.key}", words):
        if shown:
            st.markdown(f":material/lightbulb: {words}")


def _put(attendance: Attendance, question: Question, number: int) -> None:
    """One question to a student, and what is right once it is answered."""
    choices, name, right = _choices(question), f"quiz-{question.key}", str(question.right)
    text = f"**{question.text}**"
    if not attendance.sees("answers"):
        ask(attendance, name, text, choices, "Your answer is in.")
        return
    chosen = ask_once(attendance, name, text, choices, f"Answer question {number}")
    if chosen is None:
        return
    st.markdown(text)
    show_marked(choices, chosen, right)
    words = f"{'Right.' if chosen == right else 'Not quite.'} {question.because}"
    changing_container(f"classroom.{name}", words).markdown(f":material/lightbulb: {words}")
