"""Certificates against patches: the covering, to the last place, and soundness by brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import Verdict, certified_groups, certify
from apr_core.certification.patch_masking import (
    PER_AXIS,
    PatchMasking,
    behind_squares,
    mask_squares,
    squares,
)
from tests.conftest import noise
from tests.core.test_lattice_masking import AnySize, Bright, SmallNet


def patches(height: int, width: int, side: int) -> Tensor:
    """Every patch of a side, (P, H, W) bool."""
    places = [(y, x) for y in range(height - side + 1) for x in range(width - side + 1)]
    found = torch.zeros(len(places), height, width, dtype=torch.bool)
    for one, (y, x) in zip(found, places, strict=True):
        one[y : y + side, x : x + side] = True
    return found


# The masks


@pytest.mark.parametrize("per_axis", [2, 3, 6, 16])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 9), (6, 6), (13, 8), (32, 32)])
def test_every_patch_lies_wholly_inside_a_mask(height: int, width: int, per_axis: int) -> None:
    """Of every side that fits, at every place; and no two masks hide all of the image."""
    for side in range(1, min(height, width)):
        masks = squares(height, width, side, per_axis)
        assert masks.shape == (per_axis**2, height, width)
        outside = patches(height, width, side).flatten(1).float() @ (~masks).flatten(1).float().T
        assert (outside == 0).any(1).all()
        pairs = masks.flatten(1)[:, None] | masks.flatten(1)
        assert not pairs.all(2).any()


def test_the_masks_of_a_photograph_cover_its_patches() -> None:
    """Along an axis, which is enough: a mask is one of rows by one of columns."""
    masks = squares(224, 224, 22, PER_AXIS).view(PER_AXIS, PER_AXIS, 224, 224)
    rows = masks[:, 0].any(2)
    assert torch.equal(masks, rows[:, None, :, None] & rows[None, :, None, :])
    assert {int(one.sum()) for one in rows} == {22 + 34 - 1}
    for begin in range(224 - 22 + 1):
        assert rows[:, begin : begin + 22].all(1).any()


def test_the_masks_by_hand() -> None:
    """Ten pixels, patches of 2, three masks: a stride of 3, masks of 4 at 0, 3 and 6."""
    rows = squares(10, 10, 2, 3).view(3, 3, 10, 10)[:, 0].any(2)
    assert [row.nonzero()[[0, -1], 0].tolist() for row in rows] == [[0, 3], [3, 6], [6, 9]]


@pytest.mark.parametrize(("side", "per_axis"), [(1, 2), (2, 3), (3, 2), (5, 3), (6, 4)])
def test_a_masked_image_does_not_depend_on_what_is_masked(side: int, per_axis: int) -> None:
    """To the bit, for one mask and for two, at edges, and where two adjoin or overlap."""
    images, other = noise(1, 3, 7, 9), noise(1, 3, 7, 9, seed=5)
    masks = squares(7, 9, side, per_axis)
    sets = [(one, one) for one in range(per_axis**2)] + list(combinations(range(per_axis**2), 2))
    for pair in sets:
        masked = masks[list(pair)].any(0)
        changed = torch.where(masked, other, images)
        changed[..., masked] *= 1e6
        seen = mask_squares(images, torch.tensor([pair]), side, per_axis)
        assert torch.equal(seen, mask_squares(changed, torch.tensor([pair]), side, per_axis))
        assert torch.equal(seen[..., ~masked], images[..., ~masked])
        assert seen.isfinite().all()
        assert seen.min() >= 0
        assert seen.max() <= 1 + 1e-6
        alone = mask_squares(images, torch.tensor([[pair[0]]]), side, per_axis)
        assert (pair[0] != pair[1]) or torch.equal(seen, alone)


def test_a_masked_pixel_is_the_mean_of_the_nearest_weighted_by_nearness() -> None:
    images = noise(1, 1, 10, 10)
    seen = mask_squares(images, torch.tensor([[4]]), 2, 3)[0, 0]  # rows and columns 3 to 6
    flat = images[0, 0]
    around = ((flat[4, 2], 2), (flat[4, 7], 3), (flat[2, 4], 2), (flat[7, 4], 3))
    expected = sum(value / far for value, far in around) / sum(1 / far for _, far in around)
    torch.testing.assert_close(seen[4, 4], expected)
    edge = mask_squares(images, torch.tensor([[0, 1]]), 2, 3)[0, 0]  # rows 0 to 3, columns 0 to 6
    torch.testing.assert_close(edge[0, 0], (flat[0, 7] / 7 + flat[4, 0] / 4) / (1 / 7 + 1 / 4))


def test_a_pixel_with_nothing_in_its_row_and_column_is_the_mean_of_what_is_seen() -> None:
    images = noise(1, 3, 8, 8)
    masks = squares(8, 8, 5, 2)  # six long, at 0 and at 2
    pair = (0, 3)
    masked = masks[list(pair)].any(0)
    assert masked[4].all()
    assert masked[:, 4].all()
    seen = mask_squares(images, torch.tensor([pair]), 5, 2)
    torch.testing.assert_close(seen[0, :, 4, 4], images[0][:, ~masked].mean(1))


def test_a_flat_picture_is_filled_in_as_it_was() -> None:
    images = torch.full((1, 3, 12, 10), 0.3)
    torch.testing.assert_close(mask_squares(images, torch.tensor([[2, 7]]), 3), images)


def test_images_may_have_masks_of_their_own() -> None:
    images, groups = noise(3, 3, 8, 8), torch.tensor([[0, 5], [3, 3], [15, 2]])
    together = mask_squares(images, groups, 2)
    for row in range(3):
        alone = mask_squares(images[row : row + 1], groups[row : row + 1], 2)
        assert torch.equal(together[row], alone[0])


# The certificate


@torch.enable_grad()
def edited(image: Tensor, model: nn.Module, label: int, side: int) -> Tensor:
    """An image (C, H, W) with every patch filled in the ways that attack it: black, white, noise,
    and by the gradient of each other class against the label."""
    image = image.clone().requires_grad_()
    logits = model(image[None])[0]
    ways = [torch.zeros_like(image), torch.ones_like(image)]
    ways += [noise(*image.shape, seed=seed) for seed in range(3)]
    for other in set(range(len(logits))) - {label}:
        (slope,) = torch.autograd.grad(logits[other] - logits[label], image, retain_graph=True)
        ways.append((slope > 0).float())
    where = patches(*image.shape[1:], side)[:, None]
    return torch.cat([torch.where(where, way, image) for way in ways]).detach()


@pytest.mark.parametrize(
    ("side", "per_axis", "strength"), [(1, 2, 1.0), (2, 2, 10.0), (2, 3, 1.0), (3, 3, 0.3)]
)
def test_no_patch_turns_a_certified_image_or_mask(
    side: int, per_axis: int, strength: float
) -> None:
    """Every place; of images that are not certified, every patch inside a certified mask."""
    certified = partly = 0
    for seed in range(6):
        model = SmallNet(seed, strength)
        wrapper = PatchMasking(model, side, per_axis).eval()
        images = noise(8, 3, 6, 6, seed=seed)
        with torch.no_grad():
            labels = wrapper(images).argmax(1)
        found = certify(wrapper, images, labels)
        sure = certified_groups(wrapper, images, labels)
        masks, all_patches = squares(6, 6, side, per_axis), patches(6, 6, side)
        for row, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            whole = found[row].verdict is Verdict.CERTIFIED
            assert whole == bool(sure[row].all())
            certified += whole
            partly += bool(sure[row].any()) and not whole
            inside = (all_patches[:, None] <= masks[sure[row]]).all((2, 3)).any(1)
            assert not whole or inside.all()
            edits = edited(image, model, label, side)
            edits = edits[inside.repeat(len(edits) // len(inside))]
            if len(edits):
                with torch.no_grad():
                    assert (wrapper(edits).argmax(1) == label).all()
    assert certified > 3
    assert certified + partly > 8


def test_the_bare_model_falls_on_certified_images() -> None:
    """The certificate says something: a patch turns the undefended model on some of them."""
    broken = 0
    for seed in range(6):
        model = SmallNet(seed)
        wrapper = PatchMasking(model, 2, 3).eval()
        images = noise(8, 3, 6, 6, seed=seed)
        with torch.no_grad():
            labels = model(images).argmax(1)
        for image, label, one in zip(
            images, labels.tolist(), certify(wrapper, images, labels), strict=True
        ):
            if one.verdict is Verdict.CERTIFIED:
                with torch.no_grad():
                    turned = model(edited(image, model, label, 2)).argmax(1) != label
                broken += bool(turned.any())
    assert broken > 0


def test_a_mask_that_hides_the_patch_dissents_and_is_right() -> None:
    wrapper = PatchMasking(Bright(), 2, 3).eval()
    image = torch.full((1, 3, 10, 10), 0.2)
    (found,) = certify(wrapper, image, torch.tensor([0]))
    assert (found.verdict, found.predictions) == (Verdict.CERTIFIED, 9 + 36)
    image[:, :, 1:3, 7:9] = 1.0
    assert wrapper.one_mask_logits(image).argmax(2)[0].tolist().count(0) == 1
    assert wrapper(image).argmax() == 0
    assert wrapper.model(image).argmax() == 1


def test_grey_pictures_that_are_not_square_are_certified() -> None:
    images, wrapper = noise(12, 1, 7, 5, seed=2), behind_squares(AnySize(), 2)
    with torch.no_grad():
        labels = wrapper(images).argmax(1)
    certified = [one.verdict is Verdict.CERTIFIED for one in certify(wrapper, images, labels)]
    for image, label in zip(images[certified], labels[certified].tolist(), strict=True):
        with torch.no_grad():
            assert (wrapper(edited_grey(image)).argmax(1) == label).all()
    assert sum(certified) > 0


def edited_grey(image: Tensor) -> Tensor:
    """Every patch of 2 x 2 in five greys."""
    where = patches(*image.shape[1:], 2)[:, None]
    return torch.cat([torch.where(where, grey, image) for grey in torch.linspace(0, 1, 5)])


# What cannot be


@pytest.mark.parametrize(("patch", "per_axis", "said"), [
    (0, 6, "patch is 0, but the side of a patch is at least 1 pixel"),
    (-3, 6, "patch is -3"),
    (2, 1, "masks is 1, but along an axis there must be from 2 to 16"),
    (2, 17, "masks is 17"),
])  # fmt: skip
def test_numbers_out_of_range_are_refused(patch: int, per_axis: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        PatchMasking(SmallNet(0), patch, per_axis)


@pytest.mark.parametrize("side", [6, 7, 40])
def test_a_patch_that_does_not_fit_is_one_sentence(side: int) -> None:
    said = f"A patch of {side}x{side} pixels would leave nothing to see of an image of 6x6; choose"
    with pytest.raises(InputError, match=said):
        certify(PatchMasking(SmallNet(0), side).eval(), noise(1, 3, 6, 6), torch.tensor([0]))
