"""Rates with their intervals, and tests between models on shared images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """A share with its interval.

    Attributes:
        count, total: what the share is of.
        rate: the share; None of nothing, also where a record of old says 0.
        low, high: Wilson's interval at `CONFIDENCE`; of nothing, 0 to 1.
    """

    count: int
    total: int
    rate: float | None
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.total:
            object.__setattr__(self, "rate", None)

    @property
    def share(self) -> float:
        """The rate, of something: that `total` is not 0 is the caller's to see to."""
        assert self.rate is not None, "a rate of nothing"
        return self.rate


def rate_of(count: int, total: int) -> Rate:
    """`count` of `total`, with Wilson's score interval (1927)."""
    if total == 0:
        return Rate(0, 0, None, 0.0, 1.0)
    share, z = count / total, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    spread = 1 + z * z / total
    middle = (share + z * z / (2 * total)) / spread
    reach = z / spread * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low = 0.0 if count == 0 else middle - reach
    high = 1.0 if count == total else middle + reach
    return Rate(count, total, share, low, high)


@dataclass(frozen=True)
class Mean:
    """A mean over independent runs, with Student's t interval; none for a single run."""

    mean: float
    low: float | None
    high: float | None
    runs: int


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of independent runs and its interval at `CONFIDENCE`."""
    middle = mean(values)
    if len(values) < 2:
        return Mean(middle, None, None, len(values))
    from scipy.stats import t  # noqa: PLC0415  slow to import, and needed for tables alone

    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values)
    reach /= math.sqrt(len(values))
    return Mean(middle, middle - reach, middle + reach, len(values))


@dataclass(frozen=True)
class Paired:
    """Two models on the same images: which of these are broken for them, or otherwise counted.

    Attributes:
        images: how many those are.
        both: broken for both.
        first_only, second_only: broken for one of them alone.
        p_value: McNemar's exact test that both are broken equally often, two-sided.
    """

    images: int
    both: int
    first_only: int
    second_only: int
    p_value: float

    @property
    def rates(self) -> tuple[float, float]:
        """What share of these images is broken for the first, and for the second."""
        found = (self.both + self.first_only, self.both + self.second_only)
        return found[0] / self.images, found[1] / self.images


def paired(first: dict[int, bool], second: dict[int, bool]) -> Paired:
    """Compare which images of those tried on both models (by index) were broken."""
    shared = first.keys() & second.keys()
    first_only = sum(first[index] and not second[index] for index in shared)
    second_only = sum(second[index] and not first[index] for index in shared)
    both = sum(first[index] and second[index] for index in shared)
    return Paired(len(shared), both, first_only, second_only, mcnemar(first_only, second_only))


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval at `CONFIDENCE`."""

    value: float
    low: float
    high: float

    def at_least(self, bound: float) -> bool | None:
        """Whether the whole interval lies at or over a bound, or under it; None for neither."""
        if self.low >= bound:
            return True
        return False if self.high < bound else None

    def at_most(self, bound: float) -> bool | None:
        """Whether the whole interval lies at or under a bound, or over it; None for neither."""
        if self.high <= bound:
            return True
        return False if self.low > bound else None


def reduction(found: Paired) -> Estimate | None:
    """By what share the second model is broken less often than the first, on shared images.

    One less the ratio of two paired proportions, with Wald's interval of its logarithm (Nam and
    Blackwelder, 2002); None where one of them is never broken, which that has no interval for.
    """
    first, second = found.both + found.first_only, found.both + found.second_only
    if not first or not second:
        return None
    ratio = second / first
    spread = math.sqrt((found.first_only + found.second_only) / (first * second))
    reach = math.exp(NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * spread)
    return Estimate(1 - ratio, 1 - ratio * reach, 1 - ratio / reach)


def paired_difference(found: Paired) -> Estimate:
    """The second model's share less the first's, on shared images.

    The interval is Agresti and Min's (2005): Wald's, with half an image more in each of the four
    cells, so that it has a width where the two never differ.
    """
    value = (found.second_only - found.first_only) / found.images
    images, apart = found.images + 2, found.first_only + found.second_only + 1
    middle = (found.second_only - found.first_only) / images
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    reach *= math.sqrt(apart - images * middle * middle) / images
    return Estimate(value, max(-1.0, middle - reach), min(1.0, middle + reach))


def difference(first: Rate, second: Rate) -> Estimate:
    """The first share less the second, as of independent samples (Newcombe, 1998, method 10)."""
    found = first.share - second.share
    low = math.hypot(first.share - first.low, second.high - second.share)
    high = math.hypot(first.high - first.share, second.share - second.low)
    return Estimate(found, found - low, found + high)


def mcnemar(first_only: int, second_only: int) -> float:
    """McNemar's exact p-value from the two discordant counts."""
    total = first_only + second_only
    tail = sum(math.comb(total, k) for k in range(min(first_only, second_only) + 1))
    return min(1.0, float(2 * tail / 2**total))


def success_curve(queries: Sequence[int], total: int) -> list[tuple[int, float]]:
    """Share of `total` images broken within so many queries, at each count where it rises.

    Args:
        queries: of each image that was broken, up to its flip.
    """
    curve: list[tuple[int, float]] = []
    for broken, spent in enumerate(sorted(queries), start=1):
        if curve and curve[-1][0] == spent:
            curve.pop()
        curve.append((spent, broken / total))
    return curve
