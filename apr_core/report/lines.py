"""Lines: the values of a table, one line a model, before they are printed as words or numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apr_core.certification.lattice_masking import SPACING
from apr_core.data.registry import find_dataset
from apr_core.evaluation.metrics import Mean, Paired, Rate
from apr_core.evaluation.model_summary import ModelSummary
from apr_core.report.generalisation import GeneralisationRow, GeneralisationTable, attack_names
from apr_core.report.imagenet import UNKNOWN, ImageNetRow, ImageNetTable
from apr_core.report.overheads import OverheadRow, signed
from apr_core.report.patches import PatchRow, PatchTable
from apr_core.report.safety import RISKS, SCORES, SafetyRow, SafetyTable
from apr_core.report.tables import OverheadTable, Row, Table
from apr_core.safety.detection import FALSE_ALARMS
from apr_core.safety.fallback import COVERAGES
from apr_core.zoo.checkpoints import CAUTION

NOTHING = ModelSummary("", "", 0, 0, None)
NAME, LATTICE = "name", "lattice"
"""Columns of the model's file name, and of the spacing of the lattice that it stands behind."""
SIDE = "patch side"
"""Column of the side of the patches that a certificate covers, in pixels."""
UNPRINTED = (NAME, LATTICE)
"""For CSV and for pages."""
LEAD = ("defence", "clean, paper", "ASR, paper")
"""Columns that are the same in all lines of a row."""


@dataclass(frozen=True)
class PapersShare:
    """A share as the paper gives it, with so many decimals of a per cent."""

    share: float
    decimals: int = 1


@dataclass(frozen=True)
class Versus:
    """A model against its row's reference, a defence, on the images that both get right."""

    reference: str
    found: Paired


@dataclass(frozen=True)
class CertifiedVersus:
    """The certified shares of a model and of its row's reference, on shared images."""

    reference: str
    found: Paired

    @property
    def shares(self) -> tuple[float, float]:
        """The model's own, and the reference's."""
        theirs, ours = self.found.rates
        return 1 - ours, 1 - theirs


@dataclass(frozen=True)
class Overhead:
    """A share by which something takes longer, with its interval where there is one."""

    share: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Attack:
    """The attack of an evaluation, and of how many images."""

    name: str
    images: int


@dataclass(frozen=True)
class Figure:
    """A number that is no share of images, with its interval where it has one."""

    value: float
    interval: tuple[float, float] | None = None


Value = (
    str | int | PapersShare | Rate | Mean | Versus | CertifiedVersus | Overhead | Attack | Figure
)
Line = dict[str, Value]


def lines(table: Table) -> list[Line]:
    """The table's lines, all with the same columns; "" or a word stands where there is no value."""
    if isinstance(table, OverheadTable):
        return [_overhead(row) for row in table.rows]
    if isinstance(table, GeneralisationTable):
        return [_generalisation(row) for row in table.rows]
    if isinstance(table, PatchTable):
        return [_patches(row) for row in table.rows]
    if isinstance(table, SafetyTable):
        return [_safety(row) for row in table.rows]
    if isinstance(table, ImageNetTable):
        return [line for row in table.rows for line in _imagenet(row, table.pixels)]
    return [_lead(row) | _cell(cell, row) for row in table.rows for cell in row.cells or [NOTHING]]


def said_of(found: Iterable[Line]) -> list[str]:
    """The columns in which any line has something to say."""
    found = list(found)
    return [name for name in found[0] if any(line[name] not in ("", UNKNOWN) for line in found)]


def in_words(value: Value) -> str:
    """A value of a line as text."""
    words = str(value)
    match value:
        case PapersShare(share, decimals):
            words = f"{share:.{decimals}%}"
        case Rate():
            words = f"{value.share:.1%} [{value.low:.1%}, {value.high:.1%}] of {value.total:,}"
        case Mean(mean, low, high, runs):
            reach = "" if low is None else f" [{low:.1%}, {high:.1%}]"
            words = f"{mean:.1%}{reach} over {runs} runs"
        case Versus(reference, found):
            words = f"against {reference}, p = {found.p_value:.2g}"
        case CertifiedVersus(reference, found):
            ours, theirs = value.shares
            words = f"{ours:.1%} against {theirs:.1%} of {reference}, {found.images:,} images, "
            words += f"p = {found.p_value:.2g}"
        case Overhead(share, interval):
            words = signed(share, interval)
        case Attack(name, images):
            words = f"{name}, {images} images"
        case Figure(number, interval):
            reach = "" if interval is None else f" [{interval[0]:.3g}, {interval[1]:.3g}]"
            words = f"{number:.3g}{reach}"
    return words


def _lead(row: Row | ImageNetRow) -> Line:
    values = (
        row.label,
        PapersShare(row.paper.clean) if row.paper else "",
        PapersShare(row.paper.asr, 2) if row.paper else "",
    )
    return dict(zip(LEAD, values, strict=True))


