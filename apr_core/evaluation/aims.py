"""What APR+ was to reach, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass

from apr_core.evaluation.cells import LADDER, Cell
from apr_core.evaluation.claims import Claim, Finding, Holds, settle
from apr_core.evaluation.metrics import Estimate, Rate

WHOLE = 10_000
"""Test images. The aims are of all of them: a share of fewer is an estimate, with an interval."""


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


_CLEAN = "APR+ gets at least {bound} of all 10,000 test images right."
_CERTIFIED = "At least {bound} of all 10,000 test images are certified for APR+ behind the lattice."
_FALLS = "APR+ without masking falls to one pixel on at most {bound} of the images it gets right."
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
    if cell is None:
        return []
    return [_claim(aim, architecture, cell) for aim in AIMS.get(architecture, ())]


def _claim(aim: Aim, architecture: str, cell: Cell) -> Claim:
    text = aim.text.format(bound=f"{aim.bound:.0%}")
    rate: Rate | None = getattr(cell, aim.field)
    if rate is None:
        return Claim(text, architecture, Holds.UNMEASURED, "")
    holds, found = _held(aim, rate)
    if aim.field == "asr":
        found = f"{found}, by {cell.attack}"
        if holds is Holds.YES and cell.attack != LADDER:  # which may find more
            holds = Holds.OPEN
    return Claim(text, architecture, holds, f"{found}{_missed(aim, rate)}.")


def _held(aim: Aim, rate: Rate) -> Finding:
    if rate.total == WHOLE:
        met = rate.share >= aim.bound if aim.least else rate.share <= aim.bound
        return settle(met), f"{rate.share:.1%} of {rate.total:,}"
    known = Estimate(rate.share, rate.low, rate.high)
    likely = known.at_least(aim.bound) if aim.least else known.at_most(aim.bound)
    found = f"{rate.share:.1%} [{rate.low:.1%}, {rate.high:.1%}] of {rate.total:,}"
    return settle(likely), found


def _missed(aim: Aim, rate: Rate) -> str:
    """By how many points, where it is missed."""
    points = 100 * (aim.bound - rate.share if aim.least else rate.share - aim.bound)
    if points <= 0:
        return ""
    return f", {points:.1f} points from it" if points >= 0.05 else f", {points:.2f} points from it"
