"""Table 5, which the paper has not: the defences against attacks that they were not made for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, product

from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Rate, holm, paired
from apr_core.evaluation.model_summary import LADDER, Records, find_record, is_of
from apr_core.evaluation.record import Level, Record, epsilon_words
from apr_core.evaluation.verdicts import SURE, Claim
from apr_core.zoo.checkpoints import Card, caution_of, load_card, model_names

PIXELS = (1, 3, 5)
"""Of the ladder: the defences' own threat, and more of it."""
SIDES = (2, 5)
"""Of patches, in pixels."""
ATTACKS = {"fgsm": "FGSM", "pgd": "PGD"}
REACHES = (2, 8)
"""Shades by which FGSM and PGD may change every pixel."""


@dataclass(frozen=True)
class GeneralisationRow:
    """One model.

    Attributes:
        label: its defence, as the other tables call it.
        success: attack success rates by the attack, in the table's words.
        caution: what is wrong with the weights, if anything is.
    """

    label: str
    model: str
    architecture: str
    success: Mapping[str, Rate] = field(default_factory=dict)
    caution: str = ""


@dataclass(frozen=True)
class GeneralisationTable:
    """Table 5."""

    number: int
    title: str
    rows: tuple[GeneralisationRow, ...]
    notes: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()


def attack_names() -> list[str]:
    """The attacks of the table, in its words, the weaker first."""
    few = [f"{k} pixel{'' if k == 1 else 's'}" for k in PIXELS]
    few += [_patch(side) for side in SIDES]
    return few + [_named(attack, shades) for attack in ATTACKS for shades in REACHES]


def _named(attack: str, shades: int) -> str:
    return f"{ATTACKS[attack]} {shades}/255"


def _patch(side: int) -> str:
    return f"{side} × {side} patch"


def generalisation_table(
    defences: Sequence[tuple[str, str]], architectures: Sequence[str], records: Records
) -> GeneralisationTable:
    """The defences that are there, on each architecture.

    Args:
        defences: label and registry key of each, the undefended model first.
    """
    rows, broken = list[GeneralisationRow](), dict[str, dict[str, dict[int, bool]]]()
    for architecture, (label, defence) in product(architectures, defences):
        name = f"cifar10-{architecture}-{defence}"
        if name not in model_names() or load_card(name).dataset != DEFAULT:
            continue
        card = load_card(name)
        caution = caution_of(load_card(card.base) if card.base else card)
        found = dict(_measured(card, records.evaluations))
        success = {kind: level.asr for kind, (_, level) in found.items() if level.asr.total}
        if success:
            rows.append(GeneralisationRow(label, name, architecture, success, caution))
            broken[name] = {
                kind: record.broken(level.pixels) for kind, (record, level) in found.items()
            }
    title = "Success rates of attacks on few pixels, with patches, and on all pixels"
    notes = [
        "A patch is a square of any content, anywhere, found by the gradient and, for what that "
        "leaves, by Sparse-RS in 1,000 queries. FGSM and PGD may change every pixel by so many "
        "shades of 255; PGD makes 20 steps from a random start. No defence here was made for "
        "patches or for that. Against an input transformation, gradients pass as if it were not "
        "there: an attack made for it may succeed more often than FGSM and PGD do.",
        *_worth(rows, broken),
    ]
    return GeneralisationTable(5, title, tuple(rows), tuple(notes))


def _measured(card: Card, records: Sequence[Record]) -> Iterator[tuple[str, tuple[Record, Level]]]:
    """By the attack, in the table's words: the record, and its level."""
    found = [(find_record(records, card, LADDER, pixels=k), k) for k in PIXELS]
    kinds = [(LADDER, side, 0) for side in SIDES]
    kinds += [(attack, 0, shades) for attack in ATTACKS for shades in REACHES]
    found += [(_other(card, records, *kind), 1) for kind in kinds]
    for name, (record, pixels) in zip(attack_names(), found, strict=True):
        if record is not None and (level := record.level(pixels)) is not None:
            yield name, (record, level)


def _other(
    card: Card, records: Sequence[Record], attack: str, side: int, shades: int
) -> Record | None:
    """The record of the most images, of an attack with a patch or on every pixel.

    Args:
        side: of the patch, or 0.
        shades: the reach, or 0.
    """
    fitting = [
        record
        for record in records
        if is_of(record, card)
        and not record.setting.lattice
        and not record.setting.sparse
        and record.setting.attack == attack
        and record.setting.side == side
        and (not shades or epsilon_words(record.setting.epsilon) == f"{shades}/255")
    ]
    return max(fitting, key=lambda record: record.setting.images, default=None)


def _worth(
    rows: Sequence[GeneralisationRow], broken: Mapping[str, Mapping[str, dict[int, bool]]]
) -> Iterator[str]:
    """What each APR is worth against patches and PGD, in a sentence."""
    asked = [(f"a {name}", name) for name in map(_patch, SIDES)]
    asked += [(f"PGD at {shades}/255", _named("pgd", shades)) for shades in REACHES]
    pairs = [
        (row.model, bare, words, paired(broken[bare][name], broken[row.model][name]))
        for row in rows
        for words, name in asked
        if row.label.startswith("APR") and (bare := _undefended(row, rows))
        if broken[row.model].get(name, {}).keys() & broken[bare].get(name, {}).keys()
    ]
    corrected = holm([found.p_value for *_, found in pairs])
    for (model, bare), group in groupby(zip(pairs, corrected, strict=True), lambda one: one[0][:2]):
        told: dict[str, list[str]] = {}
        for (_, _, words, found), p_value in group:
            first, second = found.rates
            helps = "helps" if found.second_only < found.first_only else "does harm"
            said = f"{words} ({second:.1%} against {first:.1%} of {found.images})"
            told.setdefault(helps if p_value < SURE else "makes no clear difference", []).append(
                said
            )
        worth = "; ".join(f"{verb} against {', '.join(attacks)}" for verb, attacks in told.items())
        yield (
            f"Beyond few pixels, of the images that it and {bare} get right, {model} {worth} "
            "(McNemar's test, corrected by Holm's method)."
        )


def _undefended(row: GeneralisationRow, rows: Sequence[GeneralisationRow]) -> str:
    """The first model of a row's network, by name; "" where that is the row's own."""
    first = next(one.model for one in rows if one.architecture == row.architecture)
    return "" if first == row.model else first
