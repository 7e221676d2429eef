"""Claims: verdicts from measurements, with correction for multiple testing.

A claim that chance may decide has a two-sided p-value. Those of tables 1 and 3, of all
architectures together, are one family: `judge` corrects it by Holm's method, and settles what is
below `SURE` then. Not in the family are a figure that was measured on all test images, a claim that
was left open before any test (`between_equals`), the certificate, which rests on its proof, and
table 4, whose figures are timings with an interval each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from apr_core.evaluation.metrics import Estimate, Paired, holm
from apr_core.evaluation.model_summary import ModelSummary
from apr_core.zoo.checkpoints import CAUTION

SURE = 0.05
"""A difference with a larger p-value, after the correction, may be chance."""
WEIGHTS = "With these weights, "
"""How a claim about a defence begins: what is compared is one training run of each, and another
run of the same recipe may fall out otherwise."""


class Holds(StrEnum):
    """What our measurements say of a claim."""

    YES = "holds"
    NO = "does not hold"
    STANDS = "not refuted"
    OPEN = "not settled"
    UNMEASURED = "not measured yet"


@dataclass(frozen=True)
class Evidence:
    """Which way the figures point, and the two-sided p-value of the test that would settle it."""

    holds: bool
    p_value: float


@dataclass(frozen=True)
class Finding:
    """What was measured of a claim.

    Attributes:
        found: in words.
        holds: as it stands without a test.
        evidence: of the test that decides instead, once the family is corrected.
    """

    found: str = ""
    holds: Holds = Holds.UNMEASURED
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Claim:
    """A sentence put to the test for one architecture, and what we found.

    It is the paper's, or says of APR+ what an aim asks of it, or of the certificate what its proof
    does. A proof needs no measurement to hold; one may refute it, and so its best is `STANDS`.

    Attributes:
        p_value: of the test, if one decides.
        corrected: the same after Holm's correction for the whole family.
    """

    text: str
    architecture: str
    holds: Holds
    found: str
    evidence: Evidence | None = None
    corrected: float | None = None


def claim_of(text: str, architecture: str, finding: Finding) -> Claim:
    """A claim as it stands before `judge`."""
    return Claim(text, architecture, finding.holds, finding.found, finding.evidence)


def judge(claims: Sequence[Claim]) -> list[Claim]:
    """Settle a family of claims: those that have evidence, each with its corrected p-value."""
    tested = [claim.evidence.p_value for claim in claims if claim.evidence]
    corrected = iter(holm(tested))
    return [
        _settled(claim, claim.evidence, next(corrected), len(tested)) if claim.evidence else claim
        for claim in claims
    ]


def _settled(claim: Claim, evidence: Evidence, corrected: float, family: int) -> Claim:
    """Both p-values are told, so that a verdict which the correction changed is explained."""
    told = f"p = {evidence.p_value:.2g}, corrected {corrected:.2g} ({family} tested)."
    found = f"{claim.found} {told}"
    holds = settle(evidence.holds) if corrected < SURE else Holds.OPEN
    return replace(claim, holds=holds, found=found, corrected=corrected)


def measured_first(claims: Sequence[Claim]) -> list[Claim]:
    """As people read them: what nothing was measured of yet stands last."""
    return sorted(claims, key=lambda claim: claim.holds is Holds.UNMEASURED)


def settle(holds: bool | None) -> Holds:
    """In words; None where our figures leave it open."""
    if holds is None:
        return Holds.OPEN
    return Holds.YES if holds else Holds.NO


def at_least(estimate: Estimate, bound: float) -> Evidence:
    """That a figure is `bound` or more."""
    return Evidence(estimate.value >= bound, estimate.p_value(bound))


def at_most(estimate: Estimate, bound: float) -> Evidence:
    """That a figure is `bound` or less."""
    return Evidence(estimate.value <= bound, estimate.p_value(bound))


def lowest(pairs: Sequence[Paired]) -> Evidence:
    """That the first model of every pair is broken less often than all its rivals.

    Args:
        pairs: the same model against one rival each.

    It is so only if every comparison says so: the largest p-value decides. It is not so if any
    rival is broken less often still: the smallest decides, times the number of rivals that were
    looked through for it.
    """
    behind = [pair.p_value for pair in pairs if pair.first_only >= pair.second_only]
    if behind:
        return Evidence(False, min(1.0, len(pairs) * min(behind)))
    return Evidence(True, max(pair.p_value for pair in pairs))


def between_equals(finding: Finding, *cells: ModelSummary) -> Finding:
    """What was found of some models, left open where their training was not alike or not right."""
    reasons = []
    if len({cell.epochs for cell in cells}) > 1:
        epochs = ", ".join(f"{cell.model} {cell.epochs}" for cell in cells)
        reasons.append(f"Epochs of training differ, and may be why: {epochs}.")
    if marked := [cell.model for cell in cells if cell.caution]:
        reasons.append(f"Trained with the {CAUTION}: {', '.join(marked)}.")
    if not reasons:
        return finding
    p_value = [f"p = {finding.evidence.p_value:.2g}, uncorrected."] if finding.evidence else []
    return Finding(" ".join([finding.found, *p_value, *reasons]), Holds.OPEN)


Compare = Callable[[ModelSummary, ModelSummary], Paired | None]
"""Two models under the same attack, on the images that both get right."""
