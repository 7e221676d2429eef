"""Model summary: one model's rates, from its card and the records of its present weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from apr_core.base import schema
from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import SPACING
from apr_core.evaluation.certificates import CertRecord, load_certificates, on_shared_images
from apr_core.evaluation.metrics import Mean, Paired, Rate, mean_of, paired, rate_of
from apr_core.evaluation.record import Level, Record, find_records, load_records
from apr_core.zoo.checkpoints import Card, caution_of, load_card, model_names

LADDER, PAPERS_ATTACK = "ladder", "de"


@dataclass(frozen=True)
class ModelSummary:
    """Ours for one row and one architecture; what was not measured is None.

    Attributes:
        epochs: of training; of the model beneath, for a defence that trains nothing.
        lattice: spacing, where the model stands behind lattice masking; 0 for the bare model.
        clean: of the bare model on all 10,000 test images; masked, on those of the certificates.
        asr: with one pixel, of the strongest attack that was tried: the ladder where there is one.
        asr3: with three pixels, of the same.
        robust: with one pixel, of the same: right and not broken, of all images.
        attack, images: which attack that was, and on how many images.
        papers_attack: success rate of the paper's differential evolution alone.
        versus: against the row's reference, on the images that both models get right.
        certified: behind lattice masking.
        certified_versus: which images have no certificate, against the row's reference.
        clean_runs, asr_runs: over several training seeds, where there are such runs.
        caution: what is wrong with the weights, if anything is; all figures are of these.
    """

    model: str
    architecture: str
    epochs: int
    lattice: int
    clean: Rate | None
    asr: Rate | None = None
    asr3: Rate | None = None
    robust: Rate | None = None
    attack: str = ""
    images: int = 0
    papers_attack: Rate | None = None
    versus: Paired | None = None
    certified: Rate | None = None
    certified_versus: Paired | None = None
    clean_runs: Mean | None = None
    asr_runs: Mean | None = None
    caution: str = ""


@dataclass(frozen=True)
class Records:
    """All that was measured; `damaged` has a sentence for each record that could not be read."""

    evaluations: Sequence[Record]
    certificates: Sequence[CertRecord]
    damaged: Sequence[str] = ()

    @classmethod
    def read(cls) -> Records:
        """What lies in the results' folder."""
        evaluations, torn = load_records()
        certificates, torn_too = load_certificates()
        return cls(evaluations, certificates, [*torn, *torn_too])


def summarize_model(
    name: str, architecture: str, reference: str, records: Records, lattice: bool = False
) -> ModelSummary:
    """What was found of the model `name`, and how it compares with the bare model `reference`.

    Args:
        lattice: whether the model stands behind lattice masking.
    """
    card = load_card(name)
    proven = find_certificates(records.certificates, card)
    bare = rate_of(card.correct, card.tested)
    runs = [] if lattice else _read_seeds(card)
    cell = ModelSummary(
        model=name,
        architecture=architecture,
        epochs=card.epochs or load_card(card.base).epochs,
        lattice=SPACING if lattice else 0,
        clean=bare if not lattice else proven.clean if proven else None,
        certified=proven.certified if proven else None,
        certified_versus=compare_certificates(reference, name, records.certificates),
        clean_runs=mean_of([run["clean_accuracy"] for run in runs]) if runs else None,
        caution=caution_of(load_card(card.base) if card.base else card),
    )
    record = find_record(records.evaluations, card, lattice=cell.lattice)
    if record is None:
        return cell
    theirs = find_record(records.evaluations, card, PAPERS_ATTACK, cell.lattice)
    most = find_record(records.evaluations, card, record.setting.attack, cell.lattice, 3)
    three = most.level(3) if most else None
    return replace(
        cell,
        asr=_success(_one_pixel(record)),
        asr3=_success(three) if three else None,
        robust=_one_pixel(record).robust,
        attack=record.setting.attack,
        images=record.setting.images,
        papers_attack=_success(_one_pixel(theirs)) if theirs else None,
        versus=_against(reference, name, records.evaluations, record),
        asr_runs=_over_runs(runs, records.evaluations, record),
    )


def compare(first: ModelSummary, second: ModelSummary, records: Sequence[Record]) -> Paired | None:
    """Two models under the attack of the second's cell; None if it was not tried on both."""
    if not second.attack:
        return None
    record = find_record(records, load_card(second.model), second.attack, second.lattice)
    return _against(first.model, second.model, records, record) if record else None


def compare_certificates(first: str, second: str, records: Sequence[CertRecord]) -> Paired | None:
    """Which images have no certificate, of two models by name; None if that is not known of both,
    or if there is nothing to compare."""
    if first == second or not {first, second} <= set(model_names()):
        return None
    found = [find_certificates(records, load_card(name)) for name in (first, second)]
    lacking = [record.uncertified for record in found if record is not None]
    return paired(*lacking) if len(lacking) == len(found) else None


