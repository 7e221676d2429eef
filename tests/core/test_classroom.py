"""Classes: seats, board and answers, for thirty at once, and whatever goes wrong with them."""

from __future__ import annotations

import csv
import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apr_core.base.types import InputError
from apr_core.classroom import store
from apr_core.classroom.board import FORGOTTEN_AFTER, MOST_SEATS, Classrooms, Opened, Seat
from apr_core.classroom.plan import Plan
from tests.conftest import ROOT, figures
from tests.core.test_classroom_plan import MARKUP, PLAN, said_by

STUDENTS = 30
SQL = "x'); DROP TABLE seats; --"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_772_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "classroom" / "classes.sqlite3"


@pytest.fixture
def classes(path: Path, clock: Clock) -> Classrooms:
    return Classrooms(path, clock)


@pytest.fixture
def opened(classes: Classrooms) -> Opened:
    return classes.open(PLAN, "Year 9")


def bytes_in(folder: Path) -> bytes:
    """Everything that lies on the disk."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def rows_in(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# A lesson


def test_a_class_is_found_by_its_code_as_people_type_it(
    classes: Classrooms, opened: Opened
) -> None:
    code = opened.code
    for typed in (code, code.lower(), f" {code[:3]}-{code[3:]} "):
        room = classes.room(typed)
        assert (room.code, room.title, room.plan) == (code, "Year 9", PLAN)
        assert (room.step, room.opened, room.students) == ("bet", "2026-02-25", 0)


def test_the_teacher_leads_through_the_steps_of_the_plan(classes: Classrooms) -> None:
    opened = classes.open(Plan(PLAN.index, PLAN.model, 0, ("quiz", "bet")))
    assert classes.room(opened.code).step == "quiz"
    classes.go_to(opened.code, opened.token, "bet")
    assert classes.room(opened.code).step == "bet"
    says = said_by(lambda: classes.go_to(opened.code, opened.token, "attention"))
    assert "'attention'" in says
    assert "quiz, bet" in says
    assert classes.room(opened.code).step == "bet"


def test_a_phone_that_slept_finds_its_seat(path: Path, classes: Classrooms, opened: Opened) -> None:
    seat = classes.join(opened.code.lower(), "  Ann ")
    assert seat == Seat(opened.code, seat.token, "Ann")
    assert classes.seat(opened.code, seat.token) == seat
    assert classes.seat(opened.code, f" {seat.token}\n") is not None
    assert Classrooms(path).seat(opened.code, seat.token) == seat
    for token in ("", "x", seat.token[:-1], opened.token, "\ud800"):
        assert classes.seat(opened.code, token) is None
    assert classes.seat("no code", seat.token) is None
    assert classes.seat("ZZZZZZ", seat.token) is None


@pytest.mark.parametrize("second", ["Ann", "ANN", " a\u200bnn "])
def test_a_nickname_is_given_once(classes: Classrooms, opened: Opened, second: str) -> None:
    classes.join(opened.code, "Ann")
    assert "called" in said_by(lambda: classes.join(opened.code, second))
    assert "add a letter" in said_by(lambda: classes.join(opened.code, second))
    assert classes.join(opened.code, "Ann B").nickname == "Ann B"
    assert classes.room(opened.code).students == 2


@pytest.mark.parametrize("nickname", [*MARKUP, SQL, ""])
def test_markup_takes_no_seat(classes: Classrooms, opened: Opened, nickname: str) -> None:
    assert "A nickname" in said_by(lambda: classes.join(opened.code, nickname))
    assert classes.room(opened.code).students == 0


def test_a_class_has_an_end(
    classes: Classrooms, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_SEATS == 200
    monkeypatch.setattr("apr_core.classroom.board.MOST_SEATS", 2)
    classes.join(opened.code, "a")
    classes.join(opened.code, "b")
    assert "All 2 seats" in said_by(lambda: classes.join(opened.code, "c"))


def test_the_board_keeps_each_students_best(
    classes: Classrooms, opened: Opened, clock: Clock
) -> None:
    names = ("Ann", "Ben", "Cem", "Dan")
    ann, ben, cem, dan = (classes.join(opened.code, name).token for name in names)
    wins = [(ann, 9, 1), (dan, 9, 2), (ben, 9, 0), (ann, 5, 3), (cem, 5, 3), (ann, 5, 4)]
    for token, queries, hints in [*wins, (ben, 20, 0)]:
        clock.now += 60
        classes.enter(opened.code, token, queries, 1, hints)
    board = classes.board(opened.code)
    assert [(e.place, e.nickname, e.queries, e.hints) for e in board] == [
        (1, "Ann", 5, 3),
        (1, "Cem", 5, 3),
        (3, "Ben", 9, 0),
        (4, "Dan", 9, 2),
    ]
    assert board[0].when == "2026-02-25T06:17:20+00:00"


def test_a_win_that_is_entered_again_changes_nothing(
    classes: Classrooms, opened: Opened, clock: Clock
) -> None:
    seat = classes.join(opened.code, "Ann")
    first = classes.enter(opened.code, seat.token, 7, 1, 0, '[{"x": 3}]')
    before = classes.export(opened.code, opened.token)
    clock.now += 60
    assert classes.enter(opened.code, seat.token, 7, 1, 0, '[{"x": 3}]') == first
    assert classes.enter(opened.code, seat.token, 7, 2, 0) == first
    assert classes.enter(opened.code, seat.token, 8, 1, 0) == first
    assert classes.export(opened.code, opened.token) == before
    assert classes.enter(opened.code, seat.token, 6, 1, 0).queries == 6


@pytest.mark.parametrize(
    ("win", "says"),
    [
        ((0, 1, 0), "queries is 0"),
        ((-3, 1, 0), "queries is -3"),
        ((2**70, 1, 0), "queries is"),
        ((1.5, 1, 0), "queries must be a whole number"),
        (("5", 1, 0), "queries must be a whole number"),
        ((True, 1, 0), "queries must be a whole number"),
        ((5, 0, 0), "pixels is 0"),
        ((5, 17, 0), "pixels is 17"),
        ((5, 1, -1), "hints is -1"),
        ((5, 1, 0, "{"), "no JSON"),
        ((5, 1, 0, "[" * 3000), "no JSON"),
        ((5, 1, 0, str([0] * 3000)), "change fewer pixels"),
    ],
)
def test_a_win_that_cannot_be_is_refused(
    classes: Classrooms, opened: Opened, win: tuple[int, int, int], says: str
) -> None:
    seat = classes.join(opened.code, "Ann")
    assert says in said_by(lambda: classes.enter(opened.code, seat.token, *win))
    assert classes.board(opened.code) == ()


def test_a_later_answer_takes_the_place_of_an_earlier_one(
    classes: Classrooms, opened: Opened
) -> None:
    ann, ben, cem = (classes.join(opened.code, name).token for name in ("Ann", "Ben", "Cem"))
    for token, choice in ((ann, "a"), (ben, "b"), (cem, "b"), (ann, "c"), (ann, "b"), (ben, "a")):
        classes.answer(opened.code, token, "bet", choice)
    classes.answer(opened.code, ann, "quiz 1", SQL)
    assert list(classes.tally(opened.code, "bet").items()) == [("b", 2), ("a", 1)]
    assert classes.tally(opened.code, "quiz 1") == {SQL: 1}
    assert classes.tally(opened.code, "' OR 1=1 --") == {}
    assert classes.answers_of(opened.code, ann) == {"bet": "b", "quiz 1": SQL}
    assert classes.answers_of(opened.code, ben) == {"bet": "a"}


@pytest.mark.parametrize(
    ("question", "choice"),
    [("", "a"), ("bet", ""), ("x" * 81, "a"), ("bet", "x" * 201), ("bet", "\ud800"), ("bet", "\n")],
)
def test_what_is_no_answer_is_refused(
    classes: Classrooms, opened: Opened, question: str, choice: str
) -> None:
    seat = classes.join(opened.code, "Ann")
    assert "is one line" in said_by(
        lambda: classes.answer(opened.code, seat.token, question, choice)
    )
    assert classes.answers_of(opened.code, seat.token) == {}


def test_a_reset_clears_the_board_and_keeps_the_seats(classes: Classrooms, opened: Opened) -> None:
    seat = classes.join(opened.code, "Ann")
    classes.enter(opened.code, seat.token, 7, 1, 0)
    classes.answer(opened.code, seat.token, "bet", "yes")
    classes.reset(opened.code, opened.token)
    assert classes.board(opened.code) == ()
    assert classes.tally(opened.code, "bet") == {}
    assert classes.seat(opened.code, seat.token) == seat
    assert classes.enter(opened.code, seat.token, 9, 1, 0).queries == 9


def test_who_is_removed_is_gone_with_all_they_left(classes: Classrooms, opened: Opened) -> None:
    rude, ann = (classes.join(opened.code, name) for name in ("Rude", "Ann"))
    for seat in (rude, ann):
        classes.enter(opened.code, seat.token, 7, 1, 0)
        classes.answer(opened.code, seat.token, "bet", "yes")
    classes.remove(opened.code, opened.token, "rude")
    assert [entry.nickname for entry in classes.board(opened.code)] == ["Ann"]
    assert classes.tally(opened.code, "bet") == {"yes": 1}
    assert classes.seat(opened.code, rude.token) is None
    says = said_by(lambda: classes.enter(opened.code, rude.token, 1, 1, 0))
    assert says == f"You have no seat in class {opened.code}; join it with a nickname."
    assert "Nobody" in said_by(lambda: classes.remove(opened.code, opened.token, "rude"))


def test_the_export_has_everyone_and_no_formula(classes: Classrooms, opened: Opened) -> None:
    seats = [classes.join(opened.code, name).token for name in ("Ann", "Ben", "Cem O'Neil")]
    classes.enter(opened.code, seats[1], 7, 1, 2, '[{"x": 3}]')
    for question, choice in (("=SUM(A1)", "@a"), ("+q", "-1+1"), ("quiz", "＝1, 2")):
        classes.answer(opened.code, seats[0], question, choice)
    rows = rows_in(classes.export(opened.code, opened.token))
    assert [row["nickname"] for row in rows] == ["Ben", "Ann", "Cem O'Neil"]
    assert (rows[0]["place"], rows[0]["queries"], rows[0]["edits"]) == ("1", "7", '[{"x": 3}]')
    assert (rows[1]["'=SUM(A1)"], rows[1]["'+q"], rows[1]["quiz"]) == ("'@a", "'-1+1", "'＝1, 2")
    assert (rows[1]["queries"], rows[0]["quiz"]) == ("", "")
    assert set(rows[2].values()) == {"Cem O'Neil", ""}


# What is not there, and who may not


def everything(classes: Classrooms, code: str, token: str) -> list[Callable[[], object]]:
    """Each call that asks for a class, with one token for all."""
    return [
        lambda: classes.room(code),
        lambda: classes.join(code, "Zoe"),
        lambda: classes.board(code),
        lambda: classes.tally(code, "bet"),
        *of_a_student(classes, code, token),
        *of_the_teacher(classes, code, token),
    ]


def of_a_student(classes: Classrooms, code: str, token: str) -> list[Callable[[], object]]:
    return [
        lambda: classes.enter(code, token, 1, 1, 0),
        lambda: classes.answer(code, token, "bet", "mine"),
        lambda: classes.answers_of(code, token),
    ]


def of_the_teacher(classes: Classrooms, code: str, token: str) -> list[Callable[[], object]]:
    return [
        lambda: classes.go_to(code, token, "quiz"),
        lambda: classes.reset(code, token),
        lambda: classes.remove(code, token, "Ann"),
        lambda: classes.export(code, token),
        lambda: classes.close_class(code, token),
    ]


@pytest.mark.parametrize("code", ["ZZZZZZ", "nonsense", "", SQL, "%", "______"])
def test_a_class_that_does_not_exist_is_a_sentence_everywhere(
    classes: Classrooms, opened: Opened, code: str
) -> None:
    for act in everything(classes, code, opened.token):
        says = said_by(act)
        assert "no class" in says
        assert "code" in says
    assert not classes.is_teacher(code, opened.token)
    assert classes.room(opened.code).students == 0


def test_only_the_teacher_does_what_is_the_teachers(classes: Classrooms, opened: Opened) -> None:
    seat = classes.join(opened.code, "Ann")
    classes.enter(opened.code, seat.token, 7, 1, 0)
    before = classes.export(opened.code, opened.token)
    guesses = ("", " ", "x", seat.token, opened.token[:-1], opened.token.swapcase(), SQL, "\ud800")
    for token in guesses:
        assert not classes.is_teacher(opened.code, token)
        for act in of_the_teacher(classes, opened.code, token):
            assert f"Only the teacher of class {opened.code}" in said_by(act)
    assert classes.is_teacher(opened.code.lower(), opened.token)
    assert classes.export(opened.code, opened.token) == before
    assert classes.room(opened.code).step == "bet"


def test_nothing_leaks_between_two_classes(classes: Classrooms, opened: Opened) -> None:
    other = classes.open(PLAN)
    here, there = classes.join(opened.code, "Ann"), classes.join(other.code, "Ann")
    classes.enter(opened.code, here.token, 7, 1, 0)
    classes.answer(opened.code, here.token, "bet", "yes")
    before = classes.export(opened.code, opened.token)
    assert classes.seat(opened.code, there.token) is None
    assert not classes.is_teacher(opened.code, other.token)
    for act in of_a_student(classes, opened.code, there.token):
        assert "no seat" in said_by(act)
    for act in of_the_teacher(classes, opened.code, other.token):
        assert "Only the teacher" in said_by(act)
    assert (classes.board(other.code), classes.tally(other.code, "bet")) == ((), {})
    classes.answer(other.code, there.token, "bet", "no")
    classes.reset(other.code, other.token)
    classes.remove(other.code, other.token, "Ann")
    classes.close_class(other.code, other.token)
    assert classes.export(opened.code, opened.token) == before
    assert classes.seat(opened.code, here.token) == here


def test_tokens_are_not_in_the_file(path: Path, classes: Classrooms, opened: Opened) -> None:
    seat = classes.join(opened.code, "Ann")
    found = bytes_in(path.parent)
    assert b"Ann" in found
    for token in (opened.token, seat.token):
        assert len(token) == 32
        assert token.encode() not in found


def test_a_class_that_is_closed_leaves_nothing(
    path: Path, classes: Classrooms, opened: Opened
) -> None:
    seat = classes.join(opened.code, "Rumpelstiltskin")
    classes.enter(opened.code, seat.token, 7, 1, 0)
    classes.answer(opened.code, seat.token, "bet", "shibboleth")
    assert b"Rumpelstiltskin" in bytes_in(path.parent)
    classes.close_class(opened.code, opened.token)
    assert "no class" in said_by(lambda: classes.room(opened.code))
    with sqlite3.connect(path) as db:
        for table in ("classes", "seats", "wins", "answers"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    db.close()
    for word in (b"Rumpelstiltskin", b"shibboleth", b"Year 9"):
        assert word not in bytes_in(path.parent)


def test_a_class_that_nobody_touched_for_long_is_forgotten(
    classes: Classrooms, opened: Opened, clock: Clock
) -> None:
    used = classes.open(PLAN)
    clock.now += FORGOTTEN_AFTER - 60
    classes.join(used.code, "Ann")
    classes.open(PLAN)
    assert classes.room(opened.code).students == 0
    clock.now += 120
    classes.open(PLAN)
    assert "no class" in said_by(lambda: classes.room(opened.code))
    assert classes.room(used.code).students == 1


# Thirty at once


def test_thirty_students_pressing_at_once_lose_nothing(path: Path) -> None:
    """Two classes in one file, which the first of them makes; seats, wins and answers."""
    plans = [Classrooms(path), Classrooms(path)]
    together = threading.Barrier(STUDENTS)

    def press(number: int) -> tuple[Seat, Opened]:
        classes, opened = plans[number % 2], rooms[number % 2]
        together.wait()
        seat = classes.join(opened.code, f"Student {number}")
        for question in range(4):
            classes.answer(opened.code, seat.token, f"quiz {question}", str(number % 3))
            classes.enter(opened.code, seat.token, 50 + number - question, 1, 0)
            assert classes.board(opened.code)
        return seat, opened

    with ThreadPoolExecutor(STUDENTS) as pool:
        rooms = list(pool.map(lambda classes: classes.open(PLAN), plans))
        seats = list(pool.map(press, range(STUDENTS)))
    for half, (classes, opened) in enumerate(zip(plans, rooms, strict=True)):
        mine = range(half, STUDENTS, 2)
        board = classes.board(opened.code)
        assert [entry.queries for entry in board] == [47 + number for number in mine]
        assert [entry.nickname for entry in board] == [f"Student {number}" for number in mine]
        assert sum(classes.tally(opened.code, "quiz 3").values()) == STUDENTS // 2
    for seat, opened in seats:
        assert plans[0].seat(opened.code, seat.token) == seat


def test_thirty_who_want_the_same_nickname_get_one(classes: Classrooms, opened: Opened) -> None:
    def press(_: int) -> str:
        try:
            return classes.join(opened.code, "Ann").nickname
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(STUDENTS) as pool:
        said = list(pool.map(press, range(STUDENTS)))
    assert said.count("Ann") == 1
    assert sum("add a letter" in sentence for sentence in said) == STUDENTS - 1
    assert classes.room(opened.code).students == 1


# The file

WRITER = """
import sys
from pathlib import Path
from apr_core.classroom.board import Classrooms
classes = Classrooms(Path(sys.argv[1]))
code, token = sys.argv[2], sys.argv[3]
print(classes.enter(code, token, 5, 1, 0).queries, flush=True)
sys.stdin.read()
"""


def test_a_process_that_is_killed_loses_nothing(
    path: Path, classes: Classrooms, opened: Opened
) -> None:
    """It finds what this process wrote, and what it wrote itself is found after its end."""
    seat = classes.join(opened.code, "Ann")
    command = [sys.executable, "-c", WRITER, str(path), opened.code, seat.token]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "5\n"
        os.kill(process.pid, signal.SIGKILL)
    assert [entry.queries for entry in classes.board(opened.code)] == [5]
    assert [entry.queries for entry in Classrooms(path).board(opened.code)] == [5]


def test_where_classes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APR_CLASSROOM", raising=False)
    assert store.classes_file() == ROOT / "classroom" / "classes.sqlite3"
    assert "/classroom/" in (ROOT / ".gitignore").read_text().splitlines()
    monkeypatch.setenv("APR_CLASSROOM", str(tmp_path / "here"))
    opened = Classrooms().open(PLAN)
    assert Classrooms(tmp_path / "here" / "classes.sqlite3").room(opened.code).plan == PLAN


def refusals(path: Path, code: str) -> Iterator[str]:
    """What reading and writing are refused with, the file's place not among it."""
    for act in (lambda: Classrooms(path).room(code), lambda: Classrooms(path).open(PLAN)):
        says = said_by(act)
        assert str(path.parent) not in says
        yield says