def _cell(cell: ModelSummary, row: Row) -> Line:
    versus, certified = cell.versus, cell.certified_versus
    return {
        NAME: cell.model,
        LATTICE: cell.lattice or "",
        "model": cell.architecture,
        "epochs": cell.epochs or "",
        "caution": CAUTION if cell.caution else "",
        "clean, ours": _rate(cell.clean),
        "ASR, ours": _rate(cell.asr),
        "certified with masking": _rate(cell.certified),
        "certified, same images": (
            CertifiedVersus(row.reference, certified) if certified and certified.images else ""
        ),
        "ASR, 3 pixels": _rate(cell.asr3),
        "ASR, DE alone": _rate(cell.papers_attack),
        "attack": _attack(cell.attack, cell.images),
        "McNemar": Versus(row.reference, versus) if versus else "",
        "clean, several seeds": cell.clean_runs or "",
        "ASR, several seeds": cell.asr_runs or "",
    }


def _imagenet(row: ImageNetRow, pixels: Sequence[int]) -> list[Line]:
    """A line for each model, or one that says why there is none."""
    columns = {k: f"ASR, {k} pixel{'' if k == 1 else 's'}" for k in pixels}
    found: list[Line] = [
        {
            NAME: cell.model,
            LATTICE: SPACING if cell.certified else "",
            "model": f"{cell.model} on {find_dataset(cell.data).title}",
            "clean, ours": _rate(cell.clean),
            **{name: _rate(dict(cell.success).get(k)) for k, name in columns.items()},
            "certified with masking": _rate(cell.certified),
            "attack": _attack(cell.attack, cell.images),
        }
        for cell in row.cells
    ]
    empty: Line = {NAME: "", LATTICE: "", "model": "", "clean, ours": row.missing}
    empty |= dict.fromkeys(columns.values(), row.missing)
    empty |= {"certified with masking": row.missing, "attack": ""}
    return [_lead(row) | line for line in found or [empty]]


def _generalisation(row: GeneralisationRow) -> Line:
    return {
        LEAD[0]: row.label,
        NAME: row.model,
        "model": row.architecture,
        "caution": CAUTION if row.caution else "",
        **{f"ASR, {attack}": _rate(row.success.get(attack)) for attack in attack_names()},
    }


def _patches(row: PatchRow) -> Line:
    return {
        LEAD[0]: row.label,
        NAME: row.model,
        "model": row.subject,
        "caution": CAUTION if row.caution else "",
        SIDE: row.patch,
        "masks": row.masks,
        "clean behind masks": _rate(row.clean),
        "certified against patches": _rate(row.certified),
    }


def _safety(row: SafetyRow) -> Line:
    """The adaptive rate first; a bare model has the first rates alone."""
    record = row.record
    found: Line = {
        LEAD[0]: row.label,
        NAME: row.model,
        "model": row.subject,
        "caution": CAUTION if row.caution else "",
        "false alarms": Figure(row.false_alarms) if row.false_alarms else "",
        "adaptive": _rate(row.adaptive),
        "unknowing": _rate(row.unknowing),
        "clean withheld": _rate(row.withheld) if row.withheld else "",
    }
    detected = {(one.score, one.false_alarms): one for one in record.detections} if record else {}
    for score in SCORES:
        for false_alarms in FALSE_ALARMS:
            one = detected.get((score, false_alarms))
            name = f"{score} detects, {false_alarms:.0%} false alarms"
            found[name] = _rate(one.detected) if one else ""
    for state in RISKS:
        risks = {one.coverage: one.risk for one in record.risks[state]} if record else {}
        for coverage in COVERAGES:
            risk = risks.get(coverage)
            found[f"risk {state}, {coverage:.0%}"] = _rate(risk) if risk else ""
        area = record.areas[state] if record else None
        found[f"AURC {state}"] = Figure(area.value, (area.low, area.high)) if area else ""
    for when in ("before", "after"):
        found[f"ECE {when}"] = Figure(record.calibration[f"clean, {when}"].ece) if record else ""
    return found


def _overhead(row: OverheadRow) -> Line:
    def value(share: float | None, interval: tuple[float, float] | None = None) -> Value:
        return "" if share is None else Overhead(share, interval)

    return {
        "model": row.architecture,
        "form": row.form,
        "training, paper": value(row.paper_training),
        "training, ours": value(row.training, row.training_interval),
        "inference, paper": value(row.paper_inference),
        "inference, ours": value(row.inference, row.inference_interval),
        "measured on": row.hardware,
    }


def _attack(name: str, images: int) -> Value:
    return Attack(name, images) if name else ""


def _rate(rate: Rate | None) -> Value:
    return UNKNOWN if rate is None or rate.rate is None else rate
