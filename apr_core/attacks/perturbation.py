"""Perturbations: pixels of uint8 images set to colours, drawn only when they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Perturbations:
    """Edits of many images by many callers, as one batch.

    Attributes:
        images: uint8 (A, C, H, W).
        owner: which image each edit is of, (N,) int64.
        positions: (N, k, 2) int64 as x, y.
        colours: (N, k, C) int64.
    """

    images: Tensor
    owner: Tensor
    positions: Tensor
    colours: Tensor

    @classmethod
    def of_each(cls, images: Tensor, positions: Tensor, colours: Tensor) -> Perturbations:
        """P edits (A, P, k, 2) and (A, P, k, C) of each of A images, image by image."""
        owner = torch.arange(len(images), device=images.device)
        owner = owner.repeat_interleave(positions.shape[1])
        return cls(images, owner, positions.flatten(0, 1), colours.flatten(0, 1))

    @classmethod
    def merge(cls, parts: list[Perturbations]) -> Perturbations:
        """Many callers' edits as one; all get as many pixels as the longest."""
        most = max(part.positions.shape[1] for part in parts)
        owners, first = [], 0
        for part in parts:
            owners.append(part.owner + first)
            first += len(part.images)
        return cls(
            torch.cat([part.images for part in parts]),
            torch.cat(owners),
            torch.cat([repeat_last(part.positions, most) for part in parts]),
            torch.cat([repeat_last(part.colours, most) for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, chosen: Tensor) -> Perturbations:
        """The edits at `chosen` (n,) alone."""
        parts = (self.owner, self.positions, self.colours)
        return Perturbations(self.images, *(part[chosen] for part in parts))

    def to(self, device: torch.device) -> Perturbations:
        """The same on a device."""
        parts = (self.images, self.owner, self.positions, self.colours)
        return Perturbations(*(part.to(device) for part in parts))

    def draw(self, first: int, last: int) -> Tensor:
        """Edits `first` to `last` as uint8 images (n, C, H, W)."""
        images = self.images[self.owner[first:last]]
        return apply_edits(images, self.positions[first:last], self.colours[first:last])


def apply_edits(images: Tensor, positions: Tensor, colours: Tensor) -> Tensor:
    """Copies of images with their pixels set; where two edits of an image meet, the later holds.

    Args:
        images: uint8 (N, C, H, W).
        positions: (N, k, 2) as x, y.
        colours: (N, k, C) in 0 to 255.

    Returns:
        uint8 (N, C, H, W).
    """
    edited = images.clone()
    rows = torch.arange(len(images), device=images.device)
    for xy, colour in zip(positions.unbind(1), colours.unbind(1), strict=True):
        edited[rows, :, xy[:, 1], xy[:, 0]] = colour.to(images.dtype)
    return edited


def edit_norms(images: Tensor, positions: Tensor, colours: Tensor) -> Tensor:
    """L2 norm of each perturbation in units of the [0, 1] image.

    Args:
        images: uint8 (A, C, H, W).
        positions: (A, P, k, 2).
        colours: (A, P, k, C).

    Returns:
        (A, P) float32; a pixel that a later edit of the same candidate overwrites counts nothing.
    """
    rows = torch.arange(len(images), device=images.device)[:, None, None]
    x, y = positions.unbind(-1)
    before = images[rows, :, y, x].long()  # dim -> (A, P, k, C)
    squared = ((colours - before).float() / 255).square().sum(-1)
    same = (positions[..., :, None, :] == positions[..., None, :, :]).all(-1)  # (A, P, k, k)
    overwritten = same.triu(diagonal=1).any(-1)
    return squared.masked_fill(overwritten, 0).sum(-1).sqrt()


def repeat_last(edits: Tensor, most: int) -> Tensor:
    """Edits (N, k, D) as (N, most, D): the last one again and again, which changes nothing."""
    return torch.cat([edits, edits[:, -1:].expand(-1, most - edits.shape[1], -1)], dim=1)
