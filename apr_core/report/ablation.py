"""Ablation: what each component of APR+ gains over APR+ trained without it.

A part is measured by what it is there for: masks in training by the share that is certified, the
others by the success rate of the strongest attack that was run on both models. Both are counted on
the same images, with the part and without it. A part would be worth its place by a gain of `POINT`;
`components_summary` says of how many that is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apr_core.evaluation.metrics import Paired, paired_difference
from apr_core.evaluation.model_summary import ModelSummary, Records, compare, compare_certificates
from apr_core.evaluation.verdicts import (
    WEIGHTS,
    Claim,
    Finding,
    Holds,
    at_least,
    between_equals,
    claim_of,
)

POINT = 0.01
"""The gain that would make a part worth its place."""

Worth = Callable[[ModelSummary, ModelSummary, Records], Paired | None]
"""APR+ and APR+ without a part, on the same images; None where that was not measured."""


def _success(whole: ModelSummary, rest: ModelSummary, records: Records) -> Paired | None:
    """Whether the attack broke each."""
    return compare(whole, rest, records.evaluations)


def _no_certificate(whole: ModelSummary, rest: ModelSummary, records: Records) -> Paired | None:
    """Whether each is wrong behind lattice masking, or right without a certificate."""
    return compare_certificates(whole.model, rest.model, records.certificates)


@dataclass(frozen=True)
class Component:
    """A part of APR+.

    Attributes:
        label: of its table's row, where the part is left out.
        defence: that is trained without it.
        does: what such a model does more often, should the part be worth its place.
        images: which are counted.
        worth: how both are counted; the one without the part is to have the larger share.
    """

    label: str
    defence: str
    does: str = "falls at least a point more often"
    images: str = "images that both get right"
    worth: Worth = _success


COMPONENTS = (
    Component("APR+ w/o clamp", "apr-plus-no-clamp"),
    Component("APR+ w/o attention", "apr-plus-no-attention"),
    Component("APR+ w/o adversarial training", "apr-plus-no-adversarial"),
    Component("APR+ w/o regularisation", "apr-plus-no-regularizer"),
    Component(
        "APR+ w/o masks in training",
        "apr-plus-no-masks",
        "goes without a certificate at least a point more often",
        "images that were put to both",
        _no_certificate,
    ),
)


def component_claims(
    architecture: str, cells: dict[str, ModelSummary], records: Records
) -> list[Claim]:
    """That each part gains a point, for an architecture with any model that lacks one.

    Args:
        cells: of that architecture, by defence.
    """
    whole = cells.get("apr-plus")
    if whole is None or not any(part.defence in cells for part in COMPONENTS):
        return []
    return [
        _claim(part, architecture, whole, cells.get(part.defence), records) for part in COMPONENTS
    ]


def _claim(
    part: Component,
    architecture: str,
    whole: ModelSummary,
    rest: ModelSummary | None,
    records: Records,
) -> Claim:
    return claim_of(_text(part), architecture, _gain(part, whole, rest, records))


def _text(part: Component) -> str:
    return f"{WEIGHTS}{part.label} {part.does} than the whole of it."


def _gain(
    part: Component, whole: ModelSummary, rest: ModelSummary | None, records: Records
) -> Finding:
    worth = part.worth(whole, rest, records) if rest else None
    if rest is None or worth is None or not worth.images:
        return Finding()
    gain = paired_difference(worth)
    whole_share, share = worth.rates
    found = (
        f"By {100 * gain.value:.1f} points [{100 * gain.low:.1f}, {100 * gain.high:.1f}]: "
        f"{share:.1%} against {whole_share:.1%} of the {worth.images:,} {part.images}."
    )
    return between_equals(Finding(found, evidence=at_least(gain, POINT)), whole, rest)


def components_summary(claims: Sequence[Claim], cells: Sequence[ModelSummary]) -> str:
    """How many gains of a point are shown, and why no part is dropped; "" if none was measured.

    Args:
        claims: of table 3, judged; those that are not of a part are passed over.
        cells: that they are of.
    """
    texts = {_text(part) for part in COMPONENTS}
    mine = [claim for claim in claims if claim.text in texts]
    measured = [claim for claim in mine if claim.holds is not Holds.UNMEASURED]
    if not measured:
        return ""
    shown = sum(claim.holds is Holds.YES for claim in measured)
    again = any(cell.caution for cell in cells)
    return (
        f"Of {len(measured)} measurements of what a part of APR+ gains, {shown or 'none'} "
        f"{'show' if shown > 1 else 'shows'} a gain of a point with the images there are. No part "
        "is dropped for that: "
        + (
            "the models are being trained again, with the penalty as it is now."
            if again
            else "a gain that is not shown may be there all the same."
        )
    )
