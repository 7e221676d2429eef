"""Square masks for double-masking: a certificate against every edit of one square patch.

The patch is of s x s pixels anywhere inside the image, and of any content. Along an axis of L
pixels the k masks are m = s + stride - 1 long, stride = ceil((L - s + 1) / k), and begin at 0,
stride, 2 stride, ..., or at L - m where that is less; a mask of the image is one of rows by one of
columns (PatchCleanser's R-covering set; Xiang, Mahloujifar and Mittal, 2022).

Every patch is covered by a mask. Along an axis, let the patch begin at p, from 0 to L - s, and let
i = floor(p / stride). As p < L - s + 1 <= k stride, there is a mask i. It begins at i stride or
before, so not after p. If it begins at i stride, it ends at i stride + stride - 1 + s, which is
p + s at least; if it begins at L - m, it ends at L, and p + s <= L. So it covers the patch's rows;
so does one the columns; and the mask of both covers the patch. Hence the theorem of
`double_masking` holds for every edit of one patch. A smaller patch lies inside one of s x s.

Filling in. A masked pixel becomes the mean of the nearest unmasked pixels to its left, its right,
above and below, as far as there are any, each weighted by one over its distance; where there are
none, the mean of all unmasked pixels. The weights depend on the masks alone. Two masks never cover
a whole image, as s is less than its height and its width: then so is m, and two rectangles that
are both shorter and narrower than a third do not cover it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.certification.double_masking import DoubleMasking, folded
from apr_core.models.inference import Model

PER_AXIS = 6
"""Masks along each axis: 36 masks and 630 pairs of them."""
MOST_PER_AXIS = 16


class PatchMasking(DoubleMasking):
    """A classifier that predicts by double-masking with square masks; itself a model.

    Args:
        model: images (B, C, H, W) in [0, 1] -> logits (B, K).
        patch: s, the side in pixels of the patches that are covered.
        per_axis: k; k^2 predictions where they agree, at most about k^4 / 2.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(self, model: Model, patch: int, per_axis: int = PER_AXIS) -> None:
        super().__init__(model)
        if patch < 1:
            raise InputError(f"patch is {patch}, but the side of a patch is at least 1 pixel.")
        if not 2 <= per_axis <= MOST_PER_AXIS:
            raise InputError(
                f"masks is {per_axis}, but along an axis there must be from 2 to {MOST_PER_AXIS}."
            )
        self.patch, self.per_axis = patch, per_axis

    @property
    def groups(self) -> int:
        return self.per_axis**2

    def masked(self, images: Tensor, groups: Tensor) -> Tensor:
        """Images (B, C, H, W) with masks (B, 1) or (B, 2) laid over them; see `mask_squares`."""
        return mask_squares(images, groups, self.patch, self.per_axis)

    def extra_repr(self) -> str:
        return f"patch={self.patch}, per_axis={self.per_axis}"


def behind_squares(model: Model, patch: int, per_axis: int = PER_AXIS) -> PatchMasking:
    """A model behind square masks, in evaluation mode; this package's own is folded first.

    Raises:
        InputError: a number is out of range.
    """
    return PatchMasking(folded(model), patch, per_axis).eval()


def mask_squares(images: Tensor, groups: Tensor, patch: int, per_axis: int = PER_AXIS) -> Tensor:
    """Images with one or two square masks, filled in from the other pixels.

    Args:
        images: (B, C, H, W) float in [0, 1].
        groups: (B, 1) or (B, 2) int64: the masks of each image, which may be the same.

    Returns:
        (B, C, H, W). What is masked in an image has no part in it, to the bit.

    Raises:
        InputError: a patch of that side does not fit into the images.
    """
    masks = squares(images.shape[2], images.shape[3], patch, per_axis, images.device)
    masked = masks[groups].any(1, keepdim=True)  # (B, 1, H, W)
    kept = torch.where(masked, 0.0, images)  # what is masked is gone from here on
    return torch.where(masked, _fill(kept, ~masked), kept)


def check_patch(height: int, width: int, patch: int) -> None:
    """Raise InputError where masks for patches of a side would leave nothing of an image."""
    most = min(height, width) - 1
    if patch > most:
        raise InputError(
            f"A patch of {patch}x{patch} pixels would leave nothing to see of an image of "
            f"{height}x{width}; choose a side of at most {most}."
        )


@lru_cache(maxsize=16)
def squares(
    height: int, width: int, patch: int, per_axis: int, device: torch.device | None = None
) -> Tensor:
    """Which pixels each mask covers, (per_axis^2, H, W) bool, the masks row by row.

    Raises:
        InputError: a patch of that side does not fit into an image of that size.
    """
    check_patch(height, width, patch)
    rows, columns = (_spans(length, patch, per_axis) for length in (height, width))
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1).to(device)


def _spans(length: int, patch: int, count: int) -> Tensor:
    """Which of the pixels along an axis each mask covers, (count, length) bool."""
    stride = -(-(length - patch + 1) // count)
    side = patch + stride - 1
    begins = (torch.arange(count) * stride).clamp(max=length - side)[:, None]
    places = torch.arange(length)
    return (begins <= places) & (places < begins + side)


def _fill(kept: Tensor, seen: Tensor) -> Tensor:
    """What every pixel would be filled in with, (B, C, H, W).

    Args:
        kept: the images with what is masked set to 0, (B, C, H, W).
        seen: what is not masked, (B, 1, H, W) bool.
    """
    looks = [_look(kept, seen, axis, back) for axis in (2, 3) for back in (False, True)]
    weights = torch.stack([weight for _, weight in looks]).sum(0)
    found = torch.stack([value * weight for value, weight in looks]).sum(0)
    everywhere = kept.sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True)
    return torch.where(
        weights > 0, found / weights.clamp(min=torch.finfo(kept.dtype).tiny), everywhere
    )


def _look(kept: Tensor, seen: Tensor, axis: int, back: bool) -> tuple[Tensor, Tensor]:
    """The nearest unmasked pixel before each one along an axis, or after it: its value
    (B, C, H, W), and one over its distance (B, 1, H, W), which is 0 where there is none."""
    length = kept.shape[axis]
    line = torch.arange(length, device=kept.device).view([-1 if i == axis else 1 for i in range(4)])
    if back:
        places = torch.where(seen, line, length).flip(axis).cummin(axis).values.flip(axis)
    else:
        places = torch.where(seen, line, -1).cummax(axis).values
    there = (places >= 0) & (places < length)
    weight = there / (line - places).abs().clamp(min=1)
    where = places.clamp(0, length - 1).expand_as(kept)
    return kept.gather(axis, where), weight.to(kept.dtype)
