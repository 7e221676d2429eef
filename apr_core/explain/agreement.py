"""Agreement of maps, with each other and with the truth map: rank correlation and overlap.

Maps are (B, H, W), one an image. They are compared by the order in which they put the pixels, for
their units differ; a sign counts as written, so give `maps.abs()` where only weight matters. Pixels
that are not finite in both maps are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.attacks.truth_map import TruthMap
from apr_core.base.types import InputError

TOP = 0.1
"""Share of a map's pixels that count as its strongest, unless another is asked for."""


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


def rank_correlation(one: Tensor, other: Tensor) -> tuple[float | None, ...]:
    """Spearman's correlation of each pair of maps, in [-1, 1], ties sharing their mean rank.

    Returns:
        B values; None where a map is constant, or fewer than two pixels are finite: it puts the
        pixels in no order, and there is nothing to correlate.

    Raises:
        InputError: the maps' shapes differ.
    """
    return tuple(_spearman(first, second) for first, second in _pairs(one, other))


def top_overlap(one: Tensor, other: Tensor, share: float = TOP) -> tuple[Overlap, ...]:
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


def percentile_rank(heat: Tensor, x: int, y: int) -> float:
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
