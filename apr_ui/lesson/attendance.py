"""The visitor's role in a lesson: a student in a class, the teacher, or somebody alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import streamlit as st
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.classroom.plan import Plan
from apr_core.data.registry import DEFAULT
from apr_core.serving.gallery import race_file
from apr_core.serving.requests import AttackRequest, data_behind
from apr_ui.dataset import CHOICES, LESSON_DATA
from apr_ui.resources import classrooms, gallery

_ANSWERS = "classroom.answers-{}"
"""Of a lesson taken alone; filled with its place."""


class Role(StrEnum):
    """Decides what a visitor may see and do."""

    ALONE = "alone"
    STUDENT = "student"
    TEACHER = "teacher"


@dataclass(frozen=True)
class Attendance:
    """A visitor's place in a lesson.

    Attributes:
        step: the current one.
        code: of the class, "" alone.
        token: the seat's, or the teacher's.
        nickname: a student's.
        round: of the class; tries and answers of earlier rounds do not count.
        slide: of the step, from 1, on a projector; 0 on every other screen.
    """

    role: Role
    plan: Plan
    step: str
    code: str = ""
    token: str = ""
    nickname: str = ""
    round: int = 0
    slide: int = 0

    @property
    def place(self) -> str:
        """Identifies the class and its round, for the games and questions of this lesson."""
        return f"{self.code}-{self.round}" if self.code else f"alone-{self.plan.model}"

    @property
    def picture(self) -> tuple[Tensor, int]:
        """The lesson's picture, uint8 (C, H, W), and its class."""
        return data_behind(self.plan.model).test_image(self.plan.index)

    @property
    def request(self) -> AttackRequest:
        """The lesson's attack: the published one, on the plan's picture and model."""
        image, label = self.picture
        config = OnePixelConfig(seed=self.plan.seed)
        return AttackRequest(self.plan.model, image, label, self.plan.index, config)

    def sees(self, what: str) -> bool:
        """Whether something that a plan can hide is visible; a teacher sees all."""
        return self.role is not Role.STUDENT or what not in self.plan.hidden

    def answer(self, question: str, choice: str) -> None:
        """Keep an answer; a later one replaces it.

        Raises:
            InputError: the class is gone, or the seat was taken away.
        """
        if self.role is Role.STUDENT:
            classrooms().answer(self.code, self.token, question, choice)
        elif self.role is Role.ALONE:
            st.session_state.setdefault(_ANSWERS.format(self.place), {})[question] = choice

    def answered(self) -> dict[str, str]:
        """The visitor's answers by question; a teacher has none."""
        if self.role is Role.STUDENT:
            return classrooms().answers_of(self.code, self.token)
        alone: dict[str, str] = st.session_state.get(_ANSWERS.format(self.place), {})
        return alone if self.role is Role.ALONE else {}

    def tally(self, question: str) -> dict[str, int]:
        """The count of each answer: of the class, or of the visitor alone."""
        if self.code:
            return classrooms().tally(self.code, question)
        mine = self.answered()
        return Counter([mine[question]] if question in mine else [])


def first_plan(data: str = DEFAULT) -> Plan:
    """The lesson as it is where nobody changes it: on the first run of the data set's gallery."""
    first = gallery(data)[0]
    return Plan(index=first.index, model=first.model, seed=first.config.seed)


def lesson_data() -> list[str]:
    """The data sets whose recorded runs, on several defences, the lesson's steps can show."""
    return [data for data in CHOICES if race_file(data).exists()]


def show_plans_data(plan: Plan) -> None:
    """Have the page's class names and pictures be of the data set of a lesson."""
    st.session_state[LESSON_DATA] = data_behind(plan.model).name
