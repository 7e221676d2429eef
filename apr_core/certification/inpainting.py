"""Inpainting of the masked pixels of a lattice, by ordinary kriging from unmasked ones around.

A masked pixel becomes that weighted mean of the unmasked pixels within `REACH` rows and columns,
the weights adding up to one, whose expected squared error is least (Matheron, 1963), for pictures
that vary from place to place as a data set's do (`apr_core.data.variogram`). The weights are
solutions of a small linear system: they depend on where the masks and the edges lie, never on what
is in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.data.registry import find_dataset
from apr_core.data.variogram import REACH as CENTRE

REACH = 3
ALIKE = 1e-6
"""Share of a variogram's largest value under which two pixels count as always alike."""
AROUND = [
    (y, x) for y in range(-REACH, REACH + 1) for x in range(-REACH, REACH + 1) if (y, x) != (0, 0)
]
"""Where the S = 48 sources of a pixel lie."""


@dataclass(frozen=True)
class KrigingInpainter:
    """Kriging weights of the G = spacing^2 groups of a lattice over images of one size.

    Attributes:
        lattice: the group of each pixel, (H, W).
        places: of each group's pixels in the flat image, (G, m); short groups repeat their last.
        sources: of the pixels around each of those, (G, m, S); what lies outside is place 0.
        kinds: which weights each of those has, (G, m): how near the edges it is.
        weights: by the other group's offset from the own, and by kind, (G, kinds, S); 0 for a
            source that is masked or outside.
    """

    lattice: Tensor
    places: Tensor
    sources: Tensor
    kinds: Tensor
    weights: Tensor

    def fill(self, kept: Tensor, own: Tensor, other: Tensor, spacing: int) -> Tensor:
        """The pixels of group `own` (B,), with group `other` (B,) masked too: (B, C, m).

        Args:
            kept: the images with what is masked set to 0, (B, C, H W).
        """
        rows = (other // spacing - own // spacing) % spacing
        columns = (other % spacing - own % spacing) % spacing
        weights = self.weights[(rows * spacing + columns)[:, None], self.kinds[own]]  # (B, m, S)
        sources = self.sources[own]
        asked = sources.flatten(1)[:, None].expand(-1, kept.shape[1], -1)
        seen = kept.gather(2, asked).view(*kept.shape[:2], *sources.shape[1:])
        return (seen * weights.to(kept.dtype)[:, None]).sum(3).clamp(0, 1)


def mask_groups(
    images: Tensor, groups: Tensor, spacing: int, data: DataSet | None = None
) -> Tensor:
    """Images with one or two of their groups masked, and filled in from the other pixels.

    Args:
        images: (B, C, H, W) float in [0, 1].
        groups: (B, 1) or (B, 2) int64: the groups masked in each image, which may be the same.
        data: whose variogram the inpainting goes by; by default CIFAR-10's.

    Returns:
        (B, C, H, W). What is masked in an image has no part in it, to the bit.

    Raises:
        InputError: an image is smaller than the spacing.
    """
    height, width = images.shape[2:]
    inpainter = inpainter_for(height, width, spacing, images.device, data)
    masked = (inpainter.lattice == groups[:, :, None, None]).any(1, keepdim=True)  # (B, 1, H, W)
    kept = torch.where(masked, 0.0, images).flatten(2)  # what is masked is gone from here on
    first, last = groups[:, 0], groups[:, -1]
    filled = kept
    for own, other in ((first, last), (last, first))[: groups.shape[1]]:
        places = inpainter.places[own][:, None].expand(-1, images.shape[1], -1)
        filled = filled.scatter(2, places, inpainter.fill(kept, own, other, spacing))
    return filled.view_as(images)


def group_of(height: int, width: int, spacing: int) -> Tensor:
    """The group of each pixel, (H, W) int64, of spacing^2."""
    rows, columns = torch.arange(height), torch.arange(width)
    return (rows % spacing)[:, None] * spacing + columns % spacing


@lru_cache(maxsize=16)
def inpainter_for(
    height: int, width: int, spacing: int, device: torch.device, data: DataSet | None = None
) -> KrigingInpainter:
    """The inpainter for images of one size, computed once.

    Raises:
        InputError: the images are smaller than the spacing.
    """
    if min(height, width) < spacing:
        raise InputError(
            f"An image of {height}x{width} pixels is smaller than the lattice's spacing {spacing}; "
            "use a larger image or a smaller spacing."
        )
    lattice = group_of(height, width, spacing)
    places = _places(lattice, spacing)
    around = torch.tensor(AROUND)  # (S, 2)
    rows = places[..., None] // width + around[:, 0]
    columns = places[..., None] % width + around[:, 1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (G, m, S)
    sources = (rows * width + columns) * inside
    seen, kinds = torch.unique(inside.flatten(0, 1), dim=0, return_inverse=True)
    offsets = torch.arange(spacing**2)
    gamma = _told_apart((data or find_dataset()).variogram())
    usable = (seen & ~_masked(int(one), spacing) for one in offsets)
    weights = torch.stack([_weights(one, gamma) for one in usable])
    tensors = (lattice, places, sources, kinds.view_as(places), weights)
    return KrigingInpainter(*(tensor.to(device) for tensor in tensors))


def _places(lattice: Tensor, spacing: int) -> Tensor:
    """The flat places of each group's pixels, (G, m)."""
    flat = lattice.flatten()
    groups = [(flat == group).nonzero()[:, 0] for group in range(spacing**2)]
    most = max(map(len, groups))
    return torch.stack([torch.cat([one, one[-1:].expand(most - len(one))]) for one in groups])


def _masked(offset: int, spacing: int) -> Tensor:
    """Which sources (S,) of a pixel are in its own group, or in the one that lies at an offset."""
    rows, columns = torch.tensor(AROUND).unbind(1)
    own = (rows % spacing == 0) & (columns % spacing == 0)
    other = (rows % spacing == offset // spacing) & (columns % spacing == offset % spacing)
    return own | other


def _told_apart(gamma: Tensor) -> Tensor:
    """A variogram that tells pixels apart where pictures do not, as plain or striped ones: of two
    sources that are always alike, the system would not know which one to weigh."""
    apart = torch.ones_like(gamma).index_put((torch.tensor(CENTRE),) * 2, gamma.new_tensor(0.0))
    least = max(ALIKE * float(gamma.max()), ALIKE**2)
    alike = bool((gamma[apart.bool()] < least).any())
    return gamma + least * apart if alike else gamma


def _weights(usable: Tensor, gamma: Tensor) -> Tensor:
    """Kriging weights (N, S) float32 of the sources that may be used, (N, S) bool."""
    around = torch.tensor(AROUND)
    between = around[:, None] - around
    differ = gamma[CENTRE + between[..., 0], CENTRE + between[..., 1]]  # (S, S)
    pull = gamma[CENTRE + around[:, 0], CENTRE + around[:, 1]]  # (S,)
    count = len(around)
    used = usable.double()
    system = torch.zeros(len(usable), count + 1, count + 1, dtype=torch.float64)
    system[:, :count, :count] = differ * used[:, :, None] * used[:, None]
    system[:, :count, :count] += torch.diag_embed(1 - used)  # an unusable source weighs nothing
    system[:, :count, count] = system[:, count, :count] = used
    wanted = torch.cat([pull * used, torch.ones(len(usable), 1)], dim=1)
    solution: Tensor = torch.linalg.solve(system, wanted)[:, :count]
    return (solution * used).float()
