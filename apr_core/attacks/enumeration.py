"""Enumeration attacks: lists of one-pixel edits, tried in turn until one flips the image.

Lists are walked in blocks for all images at once; an image leaves at its first flip. Edits are
drawn and scored in the oracle's chunks, so that memory depends on neither the number of images nor
their size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product

import torch
from torch import Tensor

from apr_core.attacks.confirmation import confirm_flips
from apr_core.attacks.gradient import loss_gradient, score_pixels
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations, apply_edits
from apr_core.attacks.stage_result import StageResult
from apr_core.base import random
from apr_core.models.inference import evaluating, scale_chunk
from apr_core.models.inputs import RGB, as_input
from apr_core.models.outputs import in_chunks, logit_margin

COLOURS_OF_GRID = 125
"""Of the grid: five levels a channel, or as many greys."""
REFINED = 64
"""Positions that the grid is tried at."""
TOP = 16
"""Pixels that the gradient names."""
CHUNKS_A_BLOCK = 8
GRADIENT_CHUNK = 64
"""Images of 32 x 32 whose gradients are taken together."""

LARGE = 64 * 64
"""Pixels of an image; in a larger one it would take too long to try them all."""

Listing = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Rows (A,) and places (n,) in the list -> positions (A, n, 1, 2) and colours (A, n, 1, C)."""


@cache
def corners_of(channels: int) -> Tensor:
    """The corners of the cube of colours, black first and white last: (2^C, C)."""
    return torch.tensor(list(product((0, 255), repeat=channels)))


def grid_of(channels: int) -> Tensor:
    """Colours from all over the cube, evenly spaced: (125, C) for one channel or three."""
    levels = round(COLOURS_OF_GRID ** (1 / channels))
    values = torch.linspace(0, 255, levels).round().long().tolist()
    return torch.tensor(list(product(values, repeat=channels)))


CORNERS = corners_of(RGB)
"""The eight corners of the RGB cube, (8, 3)."""
GRID = grid_of(RGB)
"""Five levels a channel, (125, 3)."""


