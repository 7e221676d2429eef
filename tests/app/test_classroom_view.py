"""The Classroom page without a browser: who sees what, and what becomes of a bet."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from apr_core.attacks.result import Outcome, PixelEdit
from apr_core.base.types import InputError, Status
from apr_core.classroom.board import Classrooms, Entry, NoClassError, Room
from apr_core.classroom.plan import STEPS, Plan
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.safety.record import ADAPTIVE, CLEAN, UNKNOWING, GuardRecord
from apr_core.serving.gallery import gallery_file, load_gallery
from apr_ui.classroom.board import ON_SLIDE, as_html
from apr_ui.classroom.doors import HIDDEN_WORDS
from apr_ui.classroom.projector import JOIN
from apr_ui.classroom.view import LEARNT
from apr_ui.dataset import CHOICES as KINDS
from apr_ui.dataset import LESSON_DATA
from apr_ui.lesson import shows
from apr_ui.lesson.attendance import Attendance, Role, first_plan, lesson_data
from apr_ui.lesson.by_hand import best_html
from apr_ui.lesson.defences import recorded_race
from apr_ui.lesson.quiz import QUIZ, questions_for
from apr_ui.lesson.responsible import SECTIONS
from apr_ui.lesson.shows import BETS, prepare, settled_bet
from apr_ui.lesson.steps import LESSON, minutes_of
from apr_ui.lesson.threshold import CHOICES, CONCLUSION, about, counted, measured
from apr_ui.model_names import model_title
from apr_ui.page_table import page_entry
from apr_ui.resources import classrooms
from tests.app.pages import open_page, run, said
from tests.conftest import ROOT, figures

PLAN = first_plan()
SIGNS = load_gallery(gallery_file("gtsrb"))[0]
FLIPPED = next(entry.outcome for entry in load_gallery() if entry.kind == "flips")


def visit(code: str, **kept: str) -> AppTest:
    """The page of a class, once the browser has said what it keeps of it."""
    return open_page("classroom", {"class": code}, {f"classroom.kept-{code}": kept})


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher's page has runs made ahead; these tests need none."""
    monkeypatch.setattr("apr_ui.lesson.shows.prepare", lambda attendance: None)


@pytest.fixture
def rooms() -> Classrooms:
    return classrooms()


def test_every_step_is_told_and_shown_and_the_lesson_takes_what_is_said() -> None:
    assert tuple(LESSON) == STEPS
    assert set(shows._SHOWS) == set(STEPS)
    assert (len(STEPS), minutes_of(STEPS)) == (10, 11)
    readme = (ROOT / "README.md").read_text()
    assert "The lesson has ten steps" in readme
    assert "a lesson of eleven minutes" in readme
    page = page_entry("classroom")
    assert page.heading == "Eleven minutes on one pixel"
    assert "in ten steps" in page.summary
    assert "Ten steps, about 11 minutes" in said(open_page("classroom"))
    assert all(step.text and step.more and step.notes for step in LESSON.values())


def test_every_question_has_one_right_answer_and_a_reason() -> None:
    for question in QUIZ:
        assert 0 <= question.right < len(question.answers)
        assert len(set(question.answers)) == len(question.answers)
        assert question.because
    assert len({question.key for question in QUIZ}) == len(QUIZ)


def test_the_quiz_asks_what_the_steps_before_it_teach() -> None:
    for question in QUIZ:
        assert question.taught in STEPS[: STEPS.index("quiz")]
    assert questions_for(STEPS) == QUIZ
    asked = questions_for(("by-hand", "quiz"))
    assert asked
    assert {question.taught for question in asked} == {"by-hand"}
    assert questions_for(("quiz",)) == QUIZ  # taught elsewhere, so all is asked


def test_a_pixels_quarter_is_of_the_lessons_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shows, "shown_data", lambda: find_dataset("breastmnist"))
    edits = [PixelEdit(13, 14, (0, 0, 0)), PixelEdit(14, 13, (0, 0, 0))]
    found = [shows._quarter_of(replace(FLIPPED, edits=(edit,))) for edit in edits]
    assert [shows._quarters()[quarter] for quarter in found] == ["Bottom left", "Top right"]


