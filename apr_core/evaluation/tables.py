"""The paper's tables beside ours: every figure of ours from a card or a record.

A record counts for a model only if it was made with that model's present weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tabulate import tabulate

from apr_core.evaluation import paper
from apr_core.evaluation.metrics import Mean, Paired, Rate, mean_of, paired, rate_of
from apr_core.evaluation.paper import PaperRow
from apr_core.evaluation.record import Level, Record, load_records, results_folder
from apr_core.types import InputError
from apr_core.zoo import Card, load_card, model_names

ARCHITECTURES = ("resnet18", "vgg16", "resnet20")
"""In the paper's order, and then the small one that it does not have."""
LADDER, PAPERS_ATTACK = "ladder", "de"
STYLES = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}
SURE = 0.05
"""A difference with a larger p-value is called no difference."""


class Holds(StrEnum):
    """What our measurements say of a claim."""

    YES = "holds"
    NO = "does not hold"
    OPEN = "not settled"
    UNMEASURED = "not measured yet"


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper's, for one architecture, and what we found."""

    text: str
    architecture: str
    holds: Holds
    found: str


@dataclass(frozen=True)
class Cell:
    """Ours for one row and one architecture; what was not measured is None.

    Attributes:
        clean: on all 10,000 test images.
        asr: with one pixel, of the strongest attack that was tried: the ladder where there is one.
        attack, images: which attack that was, and on how many images.
        papers_attack: success rate of the paper's differential evolution alone.
        versus: against the table's first row, on the images that both models get right.
        clean_runs, asr_runs: over several training seeds, where there are such runs.
    """

    model: str
    architecture: str
    clean: Rate | None
    asr: Rate | None = None
    attack: str = ""
    images: int = 0
    papers_attack: Rate | None = None
    versus: Paired | None = None
    clean_runs: Mean | None = None
    asr_runs: Mean | None = None


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
class OverheadRow:
    """Table 4 for one architecture: shares by which APR takes longer; None: not measured."""

    architecture: str
    form: str
    paper_training: float | None
    paper_inference: float | None
    training: float | None
    training_spread: tuple[float, float] | None
    inference: float | None
    inference_spread: tuple[float, float] | None
    hardware: str


@dataclass(frozen=True)
class OverheadTable:
    """The paper's table 4."""

    number: int
    title: str
    rows: tuple[OverheadRow, ...]
    claims: tuple[Claim, ...]
    note: str = ""


Table = DefenceTable | OverheadTable


def make_tables() -> list[Table]:
    """All four, from what the zoo and the records hold now."""
    records, _ = load_records()
    table1 = _defences(1, "Defences on CIFAR-10", paper.DEFENCES, records)
    table3 = _defences(3, "Ablation of APR on CIFAR-10", paper.ABLATION, records)
    imagenet = DefenceTable(
        2,
        "Defences on a subset of ImageNet",
        tuple(Row(row, ()) for row in paper.IMAGENET),
        (),
        "Not measured: the project has no ImageNet models.",
    )
    return [
        _with_claims(table1, _table1_claims),
        imagenet,
        _with_claims(table3, _table3_claims),
        _overheads(),
    ]


# Tables 1 to 3


def _defences(
    number: int, title: str, rows: Sequence[PaperRow], records: Sequence[Record]
) -> DefenceTable:
    made: list[Row] = []
    for row in rows:
        cells = []
        for architecture in ARCHITECTURES:
            name = f"cifar10-{architecture}-{row.defence}"
            if name in model_names():
                first = f"cifar10-{architecture}-{rows[0].defence}"
                cells.append(_cell(name, architecture, first, records))
        made.append(Row(row, tuple(cells)))
    return DefenceTable(number, title, tuple(made), ())


