"""Classes, seats, the challenge board and answers, for thirty phones and a projector at once.

Whoever has a class's code may see it and join. The teacher's token, and each seat's, are given once
to their holder and kept as hashes. They are 192 random bits, so wrong ones need no limit: no rate
of guessing finds one.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from apr_core.base.types import InputError, check_ranges
from apr_core.classroom.names import clean_code, clean_nickname, clean_title, echo, fold, new_code
from apr_core.classroom.plan import Plan
from apr_core.classroom.records import (
    Entry,
    NoClassError,
    Opened,
    Room,
    Seat,
    board_of,
    find_seat,
    hash_of,
    is_teachers,
    room_of,
    rows_of,
)
from apr_core.classroom.sheet import to_csv
from apr_core.classroom.store import Store, classes_file

__all__ = ["Classrooms", "Entry", "NoClassError", "Opened", "Room", "Seat"]

MOST_SEATS = 200
FORGOTTEN_AFTER = 90 * 24 * 3600.0
"""Seconds without a change, after which a class is deleted."""
TOKEN_BYTES = 24
WIN_RANGES: dict[str, tuple[float, float]] = {
    "queries": (1, 1_000_000),
    "pixels": (1, 16),
    "hints": (0, 1_000_000),
}
"""What a win by hand may say; a person tries far less."""
LONGEST = {"question": 80, "choice": 200, "edits": 4_000}
"""Characters."""


class Classrooms:
    """All classes of this machine.

    Every method raises InputError, one plain sentence, for a code of no class (NoClassError), and
    for a file that cannot be used. Those that need a token raise it for a wrong one.

    Args:
        path: of the file; `classes_file()` if None.
        clock: seconds since 1970.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._store = Store(path or classes_file())
        self._clock = clock

    def open(self, plan: Plan, title: str = "") -> Opened:
        """Open a class at its plan's first step, and forget those that nobody uses any more."""
        title, token, now = clean_title(title), secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        with self._store.change() as db:
            db.execute("DELETE FROM classes WHERE touched < ?", (now - FORGOTTEN_AFTER,))
            code = new_code()
            while db.execute("SELECT 1 FROM classes WHERE code = ?", (code,)).fetchone():
                code = new_code()
            row = (code, title, plan.to_json(), plan.steps[0], hash_of(token), now, now)
            db.execute("INSERT INTO classes VALUES (?, ?, ?, ?, ?, ?, ?, 0)", row)
        return Opened(code, token)

    def room(self, code: str) -> Room:
        """The class of a code, typed as people type."""
        with self._look(code) as (_, room):
            return room

    def is_teacher(self, code: str, token: str) -> bool:
        """Whether a token is the teacher's of this class; False too if there is no such class."""
        try:
            code = clean_code(code)
        except InputError:
            return False
        with self._store.look() as db:
            return is_teachers(db, code, token)

    def go_to(self, code: str, token: str, step: str) -> None:
        """Take the class to a step of its plan; the teacher's."""
        with self._teach(code, token) as (db, room):
            if step not in room.plan.steps:
                raise InputError(
                    f"{echo(step)} is no step of this class; its steps are "
                    f"{', '.join(room.plan.steps)}."
                )
            db.execute("UPDATE classes SET step = ? WHERE code = ?", (step, room.code))

    def join(self, code: str, nickname: str) -> Seat:
        """Take a seat under a nickname that nobody else in the class has."""
        nickname, token = clean_nickname(nickname), secrets.token_urlsafe(TOKEN_BYTES)
        with self._change(code) as (db, room):
            taken = "SELECT 1 FROM seats WHERE class = ? AND folded = ?"
            if db.execute(taken, (room.code, fold(nickname))).fetchone():
                raise InputError(
                    f"Somebody in this class is called '{nickname}' already; add a letter to it."
                )
            if room.students >= MOST_SEATS:
                raise InputError(
                    f"All {MOST_SEATS} seats of class {room.code} are taken; ask your teacher to "
                    "open another class."
                )
            db.execute(
                "INSERT INTO seats (class, nickname, folded, token, joined) VALUES (?, ?, ?, ?, ?)",
                (room.code, nickname, fold(nickname), hash_of(token), self._clock()),
            )
        return Seat(room.code, token, nickname)

    def seat(self, code: str, token: str) -> Seat | None:
        """The seat in this class that a token is of: a phone that slept and comes back."""
        try:
            code = clean_code(code)
        except InputError:
            return None
        with self._store.look() as db:
            found = find_seat(db, code, token)
        return Seat(code, token, found[1]) if found else None

    def enter(
        self, code: str, token: str, queries: int, pixels: int, hints: int, edits_json: str = ""
    ) -> Entry:
        """Enter a win by hand; entering it again changes nothing.

        Args:
            edits_json: the winning edits, any JSON, for the export.

        Returns:
            The student's best, which may be an earlier win: one with fewer queries, with as many
            and fewer hints, or just as good.
        """
        check_ranges(SimpleNamespace(queries=queries, pixels=pixels, hints=hints), WIN_RANGES)
        edits = _compact(edits_json)
        with self._sit(code, token) as (db, room, seat, nickname):
            db.execute(
                "INSERT INTO wins VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (seat) DO UPDATE SET "
                "queries = excluded.queries, pixels = excluded.pixels, hints = excluded.hints, "
                "edits = excluded.edits, entered = excluded.entered "
                "WHERE (excluded.queries, excluded.hints) < (wins.queries, wins.hints)",
                (seat, queries, pixels, hints, edits, self._clock()),
            )
            return next(entry for entry in board_of(db, room.code) if entry.nickname == nickname)

    def board(self, code: str) -> tuple[Entry, ...]:
        """Each student's best win, best first, of equals the earliest."""
        with self._look(code) as (db, room):
            return board_of(db, room.code)

    def answer(self, code: str, token: str, question: str, choice: str) -> None:
        """A bet, or an answer of the quiz; it takes the place of an earlier one."""
        _check_text("question", question)
        _check_text("choice", choice)
        with self._sit(code, token) as (db, _, seat, _):
            db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (seat, question, choice))

    def tally(self, code: str, question: str) -> dict[str, int]:
        """How many chose what, the most chosen first."""
        _check_text("question", question)
        with self._look(code) as (db, room):
            rows = db.execute(
                "SELECT choice, count(*) FROM answers JOIN seats ON seats.id = seat "
                "WHERE class = ? AND question = ? GROUP BY choice ORDER BY count(*) DESC, choice",
                (room.code, question),
            )
            return dict(rows.fetchall())

    def answers_of(self, code: str, token: str) -> dict[str, str]:
        """A student's own answers, by question."""
        with self._look(code) as (db, room):
            seat, _ = _seat(db, room.code, token)
            rows = db.execute("SELECT question, choice FROM answers WHERE seat = ?", (seat,))
            return dict(rows.fetchall())

    def reset(self, code: str, teacher_token: str) -> None:
        """Clear the board and the answers for another round; everyone keeps their seat."""
        with self._teach(code, teacher_token) as (db, room):
            of_class = "seat IN (SELECT id FROM seats WHERE class = ?)"
            db.execute(f"DELETE FROM wins WHERE {of_class}", (room.code,))
            db.execute(f"DELETE FROM answers WHERE {of_class}", (room.code,))
            db.execute("UPDATE classes SET round = round + 1 WHERE code = ?", (room.code,))
        self._store.wipe()

    def remove(self, code: str, teacher_token: str, nickname: str) -> None:
        """Take a student off: the seat, the win, the answers."""
        with self._teach(code, teacher_token) as (db, room):
            folded = fold(clean_nickname(nickname))
            query = "DELETE FROM seats WHERE class = ? AND folded = ?"
            if not db.execute(query, (room.code, folded)).rowcount:
                raise InputError(f"Nobody in this class is called {echo(nickname)}; look again.")
        self._store.wipe()

    def export(self, code: str, teacher_token: str) -> str:
        """Everyone in the class as CSV: the best win, and a column for each question."""
        with self._look(code) as (db, room):
            _check_teacher(db, room.code, teacher_token)
            return to_csv(rows_of(db, room.code))

    def close_class(self, code: str, teacher_token: str) -> None:
        """Delete the class and everything of it."""
        with self._teach(code, teacher_token) as (db, room):
            db.execute("DELETE FROM classes WHERE code = ?", (room.code,))
        self._store.wipe()

    @contextmanager
    def _look(self, code: str) -> Iterator[tuple[sqlite3.Connection, Room]]:
        code = clean_code(code)
        with self._store.look() as db:
            yield db, room_of(db, code)

    @contextmanager
    def _change(self, code: str) -> Iterator[tuple[sqlite3.Connection, Room]]:
        code = clean_code(code)
        with self._store.change() as db:
            room = room_of(db, code)
            db.execute("UPDATE classes SET touched = ? WHERE code = ?", (self._clock(), code))
            yield db, room

    @contextmanager
    def _teach(self, code: str, token: str) -> Iterator[tuple[sqlite3.Connection, Room]]:
        with self._change(code) as (db, room):
            _check_teacher(db, room.code, token)
            yield db, room

    @contextmanager
    def _sit(self, code: str, token: str) -> Iterator[tuple[sqlite3.Connection, Room, int, str]]:
        with self._change(code) as (db, room):
            yield db, room, *_seat(db, room.code, token)


