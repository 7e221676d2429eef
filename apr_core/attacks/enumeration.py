"""Attacks that try a list of one-pixel edits, one after the other, until one flips the image.

Lists are walked in blocks for all images at once; an image leaves at its first flip. The edits of
a block are drawn and scored in the oracle's chunks, so that memory depends on neither the number
of images nor their size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from apr_core.attacks.confirmation import confirm_flips
from apr_core.attacks.gradient import loss_gradient, score_pixels
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.attacks.pixels import apply_edits
from apr_core.attacks.stage_result import StageResult
from apr_core.base import random
from apr_core.models.inference import evaluating
from apr_core.models.inputs import as_input
from apr_core.models.outputs import logit_margin

CORNERS = torch.tensor(list(product((0, 255), repeat=3)))
"""The eight corners of the RGB cube, (8, 3)."""
GRID = torch.tensor(list(product((0, 64, 128, 191, 255), repeat=3)))
"""Five levels a channel, (125, 3)."""
REFINED = 64
"""Positions that the grid is tried at."""
TOP = 16
"""Pixels that the gradient names."""
CHUNKS_A_BLOCK = 8
GRADIENT_CHUNK = 64
"""Images whose gradients are taken together."""

Listing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Rows (A,) and places (n,) in the list -> positions (A, n, 2) and colours (A, n, 3)."""


