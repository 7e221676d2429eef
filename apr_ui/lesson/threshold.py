"""The step on the threshold: the confidence below which an answer goes to a person."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import streamlit as st

from apr_core.base.types import InputError
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.evaluation.metrics import Rate
from apr_core.safety.record import (
    ADAPTIVE,
    UNKNOWING,
    GuardRecord,
    mistakes_at,
    passing_at,
    rates_at,
)
from apr_ui.changing_text import changing_container, changing_markdown
from apr_ui.dataset import kind_title, shown_data
from apr_ui.lesson.asking import TALLY_SECONDS, ask, tally
from apr_ui.lesson.attendance import Attendance, Role
from apr_ui.model_names import model_title
from apr_ui.results.html_table import show_html_table, two_lines
from apr_ui.safety.nets import TITLES, measured_nets, none_measured
from apr_ui.words import count_text

QUESTION = "threshold"
CHOICES = {str(percent): f"Below {percent}%" for percent in (50, 70, 90, 95, 99)}
"""What each answer says, by its threshold in per cent."""
PASSING = "Wrong answers that pass"
CONCLUSION = (
    "**No threshold is free.** A higher one lets fewer wrong answers pass, and sends more right "
    "ones to a person. An attacker who knows it searches for a pixel that makes the network sure "
    "enough of a wrong answer."
)


def show_threshold(attendance: Attendance) -> None:
    """The question, what the class chose, and what a threshold does to the measured pictures."""
    record = measured()
    if record is None:
        st.info(none_measured(shown_data()), icon=":material/rule:")
        return
    if attendance.slide == 2:
        _follow_all(attendance, record)
    elif not _choose(attendance, record):
        return
    st.caption(about(record))


def measured() -> GuardRecord | None:
    """The net with the fewest layers that has a threshold on the confidence: of the lesson's data
    set or, where none was measured on it, of CIFAR-10."""
    nets = [*measured_nets(shown_data().name).values(), *measured_nets(DEFAULT).values()]
    return next((one for one in nets if one.setting.pipeline.confidence), None)


def _choose(attendance: Attendance, record: GuardRecord) -> bool:
    """The question, and the counts of the visitor's threshold or of the class's; returns whether
    there are counts."""
    teacher = attendance.role is Role.TEACHER
    left, right = st.columns(2, gap="medium")
    with left:
        words = "Below which confidence should a person be asked?"
        chosen = ask(attendance, QUESTION, words, CHOICES, "Your threshold is in.")
        tally(attendance, QUESTION, CHOICES)
    with right:
        if teacher:
            st.fragment(_follow_class, run_every=TALLY_SECONDS)(attendance, record)
        elif chosen is not None:
            told = f"Your threshold, **{chosen}%**:\n\n{counted(record, int(chosen))}"
            changing_markdown("classroom.threshold", f"{told}\n\n{CONCLUSION}")
    if teacher and not attendance.slide:
        if st.toggle("Compare all thresholds", key="classroom.thresholds"):
            _follow_all(attendance, record)
    elif attendance.role is Role.ALONE and chosen is not None:
        _compare(record, {})
    return teacher or chosen is not None


def _follow_class(attendance: Attendance, record: GuardRecord) -> None:
    chosen = choices_of(attendance)
    if not chosen:
        words = "Nobody has chosen yet."
    else:
        middle = median(chosen)
        many = count_text(len(chosen), "choice", "choices")
        words = f"The class's threshold, **{middle:g}%** (the median of {many}):\n\n"
        words += counted(record, middle)
    changing_markdown("classroom.class-threshold", words)


def choices_of(attendance: Attendance) -> list[int]:
    """What was chosen, in per cent, a number for each who chose; none where the class is gone."""
    try:
        counts = attendance.tally(QUESTION)
    except InputError:
        return []  # the page says it
    return [int(choice) for choice in CHOICES for _ in range(counts.get(choice, 0))]


def counted(record: GuardRecord, percent: float) -> str:
    """What a threshold withholds and lets pass, as a Markdown list."""
    needless, mistakes, unknowing, knowing = rates_below(record, percent)
    return "\n".join(
        [
            f"- No attack: **{needless.count} of {needless.total}** right answers are withheld.",
            "- No attack, but the network is wrong by itself: "
            f"**{mistakes.count} of {mistakes.total}** wrong answers pass.",
            "- An attacker who does not know the threshold: "
            f"**{unknowing.count} of {unknowing.total}** wrong answers pass.",
            "- An attacker who knows it: **at least "
            f"{knowing.count} of {knowing.total}** wrong answers pass.",
        ]
    )


def rates_below(record: GuardRecord, percent: float) -> tuple[Rate, Rate, Rate, Rate]:
    """Right answers that a threshold alone withholds; and wrong ones that pass it: without an
    attack, of an attacker who does not know it, and, at least, of one who does."""
    limits, outcomes = {"confidence": percent / 100}, record.outcomes
    return (
        rates_at(outcomes, limits)[0],
        mistakes_at(outcomes, limits),
        passing_at(outcomes, limits, {UNKNOWING}),
        passing_at(outcomes, limits, {UNKNOWING, ADAPTIVE}),
    )


def _follow_all(attendance: Attendance, record: GuardRecord) -> None:
    st.fragment(_draw_all, run_every=TALLY_SECONDS)(attendance, record)
    st.markdown(CONCLUSION)


def _draw_all(attendance: Attendance, record: GuardRecord) -> None:
    chosen = choices_of(attendance)
    votes = {choice: str(chosen.count(int(choice))) for choice in CHOICES}
    with changing_container("classroom.all-thresholds", str(votes)):
        _compare(record, votes)


def _compare(record: GuardRecord, votes: dict[str, str]) -> None:
    """All thresholds in a table; with how many chose each, where it is a class."""
    heads = ["Threshold", *(["Chosen by"] if votes else []), "Right answers withheld"]
    heads += [f"{PASSING}, no attack"]
    heads += [f"{PASSING}, attacker does not know it", f"{PASSING}, attacker knows it"]
    show_html_table("All thresholds", heads, _rows(record, votes))


def _rows(record: GuardRecord, votes: dict[str, str]) -> Iterator[tuple[str, ...]]:
    for choice, words in CHOICES.items():
        *exact, knowing = rates_below(record, int(choice))
        cells = [f"{_of(one)} ({one.low:.0%} to {one.high:.0%})" for one in exact]
        yield (
            two_lines(words),
            *([votes[choice]] if votes else []),
            *cells,
            f"at least {_of(knowing)}",
        )


def _of(rate: Rate) -> str:
    return f"{rate.count} of {rate.total}"


def about(record: GuardRecord) -> str:
    """What was measured, and why the last count is a lower bound."""
    config, data = record.setting.pipeline, find_dataset(record.setting.data)
    assert config.confidence is not None
    others = [TITLES[layer].lower() for layer in ("checks", "ensemble") if getattr(config, layer)]
    sought = " and ".join([f"a threshold of {config.confidence.threshold:.0%}", *others])
    *_, knowing = rates_below(record, 0)
    right = sum(one.right for one in record.outcomes)
    other = (
        f"No safety net was measured for {kind_title(shown_data())}, so other pictures stand in. "
        if data.name != shown_data().name
        else ""
    )
    return (
        f"{other}{data.title}: of {len(record.outcomes)} test pictures, "
        f"{model_title(config.model)} gets {right} right, and one pixel turns {knowing.total} of "
        f"these. “At least”: the pixels were searched for against {sought}, and a search against "
        "another threshold may find more."
    )
