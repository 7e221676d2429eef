"""The gallery's runs, made again."""

from __future__ import annotations

import pytest
import torch

from apr_core import InputError, OnePixelAttack, Status, load_model
from apr_core.data.registry import find_dataset
from apr_core.models.inputs import as_input
from apr_core.serving.gallery import RACE, GalleryEntry, load_gallery, make_race, run_entry
from apr_core.zoo.checkpoints import load_card

GALLERY, RECORDED = load_gallery(), load_gallery(RACE)
FAST = sorted(
    (entry for entry in GALLERY if entry.outcome.queries <= 6000),
    key=lambda entry: entry.outcome.queries,
)
FASTEST, OTHERS = FAST[:1], [pytest.param(entry, marks=pytest.mark.long) for entry in FAST[1:]]


def name(entry: GalleryEntry) -> str:
    return f"{entry.kind}-{entry.index}-{entry.model.removeprefix('cifar10-resnet20-')}"


def test_the_gallery_has_every_kind_of_run() -> None:
    kinds = [entry.kind for entry in GALLERY]
    assert kinds.count("flips") >= 3
    assert {"holds", "breaks", "survives"} <= set(kinds)


def test_the_recorded_race_is_of_one_attack_on_several_models() -> None:
    assert len({entry.model for entry in RECORDED}) == len(RECORDED) >= 6
    assert {(entry.index, entry.config) for entry in RECORDED} == {
        (GALLERY[0].index, GALLERY[0].config)
    }
    assert {entry.outcome.status for entry in RECORDED} <= {Status.FLIPPED, Status.SURVIVED}


def test_a_race_is_made_of_the_first_run() -> None:
    (made,) = make_race(GALLERY[0], [GALLERY[0].model], lambda sentence: None)
    assert made.sha256 == GALLERY[0].sha256
    assert made.outcome.edits == GALLERY[0].outcome.edits


@pytest.mark.parametrize("entry", [*GALLERY, *RECORDED], ids=name)
def test_the_weights_are_those_it_was_made_with(entry: GalleryEntry) -> None:
    assert load_card(entry.model).sha256 == entry.sha256, (
        "The checkpoint changed; make the gallery again with `python -m apr_core gallery`."
    )


@pytest.mark.parametrize("entry", [*GALLERY, *RECORDED], ids=name)
def test_the_edit_does_what_the_entry_says(entry: GalleryEntry) -> None:
    image, label = find_dataset().test_image(entry.index)
    outcome = entry.outcome
    assert label == outcome.label == outcome.label_before
    with torch.no_grad():
        logits = load_model(entry.model)(as_input(outcome.apply(image)[None]))[0]
    assert int(logits.argmax()) == outcome.label_after
    assert (outcome.label_after != label) == outcome.success
    assert float(logits.softmax(0)[label]) == pytest.approx(outcome.true_after, abs=1e-3)


@pytest.mark.parametrize("entry", [*FASTEST, *OTHERS], ids=name)
def test_a_fast_run_goes_the_same_way_again(entry: GalleryEntry) -> None:
    again = run_entry(entry.model, entry.index, entry.config)
    assert again.edits == entry.outcome.edits
    assert again.queries == entry.outcome.queries
    assert again.status is Status.FLIPPED


@pytest.mark.parametrize("entry", [e for e in GALLERY if not e.outcome.success], ids=name)
def test_a_survivor_survives_its_first_generations_again(entry: GalleryEntry) -> None:
    image, label = find_dataset().test_image(entry.index)
    assert entry.outcome.queries == entry.config.max_queries
    stream = OnePixelAttack(load_model(entry.model), entry.config).stream(image, label, entry.index)
    for _, snapshot in zip(range(5), stream, strict=False):
        assert not snapshot.flipped


@pytest.mark.parametrize("text", ["", "{}", "[{}]", "[1]"])
def test_a_damaged_gallery_is_refused(tmp_path, text: str) -> None:
    path = tmp_path / "gallery.json"
    path.write_text(text)
    with pytest.raises(InputError, match="gallery cannot be read"):
        load_gallery(path)
