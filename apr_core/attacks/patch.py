"""Patches: squares of a picture replaced by any content, where the gradient says they do the most.

Sparse-RS finds them without a gradient (`apr_core.attacks.sparse_rs_patch`).
Dimensions: B images, C channels, N candidates, s the side of a patch.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.attacks.gradient import loss_gradient, margin_loss
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.stage_result import StageResult
from apr_core.base.types import InputError
from apr_core.models.inference import evaluating, scale_chunk
from apr_core.models.inputs import as_input
from apr_core.models.outputs import logit_margin

SIDES = (1, 64)
TARGETS = 9
"""Classes besides the true one towards which a patch is tried, the likeliest first."""
TRIED = 128
"""Places and contents of an image that the gradient names, and that the model is asked about."""
REFINED = 4
"""Of those, how many the gradient then goes on with."""
STEPS = 40
FIRST_STEP, LAST_STEP = 0.25, 1 / 255
"""Of the refinement, in units of the [0, 1] image; it shrinks evenly in between."""
CHUNK = 32
"""Images of 32 x 32 whose gradients are taken together."""


def check_side(side: int, height: int, width: int) -> None:
    """Refuse a patch that the picture has no room for.

    Raises:
        InputError: it is larger than the picture.
    """
    if side > min(height, width):
        raise InputError(
            f"A patch of {side} × {side} does not fit a picture of {width} × {height}; use a "
            "smaller --side."
        )


def paste(images: Tensor, corners: Tensor, content: Tensor) -> Tensor:
    """Copies of images with a patch each.

    Args:
        images: (N, C, H, W).
        corners: (N, 2), x and y of each patch's upper left pixel.
        content: (N, C, s, s), of the images' type; a gradient goes through it.

    Returns:
        (N, C, H, W).
    """
    return images.index_put(_square(images, corners, content.shape[2]), content)


def _square(images: Tensor, corners: Tensor, side: int) -> tuple[Tensor, ...]:
    """Where images (N, C, H, W) have the squares at corners (N, 2), as indices."""
    rows = torch.arange(len(images), device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[:, None, None]
    along = torch.arange(side, device=images.device)
    x, y = corners[:, :, None, None, None].unbind(1)
    return rows, channels, y + along[:, None], x + along


def as_edits(corners: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
    """Patches as edits of their pixels: (N, 2) and (N, C, s, s) -> (N, s^2, 2), (N, s^2, C)."""
    along = torch.arange(content.shape[2], device=corners.device)
    y, x = torch.meshgrid(along, along, indexing="ij")
    positions = corners[:, None] + torch.stack([x.flatten(), y.flatten()], dim=1)
    return positions, content.flatten(2).transpose(1, 2).long()


def gradient_patch(oracle: ModelOracle, images: Tensor, labels: Tensor, side: int) -> StageResult:
    """The place and content that the gradient names, refined by more of its steps.

    At every place, and towards each of the likeliest classes, the first-order change of the logit
    margin is largest for a content of corner colours. The model is asked about those `TRIED` that
    promise most, and signed steps refine the `REFINED` that did most, each at its place. On a
    linear model the first of them is the best that any patch can do.

    Args:
        images: uint8 (B, C, H, W).
        labels: (B,).

    Raises:
        InputError: the model gives no gradient, or a picture is smaller than the patch.
    """
    check_side(side, *images.shape[2:])
    chunk = scale_chunk(CHUNK, oracle.device, *images.shape[2:])
    parts = [
        _climbed(oracle, images[first : first + chunk], labels[first : first + chunk], side)
        for first in range(0, len(images), chunk)
    ]
    corners, contents, queries = (torch.cat(part) for part in zip(*parts, strict=True))
    return _judged(oracle, images, labels, corners, contents, queries)


def _climbed(
    oracle: ModelOracle, images: Tensor, labels: Tensor, side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best corners (n, 2) and contents (n, C, s, s) of a few images, and queries (n,)."""
    corners, contents = _named(oracle, images, labels, side)
    margins = _margins(oracle, images, labels, corners, contents)
    worst = margins.topk(min(REFINED, margins.shape[1]), largest=False).indices
    rows = torch.arange(len(images), device=images.device)
    queries = torch.full_like(labels, margins.shape[1])
    corners, contents, margins = (
        part[rows[:, None], worst] for part in (corners, contents, margins)
    )
    left = (margins[:, 0] >= 0).nonzero()[:, 0]
    if len(left):
        few = (images[left], labels[left], corners[left])
        contents[left] = _refined(oracle, *few, contents[left])
        margins[left] = _margins(oracle, *few, contents[left])
        queries[left] += worst.shape[1] * (STEPS + 1)
    best = margins.argmin(1)
    return corners[rows, best], contents[rows, best], queries