def _cell(name: str, architecture: str, first: str, records: Sequence[Record]) -> Cell:
    card = load_card(name)
    clean, runs = rate_of(card.correct, card.tested), _read_seeds(card)
    clean_runs = mean_of([run["clean_accuracy"] for run in runs]) if runs else None
    record = find_record(records, card)
    if record is None:
        return Cell(name, architecture, clean, clean_runs=clean_runs)
    reference = None
    if first != name and first in model_names():
        reference = find_record(records, load_card(first), record.setting.attack)
    versus = None
    if reference is not None and reference.setting.images == record.setting.images:
        versus = paired(reference.broken(1), record.broken(1))
    theirs = find_record(records, card, PAPERS_ATTACK)
    return Cell(
        model=name,
        architecture=architecture,
        clean=clean,
        asr=_one_pixel(record).asr,
        attack=record.setting.attack,
        images=record.setting.images,
        papers_attack=_one_pixel(theirs).asr if theirs else None,
        versus=versus,
        clean_runs=clean_runs,
        asr_runs=_over_runs(runs, records, record),
    )


def _read_seeds(card: Card) -> list[dict[str, Any]]:
    """The runs that `train --seeds` recorded, if the shipped one is the model's.

    Raises:
        InputError: the file is damaged.
    """
    path = results_folder() / f"seeds-{card.name}.json"
    if not path.exists():
        return []
    try:
        runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"]
        return runs if any(run["sha256"] == card.sha256 for run in runs) else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no record of several seeds ({error}); make it again with `python -m "
            "apr_core train --seeds`."
        ) from None


def _over_runs(runs: list[dict[str, Any]], records: Sequence[Record], like: Record) -> Mean | None:
    """The success rate over training runs, each evaluated as the shipped one; None if not all."""
    rates = [
        _one_pixel(record).asr.rate
        for run in runs
        for record in records
        if record.setting.sha256 == run["sha256"]
        and record.setting.attack == like.setting.attack
        and record.setting.images == like.setting.images
        and record.level(1) is not None
    ]
    return mean_of(rates) if runs and len(rates) == len(runs) else None


def find_record(records: Sequence[Record], card: Card, attack: str = "") -> Record | None:
    """The record of a model's present weights at one pixel, of the most images.

    Args:
        attack: which; by default the ladder, else the corner sweep, else whatever there is.
    """
    fitting = [
        record
        for record in records
        if record.setting.model == card.name
        and record.setting.sha256 == card.sha256
        and record.level(1) is not None
        and attack in ("", record.setting.attack)
    ]
    order = (PAPERS_ATTACK, "corners", LADDER)

    def worth(record: Record) -> tuple[int, int]:
        kind = record.setting.attack
        return order.index(kind) if kind in order else -1, record.setting.images

    return max(fitting, key=worth, default=None)


def _one_pixel(record: Record) -> Level:
    level = record.level(1)
    assert level is not None
    return level


def _with_claims(
    table: DefenceTable, claims: Callable[[str, dict[str, Cell]], list[Claim]]
) -> DefenceTable:
    made = [
        claim
        for architecture in ARCHITECTURES
        for cells in [_by_defence(table, architecture)]
        if cells
        for claim in claims(architecture, cells)
    ]
    return DefenceTable(table.number, table.title, table.rows, tuple(made), table.note)


def _by_defence(table: DefenceTable, architecture: str) -> dict[str, Cell]:
    return {
        row.paper.defence: cell
        for row in table.rows
        for cell in row.cells
        if cell.architecture == architecture
    }


