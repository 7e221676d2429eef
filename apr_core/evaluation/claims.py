"""The paper's claims, and what our measurements say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from apr_core.evaluation import paper
from apr_core.evaluation.cells import Cell
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.trials import Trial

SURE = 0.05
"""A difference with a larger p-value is called no difference."""


class Holds(StrEnum):
    """What our measurements say of a claim."""

    YES = "holds"
    NO = "does not hold"
    OPEN = "not settled"
    UNMEASURED = "not measured yet"


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper's, for one architecture, and what we found."""

    text: str
    architecture: str
    holds: Holds
    found: str


def defence_claims(architecture: str, cells: dict[str, Cell]) -> list[Claim]:
    """The reduction, the first place and the price, as section V.B has them."""
    theirs = {row.defence: row for row in paper.DEFENCES}
    drop = 1 - theirs["apr"].asr / theirs["vanilla"].asr
    price = theirs["vanilla"].clean - theirs["apr"].clean
    apr, vanilla = cells.get("apr"), cells.get("vanilla")
    claims = []
    text = f"APR lowers the success rate by {drop:.1%} against the undefended model."
    if apr is None or vanilla is None or not apr.asr or not vanilla.asr or not vanilla.asr.count:
        claims.append(Claim(text, architecture, Holds.UNMEASURED, ""))
    else:
        ours = 1 - apr.asr.rate / vanilla.asr.rate
        sure = apr.versus is not None and apr.versus.p_value < SURE
        found = f"By {ours:.1%}: {_short(vanilla.asr)} to {_short(apr.asr)}"
        if apr.versus is not None:
            found += f", p = {apr.versus.p_value:.2g} on {apr.versus.images} shared images"
        holds = Holds.YES if ours >= drop else Holds.NO
        holds = holds if sure else Holds.OPEN
        claims.append(Claim(text, architecture, holds, f"{found}."))
    rates = {name: cell.asr for name, cell in cells.items() if name in theirs and cell.asr}
    text = "APR has the lowest success rate of the five."
    if len(rates) < len(theirs):
        claims.append(Claim(text, architecture, Holds.UNMEASURED, f"{len(rates)} of 5 measured."))
    else:
        lowest = min(rates, key=lambda name: rates[name].rate)
        found = f"The lowest is {lowest}, {_short(rates[lowest])}."
        claims.append(settled(text, architecture, lowest == "apr", found))
    text = f"APR costs at most {100 * price:.1f} points of clean accuracy."
    if apr is None or vanilla is None or not apr.clean or not vanilla.clean:
        claims.append(Claim(text, architecture, Holds.UNMEASURED, ""))
    else:
        ours = vanilla.clean.rate - apr.clean.rate
        found = f"It costs {100 * ours:.1f}: {vanilla.clean.rate:.1%} to {apr.clean.rate:.1%}."
        claims.append(settled(text, architecture, ours <= price + 1e-9, found))
    return claims


def ablation_claims(architecture: str, cells: dict[str, Cell]) -> list[Claim]:
    """That each component helps, as section V.D has it."""
    full, claims = cells.get("apr"), []
    for row in paper.ABLATION[1:]:
        text = f"APR {row.label} falls more often than the whole of it."
        part = cells.get(row.defence)
        if full is None or part is None or not full.asr or not part.asr:
            claims.append(Claim(text, architecture, Holds.UNMEASURED, ""))
            continue
        found = f"{_short(part.asr)} against {_short(full.asr)}"
        holds = Holds.NO
        if part.versus is not None:
            found += f", p = {part.versus.p_value:.2g} on {part.versus.images} shared images"
            more = part.versus.second_only > part.versus.first_only
            if part.versus.p_value >= SURE:
                holds = Holds.OPEN
            elif more:
                holds = Holds.YES
        claims.append(Claim(text, architecture, holds, f"{found}."))
    return claims


def certificate_claims(architecture: str, trials: Sequence[Trial]) -> list[Claim]:
    """That no certified image can be turned, held against attacks that tried all the same."""
    claims = []
    for trial in trials:
        text = (
            f"No edit of one pixel turns a certified image of {trial.model} behind a lattice of "
            f"{trial.lattice}."
        )
        turned, others = trial.turned, trial.others
        if not turned.total:
            claims.append(Claim(text, architecture, Holds.UNMEASURED, ""))
            continue
        found = (
            f"{' and '.join(trial.attacks)} turned {turned.count} of {turned.total} certified "
            f"images, and {others.count} of the {others.total} that are right without one."
        )
        if trial.which:
            found += f" Test images {', '.join(map(str, trial.which[:10]))}: the proof is broken."
        claims.append(settled(text, architecture, not trial.which, found))
    return claims


def settled(text: str, architecture: str, holds: bool, found: str) -> Claim:
    """A claim that our figures leave no doubt about."""
    return Claim(text, architecture, Holds.YES if holds else Holds.NO, found)


def _short(rate: Rate) -> str:
    return f"{rate.rate:.1%} of {rate.total}"
