"""The paper's tables 1 to 4 beside ours, and 5 to 8; every figure is of a card or a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.evaluation.certificate_check import check_certificates
from apr_core.evaluation.model_summary import ModelSummary, Records, compare, summarize_model
from apr_core.evaluation.verdicts import Claim, Compare, judge
from apr_core.report import paper
from apr_core.report.ablation import COMPONENTS, component_claims, components_summary
from apr_core.report.claims import ablation_claims, certificate_claims, defence_claims
from apr_core.report.generalisation import GeneralisationTable, generalisation_table
from apr_core.report.imagenet import ImageNetTable, imagenet_table
from apr_core.report.overheads import OverheadRow, overhead_claims, overhead_rows
from apr_core.report.paper import PaperRow
from apr_core.report.patches import PatchTable, patch_table
from apr_core.report.safety import SafetyTable, safety_table
from apr_core.report.targets import target_claims
from apr_core.safety.record import GuardRecord, load_guards
from apr_core.zoo.checkpoints import CAUTION, load_card, model_names

BARE, PLUS = "vanilla", "apr-plus"
OURS = (("APR+", False), ("APR+ with masking", True))
"""Rows that the paper's table 1 does not have."""
ARCHITECTURES = ("resnet18", "vgg16", "resnet20")
"""In the paper's order, and then the small one that it does not have."""
OTHER_DATA = ("gtsrb", "breastmnist", "retinamnist")


@dataclass(frozen=True)
class Row:
    """A row of a table of defences, one cell an architecture that has such a model.

    Attributes:
        reference: the defence that this one is compared with.
        data: the data set.
        lattice: whether it stands behind lattice masking.
        paper: the paper's figures; None for a row that is ours alone.
    """

    label: str
    defence: str
    reference: str
    data: str = DEFAULT
    lattice: bool = False
    paper: PaperRow | None = None
    cells: tuple[ModelSummary, ...] = ()


@dataclass(frozen=True)
class DefenceTable:
    """The paper's table 1 or 3, or such a table of other data."""

    number: int
    title: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OverheadTable:
    """The paper's table 4."""

    number: int
    title: str
    rows: tuple[OverheadRow, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...] = ()


Table = (
    DefenceTable | ImageNetTable | OverheadTable | GeneralisationTable | PatchTable | SafetyTable
)
Claims = Callable[[str, dict[str, ModelSummary], Compare], list[Claim]]
"""An architecture, its cells by defence, and what compares two -> what is said of them."""


def make_tables(
    records: Records | None = None, guards: Sequence[GuardRecord] | None = None
) -> list[Table]:
    """All four, and the fifth to eighth where anything of them was measured, from what the zoo and
    the records hold; by default those that lie there now."""
    records = records or Records.read()
    guards = load_guards()[0] if guards is None else guards
    table1 = [
        *_theirs(paper.DEFENCES),
        *(Row(label, PLUS, BARE, lattice=masked) for label, masked in OURS),
    ]
    table3 = [*_theirs(paper.ABLATION), Row("Full APR+", PLUS, PLUS)]
    table3 += [Row(part.label, part.defence, PLUS) for part in COMPONENTS]
    costs = [row for name in ARCHITECTURES for row in overhead_rows(name)]
    first = _defences(1, "Defences on CIFAR-10", table1, records, defence_claims)
    third = _defences(3, "Ablation of APR on CIFAR-10", table3, records, ablation_claims)
    first = replace(first, claims=(*first.claims, *_reached(first), *_proofs(first, records)))
    third = replace(third, claims=(*third.claims, *_worths(third, records)))
    first, third = _judged(first, third)
    trained = [(row.label, row.defence) for row in table1 if not row.lattice]
    more = (
        generalisation_table(trained, ARCHITECTURES, records),
        patch_table(trained, records.certificates),
        safety_table(trained, guards, records),
        _others(trained, records),
    )
    return [
        first,
        imagenet_table(records),
        replace(third, notes=(*third.notes, *summaries(third))),
        OverheadTable(
            4, "Computational overhead of APR", tuple(costs), tuple(overhead_claims(costs))
        ),
        *(table for table in more if table.rows),
    ]


