"""Sentences as people read them, against tests/golden/prose.txt.

Other tests hold what a sentence tells: numbers and names. This one holds how it is worded, so that
a change of words is seen and read once. After one, `make golden` writes the file anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from apr_core import OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.base.types import InputError
from apr_core.data.images import read_picture
from apr_core.data.registry import find_dataset
from apr_core.defences.recipe import TrainConfig
from apr_core.models.outputs import check_logits
from apr_core.serving.archive.store import INTERRUPTED
from apr_core.serving.gallery import load_gallery
from apr_core.serving.ray.start import Replicas
from apr_core.serving.requests import Phase
from apr_core.training.trainer import TrainRequest
from apr_core.zoo.checkpoints import load_model
from apr_ui.attention.agreement_words import sentence
from apr_ui.hand.figures import duel_words
from apr_ui.permalink import from_params
from apr_ui.proof.certificate import seal_words
from apr_ui.race.link import race_from_params
from apr_ui.race.words import news, status_words
from benchmarks.cli import load
from benchmarks.load.case import LoadConfig
from tests.app.test_agreement_view import SENTENCES
from tests.app.test_certificate_view import SEALS
from tests.app.test_hand_view import FLIP, GREY, WINNER, ended, new_game, try_edit  # noqa: F401
from tests.app.test_race import runners  # noqa: F401
from tests.conftest import ROOT, LinearModel
from tests.core import test_load

GOLDEN = ROOT / "tests" / "golden" / "prose.txt"
LINK = {"model": "cifar10-resnet20-vanilla", "index": "3"}


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        act()
    return str(caught.value)


def refusals(folder: Path) -> Iterator[tuple[str, str]]:
    """What bad input is answered with."""
    settings = {"population": 3, "generations": -1, "pixels": 151, "seed": -1, "l2_penalty": -1.0}
    for name, value in settings.items():
        yield f"a search's {name}", refused(lambda n=name, v=value: OnePixelConfig(**{n: v}))
    links = {"index": "10000", "seed": "x", "population": "2001", "target": "unicorn"}
    for name, value in links.items():
        yield f"a link's {name}", refused(lambda n=name, v=value: from_params(LINK | {n: v}))
    yield (
        "a link's picture",
        refused(lambda: from_params({"model": LINK["model"], "picture": "AAAA", "label": "cat"})),
    )
    yield "a race of none", refused(lambda: race_from_params({"models": ",", "index": "0"}))
    yield "no sessions", refused(lambda: LoadConfig(sessions=0))
    yield "no number of replicas", refused(lambda: Replicas.read("two"))
    yield "no picture", refused(lambda: read_picture(b"this is no picture", "mine.png"))
    yield "no test image", refused(lambda: find_dataset().test_image(10_000))
    yield (
        "no name of a model",
        refused(lambda: TrainRequest("resnet20", "apr", TrainConfig(), "My Model")),
    )
    damaged = folder / "gallery.json"
    damaged.write_text("{}")
    yield "no gallery", refused(lambda: load_gallery(damaged)).replace(str(folder), "")
    logits = LinearModel()(find_dataset().test_image(0)[0][None, :, :6, :6].float())
    yield "too few logits", refused(lambda: check_logits(logits, 2))
    yield "no finite logit", refused(lambda: check_logits(logits * float("nan"), 1))


def endings(runners, ended) -> Iterator[tuple[str, str]]:  # noqa: F811
    """How a run ended, in a race and in a game by hand."""
    for runner in runners:
        yield f"a race's {runner.name}", status_words(runner.view)
    queued = replace(runners[0].view, phase=Phase.QUEUED, queue_place=3)
    yield "a race, waiting", status_words(queued)
    yield "a race, going on", status_words(replace(queued, phase=Phase.RUNNING))
    yield "a race's news", news(runners)
    looking = ModelOracle(load_model(FLIP.model))
    lost = try_edit(new_game(), GREY, looking)
    won = try_edit(lost, WINNER, looking)
    held = replace(ended, outcome=replace(ended.outcome, status="survived"))
    for mine, game in (("flipped", won), ("did not flip", lost)):
        for theirs, view in (("flipped", ended), ("did not", held)):
            yield f"a person {mine}, the search {theirs}", duel_words(game, view)
    yield "a run that a restart cut short", INTERRUPTED


def verdicts() -> Iterator[tuple[str, str]]:
    """Certificates, and records of agreement."""
    for name, found in SEALS.items():
        yield f"a seal, {name}", seal_words(found)
    for name, summary in SENTENCES.items():
        yield f"a map, {name}", sentence("gradcam", summary)


def records() -> Iterator[tuple[str, str]]:
    """Records in words."""
    yield "a record of load", load.in_words(test_load.result(LoadConfig(minutes=20.0)))


def test_sentences_are_worded_as_they_were_read(
    runners, ended, tmp_path: Path, pytestconfig: pytest.Config  # noqa: F811
) -> None:  # fmt: skip
    said = [*refusals(tmp_path), *endings(runners, ended), *verdicts(), *records()]
    assert len({name for name, _ in said}) == len(said)
    text = "\n".join(f"{name}\n    " + words.replace("\n", "\n    ") for name, words in said) + "\n"
    if pytestconfig.getoption("--golden"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "Read what changed; then `make golden`."
