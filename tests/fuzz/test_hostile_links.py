"""Links to runs, races and maps, and everything that people in a class type."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import edit_image
from apr_core.classroom.board import Classrooms
from apr_core.classroom.names import clean_code, clean_nickname, clean_title
from apr_core.classroom.plan import STEPS, Plan
from apr_core.data.images import to_png
from apr_core.data.registry import find_dataset
from apr_ui.attention.link import view_from_params, view_to_params
from apr_ui.permalink import from_params, to_params
from apr_ui.race.link import race_from_params, race_to_params, split_names
from apr_ui.shift_run import shift_from_params, shift_to_params
from apr_ui.words import plain
from tests.conftest import ConstantModel
from tests.fuzz.conftest import Fuzz
from tests.fuzz.hostile import WORDS, params, spoiled_bytes
from tests.fuzz.nasty_pictures import corpus

RUN = {
    "model": ("cifar10-resnet20-vanilla", "cifar10-resnet20-apr+lattice"),
    "models": ("cifar10-resnet20-vanilla,cifar10-resnet20-apr", ",,", ",".join("abcdefgh")),
    "index": ("0", "9", "9999", "10000"),
    "label": find_dataset().classes,
    "target": (*find_dataset().classes, "9", "10"),
    "population": ("4", "400", "2000", "2001", "3"),
    "generations": ("0", "100", "1000", "1001"),
    "pixels": ("1", "16", "17"),
    "seed": ("0", "2147483647"),
    "strategy": ("su2019", "best1bin"),
    "fitness": ("probability", "margin"),
    "stop": ("first-flip", "budget"),
    "l2_penalty": ("0.5", "100"),
    "weight": ("0.5",),
    "recombination": ("0", "1"),
    "run": ("0" * 16,),
    "method": ("de", "sparse-rs", "sparse-rs-patch"),
    "reach": ("0", "8", "256"),
    "steps": ("1", "20", "0"),
}
VIEW = {
    "methods": ("gradcam", "gradcam,attention", "x,,gradcam"),
    "class": ("0", "9", "10"),
    "opacity": ("0", "0.5", "1"),
    "edits": ("3.5.ff0000", "31.31.000000,0.0.ffffff", "32.0.ffffff"),
}
LONGEST = 12_000
"""Bytes of a picture in a link."""
TO_A_RUN = {"model": RUN["model"][0], "index": "9"}


@st.composite
def links(draw: st.DrawFn) -> dict[str, str]:
    """Links to a run or a race, some of which carry a picture."""
    found = draw(params(RUN))
    if draw(st.booleans()):
        found |= TO_A_RUN | {"model": draw(st.sampled_from(RUN["model"]))}
    if draw(st.integers(0, 3)) == 0:
        files = spoiled_bytes(to_png(find_dataset().test_image(0)[0]), *corpus().values())
        coded = files.map(lambda data: base64.urlsafe_b64encode(data[:LONGEST]).decode())
        found["picture"] = draw(coded.map(lambda text: text.rstrip("=")) | WORDS)
        found.setdefault("label", "cat")
    return found


def test_links_to_runs_and_races(fuzz: Fuzz) -> None:
    scorer = ModelOracle(ConstantModel([0.0] * len(find_dataset().classes)), chunk=8)

    def follow(given: dict[str, str]) -> None:
        for text in given.values():
            plain(text)
        if "runs" in given:
            split_names(given["runs"])
        if race := race_from_params(given):
            again = race_from_params(race_to_params(race)) or []
            assert [one.run_id for one in again] == [one.run_id for one in race]
        if request := from_params(given):
            assert from_params(to_params(request)).run_id == request.run_id
            assert tuple(request.image.shape) == (3, 32, 32)
            request.begin(scorer)
        if shifted := shift_from_params(given):
            again = shift_from_params(shift_to_params(shifted))
            assert again is not None
            assert again.run_id == shifted.run_id

    fuzz(links(), follow, TO_A_RUN)


def test_links_to_maps(fuzz: Fuzz) -> None:
    image, methods = find_dataset().test_image(0)[0], ("attention", "gradcam")

    def follow(given: dict[str, str]) -> None:
        view = view_from_params(given, methods, (32, 32), 10)
        edit_image(image, view.edits)
        assert view_from_params(view_to_params(view), methods, (32, 32), 10).edits == view.edits

    fuzz(params(VIEW), follow, {"methods": "gradcam"})


# A class

TYPED = WORDS | st.text(max_size=40) | st.sampled_from(("Ann", "k7 rq-3m", "Zoë"))
NUMBERS = st.sampled_from((0, 1, -1, 2**63, 10**30, 1.5, float("nan"), True))
CODE, TOKEN = "@code@", "@token@"
CALLS: dict[str, tuple[Any, ...]] = {
    "room": (CODE,),
    "is_teacher": (CODE, TOKEN),
    "go_to": (CODE, TOKEN, STEPS[1]),
    "join": (CODE, "Ann"),
    "seat": (CODE, TOKEN),
    "enter": (CODE, TOKEN, 5, 1, 0, "[]"),
    "board": (CODE,),
    "answer": (CODE, TOKEN, "question", "choice"),
    "tally": (CODE, "question"),
    "answers_of": (CODE, TOKEN),
    "reset": (CODE, TOKEN),
    "remove": (CODE, TOKEN, "Ann"),
    "export": (CODE, TOKEN),
}
"""Methods of `Classrooms`, each with valid arguments."""
CLEAN = {"code": clean_code, "nickname": clean_nickname, "title": clean_title}


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A call of which up to two arguments are hostile."""
    name = draw(st.sampled_from(list(CALLS)))
    said = list(CALLS[name])
    for place in draw(st.lists(st.integers(0, len(said) - 1), max_size=2)):
        said[place] = draw(TYPED if isinstance(said[place], str) else NUMBERS)
    return name, said


def test_class_codes_nicknames_and_titles(fuzz: Fuzz) -> None:
    def clean(given: tuple[str, str]) -> None:
        kind, text = given
        cleaned = CLEAN[kind](text)
        assert CLEAN[kind](cleaned) == cleaned
        assert len(cleaned.splitlines()) <= 1
        if kind == "nickname":
            assert cleaned.strip()
            assert not set(cleaned) & set("<>[]()`*_$:|=+@"), "means something to Markdown or CSV"

    fuzz(st.tuples(st.sampled_from(list(CLEAN)), TYPED), clean, ("nickname", "Ann"))


def test_calls_to_a_class(fuzz: Fuzz, folder: Path) -> None:
    classes = Classrooms(folder / "classes.sqlite")
    opened = classes.open(Plan(9, "cifar10-resnet20-vanilla"), "A class")
    seat = classes.join(opened.code, "Ben")

    def call(given: tuple[str, list[Any]]) -> None:
        name, said = given
        token = opened.token if name in ("is_teacher", "go_to", "export") else seat.token
        known = {CODE: opened.code, TOKEN: token}
        getattr(classes, name)(*(known.get(w, w) if isinstance(w, str) else w for w in said))
        assert classes.room(opened.code).students >= 1, "somebody else's seat is gone"

    fuzz(calls(), call, ("board", [CODE]))
