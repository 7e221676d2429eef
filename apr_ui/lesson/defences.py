"""The step on defences: a recorded race at once, and a live one for those who ask."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Literal

import streamlit as st

from apr_core.serving.gallery import GalleryEntry, load_gallery, race_file
from apr_core.serving.requests import AttackRequest
from apr_ui.dataset import class_name, shown_data
from apr_ui.errors import errors_on_page
from apr_ui.lesson.attendance import Attendance, Role
from apr_ui.model_names import model_title
from apr_ui.pictures import alt_text, ringed
from apr_ui.race.cards import MARKS
from apr_ui.race.view import Race, watch_race
from apr_ui.race.words import ENDED, news
from apr_ui.resources import service
from apr_ui.words import count_text

SCALE, LARGE_SCALE = 5, 6
NARROWEST = 150
"""Pixels of a card: two stand side by side on a phone of 390."""
_LIVE = "classroom.race-live"
_LIVE_HELP = "Searches on all of these networks at once. It can take minutes."


@functools.cache
def recorded_race(data: str) -> tuple[GalleryEntry, ...]:
    """The shipped race: a data set's first run, on the undefended network and on the others."""
    return load_gallery(race_file(data))


def show_defences(attendance: Attendance) -> None:
    """How each network of the recorded race ended; the race itself for a teacher who asks."""
    live = attendance.role is not Role.STUDENT and st.session_state.get(_LIVE, False)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("A live race, on your picture." if live else _about(attendance))
        if attendance.role is not Role.STUDENT:
            st.toggle("Run it live", key=_LIVE, help=_LIVE_HELP)
    if live:
        _run_live(attendance)
        return
    columns: int | Literal["auto"] = 3 if attendance.slide else "auto"
    grid = st.grid(columns, min_column_width=NARROWEST)
    for entry in recorded_race(shown_data().name):
        with grid.cell():
            _card(entry, attendance.slide > 0)


def _about(attendance: Attendance) -> str:
    first, plan = recorded_race(shown_data().name)[0], attendance.plan
    what = f"{class_name(first.outcome.label)}, {shown_data().picture_name(first.index)}"
    same = (plan.index, plan.seed) == (first.index, first.config.seed)
    other = "" if same else " Your own picture has no recording."
    return f"A recorded race: {what}.{other}"


def _card(entry: GalleryEntry, large: bool) -> None:
    picture, words = st.columns(2) if large else (st.container(), st.container())
    outcome = entry.outcome
    image, _ = shown_data().test_image(entry.index)
    seen = ringed(
        outcome.apply(image),
        outcome.edits if outcome.success else (),
        LARGE_SCALE if large else SCALE,
    )
    true, after = class_name(outcome.label), class_name(outcome.label_after)
    answer = f"{true} → {after}" if outcome.success else f"still {true}"
    mark = MARKS.get(ENDED[outcome.status], "")
    spent = count_text(outcome.queries, "query", "queries")
    picture.image(seen, width=seen.width, alt=alt_text(outcome, shown_data().classes))
    words.markdown(f"**{model_title(entry.model)}** {mark}  \n{answer}  \n{spent}")


def _run_live(attendance: Attendance) -> None:
    models = [entry.model for entry in recorded_race(shown_data().name)]
    with errors_on_page():
        runners = watch_race(_joined([replace(attendance.request, model=name) for name in models]))
        if runners and not any(runner.view.live for runner in runners):
            st.info(news(runners), icon=":material/flag:")


def _joined(requests: list[AttackRequest]) -> Race:
    """The race of these requests, joined once; again if it was forgotten."""
    race: Race | None = st.session_state.get("classroom.race")
    known = race is not None and [r.run_id for r in race.requests] == [r.run_id for r in requests]
    if race is None or not known or any(service().view(t.run_id) is None for t in race.tickets):
        race = Race(tuple(requests), tuple(service().submit(request) for request in requests))
        st.session_state["classroom.race"] = race
    return race
