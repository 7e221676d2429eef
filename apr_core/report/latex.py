"""LaTeX: a table as several that each fit the width of a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apr_core.evaluation.metrics import Mean, Rate
from apr_core.report.generalisation import GeneralisationTable
from apr_core.report.imagenet import ImageNetTable
from apr_core.report.lines import (
    SIDE,
    UNPRINTED,
    Attack,
    CertifiedVersus,
    Figure,
    Line,
    Overhead,
    PapersShare,
    Value,
    Versus,
    in_words,
    lines,
    said_of,
)
from apr_core.report.patches import PatchTable
from apr_core.report.safety import SafetyTable
from apr_core.report.tables import OverheadTable, Table

Parts = dict[str, str]
"""Texts of a value by the headers of their columns; "" for the column's own header."""
LEADS = ("defence", "model", SIDE, "form")
LONG, SHARE = 20, 0.22
"""Texts of more characters are broken into lines of that share of the page's width."""
HEADS = {
    "certified with masking": "certified",
    "certified against patches": "certified",
    "clean behind masks": "clean",
}
INTERVAL = "95% interval"
GROUPS = (
    ("attack success rate", ("ASR, paper", "ASR, ours")),
    ("clean accuracy", ("clean, paper", "clean, ours")),
    ("certified with masking", ("certified with masking",)),
    ("certified with masking, on the same images", ("certified, same images",)),
    ("success rate with three pixels", ("ASR, 3 pixels",)),
    ("success rate of differential evolution alone", ("ASR, DE alone",)),
    ("McNemar's exact test", ("McNemar",)),
    ("training and attack", ("epochs", "caution", "attack")),
    ("clean accuracy over several seeds", ("clean, several seeds",)),
    ("success rate over several seeds", ("ASR, several seeds",)),
)
OVERHEAD_GROUPS = (
    ("training", ("training, paper", "training, ours")),
    ("inference", ("inference, paper", "inference, ours")),
    ("hardware", ("measured on",)),
)
PATCH_GROUPS = (
    ("clean accuracy", ("clean behind masks",)),
    ("certified", ("certified against patches",)),
    ("masks", ("masks", "caution")),
)


@dataclass(frozen=True)
class Column:
    """A column of text, one a line."""

    head: str
    texts: Sequence[str]

    @property
    def kind(self) -> str:
        """Its letter in LaTeX: figures to the right, names to the left, long ones in lines."""
        if max(map(len, self.texts)) > LONG:
            return rf"p{{{SHARE}\linewidth}}"
        return "r" if any(text[:1] in "+-0123456789" for text in self.texts if text) else "l"


def as_latex(table: Table) -> str:
    """The table's columns in groups, a LaTeX table each; they need the package booktabs."""
    found = lines(table)
    said = said_of(found)
    columns = {name: _columns(name, found) for name in said}
    leads = [columns[name][0] for name in LEADS if name in said]
    parts = [
        _table(table, title, [*leads, *(column for name in names for column in columns[name])])
        for title, names in _groups(table, said)
    ]
    return "\n\n".join(["% \\usepackage{booktabs}", *parts])


def _groups(table: Table, said: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Titles and columns of the groups that have any."""
    groups: Sequence[tuple[str, Sequence[str]]] = GROUPS
    if isinstance(table, OverheadTable):
        groups = OVERHEAD_GROUPS
    if isinstance(table, PatchTable):
        groups = PATCH_GROUPS
    if isinstance(table, SafetyTable):
        groups = [(name, [name]) for name in said if name not in (*LEADS, *UNPRINTED)]
    if isinstance(table, ImageNetTable | GeneralisationTable):
        rates = [name for name in said if name.startswith("ASR")]
        groups = (*((f"success rate, {name}", [name]) for name in rates), *GROUPS[1:3], GROUPS[7])
    kept = [(title, [name for name in columns if name in said]) for title, columns in groups]
    return [(title, columns) for title, columns in kept if columns]


def _table(table: Table, title: str, columns: Sequence[Column]) -> str:
    heads = [column.head for column in columns]
    rows = zip(*(column.texts for column in columns), strict=True)
    head, *body = [" & ".join(map(_escaped, row)) + r" \\" for row in (heads, *rows)]
    return "\n".join(
        [
            r"\begin{table}[ht]",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{Table {table.number}. {_escaped(table.title)}: {_escaped(title)}.}}",
            rf"\begin{{tabular}}{{{''.join(column.kind for column in columns)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _columns(name: str, found: Sequence[Line]) -> list[Column]:
    """A column of lines as those of its values' parts; the first has its name."""
    parts = [_parts(line[name]) for line in found]
    heads = dict.fromkeys(head for one in parts for head in one)
    own = HEADS.get(name, name.rpartition(", ")[2])
    return [Column(head or own, [one.get(head, "") for one in parts]) for head in heads]


def _parts(value: Value) -> Parts:
    """A value as the texts of its columns."""
    parts = {"": str(value)}
    match value:
        case PapersShare(share, decimals):
            parts = {"": f"{share:.{decimals}%}"}
        case Rate() if value.rate is not None:
            parts = {"": f"{value.rate:.1%}", INTERVAL: _interval(value.low, value.high)}
            parts |= {"n": f"{value.total:,}"}
        case Mean(mean, low, high, runs):
            reach = {} if low is None or high is None else {INTERVAL: _interval(low, high)}
            parts = {"": f"{mean:.1%}"} | reach | {"runs": str(runs)}
        case Versus(reference, found):
            parts = {"": f"against {reference}", "p": f"{found.p_value:.2g}"}
        case CertifiedVersus(reference, found):
            ours, theirs = (f"{share:.1%}" for share in value.shares)
            parts = {"ours": ours, "against": theirs, "of": reference}
            parts |= {"n": f"{found.images:,}", "p": f"{found.p_value:.2g}"}
        case Overhead() | Figure():
            parts = {"": in_words(value)}
        case Attack(attack, images):
            parts = {"": attack, "images": str(images)}
    return parts


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _escaped(text: str) -> str:
    """Text with LaTeX's special characters escaped; long names may be broken at their marks."""
    marks = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    plain = "".join(marks.get(mark, f"\\{mark}" if mark in "&%$#_{}" else mark) for mark in text)
    return re.sub(r"([-:/])(?=\S)", r"\1\\allowbreak{}", plain) if len(text) > LONG else plain
