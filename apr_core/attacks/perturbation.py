"""Edited images before they are drawn: of many pictures and many callers, in one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.attacks.one_pixel import Candidates
from apr_core.attacks.pixels import apply_edits


@dataclass(frozen=True)
class Perturbations:
    """Edited images that are not drawn yet.

    Attributes:
        images: uint8 (A, C, H, W).
        owner: which image each edit is of, (N,) int64.
        positions: (N, k, 2) int64 as x, y.
        colours: (N, k, 3) int64.
    """

    images: Tensor
    owner: Tensor
    positions: Tensor
    colours: Tensor

    @classmethod
    def of(cls, images: Tensor, candidates: Candidates) -> Perturbations:
        """The A x P candidates of images (A, C, H, W), image by image."""
        searches, population = candidates.positions.shape[:2]
        owner = torch.arange(searches, device=images.device).repeat_interleave(population)
        positions, colours = candidates.positions.flatten(0, 1), candidates.colours.flatten(0, 1)
        return cls(images, owner, positions, colours)

    @classmethod
    def merge(cls, parts: list[Perturbations]) -> Perturbations:
        """Many callers' edits as one; shorter lists of pixels repeat their last, which is idle."""
        most = max(part.positions.shape[1] for part in parts)
        owners, first = [], 0
        for part in parts:
            owners.append(part.owner + first)
            first += len(part.images)
        return cls(
            torch.cat([part.images for part in parts]),
            torch.cat(owners),
            torch.cat([_stretch(part.positions, most) for part in parts]),
            torch.cat([_stretch(part.colours, most) for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, chosen: Tensor) -> Perturbations:
        """The edits at `chosen` (n,) alone."""
        return Perturbations(
            self.images, self.owner[chosen], self.positions[chosen], self.colours[chosen]
        )

    def to(self, device: torch.device) -> Perturbations:
        """The same on a device."""
        parts = (self.images, self.owner, self.positions, self.colours)
        return Perturbations(*(part.to(device) for part in parts))

    def draw(self, first: int, last: int) -> Tensor:
        """Edits `first` to `last` as uint8 images (n, C, H, W)."""
        images = self.images[self.owner[first:last]]
        return apply_edits(images, self.positions[first:last], self.colours[first:last])


def _stretch(edits: Tensor, most: int) -> Tensor:
    return torch.cat([edits, edits[:, -1:].expand(-1, most - edits.shape[1], -1)], dim=1)
