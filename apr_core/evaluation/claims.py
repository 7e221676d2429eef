"""Claims of the paper and of our own, and what our measurements say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from apr_core.evaluation import paper
from apr_core.evaluation.cells import Cell
from apr_core.evaluation.metrics import Paired, Rate, difference, reduction
from apr_core.evaluation.trials import Trial

SURE = 0.05
"""A difference with a larger p-value may be chance. Where a claim names a figure, all of ours'
95 % interval must lie on one side of it."""


class Holds(StrEnum):
    """What our measurements say of a claim."""

    YES = "holds"
    NO = "does not hold"
    STANDS = "not refuted"
    OPEN = "not settled"
    UNMEASURED = "not measured yet"


@dataclass(frozen=True)
class Claim:
    """A sentence put to the test for one architecture, and what we found.

    It is the paper's, or says of APR+ what an aim asks of it, or of the certificate what its proof
    does. A proof needs no measurement to hold; one may refute it, and so its best is `STANDS`.
    """

    text: str
    architecture: str
    holds: Holds
    found: str


def measured_first(claims: Sequence[Claim]) -> list[Claim]:
    """As people read them: what nothing was measured of yet stands last."""
    return sorted(claims, key=lambda claim: claim.holds is Holds.UNMEASURED)


_NOT_ALIKE = "not by the same attack on images that both get right"

Compare = Callable[[Cell, Cell], Paired | None]
"""Two models under the same attack, on the images that both get right."""
Finding = tuple[Holds, str]


def defence_claims(architecture: str, cells: dict[str, Cell], compare: Compare) -> list[Claim]:
    """The reduction, the first place and the price, as section V.B and table 1 have them."""
    theirs = {row.defence: row for row in paper.DEFENCES}
    drop = 1 - theirs["apr"].asr / theirs["vanilla"].asr
    price = theirs["vanilla"].clean - theirs["apr"].clean
    apr, vanilla = cells.get("apr"), cells.get("vanilla")
    said = (
        (
            f"APR lowers the success rate by {drop:.1%} against the undefended model.",
            _lowers(apr, vanilla, drop),
        ),
        (
            "APR has the lowest success rate of the five.",
            _stands_out("apr", "lowest", cells, list(theirs), compare),
        ),
        (
            f"APR costs at most {100 * price:.1f} points of clean accuracy.",
            _price(apr, vanilla, price),
        ),
    )
    return [Claim(text, architecture, holds, found) for text, (holds, found) in said]


def _lowers(apr: Cell | None, vanilla: Cell | None, drop: float) -> Finding:
    """Whether the success rate falls by so large a share."""
    if apr is None or vanilla is None or not apr.asr or not vanilla.asr:
        return Holds.UNMEASURED, ""
    ours = reduction(apr.versus) if apr.versus else None
    if apr.versus is None or ours is None:
        return Holds.OPEN, f"{_short(vanilla.asr)} to {_short(apr.asr)}, {_NOT_ALIKE}."
    before, after = apr.versus.rates
    found = (
        f"By {ours.value:.1%} [{ours.low:.1%}, {ours.high:.1%}], from {before:.1%} to {after:.1%} "
        f"{_shared(apr.versus)}."
    )
    return between_equals((settle(ours.at_least(drop)), found), apr, vanilla)


def _stands_out(
    wanted: str, place: str, cells: dict[str, Cell], names: list[str], compare: Compare
) -> Finding:
    """Whether the success rate of `wanted` is the lowest, or the highest, beyond chance."""
    rates = {name: cells[name].asr for name in names if name in cells}
    known = {name: rate.share for name, rate in rates.items() if rate is not None}
    if len(known) < len(names):
        return Holds.UNMEASURED, f"{len(known)} of {len(names)} measured."
    nearest = sorted(known, key=known.__getitem__, reverse=place == "highest")
    first = nearest[0]
    rivals = [wanted] if first != wanted else nearest[1:]
    against = {name: compare(cells[name], cells[first]) for name in rivals}
    found = ", ".join(
        f"{name}, {known[name]:.1%} (p = {one.p_value:.2g})"
        if one
        else f"{name}, {known[name]:.1%}"
        for name, one in against.items()
    )
    sure = all(
        one is not None
        and one.p_value < SURE
        and (one.first_only > one.second_only) == (place == "lowest")
        for one in against.values()
    )
    holds = settle(first == wanted) if sure else Holds.OPEN
    said = f"The {place} is {first}, {known[first]:.1%}; beside it {found}."
    return between_equals((holds, said), cells[first], *(cells[name] for name in rivals))


def _price(apr: Cell | None, vanilla: Cell | None, price: float) -> Finding:
    """Whether so many points of clean accuracy are lost at most."""
    if apr is None or vanilla is None or not apr.clean or not vanilla.clean:
        return Holds.UNMEASURED, ""
    ours = difference(vanilla.clean, apr.clean)
    found = (
        f"It costs {100 * ours.value:.1f} [{100 * ours.low:.1f}, {100 * ours.high:.1f}]: "
        f"{vanilla.clean.rate:.1%} to {apr.clean.rate:.1%}."
    )
    return between_equals((settle(ours.at_most(price + 1e-9)), found), apr, vanilla)


def between_equals(finding: Finding, *cells: Cell) -> Finding:
    """What was found of some models, left open where they were not trained equally long."""
    if len({cell.epochs for cell in cells}) == 1:
        return finding
    epochs = ", ".join(f"{cell.model} {cell.epochs}" for cell in cells)
    return Holds.OPEN, f"{finding[1]} Epochs of training differ, and may be why: {epochs}."


def ablation_claims(architecture: str, cells: dict[str, Cell], compare: Compare) -> list[Claim]:
    """That each component helps, and attention most, as section V.D has it."""
    full, claims = cells.get("apr"), []
    for row in paper.ABLATION[1:]:
        text = f"APR {row.label} falls more often than the whole of it."
        part = cells.get(row.defence)
        if full is None or part is None or not full.asr or not part.asr:
            claims.append(Claim(text, architecture, Holds.UNMEASURED, ""))
            continue
        holds, versus = Holds.OPEN, compare(full, part)
        if versus is None or not versus.images:
            found = f"{_short(part.asr)} against {_short(full.asr)}, {_NOT_ALIKE}."
        else:
            whole, without = versus.rates
            found = f"{without:.1%} against {whole:.1%} {_shared(versus)}."
            if versus.p_value < SURE:
                holds = settle(without > whole)
        claims.append(Claim(text, architecture, *between_equals((holds, found), full, part)))
    return [*claims, _most(architecture, cells, compare)]


def _most(architecture: str, cells: dict[str, Cell], compare: Compare) -> Claim:
    """That attention helps most: that nothing falls as often as what lacks it, the whole included.
    The paper's own table 3 does not bear it out."""
    full, *rows = paper.ABLATION
    worth = ", ".join(f"{row.label} {100 * (row.asr - full.asr):.1f}" for row in rows)
    holds, found = _stands_out(
        "apr-no-attention", "highest", cells, [row.defence for row in paper.ABLATION], compare
    )
    return Claim(
        "Of APR's parts, attention lowers the success rate most. (The paper's own table has it "
        f"rise by, in points: {worth}.)",
        architecture,
        holds,
        found,
    )


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
        found = f"Of {turned.total} certified images, {' and '.join(trial.attacks)} turned "
        found += f"{turned.count}."
        if others.total:
            found += f" Without a certificate, {others.count} of the {others.total} that are right."
        if trial.which:
            found += f" Test images {', '.join(map(str, trial.which[:10]))}: the proof is broken."
        holds = Holds.NO if trial.which else Holds.STANDS
        claims.append(Claim(text, architecture, holds, found))
    return claims


def settle(holds: bool | None) -> Holds:
    """In words; None where our figures leave it open."""
    if holds is None:
        return Holds.OPEN
    return Holds.YES if holds else Holds.NO


def _shared(versus: Paired) -> str:
    return f"of the {versus.images} images that both get right, p = {versus.p_value:.2g}"


def _short(rate: Rate) -> str:
    return f"{rate.rate:.1%} of {rate.total}"
