"""Numbers: a table as CSV, one number a cell."""

from __future__ import annotations

import csv
import io
import re

from apr_core.evaluation.metrics import Mean, Rate
from apr_core.report.imagenet import NOT_TRAINED, UNKNOWN
from apr_core.report.lines import (
    Attack,
    CertifiedVersus,
    Figure,
    Overhead,
    PapersShare,
    Value,
    Versus,
    lines,
    said_of,
)
from apr_core.report.tables import Table

Cells = dict[str, str | int | float | None]


def as_csv(table: Table) -> str:
    """The table as CSV: shares from 0 to 1, each with its bounds and its n; empty where unknown."""
    found = lines(table)
    said = said_of(found)
    rows = [{name: _cells(name, line[name]) for name in said} for line in found]
    headers = [
        cell for name in said for cell in dict.fromkeys(k for row in rows for k in row[name])
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, headers, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: cell for cells in row.values() for k, cell in cells.items()})
    return text.getvalue()


def _cells(column: str, value: Value) -> Cells:
    """The numbers of a value, by the names of their columns."""
    name = re.sub(r"\W+", "_", column.lower()).strip("_")
    cells: Cells
    match value:
        case Rate():
            cells = {"rate": value.rate, "low": value.low, "high": value.high, "n": value.total}
        case Mean():
            cells = {"mean": value.mean, "low": value.low, "high": value.high, "runs": value.runs}
        case Versus(reference, found):
            cells = {"reference": reference, "p": found.p_value, "n": found.images}
        case CertifiedVersus(reference, found):
            ours, theirs = value.shares
            cells = {"rate": ours, "reference": reference, "reference_rate": theirs}
            cells |= {"p": found.p_value, "n": found.images}
        case Overhead(share, interval):
            cells = {"": share}
            cells |= dict(zip(("low", "high"), interval, strict=True)) if interval else {}
        case Attack(attack, images):
            cells = {"": attack, "images": images}
        case PapersShare(share, _):
            cells = {"": share}
        case Figure(number, interval):
            cells = {"": number}
            cells |= dict(zip(("low", "high"), interval, strict=True)) if interval else {}
        case _:
            cells = {} if value in ("", UNKNOWN, NOT_TRAINED) else {"": value}
    return {f"{name}_{part}" if part else name: cell for part, cell in cells.items()}