@pytest.mark.parametrize("data", [DEFAULT, "gtsrb", "breastmnist"])
def test_the_slow_search_has_generations_to_walk_through(
    monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.setattr(shows, "shown_data", lambda: find_dataset(data))
    lesson = Attendance(Role.ALONE, first_plan(data), "slow-search")
    slow = shows._slow_run(lesson)
    assert slow.outcome.generations > 0
    assert slow.index != lesson.plan.index


@pytest.mark.parametrize("index", [entry.index for entry in load_gallery()])
def test_no_step_shows_the_pixel_that_a_later_one_asks_for(index: int) -> None:
    lesson = Attendance(Role.ALONE, replace(PLAN, index=index), "find-the-pixel")
    slow, asked = (shows._another(lesson, number).index for number in (0, 2))
    assert len({index, slow, asked}) == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [("gtsrb", ("speed limit", "stop")), ("breastmnist", ("benign", "malignant"))],
)
@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_shown_with_other_pictures(
    rooms: Classrooms, step: str, data: str, words: tuple[str, ...]
) -> None:
    plan = replace(first_plan(data), steps=(step,))
    opened = rooms.open(plan)
    app = visit(opened.code, seat=rooms.join(opened.code, "Ada").token)
    assert not app.error
    assert not app.exception
    drawn = " ".join(row.proto.json for row in app.get("bidi_component"))
    shown = said(app) + drawn
    assert any(map(shown.__contains__, words)) == (step not in ("attention", "threshold", "quiz"))
    assert "airplane" not in shown
    rows, columns = find_dataset(data).size
    assert (f"{rows * columns:,} pixels" in shown) == (step == "bet")


def test_the_race_is_shown_from_its_recording_at_once(rooms: Classrooms) -> None:
    opened = rooms.open(replace(PLAN, steps=("defences",)))
    seat = rooms.join(opened.code, "Ada")
    app = visit(opened.code, seat=seat.token)
    for entry in recorded_race(DEFAULT):
        assert f"**{model_title(entry.model)}**" in said(app)
    assert not app.toggle
    app = visit(opened.code, teacher=opened.token)
    assert app.toggle(key="classroom.race-live").value is False


@pytest.fixture(scope="module")
def record() -> GuardRecord:
    found = measured()
    assert found is not None
    return found


@pytest.mark.parametrize("percent", [50, 82.5, 99])
def test_a_threshold_is_counted_on_the_measured_pictures(
    record: GuardRecord, percent: float
) -> None:
    right = [one for one in record.outcomes if one.states[CLEAN].label == one.label]
    withheld = [one for one in right if one.states[CLEAN].confidence < percent / 100]
    needless, mistakes, unknowing, knowing = counted(record, percent).splitlines()
    assert f"**{len(withheld)} of {len(right)}** right answers" in needless
    wrong = [one for one in record.outcomes if one.states[CLEAN].label != one.label]
    sure = [one for one in wrong if one.states[CLEAN].confidence >= percent / 100]
    assert f"**{len(sure)} of {len(wrong)}** wrong answers pass" in mistakes
    for line, attacks in ((unknowing, [UNKNOWING]), (knowing, [UNKNOWING, ADAPTIVE])):
        turned, passing = set(), set()
        for one in right:
            for seen in (one.states[attack] for attack in attacks):
                if seen.label != one.label:
                    turned.add(one.index)
                    passing |= {one.index} if seen.confidence >= percent / 100 else set()
        assert f"{len(passing)} of {len(turned)}** wrong answers pass" in line
    assert "at least" in knowing
    assert "at least" not in unknowing


