"""The paper's tables beside ours: every figure of ours from a card or a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apr_core.evaluation import paper
from apr_core.evaluation.cells import Cell, cell_of
from apr_core.evaluation.claims import Claim, ablation_claims, defence_claims
from apr_core.evaluation.overheads import OverheadRow, overhead_claims, overhead_rows
from apr_core.evaluation.paper import PaperRow
from apr_core.evaluation.record import Record, load_records
from apr_core.zoo import model_names

ARCHITECTURES = ("resnet18", "vgg16", "resnet20")
"""In the paper's order, and then the small one that it does not have."""


@dataclass(frozen=True)
class Row:
    """A row of the paper's and ours, one cell an architecture that has such a model."""

    paper: PaperRow
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class DefenceTable:
    """One of the paper's tables 1 to 3."""

    number: int
    title: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    note: str = ""


@dataclass(frozen=True)
class OverheadTable:
    """The paper's table 4."""

    number: int
    title: str
    rows: tuple[OverheadRow, ...]
    claims: tuple[Claim, ...]
    note: str = ""


Table = DefenceTable | OverheadTable
Claims = Callable[[str, dict[str, Cell]], list[Claim]]
"""An architecture, and its cells by defence -> what is said of them."""


def make_tables() -> list[Table]:
    """All four, from what the zoo and the records hold now."""
    records, _ = load_records()
    imagenet = tuple(Row(row, ()) for row in paper.IMAGENET)
    note = "Not measured: the project has no ImageNet models."
    costs = [row for name in ARCHITECTURES for row in overhead_rows(name)]
    return [
        _defences(1, "Defences on CIFAR-10", paper.DEFENCES, records, defence_claims),
        DefenceTable(2, "Defences on a subset of ImageNet", imagenet, (), note),
        _defences(3, "Ablation of APR on CIFAR-10", paper.ABLATION, records, ablation_claims),
        OverheadTable(
            4, "Computational overhead of APR", tuple(costs), tuple(overhead_claims(costs))
        ),
    ]


def _defences(
    number: int, title: str, rows: Sequence[PaperRow], records: Sequence[Record], claims: Claims
) -> DefenceTable:
    """A table whose every row is measured on every architecture; its first row is the reference."""
    cells = {
        (row.defence, architecture): cell_of(name, architecture, first, records)
        for row in rows
        for architecture in ARCHITECTURES
        for name, first in [_names(architecture, row, rows[0])]
        if name in model_names()
    }
    made = tuple(
        Row(row, tuple(cell for (defence, _), cell in cells.items() if defence == row.defence))
        for row in rows
    )
    said = tuple(
        claim
        for architecture in ARCHITECTURES
        for ours in [{name: cell for (name, where), cell in cells.items() if where == architecture}]
        if ours
        for claim in claims(architecture, ours)
    )
    return DefenceTable(number, title, made, said)


def _names(architecture: str, *rows: PaperRow) -> list[str]:
    return [f"cifar10-{architecture}-{row.defence}" for row in rows]