def corner_sweep(
    oracle: ModelOracle,
    images: Tensor,
    labels: Tensor,
    seed: int = 0,
    stop_on_success: bool = True,
) -> StageResult:
    """Every pixel in each of the corner colours, eight or, in grey, two: exhaustive on those.

    The list is shuffled, the same way for every image, so that how soon an image falls says
    something. The `margins` found are (B, 2^C H W) by row, column and corner.

    Args:
        images: uint8 (B, C, H, W).
        labels: (B,).
        stop_on_success: early stopping: whether an image is done with at its first flip.
    """
    channels, height, width = images.shape[1:]
    corners = corners_of(channels).to(oracle.device)
    total = height * width * len(corners)
    key = random.keys_for(seed, torch.zeros(1, dtype=torch.int64))
    order = random.uniform(key, 0, (total,))[0].argsort(stable=True).to(oracle.device)

    def listing(rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        pixel, corner = order[places] // len(corners), order[places] % len(corners)
        edits = _xy(pixel, width), corners[corner][:, None]
        xy, rgb = (part.expand(len(rows), -1, -1, -1) for part in edits)
        return xy, rgb

    found = _try_in_turn(oracle, images, labels, listing, total, stop_on_success)
    assert found.margins is not None
    ordered = torch.empty_like(found.margins).index_copy_(1, order, found.margins)
    return replace(found, margins=ordered)


def refine_colours(
    oracle: ModelOracle, images: Tensor, labels: Tensor, corner_margins: Tensor
) -> StageResult:
    """A grid of 125 colours at the positions where some corner colour does the most damage.

    Args:
        corner_margins: (B, 2^C H W), as `corner_sweep` keeps them.
    """
    count, channels = images.shape[:2]
    damage = corner_margins.view(count, -1, 2**channels).amin(2)  # dim -> (B, H W)
    worst = damage.topk(min(REFINED, damage.shape[1]), largest=False).indices
    return _at_pixels(oracle, images, labels, worst, grid_of(channels))


def top_gradient(oracle: ModelOracle, images: Tensor, labels: Tensor) -> StageResult:
    """The corner colours at the pixels that the gradient names: cheap, and misses many.

    Raises:
        InputError: the model cannot be differentiated.
    """
    every = score_pixels(as_input(images), input_gradient(oracle, images, labels)).flatten(1)
    worst = every.topk(min(TOP, every.shape[1])).indices
    return _at_pixels(oracle, images, labels, worst, corners_of(images.shape[1]))


def gradient_corners(
    oracle: ModelOracle, images: Tensor, labels: Tensor, queries: int
) -> StageResult:
    """Of every pixel in every corner colour, those that raise the loss most to first order.

    A sample: of a large image, most edits are never tried.

    Args:
        queries: how many edits of each image are tried.

    Raises:
        InputError: the model cannot be differentiated.
    """
    palette, width = corners_of(images.shape[1]).to(oracle.device), images.shape[3]
    rises = corner_scores(as_input(images), input_gradient(oracle, images, labels)).flatten(1)
    best = rises.topk(min(queries, rises.shape[1])).indices

    def listing(rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        chosen = best[rows][:, places]
        return _xy(chosen // len(palette), width), palette[chosen % len(palette)][:, :, None]

    found = _try_in_turn(oracle, images, labels, listing, best.shape[1])
    return replace(found, margins=None)


def corner_scores(images: Tensor, gradient: Tensor) -> Tensor:
    """First-order rise of the loss from each corner colour at each pixel.

    Args:
        images: (B, C, H, W) in [0, 1].
        gradient: of the loss with respect to `images`, same shape.

    Returns:
        (B, H W, 2^C).
    """
    corners = corners_of(images.shape[1]).to(images.device) / 255
    channels = zip(
        images.flatten(2).unbind(1), gradient.flatten(2).unbind(1), corners.T, strict=True
    )
    return torch.stack(
        [slope[..., None] * (corner - value[..., None]) for value, slope, corner in channels]
    ).sum(0)


def input_gradient(oracle: ModelOracle, images: Tensor, labels: Tensor) -> Tensor:
    """Gradient of the loss with respect to each image, uint8 (B, C, H, W) -> float32 of its shape.

    Raises:
        InputError: the model cannot be differentiated, or memory lacks for a single image.
    """

    def gradient(first: int, last: int) -> Tensor:
        probe = as_input(images[first:last]).requires_grad_()
        return loss_gradient(oracle.answer(probe), labels[first:last], probe)

    chunk = scale_chunk(GRADIENT_CHUNK, oracle.device, *images.shape[2:])
    with torch.enable_grad(), evaluating(oracle.model):
        return in_chunks(gradient, len(images), chunk)[0]


def _at_pixels(
    oracle: ModelOracle, images: Tensor, labels: Tensor, pixels: Tensor, palette: Tensor
) -> StageResult:
    """Every colour of a palette (Q, C) at each image's pixels (B, n), in that order."""
    palette = palette.to(oracle.device)

    def listing(rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        xy = _xy(pixels[rows][:, places // len(palette)], images.shape[3])
        return xy, palette[places % len(palette)][:, None].expand(len(rows), -1, -1, -1)

    total = pixels.shape[1] * len(palette)
    return replace(_try_in_turn(oracle, images, labels, listing, total), margins=None)


def is_large(height: int, width: int) -> bool:
    """Whether an image has too many pixels for all of them to be tried."""
    return height * width > LARGE


def _xy(pixels: Tensor, width: int) -> Tensor:
    """Flat places (..., n) -> positions (..., n, 1, 2) as x, y."""
    return torch.stack([pixels % width, pixels // width], dim=-1)[..., None, :]


def _try_in_turn(
    oracle: ModelOracle,
    images: Tensor,
    labels: Tensor,
    listing: Listing,
    total: int,
    stop_on_success: bool = True,
) -> StageResult:
    """Try a list of `total` edits on each image.

    Its `margins` (B, total) are of every edit; of an image that left, of those that were tried.
    """
    best = StageResult.blank(images, oracle.device, pixels=1)
    margins = torch.full((len(images), total), float("inf"), device=oracle.device)
    oracle.fit(images)
    first = 0
    while first < total:
        rows = (~(best.flipped & stop_on_success)).nonzero()[:, 0]
        if not len(rows):
            break
        size = min(total - first, max(1, CHUNKS_A_BLOCK * oracle.chunk // len(rows)))
        xy, rgb = listing(rows, torch.arange(first, first + size, device=oracle.device))
        logits = oracle.query(Perturbations.of_each(images[rows], xy, rgb)).view(
            len(rows), size, -1
        )
        truth, before = labels[rows][:, None], best.at(rows)
        found = logit_margin(logits, truth)
        margins[rows, first : first + size] = found
        wrong = (logits.argmax(2) != truth) & ~before.flipped[:, None]
        slot = _first_flips(oracle, images[rows], labels[rows], xy, rgb, wrong)
        hit = slot < size
        spent = first + torch.where(hit, slot + 1, size)
        slot = torch.where(hit, slot, found.argmin(1))
        here = torch.arange(len(rows), device=oracle.device)
        step = StageResult(xy[here, slot], rgb[here, slot], found[here, slot], hit, spent)
        best = best.put(before.improved(step), rows)
        first += size
    return replace(best, margins=margins)


def _first_flips(
    oracle: ModelOracle, images: Tensor, labels: Tensor, xy: Tensor, rgb: Tensor, wrong: Tensor
) -> Tensor:
    """The place (A,) of each image's first flip that the model itself confirms; n for none."""

    def upheld(row: Tensor, at: Tensor) -> Tensor:
        edited = apply_edits(images[row], xy[row, at], rgb[row, at])
        return oracle.verify_float32(edited).argmax(1) != labels[row]

    size = wrong.shape[1]
    if not oracle.exact:
        places = torch.arange(size, device=wrong.device, dtype=torch.float32).expand_as(wrong)
        wrong = confirm_flips(wrong, places, upheld)
    return torch.where(wrong.any(1), wrong.long().argmax(1), size)
