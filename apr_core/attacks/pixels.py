"""Pixel edits on the uint8 grid: genomes to edits, edits to images."""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.base import random

GENES = 5
"""x, y, red, green, blue."""
_INSIDE = 1 - 2.0**-10
"""A position gene lies in [0, width); the last pixel ends just short of it."""


def box(pixels: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Lower and upper corner, (D,) each, of the genomes of `pixels` edits."""
    high = torch.tensor([width - 1 + _INSIDE, height - 1 + _INSIDE, 255.0, 255.0, 255.0])
    return torch.zeros(pixels * GENES, device=device), high.repeat(pixels).to(device)


def initial_genomes(keys: Tensor, population: int, pixels: int, height: int, width: int) -> Tensor:
    """Su et al.'s start: positions uniform, colours Normal(128, 127) clipped to 0-255.

    Returns:
        (B, P, pixels * 5) float32.
    """
    shape = (population, pixels)
    place = random.uniform(keys, 0, (*shape, 2)) * torch.tensor([width, height], device=keys.device)
    colour = (128 + 127 * random.normal(keys, 1, (*shape, 3))).clamp(0, 255)
    return torch.cat([place, colour], dim=-1).flatten(2)


def decode(genomes: Tensor) -> tuple[Tensor, Tensor]:
    """Genomes (..., k * 5) -> positions (..., k, 2) as x, y and colours (..., k, 3), int64."""
    genes = genomes.view(*genomes.shape[:-1], -1, GENES)
    return genes[..., :2].floor().long(), genes[..., 2:].round().long()


def apply_edits(images: Tensor, positions: Tensor, colours: Tensor) -> Tensor:
    """Images with their pixels set; where two edits of one image meet, the later one holds.

    Args:
        images: uint8 (N, C, H, W); not changed.
        positions: (N, k, 2) as x, y.
        colours: (N, k, 3) in 0 to 255.

    Returns:
        uint8 (N, C, H, W).
    """
    edited = images.clone()
    rows = torch.arange(len(images), device=images.device)
    for x, y, colour in zip(
        positions[..., 0].unbind(1), positions[..., 1].unbind(1), colours.unbind(1), strict=True
    ):
        edited[rows, :, y, x] = colour.to(images.dtype)
    return edited


def edit_norms(images: Tensor, positions: Tensor, colours: Tensor) -> Tensor:
    """L2 norm of each edit in units of the [0, 1] image.

    Args:
        images: uint8 (A, C, H, W).
        positions: (A, P, k, 2).
        colours: (A, P, k, 3).

    Returns:
        (A, P) float32; an edit that a later one of the same candidate overwrites counts nothing.
    """
    rows = torch.arange(len(images), device=images.device)[:, None, None]
    x, y = positions.unbind(-1)
    before = images[rows, :, y, x].long()  # dim -> (A, P, k, C)
    squared = ((colours - before).float() / 255).square().sum(-1)
    same = (positions[..., :, None, :] == positions[..., None, :, :]).all(-1)  # (A, P, k, k)
    overwritten = same.triu(diagonal=1).any(-1)
    return squared.masked_fill(overwritten, 0).sum(-1).sqrt()
