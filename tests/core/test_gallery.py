"""The gallery's runs, made again."""

from __future__ import annotations

import pytest
import torch

from apr_core import InputError, OnePixelAttack, Status
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.models.incremental.engine import DENSE
from apr_core.models.inputs import as_input
from apr_core.serving.gallery import (
    PLANS,
    GalleryEntry,
    gallery_file,
    load_gallery,
    make_race,
    race_file,
    run_entry,
    weights_sha256,
)
from apr_core.serving.model_loader import load_served
from apr_core.serving.requests import PHOTOGRAPHS, data_behind

GALLERIES = {data: load_gallery(gallery_file(data)) for data in PLANS}
GALLERY = load_gallery()
RACES = {data: load_gallery(race_file(data)) for data in PLANS if race_file(data).exists()}
RECORDED = [entry for entries in RACES.values() for entry in entries]
EVERY = [entry for entries in GALLERIES.values() for entry in entries]
STOP = 14
"""The class of stop signs."""


def _fast() -> list[object]:
    """The runs that are made again: the fastest of each data set, and the others in a long run."""
    made: list[object] = []
    for entries in GALLERIES.values():
        fast = [one for one in entries if one.outcome.success and one.outcome.queries <= 6000]
        first, *others = sorted(fast, key=lambda one: one.outcome.queries)
        made += [first, *(pytest.param(one, marks=pytest.mark.long) for one in others)]
    return made


def name(entry: GalleryEntry) -> str:
    return f"{entry.kind}-{entry.index}-{entry.model.removeprefix('cifar10-resnet20-')}"


@pytest.fixture(autouse=True)
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """To find out how fast EfficientNet-Lite0 is takes half a minute."""
    monkeypatch.setenv(DENSE, "1")


@pytest.mark.parametrize("data", PLANS)
def test_a_gallery_has_every_kind_of_run(data: str) -> None:
    entries = GALLERIES[data]
    kinds = [entry.kind for entry in entries]
    assert kinds.count("flips") >= {DEFAULT: 3}.get(data, 2)
    assert {"survives"} | ({"holds"} if PLANS[data].defended else set()) <= set(kinds)
    assert {(entry.data, data_behind(entry.model).name) for entry in entries} == {(data, data)}
    assert len({(entry.index, entry.model) for entry in entries}) == len(entries) <= 8


def test_the_gallery_of_cifar10_has_a_run_that_breaks_a_defence() -> None:
    assert "breaks" in [entry.kind for entry in GALLERY]


def test_a_stop_sign_is_turned_by_one_pixel() -> None:
    turned = [
        one for one in GALLERIES["gtsrb"] if one.outcome.label == STOP and one.outcome.success
    ]
    assert turned
    assert all(entry.config.pixels == 1 for entry in turned)
    assert find_dataset("gtsrb").shipped_sample().drawn


@pytest.mark.parametrize(("data", "models"), [(DEFAULT, 6), ("gtsrb", 3), ("breastmnist", 3)])
def test_the_recorded_race_is_of_one_attack_on_several_models(data: str, models: int) -> None:
    first, race = GALLERIES[data][0], RACES[data]
    assert len({entry.model for entry in race}) == len(race) >= models
    assert {(one.data, one.index, one.config) for one in race} == {
        (data, first.index, first.config)
    }
    assert {entry.outcome.status for entry in race} <= {Status.FLIPPED, Status.SURVIVED}


def test_a_race_is_made_of_the_first_run() -> None:
    (made,) = make_race(GALLERY[0], [GALLERY[0].model], lambda sentence: None)
    assert made.sha256 == GALLERY[0].sha256
    assert made.outcome.edits == GALLERY[0].outcome.edits


@pytest.mark.parametrize("entry", [*EVERY, *RECORDED], ids=name)
def test_the_weights_are_those_it_was_made_with(entry: GalleryEntry) -> None:
    assert weights_sha256(entry.model) == entry.sha256, (
        "The checkpoint changed; make the gallery again with `python -m apr_core gallery`."
    )


@pytest.mark.parametrize("entry", [*EVERY, *RECORDED], ids=name)
def test_the_edit_does_what_the_entry_says(entry: GalleryEntry) -> None:
    image, label = find_dataset(entry.data).test_image(entry.index)
    outcome = entry.outcome
    assert label == outcome.label == outcome.label_before
    with torch.no_grad():
        logits = load_served(entry.model)(as_input(outcome.apply(image)[None]))[0]
    assert int(logits.argmax()) == outcome.label_after
    assert (outcome.label_after != label) == outcome.success
    assert float(logits.softmax(0)[label]) == pytest.approx(outcome.true_after, abs=1e-3)


@pytest.mark.parametrize("entry", _fast(), ids=name)
def test_a_fast_run_goes_the_same_way_again(entry: GalleryEntry) -> None:
    again = run_entry(entry.model, entry.index, entry.config)
    assert again.edits == entry.outcome.edits
    assert again.queries == entry.outcome.queries
    assert again.status is Status.FLIPPED


@pytest.mark.parametrize("entry", [e for e in EVERY if not e.outcome.success], ids=name)
def test_a_survivor_survives_its_first_generations_again(entry: GalleryEntry) -> None:
    image, label = find_dataset(entry.data).test_image(entry.index)
    assert entry.outcome.queries == entry.config.max_queries
    stream = OnePixelAttack(load_served(entry.model), entry.config).stream(
        image, label, entry.index
    )
    seen = 1 if entry.data == PHOTOGRAPHS else 5
    for _, snapshot in zip(range(seen), stream, strict=False):
        assert not snapshot.flipped


@pytest.mark.parametrize("text", ["", "{}", "[{}]", "[1]"])
def test_a_damaged_gallery_is_refused(tmp_path, text: str) -> None:
    path = tmp_path / "gallery.json"
    path.write_text(text)
    with pytest.raises(InputError, match="gallery cannot be read"):
        load_gallery(path)