def _table1_claims(architecture: str, cells: dict[str, Cell]) -> list[Claim]:
    """The reduction, the first place and the price, as section V.B has them."""
    theirs = {row.defence: row for row in paper.DEFENCES}
    drop = 1 - theirs["apr"].asr / theirs["vanilla"].asr
    price = theirs["vanilla"].clean - theirs["apr"].clean
    apr, vanilla = cells.get("apr"), cells.get("vanilla")
    claims = []
    text = f"APR lowers the success rate by {drop:.1%} against the undefended model."
    if apr is None or vanilla is None or not apr.asr or not vanilla.asr or not vanilla.asr.count:
        claims.append(Claim(text, architecture, Holds.UNMEASURED, ""))
    else:
        ours = 1 - apr.asr.rate / vanilla.asr.rate
        sure = apr.versus is not None and apr.versus.p_value < SURE
        found = f"By {ours:.1%}: {_short(vanilla.asr)} to {_short(apr.asr)}"
        if apr.versus is not None:
            found += f", p = {apr.versus.p_value:.2g} on {apr.versus.images} shared images"
        holds = Holds.YES if ours >= drop else Holds.NO
        holds = holds if sure else Holds.OPEN
        claims.append(Claim(text, architecture, holds, f"{found}."))
    rates = {name: cell.asr for name, cell in cells.items() if cell.asr}
    text = "APR has the lowest success rate of the five."
    if len(rates) < len(theirs):
        claims.append(Claim(text, architecture, Holds.UNMEASURED, f"{len(rates)} of 5 measured."))
    else:
        lowest = min(rates, key=lambda name: rates[name].rate)
        found = f"The lowest is {lowest}, {_short(rates[lowest])}."
        claims.append(_claim(text, architecture, lowest == "apr", found))
    text = f"APR costs at most {100 * price:.1f} points of clean accuracy."
    if apr is None or vanilla is None or not apr.clean or not vanilla.clean:
        claims.append(Claim(text, architecture, Holds.UNMEASURED, ""))
    else:
        ours = vanilla.clean.rate - apr.clean.rate
        found = f"It costs {100 * ours:.1f}: {vanilla.clean.rate:.1%} to {apr.clean.rate:.1%}."
        claims.append(_claim(text, architecture, ours <= price + 1e-9, found))
    return claims


def _table3_claims(architecture: str, cells: dict[str, Cell]) -> list[Claim]:
    """That each component helps, as section V.D has it."""
    full, claims = cells.get("apr"), []
    for row in paper.ABLATION[1:]:
        text = f"APR {row.label} falls more often than the whole of it."
        part = cells.get(row.defence)
        if full is None or part is None or not full.asr or not part.asr:
            claims.append(Claim(text, architecture, Holds.UNMEASURED, ""))
            continue
        found = f"{_short(part.asr)} against {_short(full.asr)}"
        holds = Holds.NO
        if part.versus is not None:
            found += f", p = {part.versus.p_value:.2g} on {part.versus.images} shared images"
            more = part.versus.second_only > part.versus.first_only
            if part.versus.p_value >= SURE:
                holds = Holds.OPEN
            elif more:
                holds = Holds.YES
        claims.append(Claim(text, architecture, holds, f"{found}."))
    return claims


def _claim(text: str, architecture: str, holds: bool, found: str) -> Claim:
    return Claim(text, architecture, Holds.YES if holds else Holds.NO, found)


def _short(rate: Rate) -> str:
    return f"{rate.rate:.1%} of {rate.total}"


# Table 4


def _overheads() -> OverheadTable:
    rows = [row for name in ARCHITECTURES for row in _overhead_rows(name)]
    claims = [
        _claim(
            f"{what} takes at most {theirs:.1%} longer with APR.",
            row.architecture,
            ours <= theirs,
            f"{ours:.1%} longer ({row.form}, {row.hardware}).",
        )
        for row in rows
        for what, theirs, ours in (
            ("An epoch of training", row.paper_training, row.training),
            ("Inference", row.paper_inference, row.inference),
        )
        if theirs is not None and ours is not None
    ]
    return OverheadTable(4, "Computational overhead of APR", tuple(rows), tuple(claims))


def _overhead_rows(architecture: str) -> list[OverheadRow]:
    """One row a form of APR that was measured; one without figures where none was."""
    theirs: tuple[float | None, float | None] = paper.OVERHEAD.get(architecture, (None, None))
    record = _read_overhead(architecture)
    if record is None:
        return [OverheadRow(architecture, "", *theirs, None, None, None, None, "")]
    inference = next(
        (
            cost
            for cost in record["inference"]
            if cost["form"] == "loaded" and cost["overhead"] != 0.0
        ),
        None,
    )
    return [
        OverheadRow(
            architecture,
            cost["defence"],
            *theirs,
            cost["overhead"],
            tuple(cost["spread"]),
            inference["overhead"] if inference else None,
            tuple(inference["spread"]) if inference else None,
            record["hardware"],
        )
        for cost in record["training"]
        if cost["defence"] in ("apr", "apr-exact", "apr-plus")
    ]


