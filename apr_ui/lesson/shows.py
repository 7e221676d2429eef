"""The steps of the lesson on the page: each with its text and its demonstration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from apr_core.attacks.result import Outcome
from apr_core.base.types import Status
from apr_core.base.words import percent
from apr_core.serving.gallery import GalleryEntry, request_of
from apr_ui.changing_text import changing_container, changing_markdown
from apr_ui.dataset import class_name, one_of, shown_data
from apr_ui.frame import add_style
from apr_ui.lesson.asking import ask, tally
from apr_ui.lesson.attendance import Attendance, Role
from apr_ui.lesson.attention import explained, show_attention
from apr_ui.lesson.by_hand import show_by_hand
from apr_ui.lesson.defences import show_defences
from apr_ui.lesson.quiz_view import count_slides, show_quiz
from apr_ui.lesson.runs import make_ready, show_run
from apr_ui.lesson.steps import LESSON
from apr_ui.lesson.threshold import show_threshold
from apr_ui.pictures import enlarge, ringed
from apr_ui.resources import gallery, probabilities, show_caution

Show = Callable[[Attendance, DeltaGenerator, DeltaGenerator], None]
SCALE, LARGE_SCALE = 11, 18
"""Screen pixels for one of the picture's: 352 in all, which a phone of 390 has room for; on a
slide 576, its height."""
BETS = {
    "100": "Yes, within 100 queries",
    "2000": "Yes, within 2,000 queries",
    "40400": "Yes, with more queries",
    "never": "No, not with one pixel",
}
PAIRED = ("bet", "find-the-pixel")
"""Steps with a picture and a question about it: side by side where there is room."""
WIDTHS = {
    "bet": (1, 1),
    "by-hand": (2, 1),
    "slow-search": (2, 1),
    "full-speed": (2, 1),
    "find-the-pixel": (1, 1),
    "failure": (2, 1),
}
"""Of a slide's two columns, the second with the text; other steps have the text on top."""
WITHOUT_TEXT = {"threshold": 2, "quiz": 1}
"""The first slide of a step that has no room for the text."""

_STYLE = """
@media (max-width: 640px) { .stMain h1 { font-size: 1.6rem; padding: 0.25rem 0; } }
"""
"""A phone's first screen is for the picture."""


def show_step(attendance: Attendance) -> None:
    """The current step: title, text and demonstration."""
    main, side = _slide(attendance) if attendance.slide else _page(attendance)
    _SHOWS[attendance.step](attendance, main, side)


def _slide(attendance: Attendance) -> tuple[DeltaGenerator, DeltaGenerator]:
    """The two places of a step's demonstration on a projector."""
    widths = WIDTHS.get(attendance.step)
    if widths is None:
        _text(attendance)
        return st.container(), st.container()
    main, side = st.columns(widths, gap="medium", vertical_alignment="center")
    with side:
        _text(attendance)
    return main, side


def _page(attendance: Attendance) -> tuple[DeltaGenerator, DeltaGenerator]:
    """The two places of a step's demonstration on any other screen."""
    add_style(_STYLE)
    _text(attendance)
    if attendance.step in PAIRED:
        main, side = st.columns(2, gap="large")
        return main, side
    return st.container(), st.container()


def _text(attendance: Attendance) -> None:
    step = LESSON[attendance.step]
    with changing_container("classroom.step", step.title):
        st.title(step.title, anchor=False)
        if attendance.slide < WITHOUT_TEXT.get(attendance.step, math.inf):
            rows, columns = shown_data().size
            st.markdown(step.text.format(rows=rows, columns=columns, pixels=rows * columns))


def slides_of(attendance: Attendance) -> dict[str, int]:
    """How many slides each step of the plan has on a projector."""
    many = {"find-the-pixel": 2, "threshold": 2, "quiz": count_slides(attendance)}
    return {step: many.get(step, 1) for step in attendance.plan.steps}


def prepare(attendance: Attendance) -> None:
    """Start the lesson's runs in advance, so that no step waits; call it repeatedly."""
    ahead = (_slow_run(attendance), _breaking())
    make_ready([attendance.request, *map(request_of, ahead)])


def settled_bet(outcome: Outcome) -> str:
    """The bet that a run has won: a key of `BETS`; "" if the run has no result."""
    if outcome.status is not Status.FLIPPED:
        return "never" if outcome.status is Status.SURVIVED else ""
    return next(key for key in ("100", "2000", "40400") if outcome.queries <= int(key))


