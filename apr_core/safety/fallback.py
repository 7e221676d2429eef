"""Safe fallback: abstain where an answer is least trusted; risk against coverage.

Trust is any number that is higher the more an answer is trusted, such as its confidence. At a
coverage c the share c of images that are trusted most are answered; the risk is the share of wrong
answers among them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.evaluation.metrics import CONFIDENCE, Estimate, Rate, rate_of

COVERAGES = (0.8, 0.9, 0.95)
"""That records report the risk at."""
RESAMPLES = 1000


@dataclass(frozen=True)
class RiskAt:
    """The risk at one coverage."""

    coverage: float
    risk: Rate


def risk_at(trust: Tensor, wrong: Tensor, coverage: float) -> RiskAt:
    """The risk among the most trusted images; trust (N,) and whether the answer is wrong, (N,).

    Raises:
        InputError: there is no image, or the coverage is no share of them.
    """
    count = len(trust)
    if not count or not 0 < coverage <= 1:
        raise InputError(
            f"The coverage is {coverage:g} of {count:,} images; give more than 0, at most 1, and "
            "an image at least."
        )
    answered = math.ceil(coverage * count - 1e-9)
    kept = trust.argsort(descending=True, stable=True)[:answered]
    return RiskAt(coverage, rate_of(int(wrong[kept].sum()), answered))


def risk_coverage(trust: Tensor, wrong: Tensor) -> list[tuple[float, float]]:
    """Coverage and risk as images are answered one after the other, the most trusted first."""
    risks = _risks(trust, wrong)
    return [((n + 1) / len(risks), risk) for n, risk in enumerate(risks.tolist())]


def aurc(trust: Tensor, wrong: Tensor, seed: int = 0) -> Estimate:
    """Area under the risk-coverage curve: the mean risk over all coverages (Geifman et al., 2019).

    Its interval is of the percentile bootstrap over images, in `RESAMPLES` resamples.
    """
    generator = torch.Generator().manual_seed(seed)
    count = len(trust)
    drawn = torch.randint(count, (RESAMPLES, count), generator=generator)
    areas = _risks(trust[drawn], wrong[drawn]).mean(1)
    tails = torch.tensor([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], dtype=areas.dtype)
    low, high = areas.quantile(tails).tolist()
    return Estimate(float(_risks(trust, wrong).mean()), low, high)


def _risks(trust: Tensor, wrong: Tensor) -> Tensor:
    """Share of wrong answers among the n most trusted, for each n: (..., N) -> (..., N)."""
    order = trust.argsort(dim=-1, descending=True, stable=True)
    errors = wrong.double().gather(-1, order).cumsum(-1)
    return errors / torch.arange(1, trust.shape[-1] + 1)