def _check_teacher(db: sqlite3.Connection, code: str, token: str) -> None:
    if not is_teachers(db, code, token):
        raise InputError(
            f"Only the teacher of class {code} can do this; open the teacher's link, which was "
            "shown when the class was opened."
        )


def _seat(db: sqlite3.Connection, code: str, token: str) -> tuple[int, str]:
    seat = find_seat(db, code, token)
    if seat is None:
        raise InputError(f"You have no seat in class {code}; join it with a nickname.")
    return seat


def _check_text(name: str, text: str) -> None:
    """Raise InputError unless a text is one line that can be shown."""
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST[name] or not text.isprintable():
        raise InputError(
            f"A {name} is one line of 1 to {LONGEST[name]} characters, not {echo(str(text))}; "
            "shorten it."
        )


def _compact(edits_json: str) -> str:
    """The same JSON in ASCII, "" for none.

    Raises:
        InputError: it is no JSON, or too long.
    """
    try:
        edits = json.dumps(json.loads(edits_json)) if edits_json else ""
    except (ValueError, RecursionError):
        raise InputError("The winning edits are no JSON; find the pixel again.") from None
    if len(edits) > LONGEST["edits"]:
        raise InputError(
            f"The winning edits take {len(edits):,} characters, and {LONGEST['edits']:,} at most "
            "are kept; change fewer pixels."
        )
    return edits
