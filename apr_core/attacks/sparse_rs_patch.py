"""Sparse-RS for patches: random search over place and content of a square (Croce et al., 2022).

It begins with upright stripes at a random place. A proposal puts one colour into a square of the
best patch so far; every fifth one, and later fewer, moves the patch instead. Colours are corner
colours throughout. The authors make one proposal at a time; here P are made and scored together.
Dimensions: B independent searches, P proposals, s the side of a patch, k = s^2 pixels, C channels,
D = (2 + C) k genome.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor

from apr_core.attacks import differential_evolution as de
from apr_core.attacks.genomes import decode, encode
from apr_core.attacks.patch import as_edits, check_side, paste
from apr_core.attacks.sparse_rs import scheduled
from apr_core.base import random

ALPHA = 0.4
"""Share of a patch that is exchanged before the schedule lowers it."""
SCHEDULE = ((10, 2), (50, 4), (200, 8), (500, 16), (1000, 32), (4000, 64), (8000, 128))
"""Croce et al.'s for patches, as in their code (github.com/fra31/sparse-rs, rs_attacks.py,
`p_selection`): beyond so many 10,000ths of the budget, the share is `ALPHA` over so much."""
SHIFT = 0.75
"""How far a patch is moved at first, in heights of the picture; the distance falls to 0."""
_PLACE, _COLOUR, _SQUARE = 0, 1, 2
_STREAMS = 3


def initial_genomes(
    keys: Tensor, proposals: int, pixels: int, height: int, width: int, channels: int
) -> Tensor:
    """Striped patches of `pixels` = s^2 at random places, (B, P, D).

    Raises:
        InputError: the patch is larger than the picture.
    """
    side = isqrt(pixels)
    check_side(side, height, width)
    room = _room(side, height, width, keys)
    corners = random.uniform(keys, _PLACE, (proposals, 2)) * (room + 1)
    stripes = 255 * random.integers(keys, _COLOUR, (proposals, channels, 1, side), 2)
    contents = stripes.expand(-1, -1, -1, side, -1)
    return _genomes(corners.long().minimum(room), contents)


def ask(state: de.DEState, progress: float, height: int, width: int, channels: int) -> de.Proposal:
    """Proposals from the fittest patch of each search (or, at first, those to begin with).

    Args:
        progress: share of the budget spent, in [0, 1].
    """
    if state.generation == 0:
        return de.Proposal(state.genomes)
    count, proposals = state.fitness.shape
    rows = torch.arange(count, device=state.keys.device)
    positions, colours = decode(state.genomes[rows, state.fitness.argmin(dim=1)], channels)
    side, stream = isqrt(positions.shape[1]), state.generation * _STREAMS
    best = colours.transpose(1, 2).reshape(count, channels, side, side)
    corners = positions[:, :1].repeat(1, proposals, 1)
    contents = best[:, None].repeat(1, proposals, 1, 1, 1)

    small = max(1, int(scheduled(ALPHA, SCHEDULE, progress) ** 0.5 * side))
    start = random.integers(state.keys, stream + _SQUARE, (proposals, 2), side - small + 1)
    palette = random.integers(state.keys, stream + _COLOUR, (proposals, channels), 2)
    squares = 255 * palette[..., None, None].expand(-1, -1, -1, small, small)
    coloured = paste(contents.flatten(0, 1), start.flatten(0, 1), squares.flatten(0, 1))

    reach = int(SHIFT * (1 - progress) * height)
    shift = random.integers(state.keys, stream + _PLACE, (proposals, 2), 2 * reach + 1) - reach
    moved = (corners + shift).clamp(min=0).minimum(_room(side, height, width, state.keys))

    number = torch.arange(proposals, device=rows.device) + state.generation * proposals
    moves = (number % (5 * (1 + number // 1000)) == 0) & (reach > 0)
    corners = torch.where(moves[:, None], moved, corners)
    contents = torch.where(moves[:, None, None, None], contents, coloured.view_as(contents))
    return de.Proposal(_genomes(corners, contents))


def _genomes(corners: Tensor, contents: Tensor) -> Tensor:
    """Corners (B, P, 2) and contents (B, P, C, s, s) as (B, P, D)."""
    positions, colours = as_edits(corners.flatten(0, 1), contents.flatten(0, 1))
    return encode(positions, colours).view(*corners.shape[:2], -1)


def _room(side: int, height: int, width: int, keys: Tensor) -> Tensor:
    """The last place that a patch's upper left corner may have, x and y."""
    return torch.tensor([width - side, height - side], device=keys.device)
