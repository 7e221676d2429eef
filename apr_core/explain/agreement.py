"""How far maps agree: with each other, with what the model does, and with what breaks it.

Maps are (B, H, W), one an image. They are compared by the order in which they put the pixels, for
their units differ; a sign counts as written, so give `maps.abs()` where only weight matters. Pixels
that are not finite in both maps are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apr_core import random
from apr_core.attacks.scoring import check_logits, default_chunk
from apr_core.attacks.truth_map import TruthMap
from apr_core.explain.attention import check_images, own_copy
from apr_core.explain.attributions import check_targets
from apr_core.models.inference import device_of
from apr_core.types import InputError

BLUR = 1 / 8
"""Standard deviation of the blur that an insertion starts from, as a share of the shorter side."""


@dataclass(frozen=True)
class Overlap:
    """The strongest pixels of two maps.

    Attributes:
        shared: of the `count` strongest pixels of either, the share that both have, in [0, 1].
        chance: what two maps that know nothing of each other share on average.
        count: how many pixels that is.
    """

    shared: float
    chance: float
    count: int


@dataclass(frozen=True, eq=False)
class Curve:
    """The target's probability while pixels go, or come, the most important first.

    Attributes:
        shares: of the pixels that have gone or come, (S + 1,) from 0 to 1.
        probabilities: (B, S + 1).
        areas: under each curve, (B,) in [0, 1].
    """

    shares: Tensor
    probabilities: Tensor
    areas: Tensor


def rank_correlation(one: Tensor, other: Tensor) -> tuple[float | None, ...]:
    """Spearman's correlation of each pair of maps, in [-1, 1], ties sharing their mean rank.

    Returns:
        B values; None where a map is constant, or fewer than two pixels are finite: it puts the
        pixels in no order, and there is nothing to correlate.

    Raises:
        InputError: the maps' shapes differ.
    """
    return tuple(_spearman(first, second) for first, second in _pairs(one, other))


def top_overlap(one: Tensor, other: Tensor, share: float = 0.1) -> tuple[Overlap, ...]:
    """Of the strongest pixels of one map, the share that are among the other's.

    Pixels that tie for the last places have them in equal parts, which is what breaking the ties
    at random gives on average; so a constant map overlaps with any other as chance has it.

    Args:
        share: of the pixels that count as strongest, in (0, 1]; at least one pixel does.

    Returns:
        B of them; for a pair with no finite pixel, of none.

    Raises:
        InputError: the maps' shapes differ, or the share is out of range.
    """
    if not 0 < share <= 1:
        raise InputError(f"share is {share}, but must lie above 0 and be at most 1; try 0.1.")
    return tuple(_overlap(first, second, share) for first, second in _pairs(one, other))


def standing(heat: Tensor, x: int, y: int) -> float:
    """The share of a map's (H, W) other pixels that pixel (x, y) outweighs, ties counted half.

    0.5 is what a pixel picked at random has on average; 1 says that the map points at this one.

    Raises:
        InputError: there is no such pixel.
    """
    height, width = heat.shape
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(f"There is no pixel ({x}, {y}) in a map of {width} × {height}.")
    below = int((heat < heat[y, x]).sum())
    tied = int((heat == heat[y, x]).sum()) - 1
    return (below + tied / 2) / max(1, heat.numel() - 1)


def vulnerability(truth: TruthMap) -> Tensor:
    """How easily each pixel breaks the model: minus the least margin over the corner colours.

    Returns:
        (H, W) float32, above 0 where it is broken; minus infinity where none was tried, which
        every comparison here leaves out.
    """
    return -truth.margins


def vulnerability_correlation(maps: Tensor, truth: TruthMap) -> tuple[float | None, ...]:
    """Spearman's correlation of each map of one image, (B, H, W), with its vulnerability.

    Raises:
        InputError: the maps are of another size than the truth map.
    """
    wanted = vulnerability(truth)
    return rank_correlation(maps, wanted.expand(len(maps), *wanted.shape))


def deletion_curve(
    model: nn.Module, images: Tensor, targets: Tensor, maps: Tensor, steps: int = 32
) -> Curve:
    """Pixels turn black, the strongest of the map first (Petsiuk, Das and Saenko, 2018).

    A map that knows what the model looks at makes the probability fall early: a small area. But
    black pixels strewn about upset a network wherever they lie, so hold the area against that of a
    map of noise.

    Args:
        model: images (B, 3, H, W) in [0, 1] -> logits (B, K); a copy of it is asked.
        images: (B, 3, H, W) float in [0, 1].
        targets: (B,) whole numbers, classes.
        maps: (B, H, W), finite; ties are broken by a fixed shuffle.
        steps: S, from the whole image to none of it.

    Raises:
        InputError: any of these does not fit.
    """
    check_images(images)
    return _curve(model, images, torch.zeros_like(images), targets, maps, steps)


def insertion_curve(
    model: nn.Module, images: Tensor, targets: Tensor, maps: Tensor, steps: int = 32
) -> Curve:
    """Pixels come into the blurred image, the strongest of the map first (the same authors).

    The blur leaves no sharp edge of its own for the model to answer to. A map that knows what the
    model looks at makes the probability rise early: a large area. Arguments and errors are those of
    `deletion_curve`.
    """
    check_images(images)
    return _curve(model, blurred(images), images, targets, maps, steps)


def blurred(images: Tensor) -> Tensor:
    """A Gaussian blur of `BLUR`, cut at two standard deviations: (B, C, H, W), edges repeated."""
    channels, deviation = images.shape[1], BLUR * min(images.shape[2:])
    reach = max(1, round(2 * deviation))
    places = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.softmax(-places.square() / (2 * deviation**2), 0)
    wide = F.pad(images, (reach,) * 4, mode="replicate")
    rows = F.conv2d(wide, weights.expand(channels, 1, 1, -1), groups=channels)
    columns = weights[:, None].expand(channels, 1, -1, 1)
    return F.conv2d(rows, columns, groups=channels).clamp(0, 1)


def _curve(
    model: nn.Module, before: Tensor, after: Tensor, targets: Tensor, maps: Tensor, steps: int
) -> Curve:
    """From `before` to `after` (B, C, H, W), pixel by pixel."""
    count, _, height, width = before.shape
    _check_maps(maps, (count, height, width))
    if not 1 <= steps <= height * width:
        raise InputError(
            f"steps is {steps}, but must lie between 1 and the {height * width} pixels there are."
        )
    shares = torch.arange(steps + 1) / steps
    own = own_copy(model)
    device = device_of(own)
    before, after = (images.detach().to(device).float() for images in (before, after))
    places = _places(maps).view(count, 1, height, width).to(device)
    moved = (shares * height * width).round().to(device)[:, None, None, None]

    def draw(numbers: Tensor) -> Tensor:
        image, stage = numbers // (steps + 1), numbers % (steps + 1)
        return torch.where(places[image] < moved[stage], after[image], before[image])

    numbers = torch.arange(count * (steps + 1), device=device)
    with torch.inference_mode(False), torch.no_grad():
        logits = torch.cat(
            [
                check_logits(own(draw(part)), len(part))
                for part in torch.split(numbers, default_chunk(device))
            ]
        ).cpu()
    check_targets(targets, count, logits.shape[1])
    probabilities = logits.softmax(1).view(count, steps + 1, -1)
    probabilities = probabilities[torch.arange(count), :, targets.cpu()]
    return Curve(shares, probabilities, torch.trapezoid(probabilities, shares))


def _places(maps: Tensor) -> Tensor:
    """Each pixel's place in its map's order, 0 for the strongest: (B, H, W) -> (B, H * W)."""
    flat = maps.detach().flatten(1).cpu()
    shuffle = random.uniform(random.keys_for(0, torch.zeros(1).long()), 0, flat.shape[1:])[0]
    mixed = shuffle.argsort()
    order = mixed[flat[:, mixed].argsort(dim=1, descending=True, stable=True)]
    return order.argsort(dim=1)


def _check_maps(maps: Tensor, shape: tuple[int, int, int]) -> None:
    if tuple(maps.shape) != shape:
        raise InputError(
            f"The maps are of shape {tuple(maps.shape)}, but the images want {shape}; give one map "
            "an image, of its size."
        )
    if not bool(maps.isfinite().all()):
        raise InputError(
            "The maps hold a value that is not finite, and so put the pixels in no order; replace "
            "it first."
        )


def _pairs(one: Tensor, other: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each image's two maps as float64 (N,), where both are finite."""
    if one.ndim != 3 or one.shape != other.shape:
        raise InputError(
            f"Maps of shapes {tuple(one.shape)} and {tuple(other.shape)} cannot be compared; give "
            "both as (B, H, W)."
        )
    pairs = []
    for first, second in zip(one.detach().cpu(), other.detach().cpu(), strict=True):
        known = first.isfinite() & second.isfinite()
        pairs.append((first[known].double(), second[known].double()))
    return pairs


def _spearman(one: Tensor, other: Tensor) -> float | None:
    """Pearson's correlation of the ranks."""
    if len(one) < 2:
        return None
    first, second = (_ranks(values) - (len(values) - 1) / 2 for values in (one, other))
    spread = math.sqrt(float(first.square().sum() * second.square().sum()))
    return float(first @ second) / spread if spread else None


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 0, ties at their mean: (N,) -> (N,) float64."""
    ordered = values.sort().values
    first = torch.searchsorted(ordered, values)
    after = torch.searchsorted(ordered, values, right=True)
    return (first + after - 1).double() / 2


def _overlap(one: Tensor, other: Tensor, share: float) -> Overlap:
    if not len(one):
        return Overlap(0.0, 0.0, 0)
    count = max(1, round(share * len(one)))
    both = float((_membership(one, count) * _membership(other, count)).sum())
    return Overlap(both / count, count / len(one), count)


def _membership(values: Tensor, count: int) -> Tensor:
    """How far each value belongs to the `count` largest, (N,) in [0, 1]; they sum to `count`."""
    last = values.topk(count).values[-1]
    above, tied = values > last, values == last
    return above.double() + tied * ((count - above.sum()) / tied.sum())
