"""APR+'s front against brute force, and its loss against values computed by hand."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.certification.inpainting import mask_groups
from apr_core.defences import DEFENCES, one_pixel_examples
from apr_core.defences.apr import APR
from apr_core.defences.apr_plus import APRPlus
from apr_core.defences.one_pixel_examples import worst_pixels_examples
from apr_core.models.clamp_front import NeighbourhoodFront, look_around
from tests.conftest import LinearModel, noise


def neighbours(image: Tensor, y: int, x: int) -> list[Tensor]:
    """The eight values (C,) around a pixel, mirrored at the edges."""
    height, width = image.shape[1:]

    def mirrored(place: int, size: int) -> int:
        return abs(place) if place < size else 2 * (size - 1) - place

    return [
        image[:, mirrored(y + dy, height), mirrored(x + dx, width)]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    ]


def test_surroundings_are_the_sorted_neighbours() -> None:
    images = noise(2, 3, 5, 6)
    around = look_around(images)
    for row, image in enumerate(images):
        for y in range(5):
            for x in range(6):
                values = torch.stack(neighbours(image, y, x)).sort(0).values  # dim -> (8, C)
                assert torch.equal(around.low[row, :, y, x], values[1])
                assert torch.equal(around.high[row, :, y, x], values[6])
                torch.testing.assert_close(around.mean[row, :, y, x], values[1:7].mean(0))


def test_the_gradient_of_the_surroundings_is_their_slope() -> None:
    def surroundings(images: Tensor) -> tuple[Tensor, ...]:
        around = look_around(images)
        return around.low, around.high, around.mean

    images = noise(2, 3, 5, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(surroundings, images)


def test_neighbours_that_are_alike_share_a_gradient() -> None:
    flat = torch.full((1, 1, 3, 3), 0.5, requires_grad=True)
    low = look_around(flat).low[0, 0, 1, 1]
    (gradient,) = torch.autograd.grad(low, flat)
    expected = torch.full((3, 3), 1 / 8)
    expected[1, 1] = 0
    torch.testing.assert_close(gradient[0, 0], expected)


def test_what_a_pixel_is_told_of_its_place_does_not_depend_on_it() -> None:
    images = noise(1, 3, 6, 6)
    for y, x in ((0, 0), (0, 3), (2, 2), (5, 5)):
        edited = images.clone()
        edited[..., y, x] = 1 - edited[..., y, x].round()
        before, after = look_around(images), look_around(edited)
        for name in ("low", "high"):
            ours, theirs = getattr(before, name), getattr(after, name)
            assert torch.equal(ours[..., y, x], theirs[..., y, x])
        torch.testing.assert_close(before.mean[..., y, x], after.mean[..., y, x])


def test_the_clamp_brings_an_outlier_among_its_neighbours() -> None:
    front = NeighbourhoodFront(attention=False)
    images = 0.4 + 0.1 * noise(1, 3, 6, 6)
    images[..., 2, 3] = torch.tensor([1.0, 0.0, 0.45])
    seen = front(images)
    around = look_around(images)
    assert torch.equal(seen[0, 0, 2, 3], around.high[0, 0, 2, 3])
    assert torch.equal(seen[0, 1, 2, 3], around.low[0, 1, 2, 3])
    assert 0.4 <= seen.min() <= seen.max() <= 0.5


def test_the_gate_leads_toward_the_neighbourhood() -> None:
    front = NeighbourhoodFront(clamp=False)
    torch.nn.init.constant_(front.conv.weight, 0.0)
    images = noise(2, 3, 5, 5)
    mean = look_around(images).mean
    for bias, share in ((0.0, 0.5), (40.0, 1.0), (-40.0, 0.0)):
        torch.nn.init.constant_(front.conv.bias, bias)
        torch.testing.assert_close(front(images), mean + share * (images - mean))
        torch.testing.assert_close(front.attention(images), torch.full((2, 1, 5, 5), share))


def test_the_gate_sees_the_pixel_its_deviation_and_the_range() -> None:
    front, images = NeighbourhoodFront(), noise(1, 3, 5, 5)
    around = look_around(images)
    clamped = images.clamp(around.low, around.high)
    evidence = torch.cat([clamped, (clamped - around.mean).abs(), around.high - around.low], 1)
    expected = torch.sigmoid(F.conv2d(evidence, front.conv.weight, front.conv.bias, padding=1))
    torch.testing.assert_close(front.attention(images), expected)
    torch.testing.assert_close(front(images), around.mean + expected * (clamped - around.mean))


# Examples


def test_examples_change_one_to_eight_pixels_to_their_worst_corners() -> None:
    images, gradient = noise(200, 3, 8, 8), noise(200, 3, 8, 8, seed=1) - 0.5
    examples = worst_pixels_examples(images, gradient, torch.Generator().manual_seed(0), 8)
    changed = (examples != images).any(1)
    counts = changed.flatten(1).sum(1)
    assert counts.min() == 1
    assert counts.max() > 5
    worst = (gradient > 0).float()
    where = changed[:, None].expand_as(images)
    assert torch.equal(examples[where], worst[where])


def test_most_examples_are_where_the_gradient_says() -> None:
    images, gradient = noise(300, 3, 20, 20), noise(300, 3, 20, 20, seed=1) - 0.5
    examples = worst_pixels_examples(images, gradient, torch.Generator().manual_seed(0), 1)
    scores = one_pixel_examples.score_pixels(images, gradient).flatten(1)
    best = torch.zeros_like(scores, dtype=torch.bool).scatter(1, scores.topk(16).indices, True)
    changed = (examples != images).any(1).flatten(1)
    named = (changed & best).any(1).float().mean()
    assert 0.65 < named < 0.85  # three in four, and a stray one now and then


# The loss


def test_the_loss_is_aprs_where_nothing_else_is_asked(monkeypatch) -> None:
    monkeypatch.setattr(one_pixel_examples, "TOP", 1)
    monkeypatch.setattr(one_pixel_examples, "ANYWHERE", 10**9)
    model = LinearModel(size=4)
    images, labels = noise(10, 3, 4, 4), torch.arange(10) % 3
    plus, parts = APRPlus(masked=0.0, most=1).loss(
        model, images, labels, torch.Generator().manual_seed(0)
    )
    apr, expected = APR().loss(model, images, labels, torch.Generator().manual_seed(0))
    torch.testing.assert_close(plus, apr)
    for name, part in expected.items():
        torch.testing.assert_close(parts[name], part)


def test_a_share_of_the_clean_images_is_masked() -> None:
    seen = []

    class Watched(LinearModel):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach())
            return super().forward(images)

    model, images, labels = Watched(size=8), noise(20, 3, 8, 8), torch.arange(20) % 3
    defence = APRPlus(adversarial=False, beta=0.0, masked=0.25, spacing=3)
    loss, _ = defence.loss(model, images, labels, torch.Generator().manual_seed(5))
    pairs = torch.randint(0, 9, (5, 2), generator=torch.Generator().manual_seed(5))
    assert torch.equal(seen[0][:5], mask_groups(images[:5], pairs, 3))
    assert torch.equal(seen[0][5:], images[5:])
    torch.testing.assert_close(loss, F.cross_entropy(model(seen[0]), labels))


def test_without_adversarial_training_the_penalty_stays() -> None:
    """Each component is left out by itself: all images are clean, and some measure the penalty."""
    model, images, labels = LinearModel(size=8), noise(20, 3, 8, 8), torch.arange(20) % 3
    defence = APRPlus(adversarial=False, masked=0.0)
    loss, parts = defence.loss(model, images, labels, torch.Generator().manual_seed(5))
    assert parts["penalty"] > 0
    expected = F.cross_entropy(model(images), labels) + 0.01 * parts["penalty"]
    torch.testing.assert_close(loss, expected)


def test_each_ablation_lacks_one_component() -> None:
    full = DEFENCES.get("apr-plus")
    for name, change in {
        "no-clamp": {"clamp": False},
        "no-attention": {"attention": False},
        "no-adversarial": {"adversarial": False},
        "no-regularizer": {"beta": 0.0},
        "no-masks": {"masked": 0.0},
    }.items():
        assert DEFENCES.get(f"apr-plus-{name}") == replace(full, **change)
    assert APRPlus(clamp=False, attention=False).make_front() is None