def _read_overhead(architecture: str) -> dict[str, Any] | None:
    """What `bench --overhead` wrote.

    Raises:
        InputError: the file is damaged.
    """
    path = results_folder() / f"overhead-{architecture}.json"
    if not path.exists():
        return None
    try:
        entry: dict[str, Any] = json.loads(path.read_text())
        for name in ("training", "inference", "hardware"):
            entry[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no record of an overhead ({error}); make it with `python -m apr_core "
            f"bench --overhead --architecture {architecture} --out {path}`."
        ) from None
    return entry


# In print


def in_print(tables: Sequence[Table], style: str) -> str:
    """The tables as text, Markdown or LaTeX.

    Raises:
        InputError: there is no such style.
    """
    if style not in STYLES:
        known = ", ".join((*STYLES, "json"))
        raise InputError(f"There is no style '{style[:40]}'; the known ones are: {known}.")
    return "\n\n".join(_printed(table, STYLES[style]) for table in tables)


def _printed(table: Table, kind: str) -> str:
    headers, rows = columns(table)
    heading = f"Table {table.number}. {table.title}"
    grid = tabulate(rows, headers, tablefmt=kind, disable_numparse=True)
    parts = [heading, grid, *([table.note] if table.note else [])]
    said = [
        f"- {claim.architecture}: {claim.text} **{claim.holds}**. {claim.found}".rstrip()
        for claim in table.claims
    ]
    if kind == STYLES["latex"]:
        escaped = (line.replace("%", r"\%").replace("**", "") for line in [heading, *said])
        return "\n".join([f"% {next(escaped)}", grid, *(f"% {line}" for line in escaped)])
    return "\n\n".join([*parts, "\n".join(said)] if said else parts)


def columns(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headers and rows, as words, without the columns that have none."""
    headers, rows = _all_columns(table)
    kept = [place for place in range(len(headers)) if any(row[place] for row in rows)]
    return [headers[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _all_columns(table: Table) -> tuple[list[str], list[list[str]]]:
    if isinstance(table, OverheadTable):
        headers = ["model", "form", "training, paper", "training, ours", "inference, paper",
                   "inference, ours", "measured on"]  # fmt: skip
        return headers, [_overhead_words(row) for row in table.rows]
    headers = ["defence", "clean, paper", "ASR, paper", "model", "clean, ours", "ASR, ours",
               "attack", "ASR, DE alone", "against the first row", "clean, several seeds",
               "ASR, several seeds"]  # fmt: skip
    return headers, [line for row in table.rows for line in _row_words(row)]


def _row_words(row: Row) -> list[list[str]]:
    theirs = [row.paper.label, f"{row.paper.clean:.1%}", f"{row.paper.asr:.2%}"]
    if not row.cells:
        return [[*theirs, *[""] * 8]]
    lines = []
    for number, cell in enumerate(row.cells):
        lead = theirs if number == 0 else ["", "", ""]
        attack = f"{cell.attack}, {cell.images} images" if cell.attack else ""
        versus = f"p = {cell.versus.p_value:.2g}" if cell.versus else ""
        lines.append([
            *lead, cell.architecture, _with_interval(cell.clean), _with_interval(cell.asr),
            attack, _with_interval(cell.papers_attack), versus, _over_seeds(cell.clean_runs),
            _over_seeds(cell.asr_runs),
        ])  # fmt: skip
    return lines


def _with_interval(rate: Rate | None) -> str:
    if rate is None:
        return "not measured"
    return f"{rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}] of {rate.total:,}"


def _over_seeds(runs: Mean | None) -> str:
    if runs is None:
        return ""
    reach = "" if runs.low is None else f" [{runs.low:.1%}, {runs.high:.1%}]"
    return f"{runs.mean:.1%}{reach} over {runs.runs} runs"


def _overhead_words(row: OverheadRow) -> list[str]:
    return [
        row.architecture,
        row.form,
        _signed(row.paper_training),
        _signed(row.training, row.training_spread),
        _signed(row.paper_inference),
        _signed(row.inference, row.inference_spread),
        row.hardware,
    ]


def _signed(share: float | None, spread: tuple[float, float] | None = None) -> str:
    if share is None:
        return ""
    reach = f" ({spread[0]:+.1%} to {spread[1]:+.1%})" if spread else ""
    return f"{share:+.1%}{reach}"
