"""The demonstrations of the lesson's steps, shown below their texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import streamlit as st

from apr_core.attacks.result import Outcome
from apr_core.base.types import Status
from apr_core.by_hand.game import Game
from apr_core.data.dataset import with_article
from apr_core.serving.gallery import GalleryEntry, request_of
from apr_core.serving.requests import AttackRequest, RunView
from apr_ui.attention.view import ATTENTION, choose_explained_model, scenes_of, show_maps
from apr_ui.changing_text import changing_container, changing_markdown
from apr_ui.classroom.seating import remember, remembered
from apr_ui.dataset import class_name
from apr_ui.errors import errors_on_page
from apr_ui.hand.games import adopt_game, game_name
from apr_ui.hand.view import play
from apr_ui.lesson.asking import ask, tally
from apr_ui.lesson.attendance import Attendance, Role
from apr_ui.lesson.quiz import QUIZ, Question
from apr_ui.lesson.runs import make_ready, show_run, view_of, wait_for
from apr_ui.pictures import enlarge, ringed
from apr_ui.race.view import Race, default_models, watch_race
from apr_ui.race.words import news
from apr_ui.resources import classrooms, gallery, probabilities, service
from apr_ui.stage import headline

Show = Callable[[Attendance], None]
SCALE = 11
"""Screen pixels for one of the picture's: 352 in all, which a phone of 390 has room for."""
SIDE = 32
BETS = {
    "100": "Yes, within 100 queries",
    "2000": "Yes, within 2,000 queries",
    "40400": "Yes, with more queries",
    "never": "No, not with one pixel",
}


def show_step(attendance: Attendance) -> None:
    """The demonstration of the current step."""
    _SHOWS[attendance.step](attendance)


def prepare(attendance: Attendance) -> None:
    """Start the lesson's runs in advance, so that no step waits; call it repeatedly."""
    ahead = (_other(attendance, "flips"), _breaking())
    make_ready([attendance.request, *map(request_of, ahead), *_race_of(attendance)])


def settled_bet(outcome: Outcome) -> str:
    """The bet that a run has won: a key of `BETS`; "" if the run has no result."""
    if outcome.status is not Status.FLIPPED:
        return "never" if outcome.status is Status.SURVIVED else ""
    return next(key for key in ("100", "2000", "40400") if outcome.queries <= int(key))


def _bet(attendance: Attendance) -> None:
    picture, words = st.columns(2, gap="large")
    with picture:
        _picture(attendance)
    with words:
        image, label = attendance.picture
        sure = float(probabilities(attendance.plan.model, [image])[0][label])
        told = f"The network is **{sure:.0%}** sure of **{class_name(label)}**."
        changing_markdown("classroom.sure", told)
        ask(attendance, "bet", "Will one pixel change its answer?", BETS)
        tally(attendance, "bet", BETS)


def _picture(attendance: Attendance) -> None:
    image, label = attendance.picture
    seen = enlarge(image, SCALE)
    st.image(
        seen,
        width=seen.width,
        alt=f"The lesson's picture: {with_article(class_name(label))}",
    )


def _by_hand(attendance: Attendance) -> None:
    image, label = attendance.picture
    page, kind = "classroom.hand", f"game-{attendance.round}"
    name = remembered(attendance.code).get(kind, "")
    if name and f"{page}.games" not in st.session_state:
        adopt_game(page, name)  # a phone that slept goes on where it was
    hints, model = attendance.sees("hints"), attendance.plan.model
    with errors_on_page("help"):
        game = play(attendance.place, model, image, label, page, hints, pixels=(1,))
        now = game_name(page, st.session_state[f"{page}.place"])
        if attendance.code and now != name:
            remember(attendance.code, kind, now)
            st.rerun()  # so that the browser is told before the first try
        _enter(attendance, game)


def _enter(attendance: Attendance, game: Game) -> None:
    """Enter a student's first flip on the board; tries before starting over count too."""
    if attendance.role is not Role.STUDENT or not game.first_flip or game.earlier_best:
        return
    edits = json.dumps([asdict(edit) for edit in game.tries[game.first_flip - 1].edits])
    queries, hints = game.earlier + game.first_flip, game.earlier_hints + len(game.hints)
    entered = classrooms().enter(
        attendance.code, attendance.token, queries, game.pixels, hints, edits
    )
    st.success(f"You are on the board, at place {entered.place}.", icon=":material/leaderboard:")


def _slow(attendance: Attendance) -> None:
    st.caption(
        "This is another picture, so that the result on yours stays a surprise. Press **Slow "
        "motion**."
    )
    show_run(request_of(_other(attendance, "flips")), "classroom.slow")


def _other(attendance: Attendance, kind: str) -> GalleryEntry:
    """A verified run of a kind, on another picture than the lesson's if there is one."""
    found = [entry for entry in gallery() if entry.kind == kind]
    return next((entry for entry in found if entry.index != attendance.plan.index), found[0])