def _others(trained: Sequence[tuple[str, str]], records: Records) -> DefenceTable:
    """Models of data sets that the paper does not have; nothing is claimed of them."""
    rows = [Row(label, defence, BARE, data) for data in OTHER_DATA for label, defence in trained]
    title = "Defences on traffic signs and on medical pictures"
    found = _defences(8, title, rows, records, lambda *_: [])
    kept = tuple(row for row in found.rows if row.cells)
    shown = dict.fromkeys(row.data for row in kept)
    cautions = (find_dataset(data).caution for data in shown)
    return replace(found, rows=kept, notes=tuple(filter(None, cautions)))


def _judged(*tables: DefenceTable) -> list[DefenceTable]:
    """The claims of all these tables settled as one family."""
    judged = iter(judge([claim for table in tables for claim in table.claims]))
    return [replace(table, claims=tuple(islice(judged, len(table.claims)))) for table in tables]


def summaries(table: DefenceTable) -> list[str]:
    """What table 3 shows of the parts of APR+, in a sentence, where any was measured."""
    cells = [cell for row in table.rows if row.reference == PLUS for cell in row.cells]
    summary = components_summary(table.claims, cells)
    return [summary] if summary else []


def _reached(table: DefenceTable) -> Iterator[Claim]:
    """What was asked of APR+, for every architecture that has it."""
    for architecture in ARCHITECTURES:
        yield from target_claims(architecture, _bare(table.rows, architecture).get(PLUS))


def _proofs(table: DefenceTable, records: Records) -> Iterator[Claim]:
    """What attacks on certified images say of the proof, for the models of a table."""
    models = {cell.model: cell.architecture for row in table.rows for cell in row.cells}
    for name, architecture in models.items():
        yield from certificate_claims(architecture, check_certificates(load_card(name), records))


def _worths(table: DefenceTable, records: Records) -> Iterator[Claim]:
    """What the parts of APR+ are worth."""
    for architecture in ARCHITECTURES:
        yield from component_claims(architecture, _bare(table.rows, architecture), records)


def _theirs(rows: Sequence[PaperRow]) -> list[Row]:
    """The paper's rows, compared with the first of them."""
    return [Row(row.label, row.defence, rows[0].defence, paper=row) for row in rows]


def _defences(
    number: int, title: str, rows: Sequence[Row], records: Records, claims: Claims
) -> DefenceTable:
    """A table with every row measured on every architecture, and what is said of the bare ones."""
    filled = [replace(row, cells=tuple(_cells(row, records))) for row in rows]
    said = [
        claim
        for architecture in ARCHITECTURES
        for ours in [_bare(filled, architecture)]
        if ours
        for claim in claims(architecture, ours, partial(compare, records=records.evaluations))
    ]
    return DefenceTable(number, title, tuple(filled), tuple(said), tuple(_notes(filled)))


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    """In what the training of ours departs from the paper's, or from what it should have been."""
    cells = [cell for row in rows for cell in row.cells]
    if any(load_card(cell.model).recipe.get("preset") == "fast" for cell in cells):
        yield (
            "The paper trained by Adam at a constant rate, for 200 epochs, five times each. Ours "
            "were trained by SGD, its rate going through one cycle, for the epochs shown, and "
            "once, unless several seeds are shown: what is claimed is claimed of these weights, "
            "and another run may fall out otherwise. Between models of unequal epochs, that too "
            "makes a difference. `train --preset paper` trains as the paper did."
        )
    for caution in dict.fromkeys(cell.caution for cell in cells if cell.caution):
        yield (
            f"{CAUTION.capitalize()}: {caution}. No claim about the figures of such a model is "
            "settled."
        )


def _cells(row: Row, records: Records) -> Iterator[ModelSummary]:
    for architecture in ARCHITECTURES:
        name = f"{row.data}-{architecture}-{row.defence}"
        if name in model_names() and load_card(name).dataset == row.data:
            reference = f"{row.data}-{architecture}-{row.reference}"
            on = "" if row.data == DEFAULT else f" on {find_dataset(row.data).title}"
            yield summarize_model(name, architecture + on, reference, records, row.lattice)


def _bare(rows: Sequence[Row], architecture: str) -> dict[str, ModelSummary]:
    return {
        row.defence: cell
        for row in rows
        for cell in row.cells
        if cell.architecture == architecture and not row.lattice
    }
