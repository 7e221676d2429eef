"""Table 6, which the paper has not: certificates against patches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.model_summary import is_of
from apr_core.evaluation.record import on_data
from apr_core.evaluation.verdicts import Claim
from apr_core.report.imagenet import FRONTS, MEASURED_ON, notices
from apr_core.zoo.checkpoints import Card, caution_of, load_card, model_names
from apr_core.zoo.fronts import split_front


@dataclass(frozen=True)
class PatchRow:
    """One model behind one set of square masks.

    Attributes:
        label: its defence, as the other tables call it.
        subject: its architecture, or its name, and the data where that does not go without saying.
        patch: side of the patches that the certificates cover, in pixels.
        masks: how many masks there are.
        clean, certified: of the model behind the masks, of all images.
        caution: what is wrong with the weights, if anything is.
    """

    label: str
    model: str
    subject: str
    patch: int
    masks: int
    clean: Rate
    certified: Rate
    caution: str = ""


@dataclass(frozen=True)
class PatchTable:
    """Table 6."""

    number: int
    title: str
    rows: tuple[PatchRow, ...]
    notes: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()


def patch_table(defences: Sequence[tuple[str, str]], records: Iterable[CertRecord]) -> PatchTable:
    """The models' present weights and, on ImageNet's classes, libraries' models; of several records
    of one set of masks, that of the most images counts.

    Args:
        defences: label and registry key of each.
    """
    cards = {name: load_card(name) for name in model_names()}
    best: dict[tuple[str, str, int, int], CertRecord] = {}
    for record in records:
        setting = record.setting
        key = (setting.model, setting.data, setting.patch, setting.masks)
        known = _is_known(record, cards)
        if known and (key not in best or setting.images > best[key].setting.images):
            best[key] = record
    labels = {defence: label for label, defence in defences}
    rows = [_row(best[key], cards, labels) for key in sorted(best)]
    said = notices((record.setting.sha256, record.setting.data) for record in best.values())
    note = (
        "Certified: of all images, those that the model behind the masks gets right, and for which "
        "it is proven that no square patch of that side, anywhere and of any content, changes its "
        "answer. It says nothing of the model without the masks."
    )
    return PatchTable(6, "Certificates against patches", tuple(rows), (note, *said))


def _is_known(record: CertRecord, cards: Mapping[str, Card]) -> bool:
    """Whether a record is of patches, and of a model that the tables show."""
    card, setting = cards.get(record.setting.model), record.setting
    shown = is_of(record, card) if card else setting.data in MEASURED_ON
    return bool(setting.patch) and shown


def _row(record: CertRecord, cards: Mapping[str, Card], labels: Mapping[str, str]) -> PatchRow:
    setting = record.setting
    card = cards.get(setting.model)
    base, front = split_front(setting.model)
    defence = card.defence if card else FRONTS.get(front, front)
    return PatchRow(
        label=labels.get(defence, defence),
        model=setting.model,
        subject=(card.architecture if card else base) + on_data(setting.model, setting.data),
        patch=setting.patch,
        masks=setting.masks**2,
        clean=record.clean,
        certified=record.certified,
        caution=caution_of(load_card(card.base) if card.base else card) if card else "",
    )
