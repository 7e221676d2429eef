"""Attacks with patches, against brute force where that can be had."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from apr_core.attacks.enumeration import CORNERS
from apr_core.attacks.ladder import PATCH_LADDER, LadderConfig, Verdict, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.patch import as_edits, gradient_patch, paste
from apr_core.attacks.perturbation import apply_edits
from apr_core.attacks.result import edit_image
from apr_core.attacks.stages import STAGES, sparse_rs
from apr_core.base.types import InputError, Method, Threat
from tests.conftest import LinearModel, answers
from tests.core.test_ladder import margin_after, pictures_of

SIZE = 6


@pytest.fixture
def case() -> tuple[LinearModel, Tensor, Tensor]:
    model, images = LinearModel(size=SIZE), pictures_of(12)
    return model, images, answers(model, images)


def climbed(
    model: torch.nn.Module, images: Tensor, labels: Tensor, side: int, stages: tuple[str, ...]
) -> list[Verdict]:
    config = LadderConfig(stages, side=side)
    return climb(config, ModelOracle(model), images, labels, torch.arange(len(images)))


def turned(verdicts: list[Verdict]) -> int:
    return sum(verdict.rungs[0].flipped for verdict in verdicts)


def test_a_patch_is_pasted_as_its_edits_say() -> None:
    images, corners = pictures_of(3), torch.tensor([[0, 0], [4, 3], [1, 4]])
    content = pictures_of(3, size=2, seed=5)
    pasted = paste(images, corners, content)
    assert torch.equal(pasted, apply_edits(images, *as_edits(corners, content)))
    assert torch.equal(pasted[1, :, 3:5, 4:6], content[1])
    pasted[1, :, 3:5, 4:6] = images[1, :, 3:5, 4:6]
    assert torch.equal(pasted[1], images[1])


@pytest.mark.parametrize("side", [1, 2])
def test_on_a_linear_model_the_best_place_and_content_are_found(case, side: int) -> None:
    """Every content in corner colours at every place: of a linear model, the best is among them."""
    model, images, labels = case
    found = gradient_patch(ModelOracle(model), images[:3], labels[:3], side)
    contents = torch.stack([torch.stack(one) for one in product(CORNERS, repeat=side**2)])
    contents = contents.to(torch.uint8).transpose(1, 2).reshape(-1, 3, side, side)
    for row, (image, label) in enumerate(zip(images[:3], labels[:3], strict=True)):
        least = []
        for place in product(range(SIZE - side + 1), repeat=2):
            corners = torch.tensor(place).expand(len(contents), 2)
            pasted = paste(image.expand(len(contents), -1, -1, -1), corners, contents)
            least.append(margin_after(model, pasted, label.expand(len(contents))).min())
        torch.testing.assert_close(found.margin[row], torch.stack(least).min())


def test_without_a_gradient_it_comes_close_to_the_best(case) -> None:
    model, images, labels = case
    asked = (ModelOracle(model), images, labels)
    best = gradient_patch(*asked, 2)
    found = sparse_rs(*asked, torch.arange(len(images)), 4, queries=3000, method=Method.PATCH)
    assert bool((found.margin >= best.margin - 1e-4)[~found.flipped].all())
    assert bool(found.flipped[best.margin < -1].all())
    assert bool((found.queries[~found.flipped] == 3000).all())


@pytest.mark.parametrize("stage", PATCH_LADDER)
def test_what_is_found_is_a_square_that_does_what_is_said(case, stage: str) -> None:
    model, images, labels = case
    verdicts = climbed(model, images, labels, 2, (stage,))
    assert turned(verdicts) > 0
    for image, verdict in zip(images, verdicts, strict=True):
        (rung,) = verdict.rungs
        edited = edit_image(image, rung.edits)
        assert (int(answers(model, edited[None])) != verdict.label) == rung.flipped
        across, down = ({getattr(edit, axis) for edit in rung.edits} for axis in "xy")
        assert len(rung.edits) == 4
        assert max(across) - min(across) == max(down) - min(down) == 1


@pytest.mark.parametrize("stage", PATCH_LADDER)
def test_a_bigger_patch_turns_no_less_and_one_of_the_whole_picture_all(case, stage: str) -> None:
    model, images, labels = case
    counts = [turned(climbed(model, images, labels, side, (stage,))) for side in (1, 2, SIZE)]
    assert counts == sorted(counts)
    assert counts[-1] == len(images)


@pytest.mark.parametrize("stage", PATCH_LADDER)
def test_what_is_found_of_an_image_does_not_depend_on_its_company(case, stage: str) -> None:
    model, images, labels = case
    config, indices = LadderConfig((stage,), side=2), torch.arange(100, 112)
    together = climb(config, ModelOracle(model), images, labels, indices)
    for row in (0, 11):
        one = slice(row, row + 1)
        (alone,) = climb(config, ModelOracle(model), images[one], labels[one], indices[one])
        assert alone.rungs[0].edits == together[row].rungs[0].edits
        assert alone.rungs[0].queries == together[row].rungs[0].queries


def test_the_refinement_leaves_the_corners_where_they_are_not_the_best() -> None:
    """A model that is best deceived by grey, in the middle of the scale."""

    class Grey(LinearModel):
        def forward(self, images: Tensor) -> Tensor:
            near = (images - 0.5).abs().mean(1).amin((1, 2))
            return torch.stack([near, 0.2 - near], 1)

    images = torch.full((2, 3, SIZE, SIZE), 255, dtype=torch.uint8)
    images[1] = 0
    verdicts = climbed(Grey(), images, torch.zeros(2, dtype=torch.int64), 2, ("patch",))
    assert turned(verdicts) == 2
    shades = {shade for one in verdicts for edit in one.rungs[0].edits for shade in edit.rgb}
    assert shades - {0, 255}


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"stages": ("patch",)}, "patch: a patch needs a side, .* give --side, from 1 to 64"),
     ({"side": 3}, "side is 3, but top-gradient, .* replaces no square; leave --side out"),
     ({"stages": ("patch",), "side": 65}, "side is 65"),
     ({"stages": ("patch",), "side": 2, "pixels": (3,)}, "pixels is 3, .* leave --pixels out"),
     ({"stages": ("fgsm",), "pixels": (1, 3)}, "pixels is 1, 3, but fgsm does not count pixels"),
     ({"stages": ("patch", "corners"), "side": 2}, "other attacks have none")],
)  # fmt: skip
def test_a_patch_that_cannot_be_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        LadderConfig(**settings)


def test_a_patch_larger_than_the_picture_is_refused(case) -> None:
    model, images, labels = case
    with pytest.raises(InputError, match="A patch of 7 × 7 does not fit a picture of 6 × 6"):
        climbed(model, images, labels, 7, ("patch",))


def test_a_model_without_a_gradient_is_attacked_without_one(case) -> None:
    model, images, labels = case

    class Blind(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return model(images.detach()).detach()

    with pytest.raises(InputError, match="gives no gradient"):
        climbed(Blind().eval(), images, labels, 2, ("patch",))
    assert turned(climbed(Blind().eval(), images, labels, 2, ("sparse-rs-patch",)))


def test_the_stages_say_what_they_change() -> None:
    assert {STAGES.get(name).threat for name in PATCH_LADDER} == {Threat.PATCH}
