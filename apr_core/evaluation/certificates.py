"""Certified accuracy: the share of images that no edit of one pixel, or one patch, can change."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from apr_core.base import schema
from apr_core.base.files import write_whole
from apr_core.base.provenance import Provenance, provenance
from apr_core.base.types import InputError
from apr_core.certification.double_masking import DoubleMasking
from apr_core.certification.lattice_masking import (
    SPACING,
    Certificate,
    LatticeMasking,
    Verdict,
    behind_lattice,
    certify,
)
from apr_core.certification.patch_masking import (
    PER_AXIS,
    PatchMasking,
    behind_squares,
    check_patch,
)
from apr_core.data.registry import DEFAULT
from apr_core.evaluation.images import choose_images, choose_indices, indices_sha256
from apr_core.evaluation.journal import Entries, Journal, dispatch_in_turn
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.protocol import EvalProgress
from apr_core.evaluation.record import (
    check_rate,
    data_words,
    load_all,
    results_folder,
    subject_name,
)
from apr_core.models.inference import device_of
from apr_core.models.inputs import as_input
from apr_core.zoo.target import TargetModel


@dataclass(frozen=True)
class CertSetting:
    """What was certified and how: two with the same setting find the same.

    Attributes:
        spacing: of the lattice, where the threat is one pixel; 0 where it is a patch.
        patch: side of the patches that the certificate covers, in pixels; 0 for one pixel.
        masks: square masks along each axis, where the threat is a patch; 0 for one pixel.
    """

    model: str
    sha256: str
    spacing: int
    images: int
    indices_sha256: str
    data: str = DEFAULT
    data_sha256: str = ""
    data_size: tuple[int, int] | None = None
    patch: int = 0
    masks: int = 0

    @property
    def name(self) -> str:
        """What the record's file is called."""
        usual = self.masks == PER_AXIS
        squares = f"patch{self.patch}{'' if usual else f'-masks{self.masks}'}"
        masking = squares if self.patch else f"lattice{self.spacing}"
        return f"{subject_name(self.model, self.data, self.data_sha256)}-{masking}-n{self.images}"


