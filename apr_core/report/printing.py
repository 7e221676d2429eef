"""Printing: tables as text, Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from apr_core.base.types import InputError
from apr_core.evaluation.verdicts import measured_first
from apr_core.report.latex import as_latex
from apr_core.report.lines import LEAD, UNPRINTED, in_words, lines, said_of
from apr_core.report.tables import Table

LATEX = "latex"
STYLES = {"text": "simple", "markdown": "github", LATEX: ""}


def in_print(tables: Sequence[Table], style: str) -> str:
    """The tables as text, Markdown or LaTeX.

    Raises:
        InputError: there is no such style.
    """
    if style not in STYLES:
        known = ", ".join(STYLES)
        raise InputError(f"There is no style '{style[:40]}'; the known ones are: {known}.")
    return "\n\n".join(_printed(table, style) for table in tables)


def _printed(table: Table, style: str) -> str:
    heading = f"Table {table.number}. {table.title}"
    said = [
        f"- {claim.architecture}: {claim.text} **{claim.holds}**. {claim.found}".rstrip()
        for claim in measured_first(table.claims)
    ]
    if style == LATEX:
        comments = [f"% {line.replace('**', '')}" for line in (heading, *table.notes, *said)]
        return "\n".join([comments[0], as_latex(table), *comments[1:]])
    headers, rows = columns(table)
    grid = tabulate(rows, headers, tablefmt=STYLES[style], disable_numparse=True)
    parts = [heading, grid, *table.notes]
    return "\n\n".join([*parts, "\n".join(said)] if said else parts)


def columns(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headers and rows, as words, without the columns that have nothing to say.

    What all lines of a row share stands in the first of them.
    """
    found = lines(table)
    headers = [name for name in said_of(found) if name not in UNPRINTED]
    rows, before = [], ""
    for line in found:
        label = str(line.get(LEAD[0], ""))
        again = LEAD if label and label == before else ()
        rows.append(["" if name in again else in_words(line[name]) for name in headers])
        before = label
    return headers, rows
