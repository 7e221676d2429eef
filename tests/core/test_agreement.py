"""Agreement of maps, against SciPy and by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from apr_core.attacks.enumeration import CORNERS
from apr_core.attacks.truth_map import TruthMap
from apr_core.base.types import InputError
from apr_core.explain.agreement import (
    Overlap,
    percentile_rank,
    rank_correlation,
    top_overlap,
    vulnerability,
    vulnerability_correlation,
)
from apr_core.explain.curves import blurred, deletion_curve, insertion_curve
from tests.conftest import noise

ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")


class OnePlace(nn.Module):
    """Two classes; the first one's logit is `weight` times the red at x = 2, y = 1."""

    def __init__(self, weight: float = 4.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images: Tensor) -> Tensor:
        first = self.weight * images[:, 0, 1, 2]
        return torch.stack([first, torch.zeros_like(first)], dim=1)


def grid(*rows: list[float]) -> Tensor:
    return torch.tensor(rows)[None]


def truth_of(margins: Tensor) -> TruthMap:
    tried = margins.isfinite()
    colours = CORNERS[torch.zeros(margins.shape).long()].to(torch.uint8)
    return TruthMap(margins, colours, margins <= 0, ~tried, 1.0)


# ranks


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_rank_correlation_is_scipys(levels: int) -> None:
    one, other = noise(4, 8, 8, seed=1), noise(4, 8, 8, seed=2)
    other = (one + other) * torch.tensor([1.0, -1.0, 0.1, 1.0])[:, None, None] + other
    one, other = (one * levels).floor(), (other * levels).floor()  # with ties, if levels are few
    found = rank_correlation(one, other)
    for first, second, correlation in zip(one, other, found, strict=True):
        expected = spearmanr(first.flatten(), second.flatten()).statistic
        assert correlation == pytest.approx(expected, abs=1e-12)
    assert len({round(value or 0, 3) for value in found}) == 4


def test_the_rank_correlation_by_hand() -> None:
    one = grid([1, 2, 3], [4, 5, 6])
    assert rank_correlation(one, one.exp()) == (pytest.approx(1),)
    assert rank_correlation(one, -one) == (pytest.approx(-1),)
    swapped = grid([2, 1, 3], [4, 5, 6])  # 1 - 6 (1 + 1) / (6 (36 - 1))
    assert rank_correlation(one, swapped) == (pytest.approx(1 - 12 / 210),)


def test_a_constant_map_has_no_rank_correlation() -> None:
    one = torch.cat([grid([1, 2], [3, 4]), grid([7, 7], [7, 7])])
    assert rank_correlation(one, one) == (pytest.approx(1), None)
    assert rank_correlation(one.flip(0), one) == (None, None)


def test_what_is_not_finite_in_both_is_left_out() -> None:
    inf, nan = math.inf, math.nan
    one, other = grid([1, 2, 3], [4, inf, nan]), grid([1, 2, 3], [-inf, 0, 0])
    assert rank_correlation(one, other) == (pytest.approx(1),)
    assert rank_correlation(grid([1, inf]), grid([2, 3])) == (None,)
    assert top_overlap(one, other, 1 / 3) == (Overlap(1.0, pytest.approx(1 / 3), 1),)
    assert top_overlap(grid([inf]), grid([1])) == (Overlap(0.0, 0.0, 0),)


# the strongest pixels


def test_the_overlap_by_hand() -> None:
    one = grid([9, 8, 1, 0], [2, 3, 4, 7])
    other = grid([9, 1, 1, 0], [2, 3, 4, 8])
    assert top_overlap(one, other, 3 / 8) == (Overlap(pytest.approx(2 / 3), 3 / 8, 3),)
    assert top_overlap(one, -one, 0.5) == (Overlap(0.0, 0.5, 4),)
    assert top_overlap(one, other, 0.01) == (Overlap(1.0, 1 / 8, 1),)
    assert top_overlap(one, other, 1) == (Overlap(1.0, 1.0, 8),)


