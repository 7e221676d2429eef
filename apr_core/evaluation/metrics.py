"""Statistics: rates with confidence intervals, and paired tests between models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
    """A figure and its interval at `CONFIDENCE`.

    Attributes:
        score: standard errors by which the figure lies over a bound, whose test the interval is of:
            a bound outside the interval has a p-value under 1 - `CONFIDENCE`.
    """

    value: float
    low: float
    high: float
    score: Callable[[float], float] | None = field(default=None, repr=False, compare=False)

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

    def p_value(self, bound: float) -> float:
        """Of the two-sided test that the figure is `bound`; 1 where there is no such test."""
        return math.erfc(abs(self.score(bound)) / math.sqrt(2)) if self.score else 1.0


def share_of(rate: Rate) -> Estimate:
    """A share as an estimate, with the score test that Wilson's interval is of."""

    def score(bound: float) -> float:
        return (rate.share - bound) / math.sqrt(bound * (1 - bound) / rate.total)

    return Estimate(rate.share, rate.low, rate.high, score)


def reduction(found: Paired) -> Estimate | None:
    """By what share the second model is broken less often than the first, on shared images.

    One less the ratio of two paired proportions, with Wald's interval of its logarithm (Nam and
    Blackwelder, 2002); None where one of them is never broken, which that has no interval for.
    """
    first, second = found.both + found.first_only, found.both + found.second_only
    if not first or not second:
        return None
    ratio = second / first
    # two models that are broken on the same images differ by chance all the same
    apart = max(1, found.first_only + found.second_only)
    spread = math.sqrt(apart / (first * second))
    reach = math.exp(_z() * spread)

    def score(bound: float) -> float:
        return (math.log(1 - bound) - math.log(ratio)) / spread

    return Estimate(1 - ratio, 1 - ratio * reach, 1 - ratio / reach, score)


def paired_difference(found: Paired) -> Estimate:
    """The second model's share less the first's, on shared images.

    The interval is Agresti and Min's (2005): Wald's, with half an image more in each of the four
    cells, so that it has a width where the two never differ.
    """
    return _difference(found.second_only, found.first_only, found.images)


def difference_of_counts(first: Rate, second: Rate) -> Estimate:
    """The first share less the second, on the same images, where only the counts are known.

    The interval is `paired_difference`'s for the pairing that makes it widest: the two models agree
    on as few images as the counts allow. Whatever the pairing was, it is no narrower than it should
    be; to take the samples for independent would promise more.

    Raises:
        ValueError: the shares are of different numbers of images.
    """
    if first.total != second.total:
        raise ValueError(f"shares of {first.total} and of {second.total} images are not paired")
    first_only = min(first.count, second.total - second.count)
    second_only = first_only - (first.count - second.count)
    return _difference(first_only, second_only, first.total)


def _difference(more: int, less: int, images: int) -> Estimate:
    """The share of `images` counted in `more` alone, less that in `less` alone."""
    value, total = (more - less) / images, images + 2
    middle, apart = (more - less) / total, more + less + 1
    spread = math.sqrt(apart - total * middle * middle) / total
    reach = _z() * spread

    def score(bound: float) -> float:
        return (middle - bound) / spread

    return Estimate(value, max(-1.0, middle - reach), min(1.0, middle + reach), score)


def _z() -> float:
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979), in the order given: to take for settled what is below a
    level is to be wrong about any true hypothesis of the family no more often than that level."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, least = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


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