def settled(path: Path, classes: Classrooms, opened: Opened) -> None:
    """Fill a file, and move all of it out of the log."""
    for number in range(STUDENTS):
        classes.join(opened.code, f"Student {number}")
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


@pytest.mark.parametrize("cut", [100, 5000])
def test_a_damaged_file_is_a_sentence(
    tmp_path: Path, path: Path, classes: Classrooms, opened: Opened, cut: int
) -> None:
    settled(path, classes, opened)
    damaged = tmp_path / "damaged" / "classes.sqlite3"
    damaged.parent.mkdir()
    data = path.read_bytes()
    damaged.write_bytes(data[:cut] + b"\xff" * (len(data) - cut))
    for says in refusals(damaged, opened.code):
        assert says.startswith("classes.sqlite3")
        assert "damaged" in says


@pytest.mark.parametrize("data", [b"not a database, but long enough to be taken for one" * 9])
def test_what_is_no_database_is_a_sentence(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)
    for says in refusals(path, "ZZZZZZ"):
        assert "is damaged" in says
    assert path.read_bytes() == data


def test_a_table_that_is_gone_is_a_sentence(path: Path, opened: Opened) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE seats")
    db.close()
    assert "is damaged" in said_by(lambda: Classrooms(path).room(opened.code))


def test_a_plan_that_is_damaged_is_a_sentence(path: Path, opened: Opened) -> None:
    db = sqlite3.connect(path)
    with db:
        db.execute("UPDATE classes SET plan = '{}'")
    db.close()
    assert "no plan of a class" in said_by(lambda: Classrooms(path).room(opened.code))