def test_pixels_that_tie_have_the_last_places_in_parts() -> None:
    one, constant = noise(1, 8, 8, seed=3), torch.zeros(1, 8, 8)
    (found,) = top_overlap(one, constant, 0.25)
    assert found.shared == pytest.approx(found.chance) == 0.25
    (found,) = top_overlap(grid([3, 1, 1, 0]), grid([3, 1, 0, 0]), 0.5)
    assert found.shared == pytest.approx((1 + 0.5) / 2)


def test_two_maps_of_noise_overlap_by_chance() -> None:
    found = top_overlap(noise(200, 16, 16, seed=5), noise(200, 16, 16, seed=6), 0.1)
    mean = sum(overlap.shared for overlap in found) / len(found)
    assert mean == pytest.approx(found[0].chance, abs=0.02)


def test_where_a_pixel_stands() -> None:
    heat = grid([1, 2, 3], [4, 4, 9])[0]
    assert percentile_rank(heat, 2, 1) == 1
    assert percentile_rank(heat, 0, 0) == 0
    assert percentile_rank(heat, 0, 1) == pytest.approx(3.5 / 5)
    assert percentile_rank(torch.zeros(5, 5), 3, 3) == 0.5


# deletion and insertion


def test_a_deletion_takes_the_strongest_first() -> None:
    images = torch.ones(2, 3, 3, 4)
    ends = torch.tensor([4.0, 0.0]).sigmoid()
    first, last = torch.zeros(3, 4), torch.zeros(3, 4)
    first[1, 2], last[1, 2] = 1, -1
    found = deletion_curve(
        OnePlace(), images, torch.tensor([0, 0]), torch.stack([first, last]), steps=12
    )
    assert torch.allclose(found.shares, torch.arange(13) / 12)
    assert torch.allclose(found.probabilities[0], torch.tensor([ends[0]] + [0.5] * 12))
    assert torch.allclose(found.probabilities[1], torch.tensor([ends[0]] * 12 + [0.5]))
    assert found.areas[0] == pytest.approx((ends[0] / 2 + 0.5 * 11.5) / 12)
    assert found.areas[1] == pytest.approx((ends[0] * 11.5 + 0.25) / 12)


def test_the_target_is_whose_probability_it_is() -> None:
    images, maps = torch.ones(2, 3, 3, 4), noise(1, 3, 4).repeat(2, 1, 1)
    found = deletion_curve(OnePlace(), images, torch.tensor([0, 1]), maps, steps=4)
    assert torch.allclose(found.probabilities.sum(0), torch.ones(5))
    assert found.probabilities[0, 0] > 0.9


def test_an_insertion_begins_blurred_and_brings_the_strongest_first() -> None:
    images = torch.zeros(1, 3, 8, 8)
    images[0, 0, 1, 2] = 1
    heat = torch.zeros(1, 8, 8)
    heat[0, 1, 2] = 1
    found = insertion_curve(OnePlace(), images, torch.tensor([0]), heat, steps=64)
    ends = (4 * torch.tensor([blurred(images)[0, 0, 1, 2].item(), 1.0])).sigmoid()
    assert 0.5 < ends[0] < 0.75
    assert torch.allclose(found.probabilities[0], torch.cat([ends[:1], ends[1:].expand(64)]))
    worse = insertion_curve(OnePlace(), images, torch.tensor([0]), -heat, steps=64)
    assert worse.areas[0] < found.areas[0]