def _full_speed(attendance: Attendance) -> None:
    view = show_run(attendance.request, "classroom.run")
    if view is None or view.outcome is None:
        return
    headline(view)
    won = settled_bet(view.outcome)
    mine = attendance.answered().get("bet")
    if mine is not None and won:
        told = "won" if mine == won else "lost"
        st.markdown(f"You bet “{BETS[mine]}”, and **{told}**.")
    tally(attendance, "bet", BETS, won)


def _find(attendance: Attendance) -> None:
    request, view = _flipped(attendance)
    if view is not None and view.live:
        wait_for(request)
        return
    if view is None or view.outcome is None:
        st.info("This run is not available now; go on to the next step.")
        return
    outcome = view.outcome
    edited = outcome.apply(request.image)
    choices = {str(number): words for number, words in enumerate(_quarters())}
    right = str(_quarter_of(outcome))
    picture, words = st.columns(2, gap="large")
    with words:
        chosen = ask(attendance, "find", "In which quarter is it?", choices)
        shown = st.toggle("Show the pixel", key="classroom.reveal")
        if chosen is not None and shown:
            st.markdown("**Found it.**" if chosen == right else f"It is {choices[right].lower()}.")
        tally(attendance, "find", choices, right if shown else "")
    with picture:
        edits = outcome.edits if shown else ()
        seen = ringed(edited, edits, SCALE)
        read = class_name(outcome.label_after)
        st.image(seen, width=seen.width, caption=f"Predicted: {read}", alt="The attacked picture")


def _flipped(attendance: Attendance) -> tuple[AttackRequest, RunView | None]:
    """The lesson's run if it flipped the picture; else one of the gallery that did."""
    view = view_of(attendance.request)
    if view is not None and not view.live and view.outcome and not view.outcome.success:
        request = request_of(_other(attendance, "flips"))
        return request, view_of(request)
    return attendance.request, view


def _quarters() -> Sequence[str]:
    return ("Top left", "Top right", "Bottom left", "Bottom right")


def _quarter_of(outcome: Outcome) -> int:
    edit = outcome.edits[0]
    return 2 * (edit.y >= SIDE // 2) + (edit.x >= SIDE // 2)


def _attention(attendance: Attendance) -> None:
    request, view = _flipped(attendance)
    if view is not None and view.live:
        wait_for(request)
        return
    model = choose_explained_model()
    edits = view.outcome.edits if view and view.outcome and view.outcome.success else ()
    scenes = scenes_of(request.image, edits)
    target = int(probabilities(model, [request.image])[0].argmax())
    show_maps(model, scenes, target, [ATTENTION, "gradcam"], 0.7)
    st.caption(
        f"Attention of `{model}`; the ringed pixel is the one that broke `{request.model}`. Each "
        "row has one scale."
    )


def _defences(attendance: Attendance) -> None:
    with errors_on_page():
        runners = watch_race(_joined(_race_of(attendance)))
        if runners and not any(runner.view.live for runner in runners):
            st.info(news(runners), icon=":material/flag:")


def _race_of(attendance: Attendance) -> tuple[AttackRequest, ...]:
    return tuple(replace(attendance.request, model=name) for name in default_models())


def _joined(requests: tuple[AttackRequest, ...]) -> Race:
    """The race of these requests, joined once; again if it was forgotten."""
    race: Race | None = st.session_state.get("classroom.race")
    known = race is not None and [r.run_id for r in race.requests] == [r.run_id for r in requests]
    if race is None or not known or any(service().view(t.run_id) is None for t in race.tickets):
        race = Race(requests, tuple(service().submit(request) for request in requests))
        st.session_state["classroom.race"] = race
    return race


def _failure(attendance: Attendance) -> None:
    entry = _breaking()
    st.markdown(entry.story)
    view = show_run(request_of(entry), "classroom.failure")
    if view is not None:
        headline(view)


def _breaking() -> GalleryEntry:
    return next(entry for entry in gallery() if entry.kind == "breaks")


def _quiz(attendance: Attendance) -> None:
    for question in QUIZ:
        with st.container(border=True):
            _quiz_question(attendance, question)


def _quiz_question(attendance: Attendance, question: Question) -> None:
    choices = {str(number): words for number, words in enumerate(question.answers)}
    name, right = f"quiz-{question.key}", str(question.right)
    if attendance.role is Role.TEACHER:
        st.markdown(f"**{question.text}**")
        shown = st.toggle("Show the answer", key=f"classroom.show-{question.key}")
        tally(attendance, name, choices, right if shown else "")
        if shown:
            st.caption(question.because)
        return
    chosen = ask(attendance, name, f"**{question.text}**", choices)
    if chosen is not None and attendance.sees("answers"):
        told = "Right." if chosen == right else f"The right answer is “{choices[right]}”."
        words = f"{told} {question.because}"
        place = changing_container(f"classroom.{name}", words)
        tell = place.success if chosen == right else place.warning
        tell(words, icon=":material/lightbulb:")


_SHOWS: dict[str, Show] = {
    "bet": _bet,
    "by-hand": _by_hand,
    "slow-search": _slow,
    "full-speed": _full_speed,
    "find-the-pixel": _find,
    "attention": _attention,
    "defences": _defences,
    "failure": _failure,
    "quiz": _quiz,
}
