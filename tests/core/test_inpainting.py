"""The masks that the certificate rests on, to the bit, and how well they are filled in."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.certification.inpainting import _told_apart, group_of, inpainter_for, mask_groups
from apr_core.data.registry import find_dataset
from apr_core.data.variogram import REACH, load_variogram, measure_variogram
from tests.conftest import noise


@pytest.mark.parametrize(("height", "width", "spacing"), [(6, 6, 2), (8, 5, 3), (7, 9, 4)])
def test_every_pixel_is_in_one_group(height: int, width: int, spacing: int) -> None:
    groups = group_of(height, width, spacing)
    for y, x in ((0, 0), (height - 1, width - 1), (3, 2)):
        assert groups[y, x] == (y % spacing) * spacing + x % spacing
    assert set(groups.flatten().tolist()) <= set(range(spacing**2))


@pytest.mark.parametrize("spacing", [2, 3, 4, 5])
def test_a_masked_image_does_not_depend_on_what_is_masked(spacing: int) -> None:
    """To the bit, for one mask and for two, at edges and corners too."""
    images, other = noise(1, 3, 7, 9), noise(1, 3, 7, 9, seed=5)
    lattice = group_of(7, 9, spacing)
    sets = [(group, group) for group in range(spacing**2)]
    sets += list(combinations(range(spacing**2), 2))
    for pair in sets:
        groups = torch.tensor([pair])
        masked = (lattice == pair[0]) | (lattice == pair[1])
        changed = torch.where(masked, other, images)
        seen = mask_groups(images, groups, spacing)
        assert torch.equal(seen, mask_groups(changed, groups, spacing))
        assert torch.equal(seen[..., ~masked], images[..., ~masked])
        assert seen.min() >= 0
        assert seen.max() <= 1 + 1e-6


def test_images_may_have_masks_of_their_own() -> None:
    images, groups = noise(3, 3, 8, 8), torch.tensor([[0, 5], [3, 3], [15, 2]])
    together = mask_groups(images, groups, 4)
    for row in range(3):
        alone = mask_groups(images[row : row + 1], groups[row : row + 1], 4)
        assert torch.equal(together[row], alone[0])


def test_plain_and_striped_pictures_are_filled_in_too() -> None:
    """Of a person's own: pixels that are always alike made the kriging system singular."""
    images = torch.randint(0, 256, (5, 1, 1, 12), dtype=torch.uint8).expand(-1, -1, 12, -1)
    for kind in (images, images[..., :1].expand(-1, -1, -1, 12)):
        table = measure_variogram(kind)
        data = replace(find_dataset(), name="striped", variogram=lambda table=table: table)
        seen = kind.float() / 255
        for pair in ([0, 0], [0, 5], [3, 7]):
            filled = mask_groups(seen, torch.tensor([pair]).expand(5, 2), 4, data)
            assert torch.isfinite(filled).all()
            if kind is not images:
                torch.testing.assert_close(filled, seen, rtol=0, atol=1e-3)


def test_shipped_variograms_tell_all_pixels_apart() -> None:
    for name in ("cifar10", "gtsrb", "breastmnist", "retinamnist", "nips2017"):
        table = load_variogram(name)
        assert _told_apart(table) is table


def gamma(rows: int, columns: int) -> float:
    return float(load_variogram("cifar10")[REACH + rows, REACH + columns])


def test_a_masked_pixel_is_the_kriging_mean_of_its_unmasked_neighbours() -> None:
    """Against the textbook's system, written out for one pixel in a corner of a small image."""
    images, groups = noise(1, 3, 5, 5), torch.tensor([[0, 1]])
    masked = (group_of(5, 5, 4)[None] == groups[0, :, None, None]).any(0)
    near = [(y, x) for y in range(4) for x in range(4) if not masked[y, x]]
    count = len(near)
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)
    system[count, count] = 0
    for i, (y, x) in enumerate(near):
        for j, (v, u) in enumerate(near):
            system[i, j] = gamma(y - v, x - u)
    wanted = torch.tensor([*(gamma(y, x) for y, x in near), 1.0], dtype=torch.float64)
    weights = torch.linalg.solve(system, wanted)[:count]
    expected = sum(
        weight * images[0, :, y, x].double() for weight, (y, x) in zip(weights, near, strict=True)
    )
    seen = mask_groups(images, groups, 4)
    torch.testing.assert_close(seen[0, :, 0, 0], expected.float().clamp(0, 1))


