"""Queries on the class database, inside a transaction of `apr_core.classroom.store`."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from apr_core.base.types import InputError
from apr_core.classroom.plan import Plan


class NoClassError(InputError):
    """No class has this code: it was mistyped, or the class was deleted."""


@dataclass(frozen=True)
class Opened:
    """A new class: the code for everyone, and the token that is the teacher's alone."""

    code: str
    token: str


@dataclass(frozen=True)
class Room:
    """A class as everyone in it may see it.

    Attributes:
        title: plain text; show it through `apr_core.classroom.names.plain`.
        step: where the class is, one of its plan's.
        opened: the day, such as "2026-03-01" (UTC).
        students: how many have joined.
        round: how often the board and the answers were emptied: what was tried and answered before
            counts no more.
    """

    code: str
    title: str
    plan: Plan
    step: str
    opened: str
    students: int
    round: int = 0


@dataclass(frozen=True)
class Seat:
    """A student's place in one class; the token is the student's alone."""

    code: str
    token: str
    nickname: str


@dataclass(frozen=True)
class Entry:
    """A student's best win by hand.

    Attributes:
        place: 1 for the fewest queries, and of those the fewest hints; equals share a place.
        when: such as "2026-03-01T09:30:12+00:00".
    """

    place: int
    nickname: str
    queries: int
    pixels: int
    hints: int
    when: str


def hash_of(token: str) -> bytes:
    """What is kept of a token, which is too random for a slow hash to be of use."""
    return hashlib.sha256(token.strip().encode(errors="surrogatepass")).digest()


def room_of(db: sqlite3.Connection, code: str) -> Room:
    """The class of a cleaned code.

    Raises:
        NoClassError: there is none.
    """
    row = db.execute(
        "SELECT title, plan, step, opened, (SELECT count(*) FROM seats WHERE class = code), round "
        "FROM classes WHERE code = ?",
        (code,),
    ).fetchone()
    if row is None:
        raise NoClassError(
            f"There is no class {code}; look at the code on the teacher's screen again, or ask "
            "whether the class was closed."
        )
    title, plan, step, opened, students, turn = row
    return Room(code, title, Plan.from_json(plan), step, _iso(opened)[:10], students, turn)


def is_teachers(db: sqlite3.Connection, code: str, token: str) -> bool:
    """Whether a token is the teacher's of this class; False too if there is no such class."""
    row = db.execute("SELECT token FROM classes WHERE code = ?", (code,)).fetchone()
    return row is not None and hmac.compare_digest(row[0], hash_of(token))


def find_seat(db: sqlite3.Connection, code: str, token: str) -> tuple[int, str] | None:
    """The number and nickname of the seat in this class that a token is of.

    It is looked up by its hash: how long that takes says nothing about the token.
    """
    found: tuple[int, str] | None = db.execute(
        "SELECT id, nickname FROM seats WHERE class = ? AND token = ?", (code, hash_of(token))
    ).fetchone()
    return found


def board_of(db: sqlite3.Connection, code: str) -> tuple[Entry, ...]:
    """Each student's best win, best first, of equals the earliest."""
    rows = db.execute(
        "SELECT RANK() OVER (ORDER BY queries, hints), nickname, queries, pixels, hints, entered "
        "FROM wins JOIN seats ON seats.id = seat WHERE class = ? "
        "ORDER BY queries, hints, entered, seat",
        (code,),
    )
    return tuple(
        Entry(place, nickname, queries, pixels, hints, _iso(entered))
        for place, nickname, queries, pixels, hints, entered in rows
    )


def rows_of(db: sqlite3.Connection, code: str) -> Iterator[list[object]]:
    """A heading, then a row for each student, those on the board first."""
    answers: dict[str, dict[str, str]] = defaultdict(dict)
    for question, nickname, choice in db.execute(
        "SELECT question, nickname, choice FROM answers JOIN seats ON seats.id = seat "
        "WHERE class = ? ORDER BY question",
        (code,),
    ):
        answers[question][nickname] = choice
    yield ["nickname", "place", "queries", "pixels", "hints", "when", "edits", *answers]
    board = {entry.nickname: entry for entry in board_of(db, code)}
    edits = dict(
        db.execute(
            "SELECT nickname, coalesce(edits, '') FROM seats LEFT JOIN wins ON wins.seat = id "
            "WHERE class = ? ORDER BY nickname",
            (code,),
        ).fetchall()
    )
    for name in [*board, *(name for name in edits if name not in board)]:
        win: list[object] = [""] * 5
        if entry := board.get(name):
            win = [entry.place, entry.queries, entry.pixels, entry.hints, entry.when]
        yield [name, *win, edits[name], *(given.get(name, "") for given in answers.values())]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