def _bet(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    image, label = attendance.picture
    with main:
        seen = enlarge(image, _scale(attendance))
        what = f"The lesson's picture: {one_of(label)}"
        st.image(seen, width=seen.width, alt=what)
    with side:
        sure = float(probabilities(attendance.plan.model, [image])[0][label])
        told = f"The network is **{percent(sure)}** sure of **{class_name(label)}**."
        changing_markdown("classroom.sure", told)
        until = "" if attendance.role is Role.ALONE else " until your teacher moves the class on"
        saved = f"**Your bet is in.** You can change it{until}."
        ask(attendance, "bet", "Will one pixel change its answer?", BETS, saved)
        tally(attendance, "bet", BETS)


def _scale(attendance: Attendance) -> int:
    return LARGE_SCALE if attendance.slide else SCALE


def _slow(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    with main:
        show_run(request_of(_slow_run(attendance)), "classroom.slow")
    with side:
        st.caption("Another picture, so that yours stays a surprise. Press **Slow motion**.")


def _slow_run(attendance: Attendance) -> GalleryEntry:
    """Another picture's run with generations to walk through; one that fails if no other has."""
    first = _another(attendance, 0)
    failed = (entry for entry in gallery(shown_data().name) if entry.kind == "survives")
    return first if first.outcome.generations else next(failed, first)


def _another(attendance: Attendance, number: int) -> GalleryEntry:
    """A verified run that flipped, on another picture than the lesson's; each number another."""
    found = [entry for entry in gallery(shown_data().name) if entry.kind == "flips"]
    others = [entry for entry in found if entry.index != attendance.plan.index]
    return others[number]


def _full_speed(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    with main:
        view = show_run(attendance.request, "classroom.run", not attendance.slide)
    if view is None or view.outcome is None:
        return
    outcome = view.outcome
    with side:
        if outcome.success:
            before, after = class_name(outcome.label), class_name(outcome.label_after)
            st.markdown(
                f"Before: {percent(outcome.confidence_before)} sure of {before}. After: "
                f"{percent(outcome.confidence_after)} sure of {after}. "
                "**Being sure is not being right.**"
            )
        won = settled_bet(outcome)
        mine = attendance.answered().get("bet")
        if mine is not None and won:
            told = "won" if mine == won else "lost"
            st.markdown(f"You bet “{BETS[mine]}”, and **{told}**.")
        tally(attendance, "bet", BETS, won)


def _find(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    outcome = _another(attendance, 2).outcome
    image, _ = shown_data().test_image(outcome.index)
    choices = {str(number): words for number, words in enumerate(_quarters())}
    right = str(_quarter_of(outcome))
    read = one_of(outcome.label_after)
    with side:
        told = f"It is {one_of(outcome.label)}; the network now says {read}."
        st.markdown(told)
        chosen = ask(attendance, "find", "In which quarter is it?", choices, "Your guess is in.")
        shown = attendance.slide == 2
        if not attendance.slide:
            shown = st.toggle("Show the pixel", key="classroom.reveal")
        if chosen is not None and shown:
            st.markdown("**Found it.**" if chosen == right else f"It is {choices[right].lower()}.")
        tally(attendance, "find", choices, right if shown else "")
    with main:
        edits = outcome.edits if shown else ()
        seen = ringed(outcome.apply(image), edits, _scale(attendance))
        st.image(seen, width=seen.width, alt="The attacked picture")


def _quarters() -> Sequence[str]:
    return ("Top left", "Top right", "Bottom left", "Bottom right")


def _quarter_of(outcome: Outcome) -> int:
    edit, (height, width) = outcome.edits[0], shown_data().size
    return 2 * (edit.y >= height // 2) + (edit.x >= width // 2)


def _attention(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    with main:
        show_attention(_another(attendance, 2))
    if attendance.role is not Role.STUDENT and not attendance.slide:
        show_caution(explained())


def _defences(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    with main:
        show_defences(attendance)


def _failure(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    with main:
        show_run(request_of(_breaking()), "classroom.failure", not attendance.slide)


def _breaking() -> GalleryEntry:
    return next(entry for entry in gallery(shown_data().name) if entry.kind == "breaks")


def _threshold(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    with main:
        show_threshold(attendance)


def _quiz(attendance: Attendance, main: DeltaGenerator, side: DeltaGenerator) -> None:
    with main:
        show_quiz(attendance)


_SHOWS: dict[str, Show] = {
    "bet": _bet,
    "by-hand": show_by_hand,
    "slow-search": _slow,
    "full-speed": _full_speed,
    "find-the-pixel": _find,
    "attention": _attention,
    "defences": _defences,
    "failure": _failure,
    "threshold": _threshold,
    "quiz": _quiz,
}
