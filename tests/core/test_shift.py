"""FGSM and PGD on one picture, a step at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.shift import ShiftConfig, ShiftStep, magnify, shift
from apr_core.base.types import InputError
from tests.conftest import LinearModel, answers
from tests.core.test_ladder import pictures_of

SIZE = 6


@pytest.fixture
def case() -> tuple[LinearModel, Tensor, Tensor]:
    model, images = LinearModel(size=SIZE), pictures_of(12)
    return model, images, answers(model, images)


def steps_of(model, image: Tensor, label: Tensor, **settings: int) -> list[ShiftStep]:
    return list(shift(ModelOracle(model), image, int(label), ShiftConfig(**settings)))


def test_nothing_moves_beyond_reach_and_it_ends_at_the_first_flip(case) -> None:
    model, images, labels = case
    flips = 0
    for image, label in zip(images, labels, strict=True):
        found = steps_of(model, image, label, reach=20, steps=10)
        assert torch.equal(found[0].image, image)
        wrong = [int(step.probabilities.argmax()) != label for step in found]
        assert not any(wrong[:-1])
        assert wrong[-1] or len(found) == 11
        flips += wrong[-1]
        for step in found:
            assert int((step.image.int() - image.int()).abs().max()) <= 20
            logits = ModelOracle(model).verify_float32(step.image[None])
            torch.testing.assert_close(step.probabilities, logits[0].softmax(0))
    assert flips > 0


def test_one_step_is_the_best_shift_of_a_linear_model(case) -> None:
    """Towards the class that leads at first; of a linear model, every pixel goes to its end."""
    model, images, labels = case
    image, label = images[0], labels[0]
    found = steps_of(model, image, label, reach=3, steps=1)
    probe = (image[None].float() / 255).requires_grad_()
    logits = model(probe)[0]
    others = logits.detach().clone()
    others[label] = -torch.inf
    (slope,) = torch.autograd.grad(logits[others.argmax()] - logits[label], probe)
    best = (image.int() + 3 * slope[0].sign().int()).clamp(0, 255)
    assert torch.equal(found[1].image.int(), best)


def test_a_wider_reach_turns_no_less_and_the_widest_everything(case) -> None:
    model, images, labels = case

    def turned(reach: int) -> int:
        return sum(
            int(steps_of(model, *one, reach=reach, steps=10)[-1].probabilities.argmax()) != one[1]
            for one in zip(images, labels, strict=True)
        )

    counts = [turned(reach) for reach in (0, 4, 16, 255)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, len(images))


def test_a_picture_that_is_taken_for_another_already_is_left(case) -> None:
    model, images, labels = case
    assert len(steps_of(model, images[0], (labels[0] + 1) % 3, reach=8)) == 1


def test_the_seed_and_the_index_fix_the_start(case) -> None:
    model, images, labels = case
    oracle, one = ModelOracle(model), (images[0], int(labels[0]))

    def first(seed: int, index: int) -> Tensor:
        config = ShiftConfig(reach=2, steps=5, seed=seed)
        return list(shift(oracle, *one, config, index))[1].image

    assert torch.equal(first(1, 4), first(1, 4))
    assert not torch.equal(first(1, 4), first(2, 4))
    assert not torch.equal(first(1, 4), first(1, 5))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reach": 256}, "reach is 256"),
        ({"reach": -1}, "reach is -1"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ShiftConfig(**settings)


def test_a_model_without_a_gradient_is_refused(case) -> None:
    model, images, labels = case

    class Blind(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return model(images).detach()

    with pytest.raises(InputError, match="gives no gradient"):
        steps_of(Blind(), images[0], labels[0])


def test_changes_are_drawn_larger_around_grey() -> None:
    before = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    after = before.clone()
    after[0, 0, 0], after[1, 1, 1], after[2, 0, 1] = 105, 98, 255
    drawn = magnify(before, after, 10)
    assert (drawn[0, 0, 0], drawn[1, 1, 1], drawn[2, 0, 1]) == (178, 108, 255)
    assert int((drawn == 128).sum()) == 9


@pytest.mark.parametrize(("reach", "times"), [(0, 10), (12, 10), (13, 9), (64, 1), (255, 1)])
def test_changes_are_drawn_as_strong_as_none_is_cut_off(reach: int, times: int) -> None:
    assert ShiftConfig(reach).times == times
    assert times == 1 or 128 + times * reach <= 255
    assert times == 10 or 128 + (times + 1) * reach > 255