@pytest.mark.parametrize(("height", "width", "spacing"), [(32, 32, 4), (9, 7, 5), (5, 16, 2)])
def test_weights_add_up_to_one(height: int, width: int, spacing: int) -> None:
    inpainter = inpainter_for(height, width, spacing, torch.device("cpu"))
    used = inpainter.weights[:, inpainter.kinds.unique()]
    torch.testing.assert_close(used.sum(2), torch.ones(used.shape[:2]))


def test_a_flat_picture_is_filled_in_as_it_was() -> None:
    images = torch.full((1, 3, 12, 10), 0.3)
    torch.testing.assert_close(mask_groups(images, torch.tensor([[2, 7]]), 3), images)


def test_a_picture_is_filled_in_better_than_by_the_mean_of_its_neighbours() -> None:
    images = find_dataset().shipped_sample().images[:50].float() / 255
    groups = torch.randint(0, 16, (50, 2), generator=torch.Generator().manual_seed(0))
    masked = (group_of(32, 32, 4) == groups[:, :, None, None]).any(1, keepdim=True)
    kernel = torch.tensor([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]])[None, None]

    def around(planes: Tensor) -> Tensor:
        flat = planes.flatten(0, 1)[:, None]
        return torch.nn.functional.conv2d(flat, kernel, padding=1).view_as(planes)

    mean = around(images * ~masked) / around((~masked).float())
    where = masked.expand_as(images)
    error = (mask_groups(images, groups, 4) - images)[where].square().mean()
    assert error < 0.4 * (mean - images)[where].square().mean()


def test_other_sizes_and_one_channel_are_masked_too() -> None:
    for shape in ((2, 1, 28, 28), (1, 3, 33, 50)):
        images = noise(*shape)
        seen = mask_groups(images, torch.tensor([[3]] * shape[0]), 4)
        lattice = group_of(*shape[2:], 4)
        assert torch.equal(seen[..., lattice != 3], images[..., lattice != 3])
        assert not torch.equal(seen[..., lattice == 3], images[..., lattice == 3])


def test_an_image_smaller_than_the_spacing_is_refused() -> None:
    with pytest.raises(InputError, match="3x9 pixels is smaller than the lattice's spacing 4"):
        mask_groups(noise(1, 3, 3, 9), torch.tensor([[0]]), 4)


def test_the_variogram_is_the_sample_s_up_to_chance() -> None:
    shipped, sample = (
        load_variogram("cifar10"),
        measure_variogram(find_dataset().shipped_sample().images),
    )
    assert shipped.shape == (2 * REACH + 1, 2 * REACH + 1)
    assert shipped[REACH, REACH] == 0
    assert torch.equal(shipped, shipped.flip(0, 1))
    known = sample > 0
    torch.testing.assert_close(shipped[known], sample[known], rtol=0.1, atol=0)


def test_the_variogram_of_a_small_picture_by_hand() -> None:
    images = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8).repeat(1, 1, 7, 7)
    one, down = images[0, 0, :, 1:].double() - images[0, 0, :, :-1], images[0, 0, 1:].double()
    found = measure_variogram(images)
    assert found[REACH, REACH + 1].item() == pytest.approx((one / 255).square().mean().item() / 2)
    down = (down - images[0, 0, :-1]) / 255
    assert found[REACH + 1, REACH].item() == pytest.approx(down.square().mean().item() / 2)
    assert found[REACH, REACH + 2].item() == 0
