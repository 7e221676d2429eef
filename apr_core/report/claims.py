"""Claims of the paper, each with a verdict from our measurements."""

from __future__ import annotations

from collections.abc import Sequence

from apr_core.evaluation.certificate_check import CertificateAttackCheck
from apr_core.evaluation.metrics import Paired, Rate, difference_of_counts, reduction
from apr_core.evaluation.model_summary import ModelSummary
from apr_core.evaluation.verdicts import (
    WEIGHTS,
    Claim,
    Compare,
    Evidence,
    Finding,
    Holds,
    at_least,
    at_most,
    between_equals,
    claim_of,
    lowest,
)
from apr_core.report import paper

_NOT_ALIKE = "not by the same attack on images that both get right"


def defence_claims(
    architecture: str, cells: dict[str, ModelSummary], compare: Compare
) -> list[Claim]:
    """The reduction, the first place and the price, as section V.B and table 1 have them."""
    theirs = {row.defence: row for row in paper.DEFENCES}
    drop = 1 - theirs["apr"].asr / theirs["vanilla"].asr
    price = theirs["vanilla"].clean - theirs["apr"].clean
    apr, vanilla = cells.get("apr"), cells.get("vanilla")
    said = {
        f"APR lowers the success rate by {drop:.1%} against the undefended model.": _lowers(
            apr, vanilla, drop
        ),
        "APR has the lowest success rate of the five.": _stands_out(
            "apr", "lowest", cells, list(theirs), compare
        ),
        f"APR costs at most {100 * price:.1f} points of clean accuracy.": _price(
            apr, vanilla, price
        ),
    }
    return [claim_of(f"{WEIGHTS}{text}", architecture, finding) for text, finding in said.items()]


def _lowers(apr: ModelSummary | None, vanilla: ModelSummary | None, drop: float) -> Finding:
    """Whether the success rate falls by so large a share."""
    if apr is None or vanilla is None or not apr.asr or not vanilla.asr:
        return Finding()
    ours = reduction(apr.versus) if apr.versus else None
    if apr.versus is None or ours is None:
        rates = f"{_short(vanilla.asr)} to {_short(apr.asr)}"
        return Finding(f"{rates}, {_NOT_ALIKE}.", Holds.OPEN)
    before, after = apr.versus.rates
    found = (
        f"By {ours.value:.1%} [{ours.low:.1%}, {ours.high:.1%}], from {before:.1%} to {after:.1%} "
        f"{_shared(apr.versus)}."
    )
    return between_equals(Finding(found, evidence=at_least(ours, drop)), apr, vanilla)


def _stands_out(
    wanted: str, place: str, cells: dict[str, ModelSummary], names: list[str], compare: Compare
) -> Finding:
    """Whether the success rate of `wanted` is the lowest, or the highest, beyond chance."""
    rates = {name: cells[name].asr for name in names if name in cells}
    known = {name: rate.share for name, rate in rates.items() if rate is not None}
    if len(known) < len(names):
        return Finding(f"{len(known)} of {len(names)} measured.")
    rivals = [name for name in names if name != wanted]
    against = {name: _by_place(place, cells[wanted], cells[name], compare) for name in rivals}
    pairs = [pair for pair in against.values() if pair is not None and pair.images]
    beside = ", ".join(
        f"{cells[name].model}, {known[name]:.1%}" + (f" (p = {pair.p_value:.2g})" if pair else "")
        for name, pair in against.items()
    )
    found = f"{cells[wanted].model}, {known[wanted]:.1%}; beside it {beside}."
    if len(pairs) < len(rivals):
        return Finding(f"{found[:-1]}, {_NOT_ALIKE}.", Holds.OPEN)
    every = [cells[wanted], *(cells[name] for name in rivals)]
    return between_equals(Finding(found, evidence=lowest(pairs)), *every)


def _by_place(
    place: str, wanted: ModelSummary, rival: ModelSummary, compare: Compare
) -> Paired | None:
    """Both models, so that the first one has the fewer broken images where it has that place."""
    return compare(wanted, rival) if place == "lowest" else compare(rival, wanted)


def _price(apr: ModelSummary | None, vanilla: ModelSummary | None, price: float) -> Finding:
    """Whether so many points of clean accuracy are lost at most."""
    if apr is None or vanilla is None or not apr.clean or not vanilla.clean:
        return Finding()
    if apr.clean.total != vanilla.clean.total:
        return Finding(f"{_short(vanilla.clean)} to {_short(apr.clean)}.", Holds.OPEN)
    ours = difference_of_counts(vanilla.clean, apr.clean)
    found = (
        f"It costs {100 * ours.value:.1f} [{100 * ours.low:.1f}, {100 * ours.high:.1f}]: "
        f"{vanilla.clean.rate:.1%} to {apr.clean.rate:.1%}."
    )
    return between_equals(Finding(found, evidence=at_most(ours, price)), apr, vanilla)


def ablation_claims(
    architecture: str, cells: dict[str, ModelSummary], compare: Compare
) -> list[Claim]:
    """That each component helps, and attention most, as section V.D has it."""
    claims = [
        claim_of(
            f"{WEIGHTS}APR {row.label} falls more often than the whole of it.",
            architecture,
            _harms(cells.get("apr"), cells.get(row.defence), compare),
        )
        for row in paper.ABLATION[1:]
    ]
    return [*claims, _most(architecture, cells, compare)]


def _harms(full: ModelSummary | None, part: ModelSummary | None, compare: Compare) -> Finding:
    """Whether a model without a component is broken more often."""
    if full is None or part is None or not full.asr or not part.asr:
        return Finding()
    versus = compare(full, part)
    if versus is None or not versus.images:
        return Finding(f"{_short(part.asr)} against {_short(full.asr)}, {_NOT_ALIKE}.", Holds.OPEN)
    whole, without = versus.rates
    found = f"{without:.1%} against {whole:.1%} {_shared(versus)}."
    evidence = Evidence(without > whole, versus.p_value)
    return between_equals(Finding(found, evidence=evidence), full, part)


def _most(architecture: str, cells: dict[str, ModelSummary], compare: Compare) -> Claim:
    """That attention helps most: that nothing falls as often as what lacks it, the whole included.
    The paper's own table 3 does not bear it out."""
    full, *rows = paper.ABLATION
    worth = ", ".join(f"{row.label} {100 * (row.asr - full.asr):.1f}" for row in rows)
    text = (
        f"{WEIGHTS}attention lowers the success rate most of APR's parts. (The paper's own table "
        f"has it rise by, in points: {worth}.)"
    )
    names = [row.defence for row in paper.ABLATION]
    finding = _stands_out("apr-no-attention", "highest", cells, names, compare)
    return claim_of(text, architecture, finding)


def certificate_claims(architecture: str, trials: Sequence[CertificateAttackCheck]) -> list[Claim]:
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


def _shared(versus: Paired) -> str:
    return f"of the {versus.images} images that both get right"


def _short(rate: Rate) -> str:
    return f"{rate.rate:.1%} of {rate.total}"
