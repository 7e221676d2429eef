"""Table 2: defences on ImageNet's classes, of models that are not this project's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from apr_core.data.registry import DATASETS
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.model_summary import LADDER, Records
from apr_core.evaluation.record import Record
from apr_core.evaluation.verdicts import Claim
from apr_core.report import paper
from apr_core.report.paper import PaperRow
from apr_core.zoo.fronts import fronted_sha256, split_front

MEASURED_ON = ("imagenet", "nips2017")
"""Data sets with ImageNet's classes."""
UNKNOWN = "not measured"
UNTRAINED = ("at", "dd", "apr")
"""Defences that need training at this scale."""
NOT_TRAINED = "not trained"
HOW_TO_TRAIN = (
    "Not trained: AT, DD and APR at this scale need ImageNet's training pictures and GPUs; `python "
    "-m apr_core train --data imagenet --architecture resnet50 --from torchvision --defence apr` "
    "trains one."
)
FRONTS = {"": "vanilla", "it": "it", "clamp": "clamp"}
"""What stands before a network, as its name ends, and the row that shows it."""
OURS = (("Clamp of APR+, untrained", "clamp"), ("Lattice masking", "lattice"))
"""Rows that the paper's table does not have."""
NOTICES = {
    "355835d1f19d73cae601d7dfd6cdd10530bef83a46c2feb2f998570b8eea8b3c": (
        "Figures of the quantised ResNet-50 were made with weights of Martinez et al., Permute, "
        "Quantize, and Fine-tune (2020), "
        "https://github.com/uber-research/permute-quantize-finetune, which are available under "
        "the Uber Non-Commercial License."
    )
}
"""By the SHA-256 of weights: what their licence asks to be said beside a figure."""


@dataclass(frozen=True)
class ImageNetCell:
    """What was measured of one model in one row.

    Attributes:
        data: the data set.
        weights: their SHA-256, the front's with them.
        clean: on all its pictures, or on those of the certificates.
        success: attack success rates by the number of pixels.
        attack, images: which attack that was, and on how many pictures.
        certified: behind lattice masking.
    """

    model: str
    data: str
    weights: str
    clean: Rate | None = None
    success: tuple[tuple[int, Rate], ...] = ()
    attack: str = ""
    images: int = 0
    certified: Rate | None = None


@dataclass(frozen=True)
class ImageNetRow:
    """A row of the table; `missing` says why it has no cells."""

    label: str
    paper: PaperRow | None = None
    cells: tuple[ImageNetCell, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class ImageNetTable:
    """The paper's table 2."""

    number: int
    title: str
    rows: tuple[ImageNetRow, ...]
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def pixels(self) -> list[int]:
        """The numbers of pixels that any cell has a rate of."""
        return sorted({k for row in self.rows for cell in row.cells for k, _ in cell.success})


def imagenet_table(records: Records) -> ImageNetTable:
    """The paper's rows and ours, as far as anything was measured."""
    attacked = [each for each in records.evaluations if each.setting.data in MEASURED_ON]
    certified = [
        each
        for each in records.certificates
        if each.setting.data in MEASURED_ON and not each.setting.patch
    ]
    rows = [_row(each.label, each.defence, each, attacked, certified) for each in paper.IMAGENET]
    rows += [_row(label, defence, None, attacked, certified) for label, defence in OURS]
    cells = [cell for row in rows for cell in row.cells]
    notes = (HOW_TO_TRAIN, *notices((cell.weights, cell.data) for cell in cells))
    return ImageNetTable(2, "Defences on a subset of ImageNet", tuple(rows), notes=notes)


def _row(
    label: str,
    defence: str,
    theirs: PaperRow | None,
    attacked: Sequence[Record],
    certified: Sequence[CertRecord],
) -> ImageNetRow:
    if defence in UNTRAINED:
        return ImageNetRow(label, theirs, (), NOT_TRAINED)
    cells = _proven(certified) if defence == "lattice" else _attacked(defence, attacked)
    return ImageNetRow(label, theirs, tuple(cells), "" if cells else UNKNOWN)


def _attacked(defence: str, records: Sequence[Record]) -> list[ImageNetCell]:
    """A cell for each model and data set; of several records of one number of pixels, that of the
    most pictures counts."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        base, front = split_front(record.setting.model)
        bare = record.setting.attack == LADDER and not record.setting.lattice
        if bare and FRONTS.get(front) == defence:
            groups.setdefault((base, record.setting.data), []).append(record)
    return [_cell(base, data, group) for (base, data), group in sorted(groups.items())]


def _cell(base: str, data: str, records: Sequence[Record]) -> ImageNetCell:
    largest = max(records, key=lambda record: record.setting.images)
    rates = {
        level.pixels: level.asr
        for record in sorted(records, key=lambda record: record.setting.images)
        for level in record.levels
        if level.asr.total
    }
    return ImageNetCell(
        base,
        data,
        largest.setting.sha256,
        largest.clean_all or largest.clean,
        tuple(sorted(rates.items())),
        largest.setting.attack,
        largest.setting.images,
    )


def _proven(records: Sequence[CertRecord]) -> list[ImageNetCell]:
    best: dict[tuple[str, str], CertRecord] = {}
    for record in records:
        key = (record.setting.model, record.setting.data)
        if key not in best or record.setting.images > best[key].setting.images:
            best[key] = record
    return [
        ImageNetCell(
            model,
            data,
            record.setting.sha256,
            record.clean,
            images=record.setting.images,
            certified=record.certified,
        )
        for (model, data), record in sorted(best.items())
    ]


def notices(measured: Iterable[tuple[str, str]]) -> Iterator[str]:
    """What must be said beside figures: of the pictures, and of the weights.

    Args:
        measured: SHA-256 of models, and data sets by name.
    """
    measured = list(measured)
    for data in dict.fromkeys(data for _, data in measured):
        if data in DATASETS and (caution := DATASETS.get(data).caution):
            yield caution
    shown = {weights for weights, _ in measured}
    for weights, notice in NOTICES.items():
        if shown & {weights, *(fronted_sha256(weights, front) for front in FRONTS if front)}:
            yield notice
