"""What APR+ was to reach, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass

from apr_core.evaluation.cells import Cell
from apr_core.evaluation.claims import Claim, Holds, settle
from apr_core.evaluation.metrics import Estimate, Rate

WHOLE = 10_000
"""Test images: a share of all of them is no estimate, and has no interval to lie in."""


@dataclass(frozen=True)
class Aim:
    """A bound on one of a cell's rates.

    Attributes:
        field: of the cell.
        bound: that the rate is to reach, or at most to be.
        least: which of the two.
        text: what the claim says; `{bound}` stands for it.
    """

    field: str
    bound: float
    least: bool
    text: str


_CLEAN = "APR+ gets at least {bound} of the test images right."
_CERTIFIED = "At least {bound} of the test images are certified for APR+ behind lattice masking."
_FALLS = "APR+ without masking falls to one pixel on at most {bound} of what it gets right."
AIMS = {
    "resnet18": (
        Aim("clean", 0.94, True, _CLEAN),
        Aim("certified", 0.90, True, _CERTIFIED),
        Aim("asr", 0.05, False, _FALLS),
    ),
    "resnet20": (Aim("clean", 0.90, True, _CLEAN), Aim("certified", 0.84, True, _CERTIFIED)),
}
"""Those on what it costs are the paper's own figures, which table 4 holds it against."""


def aim_claims(architecture: str, cell: Cell | None) -> list[Claim]:
    """That the bare APR+ of an architecture reaches what was asked of it."""
    aims = AIMS.get(architecture, ()) if cell else ()
    return [_claim(aim, architecture, getattr(cell, aim.field)) for aim in aims]


def _claim(aim: Aim, architecture: str, rate: Rate | None) -> Claim:
    text = aim.text.format(bound=f"{aim.bound:.0%}")
    if rate is None:
        return Claim(text, architecture, Holds.UNMEASURED, "")
    whole = rate.total == WHOLE
    known = Estimate(rate.rate, *((rate.rate, rate.rate) if whole else (rate.low, rate.high)))
    holds = settle(known.at_least(aim.bound) if aim.least else known.at_most(aim.bound))
    reach = "" if whole else f" [{rate.low:.1%}, {rate.high:.1%}]"
    short = aim.bound - rate.rate if aim.least else rate.rate - aim.bound
    missed = f", {100 * short:.1f} points from it" if short > 0 else ""
    return Claim(text, architecture, holds, f"{rate.rate:.1%}{reach} of {rate.total:,}{missed}.")