def test_the_thresholds_of_a_class_are_counted_together(
    rooms: Classrooms, record: GuardRecord
) -> None:
    opened = rooms.open(replace(PLAN, steps=("threshold",)))
    seats = [rooms.join(opened.code, name).token for name in ("Ada", "Bo", "Cy")]
    app = visit(opened.code, teacher=opened.token)
    assert "Nobody has chosen yet." in said(app)
    for seat, choice in zip(seats, ("50", "95", "99"), strict=True):
        app = visit(opened.code, seat=seat)
        assert "at least" not in said(app)  # no figures before a choice
        run(app.radio[0].set_value(choice))
        assert counted(record, int(choice)) in said(app)
        assert CONCLUSION in said(app)
        assert "median" not in said(app)
    assert rooms.tally(opened.code, "threshold") == {"50": 1, "95": 1, "99": 1}
    app = visit(opened.code, teacher=opened.token)
    assert "The class's threshold, **95%** (the median of 3 choices)" in said(app)
    assert counted(record, 95) in said(app)
    assert not tables_of(app)
    run(app.toggle(key="classroom.thresholds").set_value(True))
    (table,) = tables_of(app)
    assert all(words in table for words in CHOICES.values())


def test_the_second_slide_compares_all_thresholds(rooms: Classrooms) -> None:
    opened = rooms.open(replace(PLAN, steps=("threshold",)))
    rooms.answer(opened.code, rooms.join(opened.code, "Ada").token, "threshold", "70")
    kept = {f"classroom.kept-{opened.code}": {"teacher": opened.token}}
    where = {"class": opened.code, "present": "threshold.2"}
    app = open_page("classroom", where, kept)
    (table,) = tables_of(app)
    chosen = [row.split("</td>")[0] for row in table.split("<td>")[1:]][::5]
    assert chosen == ["0", "1", "0", "0", "0"]
    assert CONCLUSION in said(app)
    assert "median" not in said(app)


def tables_of(app: AppTest) -> list[str]:
    return [one.proto.body for one in app.get("html") if "<table" in one.proto.body]


def test_traffic_signs_say_that_the_thresholds_were_measured_on_other_pictures(
    rooms: Classrooms, record: GuardRecord
) -> None:
    told = "No safety net was measured for “Traffic signs”, so other pictures stand in. CIFAR-10: "
    plan = replace(PLAN, index=SIGNS.index, model=SIGNS.model, steps=("threshold",))
    for lesson, other in ((plan, True), (replace(PLAN, steps=("threshold",)), False)):
        opened = rooms.open(lesson)
        app = visit(opened.code, teacher=opened.token)
        assert (told in said(app)) is other
        assert about(record) in said(app)


