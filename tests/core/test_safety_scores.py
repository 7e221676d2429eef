"""Checks, calibration, redundancy and abstention, against brute force and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import mannwhitneyu
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data.registry import find_dataset
from apr_core.safety.calibration import BINS, brier, fit_temperature, reliability
from apr_core.safety.checks import SCORES, VIEWS, look_again
from apr_core.safety.detection import area_under_roc, detect, roc, threshold_for
from apr_core.safety.fallback import aurc, risk_at, risk_coverage
from apr_core.safety.redundancy import agreement, check_classes_alike, transfer_rates, vote
from tests.conftest import noise


def uint8_noise(*shape: int, seed: int = 0) -> Tensor:
    return (255 * noise(*shape, seed=seed)).to(torch.uint8)


@pytest.mark.parametrize("name", VIEWS.names)
def test_a_view_leaves_a_flat_picture_as_it_is_and_repeats(name: str) -> None:
    view = VIEWS.get(name)
    flat = torch.full((2, 3, 32, 24), 128, dtype=torch.uint8)
    assert (view.see(flat, 0).int() - 128).abs().max() <= 1
    images = uint8_noise(2, 3, 32, 24)
    seen = view.see(images, 3)
    assert seen.shape == images.shape
    assert seen.dtype == torch.uint8
    assert torch.equal(view.see(images, 3), seen)
    assert any(not torch.equal(view.see(images, n), seen) for n in range(9)) == view.random


def test_the_median_view_is_scipys() -> None:
    from scipy.ndimage import median_filter

    images = uint8_noise(1, 3, 9, 7)
    wanted = median_filter(images.numpy(), size=(1, 1, 3, 3), mode="mirror")
    assert np.array_equal(VIEWS.get("median").see(images, 0).numpy(), wanted)


def test_scores_of_views_are_counted_by_hand() -> None:
    """A model that looks at the brightest value alone: one bright pixel is gone in a median."""
    images = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    images[0, :, 5, 5] = 255

    def model(pictures: Tensor) -> Tensor:
        bright = pictures.flatten(1).amax(1).float() / 255
        return torch.stack([torch.zeros_like(bright), 8 * bright - 4], 1)

    found = look_again(model, images, model(images), ("median", "crop"), temperature=2.0)
    assert found.differs[:, 0].tolist() == [1.0, 0.0]
    before, after = torch.tensor(2.0).sigmoid(), torch.tensor(-2.0).sigmoid()
    torch.testing.assert_close(found.confidence[0], before)
    torch.testing.assert_close(found.kept[0, 0], after)
    torch.testing.assert_close(found.shift[0], before - found.kept[0].min())
    torch.testing.assert_close(found.doubt, 1 - found.kept.mean(1))
    assert all(((score(found) >= 0) & (score(found) <= 1)).all() for score in SCORES.values())


def test_a_random_view_is_averaged_over_its_draws() -> None:
    images = uint8_noise(3, 3, 16, 16)
    weight = noise(2, 3 * 16 * 16, seed=5)

    def model(pictures: Tensor) -> Tensor:
        return pictures.flatten(1).float() @ weight.T / 255

    each = [
        look_again(model, images, model(images), ("shift",), draws=range(n, n + 1))
        for n in range(4)
    ]
    found = look_again(model, images, model(images), ("shift",), draws=range(4))
    torch.testing.assert_close(found.kept, torch.stack([one.kept for one in each]).mean(0))
    torch.testing.assert_close(found.differs, torch.stack([one.differs for one in each]).mean(0))


def test_a_threshold_keeps_its_false_alarm_rate_on_new_images() -> None:
    for false_alarms in (0.01, 0.05, 0.2):
        for count in (100, 137):
            rates = []
            for seed in range(200):
                scores = noise(count + 300, seed=seed)
                limit = threshold_for(scores[:count], false_alarms)
                rates.append((scores[count:] > limit).float().mean())
            assert torch.stack(rates).mean() <= false_alarms * 1.1
            assert torch.stack(rates).mean() >= false_alarms - 1.5 / count


def test_a_threshold_says_how_many_images_it_needs() -> None:
    with pytest.raises(InputError, match=r"0.01 takes at least 100 .* right, but has 99"):
        threshold_for(noise(99), 0.01)
    with pytest.raises(InputError, match=r"The false-alarm rate \(--false-alarms\) is 1.5"):
        threshold_for(noise(99), 1.5)


def test_the_area_under_the_roc_is_that_of_the_rank_test() -> None:
    clean, attacked = (noise(80, seed=1) * 10).round(), (noise(50, seed=2) * 10).round() + 2
    wanted = mannwhitneyu(attacked, clean).statistic / (80 * 50)
    assert area_under_roc(clean, attacked) == pytest.approx(wanted)
    _, false, caught = np.array(roc(clean, attacked)).T
    assert np.trapezoid(caught, false) == pytest.approx(wanted)
    assert (false[-1], caught[-1]) == (1, 1)
    found = detect("checks", clean, clean, attacked, 0.05)
    assert found.false.count == int((clean > found.threshold).sum()) <= 4
    assert found.detected.count == int((attacked > found.threshold).sum())


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_is_the_best_of_a_fine_grid(truth: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4000, 5, generator=generator)
    labels = (logits / truth).softmax(1).multinomial(1, generator=generator)[:, 0]
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(truth, rel=0.1)
    grid = torch.linspace(0.8 * truth, 1.2 * truth, 401).tolist()
    losses = [float(F.cross_entropy(logits / one, labels)) for one in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], abs=0.002 * truth)


def test_a_temperature_says_how_many_images_it_needs() -> None:
    with pytest.raises(InputError, match="takes at least 50 held-out images, but has 7;"):
        fit_temperature(noise(7, 3), torch.zeros(7, dtype=torch.int64))


def test_ece_bins_and_brier_are_counted_one_by_one() -> None:
    probabilities = (3 * noise(200, 4)).softmax(1)
    labels = torch.arange(200) % 4
    confidences, right = probabilities.amax(1), probabilities.argmax(1) == labels
    found = reliability(confidences, right, brier(probabilities, labels))
    wanted = 0.0
    for number in range(BINS):
        inside = [
            row
            for row, one in enumerate(confidences.tolist())
            if number / BINS < one <= (number + 1) / BINS
        ]
        assert found.bins[number].count == len(inside)
        if inside:
            gap = confidences[inside].double().mean() - right[inside].double().mean()
            wanted += len(inside) / 200 * abs(float(gap))
    assert found.ece == pytest.approx(wanted)
    squares = [
        sum((float(p) - (k == label)) ** 2 for k, p in enumerate(row))
        for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)
    ]
    assert found.brier == pytest.approx(np.mean(squares), rel=1e-5)
    with pytest.raises(InputError, match="1 image at least, and there are 0"):
        reliability(noise(0), noise(0), noise(0))


def test_risk_and_its_area_are_counted_one_by_one() -> None:
    trust, wrong = noise(60, seed=3), noise(60, seed=4) < 0.3
    order = sorted(range(60), key=lambda row: -float(trust[row]))
    risks = [sum(bool(wrong[row]) for row in order[: n + 1]) / (n + 1) for n in range(60)]
    assert [risk for _, risk in risk_coverage(trust, wrong)] == pytest.approx(risks)
    found = aurc(trust, wrong)
    assert found.value == pytest.approx(np.mean(risks))
    assert found.low < found.value < found.high
    half = risk_at(trust, wrong, 0.5).risk
    assert (half.count, half.total) == (sum(bool(wrong[row]) for row in order[:30]), 30)
    with pytest.raises(InputError, match=r"The coverage is 1.2 of 60 images"):
        risk_at(trust, wrong, 1.2)


def test_votes_agreement_and_transfers_are_counted() -> None:
    labels = torch.tensor([[0, 1, 2], [0, 2, 2], [1, 2, 2]])
    assert vote(labels).tolist() == [0, 2, 2]
    torch.testing.assert_close(agreement(labels), torch.tensor([2 / 3, 1 / 3, 1.0]))
    truth = torch.tensor([0, 0, 1])
    rates = transfer_rates(truth, {"b": torch.tensor([0, 0, 0])}, {"b": torch.tensor([2, 0, 0])})
    assert (rates["b"].count, rates["b"].total) == (1, 2)


def test_models_of_other_classes_are_refused() -> None:
    with pytest.raises(InputError, match=r"b tells 43 classes of .* apart, and a 10"):
        check_classes_alike({"a": find_dataset(), "b": find_dataset("gtsrb")})
