"""Sparse-RS: random search over sets of k pixels in corner colours (Croce et al., 2022).

Each proposal exchanges some pixels of the best set so far for others, fewer and fewer as the budget
is spent. The authors make one proposal at a time; here P are made and scored together.
Dimensions: B independent searches, P proposals, k pixels, C channels, D = (2 + C) k genome.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from apr_core.attacks import differential_evolution as de
from apr_core.attacks.enumeration import corners_of
from apr_core.attacks.genomes import decode, encode
from apr_core.base import random
from apr_core.base.types import InputError

ALPHA = 0.3
"""Share of the k pixels to replace before the schedule lowers it."""
SCHEDULE = (
    (0, 2), (50, 4), (200, 5), (500, 6), (1000, 8), (2000, 10), (4000, 12), (6000, 15), (8000, 20),
)  # fmt: skip
"""Croce et al.'s for L0, as in their code (github.com/fra31/sparse-rs, rs_attacks.py,
`p_selection`): beyond so many 10,000ths of the budget, the share to replace is `ALPHA` over so
much."""
_PLACE, _COLOUR, _LEAVE = 0, 1, 2
_STREAMS = 3


def initial_genomes(
    keys: Tensor, proposals: int, pixels: int, height: int, width: int, channels: int
) -> Tensor:
    """Sets of k different places, in corner colours, (B, P, D).

    Raises:
        InputError: the picture has fewer pixels than k.
    """
    if pixels > height * width:
        raise InputError(
            f"pixels is {pixels}, but a picture of {width} × {height} has {height * width}; ask "
            "for fewer."
        )
    order = random.uniform(keys, _PLACE, (proposals, height * width)).argsort(dim=2, stable=True)
    palette = corners_of(channels).to(keys.device)
    corners = random.integers(keys, _COLOUR, (proposals, pixels), len(palette))
    return encode(_coordinates(order[:, :, :pixels], width), palette[corners])


def ask(state: de.DEState, progress: float, height: int, width: int, channels: int) -> de.Proposal:
    """Proposals from the fittest set of each search (or, at first, the sets to begin with).

    Args:
        progress: share of the budget spent, in [0, 1].
    """
    if state.generation == 0:
        return de.Proposal(state.genomes)
    rows = torch.arange(len(state.keys), device=state.keys.device)
    best = state.genomes[rows, state.fitness.argmin(dim=1)]
    positions, colours = decode(best, channels)
    places, colours = replaced(
        state.keys,
        state.generation,
        progress,
        positions[..., 1] * width + positions[..., 0],
        colours,
        height * width,
        state.genomes.shape[1],
    )
    return de.Proposal(encode(_coordinates(places, width), colours))


def replaced(
    keys: Tensor,
    step: int,
    progress: float,
    places: Tensor,
    colours: Tensor,
    area: int,
    proposals: int = 1,
) -> tuple[Tensor, Tensor]:
    """Some of the k pixels exchanged for others, in new colours, `proposals` times.

    Where every pixel is among the k already, only colours change.

    Args:
        step: fixes the random numbers, with the keys.
        progress: see `ask`.
        places: (B, k), below `area`.
        colours: (B, k, C).

    Returns:
        Places (B, P, k) and colours (B, P, k, C).
    """
    count, pixels = places.shape
    changed = max(1, int(scheduled(ALPHA, SCHEDULE, progress) * pixels))
    stream = step * _STREAMS
    order = random.uniform(keys, stream + _LEAVE, (proposals, pixels)).argsort(dim=2, stable=True)
    coming = random.integers(keys, stream + _PLACE, (proposals, changed), area)
    rows = torch.arange(count, device=keys.device)[:, None, None]
    lines = torch.arange(proposals, device=keys.device)[:, None]
    chosen = (rows, lines, order[:, :, :changed])
    taken = (coming[..., None] == places[:, None, None, :]).any(3)
    places = places[:, None].repeat(1, proposals, 1)
    colours = colours[:, None].repeat(1, proposals, 1, 1)
    places[chosen] = torch.where(taken, places[chosen], coming)
    palette = corners_of(colours.shape[3]).to(keys.device)
    corners = random.integers(keys, stream + _COLOUR, (proposals, changed), len(palette))
    colours[chosen] = palette[corners]
    return places, colours


def scheduled(share: float, schedule: Sequence[tuple[int, int]], progress: float) -> float:
    """A share at `progress` in [0, 1], lowered as a schedule says."""
    done = int(progress * 10_000)
    return share / max((part for start, part in schedule if done > start), default=1)


def _coordinates(places: Tensor, width: int) -> Tensor:
    return torch.stack([places % width, places // width], dim=-1)