def _against(reference: str, name: str, records: Sequence[Record], record: Record) -> Paired | None:
    """A record against the same attack's on the reference; None if there is none to compare."""
    if reference not in model_names() or (reference == name and not record.setting.lattice):
        return None
    alike = [other for other in records if record.setting.like(other.setting)]
    other = find_record(alike, load_card(reference), record.setting.attack)
    return paired(other.broken(1), record.broken(1)) if other else None


def _read_seeds(card: Card) -> list[dict[str, Any]]:
    """The runs that `train --seeds` recorded, if the shipped one is the model's.

    Raises:
        InputError: the file is damaged.
    """
    path = next(iter(find_records(f"seeds-{card.name}.json")), None)
    if path is None:
        return []
    try:
        runs = schema.build(list[dict[str, Any]], schema.read(path)["runs"])
        for run in runs:
            schema.build(float, run["clean_accuracy"])
        return runs if any(run["sha256"] == card.sha256 for run in runs) else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no record of several seeds ({error}); make it again with `python -m "
            "apr_core train --seeds`."
        ) from None


def _over_runs(runs: list[dict[str, Any]], records: Sequence[Record], like: Record) -> Mean | None:
    """The success rate over training runs, each evaluated as the shipped one; None if not all."""
    rates = {
        record.setting.sha256: success.share
        for record in records
        if record.setting.like(like.setting)
        and record.setting.images == like.setting.images
        and record.setting.lattice == like.setting.lattice
        and record.level(1) is not None
        and (success := _success(_one_pixel(record)))
    }
    known = [rates[run["sha256"]] for run in runs if run["sha256"] in rates]
    return mean_of(known) if runs and len(known) == len(runs) else None


class _Measured(Protocol):
    """A setting that says of which weights, and on what."""

    @property
    def model(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def data(self) -> str: ...


class Measurement(Protocol):
    """A record of any kind."""

    @property
    def setting(self) -> _Measured: ...


def is_of(record: Measurement, card: Card) -> bool:
    """Whether a record was made with the model's present weights, on the data it was made for."""
    setting = record.setting
    return (setting.model, setting.sha256, setting.data) == (card.name, card.sha256, card.dataset)


def is_past(record: Measurement, cards: Mapping[str, Card]) -> bool:
    """Whether a record is of a model, by name, that has other weights by now."""
    card = cards.get(record.setting.model)
    return card is not None and record.setting.sha256 != card.sha256


def find_certificates(
    records: Sequence[CertRecord], card: Card, spacing: int = SPACING
) -> CertRecord | None:
    """Those of a model's present weights against one pixel behind one lattice, of the most
    images."""
    fitting = [
        record
        for record in records
        if is_of(record, card) and not record.setting.patch and record.setting.spacing == spacing
    ]
    return max(fitting, key=lambda record: record.setting.images, default=None)


def lattices_of(records: Sequence[CertRecord], cards: Iterable[Card]) -> list[CertRecord]:
    """For each model and each lattice that its present weights were certified behind, the record
    of the most images; counted on the images that all of the model's have, so that what differs
    is the lattice."""
    spacings = sorted({record.setting.spacing for record in records if not record.setting.patch})
    found = []
    for card in cards:
        mine = [find_certificates(records, card, spacing) for spacing in spacings]
        known = [record for record in mine if record is not None]
        found += on_shared_images(known) if known else []
    return found


def find_record(
    records: Sequence[Record], card: Card, attack: str = "", lattice: int = 0, pixels: int = 1
) -> Record | None:
    """The record of a model's present weights at k pixels, of the most images.

    Args:
        attack: which; by default the ladder, else the corner sweep, else whatever there is.
        lattice: spacing of the lattice that it stood behind; 0 for none.
        pixels: k.
    """
    fitting = [
        record
        for record in records
        if is_of(record, card)
        and record.setting.lattice == lattice
        and record.setting.sparse
        and record.level(pixels) is not None
        and attack in ("", record.setting.attack)
    ]
    order = (PAPERS_ATTACK, "corners", LADDER)

    def worth(record: Record) -> tuple[int, int]:
        kind = record.setting.attack
        return order.index(kind) if kind in order else -1, record.setting.images

    return max(fitting, key=worth, default=None)


def _success(level: Level) -> Rate | None:
    """The success rate; None where no image was attacked."""
    return level.asr if level.asr.total else None


def _one_pixel(record: Record) -> Level:
    level = record.level(1)
    assert level is not None
    return level
