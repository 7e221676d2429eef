"""Printing: tables as text, Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from apr_core.base.types import InputError
from apr_core.evaluation.metrics import Mean, Paired, Rate
from apr_core.evaluation.model_summary import ModelSummary
from apr_core.evaluation.verdicts import measured_first
from apr_core.report.imagenet import UNKNOWN, ImageNetRow, ImageNetTable
from apr_core.report.overheads import OverheadRow, signed
from apr_core.report.tables import OverheadTable, Row, Table
from apr_core.zoo.checkpoints import CAUTION

NOTHING = ModelSummary("", "", 0, 0, None)
STYLES = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}


def in_print(tables: Sequence[Table], style: str) -> str:
    """The tables as text, Markdown or LaTeX.

    Raises:
        InputError: there is no such style.
    """
    if style not in STYLES:
        known = ", ".join(STYLES)
        raise InputError(f"There is no style '{style[:40]}'; the known ones are: {known}.")
    return "\n\n".join(_printed(table, STYLES[style]) for table in tables)


def _printed(table: Table, kind: str) -> str:
    headers, rows = columns(table)
    heading = f"Table {table.number}. {table.title}"
    grid = tabulate(rows, headers, tablefmt=kind, disable_numparse=True)
    parts = [heading, grid, *table.notes]
    said = [
        f"- {claim.architecture}: {claim.text} **{claim.holds}**. {claim.found}".rstrip()
        for claim in measured_first(table.claims)
    ]
    if kind == STYLES["latex"]:
        lines = (heading, *table.notes, *said)
        comments = [f"% {line.replace('**', '')}" for line in lines]
        return "\n".join([comments[0], grid, *comments[1:]])
    return "\n\n".join([*parts, "\n".join(said)] if said else parts)


def columns(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headers and rows, as words, without the columns that have nothing to say."""
    headers, rows = _all_columns(table)
    kept = [place for place in range(len(headers)) if {row[place] for row in rows} - {"", UNKNOWN}]
    return [headers[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _all_columns(table: Table) -> tuple[list[str], list[list[str]]]:
    if isinstance(table, OverheadTable):
        headers = ["model", "form", "training, paper", "training, ours", "inference, paper",
                   "inference, ours", "measured on"]  # fmt: skip
        return headers, [_overhead_words(row) for row in table.rows]
    if isinstance(table, ImageNetTable):
        lines = [line for row in table.rows for line in _imagenet_words(row, table.pixels)]
    else:
        lines = [line for row in table.rows for line in _row_words(row)]
    headers = list(lines[0])
    return headers, [list(line.values()) for line in lines]


def _row_words(row: Row) -> list[dict[str, str]]:
    """A line an architecture; the row's own words stand in the first."""
    return _led(row, [_cell_words(cell, row.reference) for cell in row.cells or [NOTHING]])


def _led(row: Row | ImageNetRow, lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """A row's lines, its own words and the paper's figures before the first."""
    lead = {
        "defence": row.label,
        "clean, paper": f"{row.paper.clean:.1%}" if row.paper else "",
        "ASR, paper": f"{row.paper.asr:.2%}" if row.paper else "",
    }
    first, *rest = lines
    return [lead | first, *(dict.fromkeys(lead, "") | words for words in rest)]


def _imagenet_words(row: ImageNetRow, pixels: Sequence[int]) -> list[dict[str, str]]:
    """A line for each model, or one that says why there is none."""
    columns = {k: f"ASR, {k} pixel{'' if k == 1 else 's'}" for k in pixels}
    lines = [
        {
            "model": f"{cell.model} on {cell.data}",
            "clean, ours": _with_interval(cell.clean),
            **{name: _with_interval(dict(cell.success).get(k)) for k, name in columns.items()},
            "certified with masking": _with_interval(cell.certified),
            "attack": f"{cell.attack}, {cell.images} images" if cell.attack else "",
        }
        for cell in row.cells
    ]
    empty = {"model": "", "clean, ours": row.missing}
    empty |= dict.fromkeys(columns.values(), row.missing)
    empty |= {"certified with masking": row.missing, "attack": ""}
    return _led(row, lines or [empty])


def _cell_words(cell: ModelSummary, reference: str) -> dict[str, str]:
    return {
        "model": cell.architecture,
        "epochs": str(cell.epochs or ""),
        "caution": CAUTION if cell.caution else "",
        "clean, ours": _with_interval(cell.clean),
        "ASR, ours": _with_interval(cell.asr),
        "certified with masking": _with_interval(cell.certified),
        "certified, same images": _certified_against(cell.certified_versus, reference),
        "ASR, 3 pixels": _with_interval(cell.asr3),
        "ASR, DE alone": _with_interval(cell.papers_attack),
        "attack": f"{cell.attack}, {cell.images} images" if cell.attack else "",
        "McNemar": f"against {reference}, p = {cell.versus.p_value:.2g}" if cell.versus else "",
        "clean, several seeds": _over_seeds(cell.clean_runs),
        "ASR, several seeds": _over_seeds(cell.asr_runs),
    }


def _with_interval(rate: Rate | None) -> str:
    if rate is None:
        return UNKNOWN
    return f"{rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}] of {rate.total:,}"


def _certified_against(versus: Paired | None, reference: str) -> str:
    if versus is None or not versus.images:
        return ""
    theirs, ours = versus.rates
    return (
        f"{1 - ours:.1%} against {1 - theirs:.1%} of {reference}, {versus.images:,} images, "
        f"p = {versus.p_value:.2g}"
    )


def _over_seeds(runs: Mean | None) -> str:
    if runs is None:
        return ""
    reach = "" if runs.low is None else f" [{runs.low:.1%}, {runs.high:.1%}]"
    return f"{runs.mean:.1%}{reach} over {runs.runs} runs"


def _overhead_words(row: OverheadRow) -> list[str]:
    return [
        row.architecture,
        row.form,
        signed(row.paper_training),
        signed(row.training, row.training_interval),
        signed(row.paper_inference),
        signed(row.inference, row.inference_interval),
        row.hardware,
    ]