def test_a_file_of_a_later_version_is_left_alone(path: Path, opened: Opened) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 3")
    db.close()
    for says in refusals(path, opened.code):
        assert figures(says)[-2:] == ["3", "2"]


def test_a_file_of_the_first_version_is_taken_on(path: Path, opened: Opened) -> None:
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE classes DROP COLUMN round")
    db.execute("PRAGMA user_version = 1")
    db.close()
    classes = Classrooms(path)
    assert classes.room(opened.code).round == 0
    classes.reset(opened.code, opened.token)
    assert Classrooms(path).room(opened.code).round == 1


def test_a_database_of_something_else_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE recipes (name)")
    db.close()
    before = path.read_bytes()
    for says in refusals(path, "ZZZZZZ"):
        assert "is a database of something else" in says
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for says in refusals(tmp_path / "file" / "classes.sqlite3", "ZZZZZZ"):
        assert says.startswith("The classes' folder cannot be used")
    (tmp_path / "classes.sqlite3").mkdir()
    for says in refusals(tmp_path / "classes.sqlite3", "ZZZZZZ"):
        assert "cannot be read and written" in says


def test_a_full_disk_is_a_sentence_and_harms_nothing(
    path: Path, classes: Classrooms, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(path, classes, opened)
    connect = store.Store._connect

    def full(self: store.Store) -> sqlite3.Connection:
        db = connect(self)
        db.execute("PRAGMA max_page_count = 1")  # SQLite takes the file's present size at least
        return db

    monkeypatch.setattr(store.Store, "_connect", full)
    says, joined = "", 0
    while not says:
        try:
            classes.join(opened.code, f"Late {joined}")
            joined += 1
        except InputError as error:
            says = str(error)
    assert "full" in says
    assert "not saved" in says
    monkeypatch.undo()
    assert classes.room(opened.code).students == STUDENTS + joined
    assert classes.join(opened.code, "After").nickname == "After"


def test_a_file_that_another_process_holds_is_a_sentence(
    path: Path, classes: Classrooms, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PATIENCE", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert "this was not saved; try again" in said_by(lambda: classes.join(opened.code, "Ann"))
    assert classes.room(opened.code).students == 0
    holder.close()
    assert classes.join(opened.code, "Ann").nickname == "Ann"


@pytest.mark.parametrize("endings", [("",), ("", "-wal", "-shm")])
def test_a_file_that_was_moved_away_is_begun_anew(
    tmp_path: Path, path: Path, classes: Classrooms, opened: Opened, endings: tuple[str, ...]
) -> None:
    settled(path, classes, opened)
    for ending in endings:
        path.with_name(path.name + ending).rename(tmp_path / f"classes.sqlite3{ending}")
    assert "no class" in said_by(lambda: classes.room(opened.code))
    anew = classes.open(PLAN)
    classes.join(anew.code, "Ann")
    assert Classrooms(path).room(anew.code).students == 1
    assert Classrooms(tmp_path / "classes.sqlite3").room(opened.code).students == STUDENTS
