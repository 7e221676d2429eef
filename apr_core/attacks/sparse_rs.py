"""Sparse-RS: random search over sets of k pixels in corner colours (Croce et al., 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.attacks.enumeration import corners_of
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations, apply_edits
from apr_core.attacks.stage_result import StageResult
from apr_core.base import random
from apr_core.models.outputs import logit_margin

QUERIES = 10_000
"""Croce et al.'s budget."""
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


def sparse_rs(
    oracle: ModelOracle,
    images: Tensor,
    labels: Tensor,
    indices: Tensor,
    pixels: int,
    seed: int = 0,
    queries: int = QUERIES,
    start: StageResult | None = None,
) -> StageResult:
    """Replace some of k pixels by others, at random, and keep what lowers the margin.

    Args:
        images: uint8 (B, C, H, W).
        labels, indices: (B,); with the seed, an index fixes an image's random numbers.
        pixels: k.
        queries: candidates an image, at most.
        start: warm start: edits of at most k pixels to begin with; by default k at random.
    """
    height, width = images.shape[2:]
    keys = random.keys_for(seed, indices.to(oracle.device))
    pixels = min(pixels, height * width)
    places, colours = _first(keys, pixels, height * width, start, width, images.shape[1])
    best_places, best_colours = places.clone(), colours.clone()
    blank = StageResult.blank(images, oracle.device)
    margin, flipped, spent = blank.margin, blank.flipped, blank.queries
    for step in range(queries):
        rows = (~flipped).nonzero()[:, 0]
        if not len(rows):
            break
        if step:
            places, colours = _replaced(
                keys[rows], step, queries, best_places[rows], best_colours[rows], height * width
            )
        xy = _coordinates(places, width)
        logits = oracle.query_small(
            Perturbations.of_each(images[rows], xy[:, None], colours[:, None])
        )
        found = logit_margin(logits, labels[rows])
        hit = logits.argmax(1) != labels[rows]
        if not oracle.exact and bool(hit.any()):
            edited = apply_edits(images[rows[hit]], xy[hit], colours[hit])
            hit[hit.clone()] = oracle.verify_float32(edited).argmax(1) != labels[rows[hit]]
        better = hit | (found <= margin[rows])
        chosen = rows[better]
        best_places[chosen], best_colours[chosen] = places[better], colours[better]
        margin[chosen] = found[better]
        spent[rows] += 1
        flipped[rows] |= hit
    return StageResult(_coordinates(best_places, width), best_colours, margin, flipped, spent)


def _first(
    keys: Tensor, pixels: int, area: int, start: StageResult | None, width: int, channels: int
) -> tuple[Tensor, Tensor]:
    """The k pixels to begin with: places (B, k) and colours (B, k, C)."""
    if start is not None and start.positions.shape[1]:
        start = start.padded(pixels)
        return start.positions[..., 1] * width + start.positions[..., 0], start.colours
    places = random.uniform(keys, _PLACE, (area,)).argsort(dim=1, stable=True)[:, :pixels]
    palette = corners_of(channels).to(keys.device)
    corners = random.integers(keys, _COLOUR, (pixels,), len(palette))
    return places, palette[corners]


def _replaced(
    keys: Tensor, step: int, queries: int, places: Tensor, colours: Tensor, area: int
) -> tuple[Tensor, Tensor]:
    """Some of the k pixels exchanged for others, in new colours.

    Where every pixel is among the k already, only colours change.
    """
    count, pixels = places.shape
    changed = max(1, int(_alpha(step / queries) * pixels))
    stream = step * _STREAMS
    order = random.uniform(keys, stream + _LEAVE, (pixels,)).argsort(dim=1, stable=True)
    leaving = order[:, :changed]
    coming = random.integers(keys, stream + _PLACE, (changed,), area)
    rows = torch.arange(count, device=keys.device)[:, None]
    places, colours = places.clone(), colours.clone()
    taken = (coming[:, :, None] == places[:, None, :]).any(2)
    places[rows, leaving] = torch.where(taken, places[rows, leaving], coming)
    palette = corners_of(colours.shape[2]).to(keys.device)
    corners = random.integers(keys, stream + _COLOUR, (changed,), len(palette))
    colours[rows, leaving] = palette[corners]
    return places, colours


def _alpha(progress: float) -> float:
    """The share to replace at `progress` in [0, 1]."""
    done = int(progress * 10_000)
    return ALPHA / max((part for start, part in SCHEDULE if done > start), default=1)


def _coordinates(places: Tensor, width: int) -> Tensor:
    return torch.stack([places % width, places // width], dim=-1)