def _named(oracle: ModelOracle, images: Tensor, labels: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """What the gradient of the clean images names: corners (n, N, 2), uint8 (n, N, C, s, s)."""
    with torch.enable_grad(), evaluating(oracle.model):
        probe = as_input(images).requires_grad_()
        clean = oracle.answer(probe).detach()
        others = clean.scatter(1, labels[:, None], -torch.inf)
        targets = others.topk(min(TARGETS, clean.shape[1] - 1)).indices  # (n, T)
        slopes = [
            loss_gradient(oracle.answer(probe), one, probe, loss=partial(_lead, labels))
            for one in targets.unbind(1)
        ]
    slope, shown = torch.stack(slopes, dim=1), probe.detach()[:, None]  # dim -> (n, T, C, H, W)
    lead = clean.gather(1, targets) - clean.gather(1, labels[:, None])
    rise = torch.maximum(slope * (1 - shown), -slope * shown).sum(2)
    promised = F.avg_pool2d(rise, side, stride=1) * side**2 + lead[:, :, None, None]
    across, places = promised.shape[3], promised[0, 0].numel()
    chosen = promised.flatten(1).topk(min(TRIED, promised[0].numel())).indices  # (n, N)
    target, place = chosen // places, chosen % places
    corners = torch.stack([place % across, place // across], dim=2)
    rows = torch.arange(len(images), device=images.device)[:, None].expand_as(target)
    rising = slope[rows.flatten(), target.flatten()] > 0
    square = rising[_square(rising, corners.flatten(0, 1), side)]
    contents = (255 * square).to(torch.uint8)
    return corners, contents.view(*target.shape, *contents.shape[1:])


def _lead(labels: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """The logits of the targets (n,) minus those of the labels (n,), added up."""
    logits = logits.float()
    return (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).sum()


def _margins(
    oracle: ModelOracle, images: Tensor, labels: Tensor, corners: Tensor, contents: Tensor
) -> Tensor:
    """Logit margins (n, N) of images with each of N patches: (n, N, 2) and (n, N, C, s, s)."""
    count = corners.shape[1]
    found = [
        oracle.query_images(paste(image.expand(count, -1, -1, -1), places, squares))
        for image, places, squares in zip(images, corners, contents, strict=True)
    ]
    return logit_margin(torch.stack(found), labels[:, None])


def _refined(
    oracle: ModelOracle, images: Tensor, labels: Tensor, corners: Tensor, contents: Tensor
) -> Tensor:
    """The best of each patch's contents on the way along the gradient's sign, (n, N, C, s, s)."""
    count = corners.shape[1]
    shown = as_input(images).repeat_interleave(count, 0)
    label, places = labels.repeat_interleave(count), corners.flatten(0, 1)
    now = best = as_input(contents.flatten(0, 1))
    least = torch.full((len(now),), torch.inf, device=now.device)
    with torch.enable_grad(), evaluating(oracle.model):
        for step in [*torch.linspace(FIRST_STEP, LAST_STEP, STEPS).tolist(), 0.0]:
            now = now.detach().requires_grad_()
            logits = oracle.answer(paste(shown, places, now))
            margin = logit_margin(logits.detach(), label)
            best = torch.where((margin < least)[:, None, None, None], now.detach(), best)
            least = torch.minimum(least, margin)
            slope = loss_gradient(logits, label, now, loss=margin_loss)
            now = (now.detach() + step * slope.sign()).clamp(0, 1)
    return (255 * best).round().to(torch.uint8).view_as(contents)


def _judged(
    oracle: ModelOracle,
    images: Tensor,
    labels: Tensor,
    corners: Tensor,
    contents: Tensor,
    queries: Tensor,
) -> StageResult:
    """What the model itself says of one patch an image."""
    logits = oracle.verify_float32(paste(images, corners, contents))
    flipped, margin = logits.argmax(1) != labels, logit_margin(logits, labels)
    return StageResult(*as_edits(corners, contents), margin, flipped, queries)
