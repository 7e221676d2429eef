"""What is kept of the sample is what the shipped models say of it today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apr_core.attacks.oracle import ModelOracle
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.evaluation.attribution import cached_predictions as glances
from apr_core.evaluation.attribution.cached_predictions import (
    Glance,
    keep_glance,
    kept_glance,
    key_of,
    refresh_glances,
    stale_glances,
    take_glance,
)
from apr_core.explain.attention import attention_of
from apr_core.explain.regions import mass_inside, object_region
from apr_core.zoo.checkpoints import Card, is_own, list_cards, load_card, load_model

APR = "cifar10-resnet20-apr"
SHIPPED = [card.name for card in list_cards() if card.dataset == DEFAULT and not is_own(card.name)]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(glances, "FOLDER", tmp_path / "glances")
    return tmp_path / "glances"


@pytest.fixture
def card() -> Card:
    return load_card(APR)


def small() -> Glance:
    return Glance(torch.rand(1000, 10), torch.rand(1000))


def test_the_shipped_files_are_of_todays_weights() -> None:
    assert stale_glances() == [], "Run `python -m scripts.glances`."


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_kept_is_what_the_model_says(name: str) -> None:
    kept, model = kept_glance(load_card(name)), load_model(name)
    images = find_dataset().shipped_sample().images[::100].float() / 255
    with torch.no_grad():
        torch.testing.assert_close(
            kept.answers[::100], model(images).softmax(1), rtol=1e-2, atol=1e-3
        )
    assert kept.answers.shape == (1000, 10)


def test_the_ratios_are_those_of_the_gate_and_the_object(card: Card) -> None:
    kept, sample = kept_glance(card), find_dataset().shipped_sample()
    gates = attention_of(load_model(APR), sample.images[:4].float() / 255)
    for gate, image, ratio in zip(gates, sample.images, kept.ratios.tolist(), strict=False):
        assert ratio == pytest.approx(mass_inside(gate, object_region(image)).ratio, rel=1e-3)
    assert kept_glance(load_card("cifar10-resnet20-vanilla")).ratios is None


def test_what_is_kept_comes_back(folder: Path, card: Card) -> None:
    made = small()
    assert keep_glance(card, made) == folder / f"{APR}.safetensors"
    found = kept_glance(card)
    assert torch.equal(found.answers, made.answers)
    assert torch.equal(found.ratios, made.ratios)
    assert [path.suffix for path in folder.iterdir()] == [".safetensors"]


@pytest.mark.parametrize(
    "change", [{"sha256": "e" * 64}, {"recipe": {"defence": {"quality": 9}}}, {"defence": "it"}]
)
def test_a_file_of_other_weights_is_none(change: dict, folder: Path, card: Card) -> None:
    keep_glance(card, small())
    assert kept_glance(replace(card, **change)) is None
    assert key_of(replace(card, notes="said again", clean_accuracy=0.1)) == key_of(card)


def test_a_missing_or_a_damaged_file_is_none(folder: Path, card: Card) -> None:
    assert kept_glance(card) is None
    path = keep_glance(card, small())
    path.write_bytes(path.read_bytes()[:500])
    assert kept_glance(card) is None
    path.write_bytes(b"nonsense")
    assert kept_glance(card) is None


def test_one_command_makes_what_is_missing_and_leaves_the_rest(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    asked: list[ModelOracle] = []

    def pretend(scorer: ModelOracle) -> Glance:
        asked.append(scorer)
        return small()

    monkeypatch.setattr(glances, "take_glance", pretend)
    assert {path.stem for path in refresh_glances()} == set(SHIPPED)
    (folder / f"{APR}.safetensors").unlink()
    assert [path.stem for path in refresh_glances()] == [APR]
    assert len(asked) == len(SHIPPED) + 1
    assert stale_glances() == []


def test_a_glance_is_taken_of_every_image(monkeypatch: pytest.MonkeyPatch, network) -> None:
    sample = find_dataset().shipped_sample()
    few = replace(sample, images=sample.images[:6])
    data = replace(find_dataset(), sample=lambda: few)
    monkeypatch.setattr(glances, "find_dataset", lambda: data)
    found = take_glance(ModelOracle(network))
    with torch.no_grad():
        expected = network(few.images.float() / 255).softmax(1)
    torch.testing.assert_close(found.answers, expected, rtol=1e-3, atol=1e-4)
    assert len(found.ratios) == 6