def test_without_a_measured_net_no_threshold_is_asked_for(
    rooms: Classrooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apr_ui.safety.nets.guards", lambda: ([], []))
    opened = rooms.open(replace(PLAN, steps=("threshold",)))
    app = visit(opened.code, seat=rooms.join(opened.code, "Ada").token)
    command = "`python -m apr_core guard measure --model cifar10-resnet20-vanilla`"
    assert command in said(app)
    assert not app.radio


def test_a_class_that_was_opened_before_there_was_a_step_goes_on_without_it(
    rooms: Classrooms,
) -> None:
    old = json.dumps(
        {
            "index": PLAN.index,
            "model": PLAN.model,
            "seed": PLAN.seed,
            "steps": [step for step in STEPS if step != "threshold"],
            "hidden": [],
        }
    )
    opened = rooms.open(Plan.from_json(old))
    rooms.go_to(opened.code, opened.token, "quiz")
    seat = rooms.join(opened.code, "Ada")
    assert "Step 9 of 9" in said(visit(opened.code, seat=seat.token))
    assert LESSON["quiz"].notes in said(visit(opened.code, teacher=opened.token))


def test_an_ended_class_has_a_last_page_for_those_who_were_in_it(rooms: Classrooms) -> None:
    opened = rooms.open(PLAN)
    seat = rooms.join(opened.code, "Ada")
    rooms.close_class(opened.code, opened.token)
    for kept in ({"seat": seat.token}, {"teacher": opened.token}):
        app = visit(opened.code, **kept)
        assert LEARNT[0] in said(app)
        assert not app.error
        assert not app.warning
    stranger = open_page("classroom", {"class": opened.code})
    assert opened.code in stranger.warning[0].value
    assert not stranger.error


def test_a_file_that_cannot_be_read_does_not_end_a_class(
    rooms: Classrooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = rooms.open(PLAN)

    def busy(code: str) -> Room:
        raise InputError("Too many are writing.")

    monkeypatch.setattr(rooms, "room", busy)
    app = visit(opened.code, teacher=opened.token)
    assert [error.value for error in app.error] == ["Too many are writing."]
    assert LEARNT[0] not in said(app)


def test_the_teachers_key_is_shown_only_when_asked_for(rooms: Classrooms) -> None:
    opened = rooms.open(PLAN)
    app = visit(opened.code, teacher=opened.token)
    assert opened.token not in {code.value for code in app.code}
    run(app.toggle(key="classroom.show-key").set_value(True))
    assert opened.token in {code.value for code in app.code}


def test_what_deletes_asks_first(rooms: Classrooms) -> None:
    opened = rooms.open(PLAN)
    seat = rooms.join(opened.code, "Ada")
    rooms.answer(opened.code, seat.token, "bet", "never")
    app = visit(opened.code, teacher=opened.token)
    run(app.button(key="classroom.reset").click())
    run(app.button(key="classroom.keep").click())
    assert rooms.tally(opened.code, "bet") == {"never": 1}
    run(app.button(key="classroom.reset").click())
    run(app.button(key="classroom.sure").click())
    assert rooms.tally(opened.code, "bet") == {}
    run(app.button(key="classroom.close").click())
    assert rooms.room(opened.code)
    run(app.button(key="classroom.sure").click())
    with pytest.raises(NoClassError):
        rooms.room(opened.code)


@pytest.mark.parametrize(
    ("place", "step", "slide"),
    [
        ("join", JOIN, 1),
        ("quiz.3", "quiz", 3),
        ("quiz.0", "quiz", 1),
        ("quiz.11", "quiz", 1),
        ("bet.2", "quiz", 1),
        ("1", "quiz", 1),
        ("quiz.²", "quiz", 1),
    ],
)
def test_the_address_names_a_slide_of_the_current_step(
    rooms: Classrooms, place: str, step: str, slide: int
) -> None:
    opened = rooms.open(PLAN)
    rooms.go_to(opened.code, opened.token, "quiz")
    kept = {f"classroom.kept-{opened.code}": {"teacher": opened.token}}
    app = open_page("classroom", {"class": opened.code, "present": place}, kept)
    headings = [each.value for each in (*app.title, *app.header)]
    if step == JOIN:
        assert headings == ["Join the class"]
    else:
        assert headings == [LESSON["quiz"].title, QUIZ[(slide - 1) // 2].text]
        assert (QUIZ[(slide - 1) // 2].because in said(app)) is (slide % 2 == 0)


def test_everything_that_can_be_hidden_has_a_name() -> None:
    from apr_core.classroom.plan import HIDEABLE

    assert set(HIDDEN_WORDS) == set(HIDEABLE)


@pytest.mark.parametrize(
    ("queries", "bet"), [(1, "100"), (100, "100"), (101, "2000"), (2000, "2000"), (40400, "40400")]
)
def test_a_flip_settles_the_bets(queries: int, bet: str) -> None:
    assert settled_bet(replace(FLIPPED, queries=queries)) == bet
    assert bet in BETS


def test_a_survivor_settles_them_too() -> None:
    survived: Outcome = replace(FLIPPED, status=Status.SURVIVED, edits=())
    assert settled_bet(survived) == "never"
    assert settled_bet(replace(survived, status=Status.CANCELLED)) == ""


@pytest.mark.parametrize(("place", "shown"), [({}, 7), ({"present": "by-hand.1"}, ON_SLIDE)])
def test_a_slide_shows_the_best_of_the_board(
    rooms: Classrooms, place: dict[str, str], shown: int
) -> None:
    opened = rooms.open(PLAN)
    rooms.go_to(opened.code, opened.token, "by-hand")
    for number in range(7):
        seat = rooms.join(opened.code, f"Player {number}")
        rooms.enter(opened.code, seat.token, 10 + number, 1, 0, "[]")
    kept = {f"classroom.kept-{opened.code}": {"teacher": opened.token}}
    app = open_page("classroom", {"class": opened.code} | place, kept)
    tables = [one.proto.body for one in app.get("html") if "<table" in one.proto.body]
    assert [table.count("Player ") for table in tables] == [shown]
    assert (f"The first {shown} of 7." in said(app)) == (shown < 7)


def test_a_nickname_stands_on_the_board_as_text() -> None:
    entry = Entry(1, "<img src=x onerror=alert(1)>", 12, 1, 0, "2026-11-22T00:00:00+00:00")
    for shown in (as_html((entry,)), best_html((entry,))):
        assert "<img" not in shown
        assert "&lt;img" in shown


def test_the_form_opens_a_class_and_shows_the_teacher_in(rooms: Classrooms) -> None:
    app = open_page("classroom")
    run(app.text_input(key="classroom.title").set_value("*9b*"))
    run(app.multiselect(key="classroom.steps").set_value(["quiz", "bet"]))
    run(app.button(key="classroom.open").click())
    code = str(app.query_params["class"])
    room = rooms.room(code)
    assert room.title == "*9b*"
    assert room.plan.steps == ("quiz", "bet")
    assert LESSON["quiz"].notes in said(app)
    assert r"\*9b\*" in said(app)


def test_the_form_opens_a_class_on_a_traffic_sign(rooms: Classrooms) -> None:
    app = open_page("classroom")
    (kinds,) = [each for each in app.get("button_group") if each.key == LESSON_DATA]
    run(kinds.set_value("gtsrb"))
    run(app.button(key="classroom.open").click())
    plan = rooms.room(str(app.query_params["class"])).plan
    assert (plan.index, plan.model) == (SIGNS.index, SIGNS.model)


def test_the_lesson_alone_is_taken_on_a_traffic_sign() -> None:
    app = open_page("classroom")
    kinds = next(each for each in app.get("button_group") if each.key == "classroom.alone-data")
    run(kinds.set_value("gtsrb"))
    run(app.button(key="classroom.alone").click())
    assert app.query_params["alone"] == "gtsrb"
    assert app.session_state[LESSON_DATA] == "gtsrb"
    answered = next(each for each in app.radio if "answer-bet" in str(each.key))
    assert answered.key.endswith(SIGNS.model)
    unknown = open_page("classroom", {"alone": "no-such-data"})
    assert unknown.session_state[LESSON_DATA] == DEFAULT


def test_the_doors_say_which_pictures_the_lesson_does_not_have() -> None:
    left_out = [words.lower() for data, words in KINDS.items() if data not in lesson_data()]
    assert left_out
    assert said(open_page("classroom")).count(f"Not on {' or '.join(left_out)}: ") == 2


def test_an_empty_lesson_is_refused_in_a_sentence() -> None:
    app = open_page("classroom")
    run(app.multiselect(key="classroom.steps").set_value([]))
    run(app.button(key="classroom.open").click())
    assert "choose at least one step" in said(app)


def test_a_class_is_not_opened_on_a_picture_that_is_misread(rooms: Classrooms) -> None:
    app = open_page("classroom")
    run(app.selectbox(key="classroom.picture").set_value("another test image"))
    run(app.number_input(key="classroom.index").set_value(35))
    run(app.selectbox(key="classroom.model").set_value("cifar10-resnet20-vanilla"))
    run(app.button(key="classroom.open").click())
    (refusal,) = [line for line in said(app).splitlines() if "35" in figures(line)]
    assert refusal.index("bird") < refusal.index("cat")
    assert "class" not in app.query_params


def test_an_unknown_code_is_told_and_the_doors_are_shown() -> None:
    app = open_page("classroom", {"class": "ZZZZZZ"})
    assert "ZZZZZZ" in said(app)
    assert app.text_input(key="classroom.code")
    app.text_input(key="classroom.code").set_value("no")
    run(app.button("FormSubmitter:classroom.join-Go to the class").click())
    assert "is no class code" in said(app)


def test_a_student_sees_neither_notes_nor_what_is_hidden(rooms: Classrooms) -> None:
    for hidden, expected in (((), True), (("answers", "board", "hints"), False)):
        opened = rooms.open(replace(PLAN, steps=("quiz",), hidden=hidden))
        seat = rooms.join(opened.code, "Ada")
        rooms.answer(opened.code, seat.token, f"quiz-{QUIZ[0].key}", str(QUIZ[0].right))
        app = visit(opened.code, seat=seat.token)
        assert (QUIZ[0].because in said(app)) is expected
        assert LESSON["quiz"].notes not in said(app)


def test_a_seat_of_another_class_is_none_here(rooms: Classrooms) -> None:
    one, other = rooms.open(PLAN), rooms.open(PLAN)
    seat = rooms.join(one.code, "Ada")
    app = visit(other.code, seat=seat.token)
    assert app.text_input(key="classroom.nickname")
    app = visit(other.code, teacher=one.token)
    assert app.text_input(key="classroom.nickname")


def test_an_answer_is_kept_as_it_is_made(rooms: Classrooms) -> None:
    opened = rooms.open(replace(PLAN, steps=("bet",)))
    seat = rooms.join(opened.code, "Ada")
    app = visit(opened.code, seat=seat.token)
    run(app.radio[0].set_value("never"))
    assert rooms.tally(opened.code, "bet") == {"never": 1}
    run(app.radio[0].set_value("100"))
    assert rooms.tally(opened.code, "bet") == {"100": 1}


def test_runs_are_made_ahead_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    live = {"value": True}

    class Stub:
        def __init__(self, request):
            asked.append(request.run_id)
            self.live = live["value"]

    monkeypatch.setattr("apr_ui.lesson.runs.view_of", Stub)
    attendance = Attendance(Role.TEACHER, PLAN, "bet")
    prepare(attendance)
    assert asked == [attendance.request.run_id]
    live["value"] = False
    prepare(attendance)
    assert len(set(asked)) == 3  # the lesson's, the slow one, the failure: the race is recorded


def test_what_a_teacher_answered_alone_is_not_shown_to_the_class() -> None:
    def script() -> None:
        import streamlit as st

        from apr_ui.lesson.attendance import Attendance, Role, first_plan

        alone = Attendance(Role.ALONE, first_plan(), "bet")
        alone.answer("bet", "never")
        st.text(alone.answered())
        st.text(Attendance(Role.TEACHER, first_plan(), "bet", "AB12").answered())

    app = AppTest.from_function(script).run()
    assert [text.value for text in app.text] == ["{'bet': 'never'}", "{}"]


def test_the_page_on_responsible_use_says_it_all() -> None:
    app = open_page("responsible")
    assert [each.value for each in app.header] == [title for title, _ in SECTIONS]


def test_another_round_begins_with_no_answers_and_another_game(rooms: Classrooms) -> None:
    opened = rooms.open(replace(PLAN, steps=("bet", "by-hand")))
    seat = rooms.join(opened.code, "Ada")
    app = visit(opened.code, seat=seat.token)
    run(app.radio[0].set_value("never"))
    assert rooms.tally(opened.code, "bet") == {"never": 1}
    rooms.reset(opened.code, opened.token)
    run(app)
    assert app.radio[0].value is None
    assert rooms.tally(opened.code, "bet") == {}
    rooms.go_to(opened.code, opened.token, "by-hand")
    run(app)
    rooms.reset(opened.code, opened.token)
    run(app)
    places = [place.split("|")[0] for place in app.session_state["classroom.hand.games"]]
    assert places == [f"{opened.code}-1", f"{opened.code}-2"]
