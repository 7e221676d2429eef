"""What single pages read: a view of maps in a link, a game on paper, a record of agreement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.by_hand.export import from_json, to_csv, to_json
from apr_core.by_hand.game import Answer, Game, Heat, Hint, Try
from apr_core.data.cifar10 import CLASSES
from apr_core.data.sample import load_test_image
from apr_core.evaluation.attribution.agreement import AgreementRecord
from apr_ui.attention.link import view_from_params, view_to_params
from scripts.fuzz.boundary import Attempt, Boundary, BoundError
from scripts.fuzz.hostile import TEXTS, spoiled_json
from scripts.fuzz.records import good_records

_KNOWN = ("attention", "gradcam")
_VIEW = {
    "methods": ("gradcam", "gradcam,attention", "x,,gradcam"),
    "class": ("0", "9", "10"),
    "opacity": ("0", "0.5", "1"),
    "edits": ("3.5.ff0000", "31.31.000000,0.0.ffffff", "32.0.ffffff"),
}


@st.composite
def _views(draw: st.DrawFn) -> dict[str, str]:
    hostile = st.sampled_from(TEXTS) | st.text(max_size=20)
    names = draw(st.lists(st.sampled_from(list(_VIEW)), unique=True))
    return {name: draw(st.sampled_from(_VIEW[name]) | hostile) for name in names}


@contextmanager
def _with_view(folder: Path) -> Iterator[Attempt]:
    image = load_test_image(0)[0]

    def attempt(params: dict[str, str]) -> None:
        view = view_from_params(params, _KNOWN, (32, 32))
        edit_image(image, view.edits)
        if view_from_params(view_to_params(view), _KNOWN, (32, 32)).edits != view.edits:
            raise BoundError("The view's link makes another view.")

    yield attempt


@contextmanager
def _with_game(folder: Path) -> Iterator[Attempt]:
    def attempt(text: str) -> None:
        game = from_json(text)
        to_csv(game)
        again = from_json(to_json(game))
        if replace(again, image=game.image).tries != game.tries:
            raise BoundError("The game does not come back.")

    yield attempt


def _game() -> str:
    image, label = load_test_image(0)
    answer = Answer(label, tuple(float(number == label) for number in range(len(CLASSES))))
    tried = Try((PixelEdit(1, 2, (3, 4, 5)),), answer)
    hint = Hint(1, 2, Heat.WARM, 5, 1024, 0)
    return to_json(Game("m", image, label, 1, answer, (tried,), (0,), (hint,)))


@contextmanager
def _with_agreements(folder: Path) -> Iterator[Attempt]:
    def attempt(text: str) -> None:
        record = AgreementRecord.from_json(text)
        record.summaries()
        record.summaries(3)
        AgreementRecord.from_json(record.to_json())

    yield attempt


def boundaries() -> Iterator[Boundary]:
    """Views, games, records of agreement."""
    yield Boundary("views", _views(), _with_view)
    yield Boundary("games by hand", spoiled_json((json.loads(_game()),)), _with_game)
    records = good_records("results/agreements/*vanilla*.json")
    yield Boundary("agreements", spoiled_json(records), _with_agreements)