def test_at_every_step_as_many_pixels_are_gone_as_it_says(vanilla_like) -> None:
    """And which ones: against pixels taken away one by one."""
    model, images = vanilla_like
    maps = noise(3, 6, 6, seed=7)
    targets = torch.tensor([0, 1, 2])
    found = deletion_curve(model, images, targets, maps, steps=5)
    for row in range(3):
        order = maps[row].flatten().argsort(descending=True)
        for step, gone in enumerate((0, 7, 14, 22, 29, 36)):
            left = images[row].clone().flatten(1)
            left[:, order[:gone]] = 0
            with torch.no_grad():
                expected = model(left.view(1, 3, 6, 6)).softmax(1)[0, row]
            assert found.probabilities[row, step] == pytest.approx(expected.item(), abs=1e-5)


@pytest.fixture
def vanilla_like(linear_model, small_images) -> tuple[nn.Module, Tensor]:
    return linear_model, small_images[:3].float() / 255


def test_ties_are_shuffled_the_same_way_each_time(vanilla_like) -> None:
    model, images = vanilla_like
    flat = torch.zeros(3, 6, 6)
    curves = [deletion_curve(model, images, torch.tensor([0, 1, 2]), flat) for _ in range(2)]
    assert torch.equal(curves[0].probabilities, curves[1].probabilities)
    raster = -torch.arange(36.0).view(1, 6, 6).expand(3, -1, -1)
    in_order = deletion_curve(model, images, torch.tensor([0, 1, 2]), raster)
    assert not torch.allclose(in_order.probabilities, curves[0].probabilities)


def test_a_blur_keeps_what_is_even_and_spreads_what_is_not() -> None:
    even = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(blurred(even), even, atol=1e-6)
    point = torch.zeros(1, 3, 17, 17)
    point[0, 1, 8, 8] = 1
    found = blurred(point)
    assert found[0, 1].sum() == pytest.approx(1, abs=1e-5)
    assert found[0, 0].sum() == found[0, 2].sum() == 0
    assert found[0, 1, 8, 8] == found.max() < 0.1
    assert torch.allclose(found[0, 1], found[0, 1].T)


# what breaks the model


def test_the_lower_the_margin_the_more_vulnerable() -> None:
    margins = torch.tensor([[-1.0, 2.0], [math.inf, 0.5]])
    truth = truth_of(margins)
    assert vulnerability(truth).tolist() == [[1.0, -2.0], [-math.inf, -0.5]]
    maps = torch.cat([grid([9, 1], [50, 5]), grid([1, 9], [50, 5]), grid([4, 4], [50, 4])])
    assert vulnerability_correlation(maps, truth) == (pytest.approx(1), pytest.approx(-1), None)


# what is wrong


def test_wrong_input_is_one_sentence() -> None:
    images, targets, maps = torch.ones(2, 3, 3, 4), torch.tensor([0, 1]), noise(2, 3, 4)
    model = OnePlace()
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("cannot be compared", lambda: rank_correlation(maps, maps[:1])),
        ("cannot be compared", lambda: top_overlap(maps[0], maps[0])),
        ("share is 0,", lambda: top_overlap(maps, maps, 0)),
        ("share is 1.5", lambda: top_overlap(maps, maps, 1.5)),
        (r"no pixel \(4, 0\)", lambda: percentile_rank(maps[0], 4, 0)),
        (r"shape \(1, 3, 4\)", lambda: deletion_curve(model, images, targets, maps[:1])),
        ("not finite", lambda: deletion_curve(model, images, targets, maps / 0)),
        ("steps is 13", lambda: insertion_curve(model, images, targets, maps, 13)),
        ("steps is 0", lambda: insertion_curve(model, images, targets, maps, 0)),
        ("target 2 is not", lambda: deletion_curve(model, images, targets + 1, maps, 4)),
        ("torch.bool", lambda: insertion_curve(model, images.bool(), targets, maps)),
        (
            "cannot be compared",
            lambda: vulnerability_correlation(maps, truth_of(torch.zeros(5, 5))),
        ),
    ]
    for words, call in wrong:
        with pytest.raises(InputError, match=words) as raised:
            call()
        assert ONE_SENTENCE.fullmatch(str(raised.value)), raised.value
