"""Genomes: k edits of a picture as one vector, place and colour of each pixel in turn.

Dimensions: B images, P population, k pixels, C channels, D = (2 + C) k genome.
"""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.base import random
from apr_core.models.inputs import RGB

PLACE = 2
"""Genes of a pixel before its colour: x and y."""
_INSIDE = 1 - 2.0**-10
"""A position gene lies in [0, width); the last pixel ends just short of it."""


def box(
    pixels: int, height: int, width: int, channels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Lower and upper corner, (D,) each, of the genomes of `pixels` edits."""
    high = torch.tensor([width - 1 + _INSIDE, height - 1 + _INSIDE, *[255.0] * channels])
    high = high.repeat(pixels).to(device)
    return torch.zeros_like(high), high


def initial_genomes(
    keys: Tensor, population: int, pixels: int, height: int, width: int, channels: int = RGB
) -> Tensor:
    """Su et al.'s start, (B, P, D): positions uniform, colours Normal(128, 127) in 0 to 255."""
    shape = (population, pixels)
    place = random.uniform(keys, 0, (*shape, 2)) * torch.tensor([width, height], device=keys.device)
    colour = (128 + 127 * random.normal(keys, 1, (*shape, channels))).clamp(0, 255)
    return torch.cat([place, colour], dim=-1).flatten(2)


def encode(positions: Tensor, colours: Tensor) -> Tensor:
    """Undo `decode`: positions (..., k, 2) and colours (..., k, C) -> (..., D) float32."""
    return torch.cat([positions, colours], dim=-1).flatten(-2).float()


def decode(genomes: Tensor, channels: int = RGB) -> tuple[Tensor, Tensor]:
    """Genomes (..., k (2 + C)) -> positions (..., k, 2) as x, y and colours (..., k, C), int64."""
    genes = genomes.view(*genomes.shape[:-1], -1, PLACE + channels)
    return genes[..., :PLACE].floor().long(), genes[..., PLACE:].round().long()
