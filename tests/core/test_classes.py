"""Evaluations by class, and the guess at where the object is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apr_core.attacks.ladder import SparsityLevelResult, Verdict
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import PixelEdit
from apr_core.base.provenance import provenance
from apr_core.data.registry import find_dataset
from apr_core.evaluation.classes import flip_matrix, rates_by_class
from apr_core.evaluation.metrics import rate_of
from apr_core.evaluation.record import Record, Setting, levels_of
from apr_core.explain.regions import Mass, mass_inside, object_region, otsu


class Corner(torch.nn.Module):
    """Sees the first pixel: red says class 7, any other colour class 2."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        red = (images[:, 0, 0, 0] > 0.9) & (images[:, 1, 0, 0] < 0.1)
        return 2 * torch.nn.functional.one_hot(torch.where(red, 7, 2), 10).float()


def record_of(verdicts: list[Verdict]) -> Record:
    setting = Setting("corner", "", "corners", ("corners",), (1,), len(verdicts), "0" * 64, 0)
    return Record(
        setting, rate_of(1, 1), None, levels_of(setting, tuple(verdicts)), tuple(verdicts),
        **provenance(torch.device("cpu"), "", 1.0),
    )  # fmt: skip


def test_flips_are_counted_by_class_and_by_what_they_became() -> None:
    sample = find_dataset().shipped_sample()
    ships = sample.indices[sample.labels == 8][:3].tolist()
    birds = sample.indices[sample.labels == 2][:2].tolist()
    red = (PixelEdit(0, 0, (255, 0, 0)),)
    other = (PixelEdit(5, 5, (0, 0, 0)),)

    def verdict(index: int, label: int, flipped: bool, edits=red) -> Verdict:
        return Verdict(
            index, label, label, (SparsityLevelResult(1, flipped, "corners", 3, edits, -1.0, ()),)
        )

    wrong = Verdict(7, 4, 3, ())
    verdicts = [verdict(ships[0], 8, True), verdict(ships[1], 8, True, other)]
    verdicts += [verdict(ships[2], 8, False), verdict(birds[0], 2, True), wrong]
    record = record_of(verdicts)
    rates = rates_by_class(record, 1)
    assert [(rate.count, rate.total) for rate in rates if rate.total] == [(1, 1), (2, 3)]
    assert (rates[8], rates[4]) == (rate_of(2, 3), rate_of(0, 0))
    matrix = flip_matrix(record, ModelOracle(Corner()), 1)
    assert matrix[8].tolist() == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
    assert matrix[2].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert matrix.sum() == 3
    assert flip_matrix(record, ModelOracle(Corner()), 3).sum() == 0


def test_otsus_threshold_parts_two_heaps() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(1, 0.2, 300), rng.normal(5, 0.2, 100)])
    assert ((values > otsu(values)) == (values > 3)).all()


def test_an_object_before_a_plain_background_is_found() -> None:
    image = torch.full((3, 32, 32), 120, dtype=torch.uint8)
    image += torch.randint(0, 9, image.shape, generator=torch.Generator().manual_seed(0)).byte()
    truth = torch.zeros(32, 32, dtype=torch.bool)
    truth[10:20, 8:25] = True
    image[:, truth] = 230
    image[:, 14:16, 14:16] = 121  # a hole in it
    image[:, 3, 28] = 230  # and a speck beside it
    found = object_region(image)
    assert torch.equal(found, truth)


def test_a_picture_in_which_nothing_stands_out_has_no_object() -> None:
    assert object_region(torch.full((3, 32, 32), 77, dtype=torch.uint8)) is None


def test_the_mass_of_a_map_is_held_against_the_area() -> None:
    region = torch.zeros(4, 4, dtype=torch.bool)
    region[:2, :2] = True
    even = mass_inside(torch.ones(4, 4), region)
    assert (even.inside, even.area, even.ratio) == (0.25, 0.25, 1.0)
    heat = torch.zeros(4, 4)
    heat[0, 0], heat[3, 3] = -3.0, 1.0
    assert mass_inside(heat, region) == Mass(0.75, 0.25)
    assert mass_inside(torch.zeros(4, 4), region).ratio == pytest.approx(1.0)
