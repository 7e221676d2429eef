"""The classroom: codes, nicknames, titles, tokens, answers, plans, and its file."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from apr_core.classroom.board import Classrooms
from apr_core.classroom.names import clean_code, clean_nickname, clean_title
from apr_core.classroom.plan import STEPS, Plan
from scripts.fuzz.boundary import Attempt, Boundary, BoundError
from scripts.fuzz.hostile import TEXTS, spoiled_bytes, spoiled_json

PLAN = Plan(9, "cifar10-resnet20-vanilla")
_TYPED = st.sampled_from(TEXTS) | st.text(max_size=40) | st.sampled_from(("Ann", "k7 rq-3m", "Zoë"))
_CODE, _TOKEN = "@code@", "@token@"
_CALLS = {
    "room": (_CODE,),
    "is_teacher": (_CODE, _TOKEN),
    "go_to": (_CODE, _TOKEN, STEPS[1]),
    "join": (_CODE, "Ann"),
    "seat": (_CODE, _TOKEN),
    "enter": (_CODE, _TOKEN, 5, 1, 0, "[]"),
    "board": (_CODE,),
    "answer": (_CODE, _TOKEN, "question", "choice"),
    "tally": (_CODE, "question"),
    "answers_of": (_CODE, _TOKEN),
    "reset": (_CODE, _TOKEN),
    "remove": (_CODE, _TOKEN, "Ann"),
    "export": (_CODE, _TOKEN),
}
_NUMBERS = st.sampled_from((0, 1, -1, 2**63, 10**30, 1.5, float("nan"), True))


@st.composite
def _calls(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """One of the class's doors, and what is said there: all right but for a part or two."""
    name = draw(st.sampled_from(list(_CALLS)))
    said: list[Any] = list(_CALLS[name])
    for place in draw(st.lists(st.integers(0, len(said) - 1), max_size=2)):
        said[place] = draw(_TYPED if isinstance(said[place], str) else _NUMBERS)
    return name, said


@contextmanager
def _with_names(folder: Path) -> Iterator[Attempt]:
    def attempt(given: tuple[str, str]) -> None:
        kind, text = given
        clean = {"code": clean_code, "nickname": clean_nickname, "title": clean_title}[kind]
        cleaned = clean(text)
        if clean(cleaned) != cleaned or len(cleaned.splitlines()) > 1:
            raise BoundError(f"{text!r} became {cleaned!r}, which is not clean.")
        if kind == "nickname" and (set(cleaned) & set("<>[]()`*_$:|=+@") or not cleaned.strip()):
            raise BoundError(f"The nickname {cleaned!r} means something to Markdown or a sheet.")

    yield attempt


@contextmanager
def _with_class(folder: Path) -> Iterator[Attempt]:
    classes = Classrooms(folder / "classes.sqlite")
    opened = classes.open(PLAN, "A class")
    seat = classes.join(opened.code, "Ben")

    def attempt(given: tuple[str, list[Any]]) -> None:
        name, said = given
        token = opened.token if name in ("is_teacher", "go_to", "export") else seat.token
        known = {_CODE: opened.code, _TOKEN: token}
        words = [known.get(word, word) if isinstance(word, str) else word for word in said]
        getattr(classes, name)(*words)
        if classes.room(opened.code).students < 1:
            raise BoundError("Somebody else's seat is gone.")

    yield attempt


@contextmanager
def _with_plan(folder: Path) -> Iterator[Attempt]:
    def attempt(text: str) -> None:
        plan = Plan.from_json(text)
        if Plan.from_json(plan.to_json()) != plan:
            raise BoundError("The plan does not come back.")

    yield attempt


@contextmanager
def _with_file(folder: Path, code: str) -> Iterator[Attempt]:
    path = folder / "classes.sqlite"

    def attempt(data: bytes) -> None:
        for old in folder.glob("classes.sqlite*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        path.write_bytes(data)
        classes = Classrooms(path)
        classes.room(code)
        classes.board(code)

    yield attempt


def _file() -> tuple[bytes, str]:
    """A class's file as it lies there between two lessons, and the class's code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classes.sqlite"
        classes = Classrooms(path)
        opened = classes.open(PLAN, "A class")
        classes.join(opened.code, "Ann")
        classes._store.wipe()  # out of the log, into the file
        return path.read_bytes(), opened.code


def boundaries() -> Iterator[Boundary]:
    """Everything that people in a class type, and what is kept of it."""
    kinds = st.sampled_from(("code", "nickname", "title"))
    yield Boundary("class codes and nicknames", st.tuples(kinds, _TYPED), _with_names)
    yield Boundary("class doors", _calls(), _with_class)
    yield Boundary("class plans", spoiled_json((json.loads(PLAN.to_json()),)), _with_plan)
    data, code = _file()
    yield Boundary("class files", spoiled_bytes((data,)), partial(_with_file, code=code))
