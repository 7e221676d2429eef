"""Table 5, which the paper has not: the defences against attacks that they were not made for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.model_summary import LADDER, Records, find_record, is_of
from apr_core.evaluation.record import Record, epsilon_words
from apr_core.evaluation.verdicts import Claim
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
    rows = [
        row
        for architecture in architectures
        for label, defence in defences
        for row in _row(label, f"cifar10-{architecture}-{defence}", architecture, records)
    ]
    title = "Success rates of attacks on few pixels, with patches, and on all pixels"
    notes = [
        "A patch is a square of any content, anywhere, found by the gradient and, for what that "
        "leaves, by Sparse-RS in 1,000 queries. FGSM and PGD may change every pixel by so many "
        "shades of 255; PGD makes 20 steps from a random start. No defence here was made for "
        "patches or for that.",
        *_worth(rows),
    ]
    return GeneralisationTable(5, title, tuple(rows), tuple(notes))


def _row(label: str, name: str, architecture: str, records: Records) -> Iterator[GeneralisationRow]:
    if name not in model_names() or load_card(name).dataset != DEFAULT:
        return
    card = load_card(name)
    caution = caution_of(load_card(card.base) if card.base else card)
    if success := dict(_rates(card, records.evaluations)):
        yield GeneralisationRow(label, name, architecture, success, caution)


def _rates(card: Card, records: Sequence[Record]) -> Iterator[tuple[str, Rate]]:
    found = [find_record(records, card, LADDER, pixels=k) for k in PIXELS]
    levels = [record.level(k) if record else None for record, k in zip(found, PIXELS, strict=True)]
    kinds = [(LADDER, side, 0) for side in SIDES]
    kinds += [(attack, 0, shades) for attack in ATTACKS for shades in REACHES]
    for kind in kinds:
        record = _other(card, records, *kind)
        levels.append(record.level(1) if record else None)
    for name, level in zip(attack_names(), levels, strict=True):
        if level is not None and level.asr.total:
            yield name, level.asr


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


def _worth(rows: Sequence[GeneralisationRow]) -> Iterator[str]:
    """What each APR is worth against patches and PGD, in a sentence."""
    asked = [(f"a {name}", name) for name in map(_patch, SIDES)]
    asked += [(f"PGD at {shades}/255", _named("pgd", shades)) for shades in REACHES]
    for row in rows:
        bare = next(one for one in rows if one.architecture == row.architecture)
        if not row.label.startswith("APR") or bare is row:
            continue
        told = [
            f"{words} turns {row.success[name].share:.1%} (undefended "
            f"{bare.success[name].share:.1%})"
            for words, name in asked
            if name in row.success and name in bare.success
        ]
        if told:
            yield (
                f"{row.label} on {row.architecture}, beyond few pixels, of what it gets right: "
                f"{', '.join(told)}."
            )
