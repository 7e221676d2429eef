"""Targets of APR+, and whether the records reach them."""

from __future__ import annotations

from dataclasses import dataclass

from apr_core.evaluation.metrics import Rate, share_of
from apr_core.evaluation.model_summary import LADDER, ModelSummary
from apr_core.evaluation.verdicts import (
    Claim,
    Finding,
    Holds,
    at_least,
    at_most,
    between_equals,
    claim_of,
    settle,
)

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


_CLEAN = "These weights of APR+ get at least {bound} of all 10,000 test images right."
_CERTIFIED = (
    "At least {bound} of all 10,000 test images are certified for these weights of APR+ behind the "
    "lattice."
)
_FALLS = (
    "These weights of APR+ without masking fall to one pixel on at most {bound} of the images that "
    "they get right."
)
TARGETS = {
    "resnet18": (
        Aim("clean", 0.94, True, _CLEAN),
        Aim("certified", 0.90, True, _CERTIFIED),
        Aim("asr", 0.05, False, _FALLS),
    ),
    "resnet20": (Aim("clean", 0.90, True, _CLEAN), Aim("certified", 0.84, True, _CERTIFIED)),
}
"""Those on what it costs are the paper's own figures, which table 4 holds it against."""


def target_claims(architecture: str, cell: ModelSummary | None) -> list[Claim]:
    """That the bare APR+ of an architecture reaches what was asked of it."""
    if cell is None:
        return []
    return [
        claim_of(_text(aim), architecture, _held(aim, cell))
        for aim in TARGETS.get(architecture, ())
    ]


def is_target(claim: Claim) -> bool:
    """Whether a claim of table 1 is one of those that `target_claims` makes."""
    return claim.text in map(_text, TARGETS.get(claim.architecture, ()))


def _text(aim: Aim) -> str:
    return aim.text.format(bound=f"{aim.bound:.0%}")


def _held(aim: Aim, cell: ModelSummary) -> Finding:
    rate: Rate | None = getattr(cell, aim.field)
    if rate is None:
        return Finding()
    by = f", by {cell.attack}" if aim.field == "asr" else ""
    whole = rate.total == WHOLE
    reach = "" if whole else f" [{rate.low:.1%}, {rate.high:.1%}]"
    found = f"{rate.share:.1%}{reach} of {rate.total:,}{by}{_missed(aim, rate)}."
    met = rate.share >= aim.bound if aim.least else rate.share <= aim.bound
    if met and by and cell.attack != LADDER:  # which may find more
        finding = Finding(found, Holds.OPEN)
    elif whole:
        finding = Finding(found, settle(met))
    else:
        test = at_least if aim.least else at_most
        finding = Finding(found, evidence=test(share_of(rate), aim.bound))
    return between_equals(finding, cell)


def _missed(aim: Aim, rate: Rate) -> str:
    """By how many points, where it is missed."""
    points = 100 * (aim.bound - rate.share if aim.least else rate.share - aim.bound)
    if points <= 0:
        return ""
    return f", {points:.1f} points from it" if points >= 0.05 else f", {points:.2f} points from it"