@dataclass(frozen=True)
class CertRecord(Provenance):
    """The certificates of a model's images.

    Attributes:
        clean: share that the wrapper classifies correctly.
        certified: share that is certified, of all images.
        forwards: predictions that were looked at for an image, on average, to certify it. What the
            wrapper asks besides, to settle on an answer where the first ones differ, is not in it.
        images_per_second: of certifying.
        verdicts: one an image, in the order of evaluation: its index and what is known of it.
    """

    setting: CertSetting
    clean: Rate
    certified: Rate
    forwards: float
    images_per_second: float
    verdicts: tuple[tuple[int, str], ...]

    @property
    def uncertified(self) -> dict[int, bool]:
        """By image, whether it is wrong, or right without a certificate."""
        return {index: verdict != Verdict.CERTIFIED for index, verdict in self.verdicts}

    def to_json(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CertRecord:
        """Undo `to_json`.

        Raises:
            InputError: the text is no record of certificates.
        """
        try:
            record = schema.build(cls, schema.parse(text))
            for rate in (record.clean, record.certified):
                check_rate(rate)
            return record
        except ValueError as error:
            raise InputError(
                f"This is no record of certificates ({error}); make one with `python -m apr_core "
                "certify`."
            ) from None


def cert_setting(
    target: TargetModel,
    images: int,
    spacing: int = SPACING,
    patch: int = 0,
    masks: int = PER_AXIS,
) -> CertSetting:
    """A checked setting: of a lattice, or of square masks where a patch's side is given.

    Raises:
        InputError: numbers that cannot be.
    """
    if patch:
        PatchMasking(target.model, patch, masks)
        check_patch(*target.data.size, patch)
    else:
        LatticeMasking(target.model, spacing, target.data)
    return CertSetting(
        target.name,
        target.sha256,
        0 if patch else spacing,
        images,
        indices_sha256(choose_indices(target.data, images)),
        target.data.name,
        target.data_sha256,
        target.data_size,
        patch,
        masks if patch else 0,
    )


def behind_masks(target: TargetModel, spacing: int, patch: int, masks: int) -> DoubleMasking:
    """A model behind square masks where a patch's side is given, else behind a lattice.

    Raises:
        InputError: numbers that cannot be.
    """
    if patch:
        return behind_squares(target.model, patch, masks)
    return behind_lattice(target.model, spacing, target.data)


def certify_model(
    target: TargetModel,
    setting: CertSetting,
    report: Callable[[EvalProgress], None] = lambda progress: None,
) -> CertRecord:
    """Certify the first images of the fixed order, or go on with what was begun.

    Raises:
        InputError: an unfinished run of the same name has other settings.
    """
    images, labels, indices = choose_images(target.data, setting.images)
    device = device_of(target.model)
    wrapper = behind_masks(target, setting.spacing, setting.patch, setting.masks)
    certificate_of = partial(schema.build, Certificate)
    journal = Journal(setting.name, asdict(setting), setting.sha256, check=certificate_of)

    def attempt(group: Tensor) -> Entries:
        found = certify(wrapper, as_input(images[group].to(device)), labels[group].to(device))
        return dict(zip(indices[group].tolist(), map(asdict, found), strict=True))

    for seconds, left in journal.work_through(indices, device, dispatch_in_turn(attempt)):
        report(_progress(journal, setting, seconds, left))
    everyone = {index: certificate_of(journal.entries[index]) for index in indices.tolist()}
    record = _record(setting, everyone, device, journal.seconds)
    journal.delete()
    return record


def _progress(journal: Journal, setting: CertSetting, seconds: float, left: float) -> EvalProgress:
    entries = journal.entries.values()
    uncertified = sum(entry["verdict"] != Verdict.CERTIFIED for entry in entries)
    return EvalProgress(len(entries), setting.images, uncertified, len(entries), seconds, left)


def _record(
    setting: CertSetting, found: dict[int, Certificate], device: torch.device, seconds: float
) -> CertRecord:
    verdicts, count = [one.verdict for one in found.values()], len(found)
    clean, certified = _rates(verdicts)
    words = ["python", "-m", "apr_core", "certify", "--model", setting.model]
    words += data_words(setting.model, setting.data)
    words += ["--images", str(setting.images)]
    words += (
        ["--patch", str(setting.patch), "--masks", str(setting.masks)]
        if setting.patch
        else ["--spacing", str(setting.spacing)]
    )
    return CertRecord(
        setting=setting,
        clean=clean,
        certified=certified,
        forwards=sum(one.predictions for one in found.values()) / count,
        images_per_second=count / seconds,
        verdicts=tuple(zip(found, map(str, verdicts), strict=True)),
        **provenance(device, shlex.join(words), seconds),
    )


def on_shared_images(records: Sequence[CertRecord]) -> list[CertRecord]:
    """The same records, each counted on those images alone that all of them have."""
    shared = set.intersection(*({index for index, _ in record.verdicts} for record in records))
    return [_counted_on(record, shared) for record in records]


def _counted_on(record: CertRecord, indices: set[int]) -> CertRecord:
    kept = tuple((index, verdict) for index, verdict in record.verdicts if index in indices)
    clean, certified = _rates([verdict for _, verdict in kept])
    return replace(record, verdicts=kept, clean=clean, certified=certified)


def _rates(verdicts: Sequence[str]) -> tuple[Rate, Rate]:
    """The shares that the wrapper gets right, and that are certified."""
    count = len(verdicts)
    right = count - verdicts.count(Verdict.WRONG)
    return rate_of(right, count), rate_of(verdicts.count(Verdict.CERTIFIED), count)


def save_certificates(record: CertRecord) -> Path:
    """Write a record, whole or not at all; returns where."""
    path = results_folder() / "certificates" / f"{record.setting.name}.json"
    return write_whole(path, record.to_json())


def load_certificates() -> tuple[list[CertRecord], list[str]]:
    """Every record of certificates, by name, and a sentence for each that is damaged."""
    return load_all("certificates", CertRecord.from_json)