def try_in_turn(
    oracle: ModelOracle,
    images: Tensor,
    labels: Tensor,
    listing: Listing,
    total: int,
    stop_on_success: bool = True,
    keep: bool = False,
) -> StageResult:
    """Try a list of `total` edits on each image.

    Args:
        images: uint8 (B, C, H, W).
        labels: (B,).
        listing: what stands in each image's list.
        stop_on_success: early stopping: whether an image is done with at its first flip.
        keep: keep the margin of every edit; of an image that left, of those that were tried.
    """
    device, count = oracle.device, len(images)
    best = StageResult.nothing(count, device)
    positions = torch.zeros(count, 1, 2, dtype=torch.int64, device=device)
    colours = torch.zeros(count, 1, 3, dtype=torch.int64, device=device)
    margin, flipped, queries = best.margin.clone(), best.flipped.clone(), best.queries.clone()
    margins = torch.full((count, total if keep else 0), float("inf"), device=device)
    first = 0
    while first < total:
        rows = (~(flipped & stop_on_success)).nonzero()[:, 0]
        if not len(rows):
            break
        size = min(total - first, max(1, CHUNKS_A_BLOCK * oracle.chunk // len(rows)))
        places = torch.arange(first, first + size, device=device)
        xy, rgb = listing(rows, places)
        logits = score_each(oracle, images[rows], xy, rgb)
        truth = labels[rows].repeat_interleave(size)
        found = logit_margin(logits, truth).view(len(rows), size)
        wrong = (logits.argmax(1) != truth).view(len(rows), size)
        wrong &= ~flipped[rows][:, None]
        slot = _first_flips(oracle, images[rows], labels[rows], xy, rgb, wrong)
        here = torch.arange(len(rows), device=device)
        hit = slot < size
        slot = torch.where(hit, slot, found.argmin(1)).clamp(max=size - 1)
        better = (hit | (found[here, slot] < margin[rows])) & ~flipped[rows]
        chosen, at = rows[better], slot[better]
        positions[chosen, 0] = xy[better, at]
        colours[chosen, 0] = rgb[better, at]
        margin[chosen] = found[better, at]
        counted = ~flipped[rows]
        spent = torch.where(hit, first + slot + 1, first + size)
        queries[rows[counted]] = spent[counted]
        flipped[rows] |= hit
        if keep:
            margins[rows, first : first + size] = found
        first += size
    return StageResult(positions, colours, margin, flipped, queries, margins if keep else None)


def score_each(oracle: ModelOracle, images: Tensor, xy: Tensor, rgb: Tensor) -> Tensor:
    """Logits (A n, K) of n one-pixel edits (A, n, 2) and (A, n, 3) of each of A images."""
    owner = torch.arange(len(images), device=images.device).repeat_interleave(xy.shape[1])
    edits = Perturbations(images, owner, xy.flatten(0, 1)[:, None], rgb.flatten(0, 1)[:, None])
    return oracle.query(edits)


def _first_flips(
    oracle: ModelOracle, images: Tensor, labels: Tensor, xy: Tensor, rgb: Tensor, wrong: Tensor
) -> Tensor:
    """The place (A,) of each image's first flip that the model itself confirms; n for none."""

    def upheld(row: Tensor, at: Tensor) -> Tensor:
        edited = apply_edits(images[row], xy[row, at][:, None], rgb[row, at][:, None])
        return oracle.verify_float32(edited).argmax(1) != labels[row]

    size = wrong.shape[1]
    if not oracle.exact:
        places = torch.arange(size, device=wrong.device, dtype=torch.float32).expand_as(wrong)
        wrong = confirm_flips(wrong, places, upheld)
    return torch.where(wrong.any(1), wrong.long().argmax(1), size)


def corner_sweep(
    oracle: ModelOracle, images: Tensor, labels: Tensor, seed: int = 0, stop_on_success: bool = True
) -> StageResult:
    """Every pixel in each of the eight corner colours: exhaustive on those.

    The list is shuffled, the same way for every image, so that how soon an image falls says
    something. The `margins` found are (B, 8 H W) by row, column and corner.
    """
    height, width = images.shape[2:]
    total = height * width * len(CORNERS)
    key = random.keys_for(seed, torch.zeros(1, dtype=torch.int64))
    order = random.uniform(key, 0, (total,))[0].argsort(stable=True).to(oracle.device)
    corners = CORNERS.to(oracle.device)

    def listing(rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        pixel, corner = order[places] // len(corners), order[places] % len(corners)
        xy = torch.stack([pixel % width, pixel // width], dim=1)
        return xy.expand(len(rows), -1, -1), corners[corner].expand(len(rows), -1, -1)

    found = try_in_turn(oracle, images, labels, listing, total, stop_on_success, keep=True)
    assert found.margins is not None
    ordered = torch.empty_like(found.margins).index_copy_(1, order, found.margins)
    return replace(found, margins=ordered)


def refine_colours(
    oracle: ModelOracle, images: Tensor, labels: Tensor, corner_margins: Tensor
) -> StageResult:
    """A grid of 125 colours at the positions where some corner colour does the most damage.

    Args:
        corner_margins: (B, 8 H W), as `corner_sweep` keeps them.
    """
    width = images.shape[3]
    damage = corner_margins.view(len(images), -1, len(CORNERS)).amin(2)  # dim -> (B, H W)
    worst = damage.topk(min(REFINED, damage.shape[1]), largest=False).indices
    return _at_positions(oracle, images, labels, worst, GRID, width)


def top_gradient(oracle: ModelOracle, images: Tensor, labels: Tensor) -> StageResult:
    """The eight corner colours at the pixels that the gradient names: cheap, and misses many.

    Raises:
        InputError: the model cannot be differentiated.
    """
    scores = torch.cat(
        [
            score_pixels(as_input(part), input_gradient(oracle, part, truth)).flatten(1)
            for part, truth in zip(
                torch.split(images, GRADIENT_CHUNK),
                torch.split(labels, GRADIENT_CHUNK),
                strict=True,
            )
        ]
    )
    worst = scores.topk(min(TOP, scores.shape[1])).indices
    return _at_positions(oracle, images, labels, worst, CORNERS, images.shape[3])


def _at_positions(
    oracle: ModelOracle, images: Tensor, labels: Tensor, pixels: Tensor, palette: Tensor, width: int
) -> StageResult:
    """Every colour of a palette (P, 3) at each image's pixels (B, n), in that order."""
    palette = palette.to(oracle.device)

    def listing(rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        pixel = pixels[rows][:, places // len(palette)]
        xy = torch.stack([pixel % width, pixel // width], dim=2)
        return xy, palette[places % len(palette)].expand(len(rows), -1, -1)

    return try_in_turn(oracle, images, labels, listing, pixels.shape[1] * len(palette))


def input_gradient(oracle: ModelOracle, images: Tensor, labels: Tensor) -> Tensor:
    """Gradient (B, C, H, W) of each image's loss, at uint8 images (B, C, H, W).

    Raises:
        InputError: the model cannot be differentiated.
    """
    with torch.enable_grad(), evaluating(oracle.model):
        probe = as_input(images).requires_grad_()
        return loss_gradient(oracle.answer(probe), labels, probe)
