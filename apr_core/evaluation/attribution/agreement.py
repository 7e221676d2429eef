"""Agreement record: per-method statistics of attribution maps over many images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from apr_core.base import schema
from apr_core.base.files import write_whole
from apr_core.base.provenance import Provenance
from apr_core.base.types import InputError
from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Mean, Rate, mean_of
from apr_core.evaluation.model_summary import is_of
from apr_core.evaluation.record import check_rate, load_all, results_folder, subject_name
from apr_core.zoo.checkpoints import Card

NOISE, CENTRE = "noise", "centre"
"""What two maps are called that ask no model, and that all others are held against: noise, and the
nearness to the middle of the picture, where a photographer puts what it is of."""
SMALL, MIDDLING = 0.1, 0.3
"""Cohen's (1988) names for correlations: below the first there is none to speak of."""


_FIGURES: Any = tuple[float | None, float | None, float | None, float | None, float, float]


class AttributionScores(NamedTuple):
    """One map of one image.

    Attributes:
        with_attention: rank correlation of its weights with the gate; None where there is no gate,
            or the map puts the pixels in no order.
        overlap: of its strongest pixels, the share that are among the gate's.
        with_truth: rank correlation of its weights with how easily each pixel breaks the model.
        outweighs: share of the pixels that the one which breaks the model outweighs; None where no
            pixel does.
        deletion, insertion: area under each curve.
    """

    with_attention: float | None
    overlap: float | None
    with_truth: float | None
    outweighs: float | None
    deletion: float
    insertion: float


@dataclass(frozen=True)
class ImageStudy:
    """One image that the model gets right.

    Attributes:
        index: of the test image.
        broken: pixels that break the model in a corner colour.
        maps: by method, `NOISE` and `CENTRE` among them.
    """

    index: int
    label: int
    broken: int
    maps: dict[str, AttributionScores]


@dataclass(frozen=True)
class Summary:
    """A method over images: means with Student's 95 % interval, None where nothing was found.

    Attributes:
        truth_gain: by how much `with_truth` is above that of the nearness to the middle.
        deletion_gain, insertion_gain: by how much the area is smaller, or larger, than that of
            noise on the same image. A gain above 0 says that the map knows something.
    """

    with_attention: Mean | None
    overlap: Mean | None
    with_truth: Mean | None
    outweighs: Mean | None
    deletion: Mean | None
    insertion: Mean | None
    truth_gain: Mean | None
    deletion_gain: Mean | None
    insertion_gain: Mean | None


class Verdict(StrEnum):
    """What an interval of rank correlations says."""

    PREDICTS = "predicts"
    WEAKLY = "weakly predicts"
    NOT = "does not predict"
    ELSEWHERE = "points away from"
    OPEN = "not settled"


@dataclass(frozen=True)
class AgreementSetting:
    """What was looked at and how: two with the same setting find the same.

    Attributes:
        images: how many were asked for; those that the model gets right were looked at.
        top: share of a map's pixels that count as strongest.
        steps: of the deletion and insertion curves.
        config: of the attributions.
        data, data_sha256: as of an evaluation's setting.
    """

    model: str
    sha256: str
    images: int
    indices_sha256: str
    top: float
    steps: int
    config: dict[str, float]
    data: str = DEFAULT
    data_sha256: str = ""

    @property
    def name(self) -> str:
        """What the record's file is called."""
        return f"{subject_name(self.model, self.data, self.data_sha256)}-n{self.images}"


@dataclass(frozen=True)
class AgreementRecord(Provenance):
    """How far the maps of one model agree; `looked` has the images that it gets right."""

    setting: AgreementSetting
    right: Rate
    looked: tuple[ImageStudy, ...]

    def summaries(self, label: int | None = None) -> dict[str, Summary]:
        """By method, over the images of a class, or of all."""
        return summaries(one for one in self.looked if label in (None, one.label))

    def to_json(self) -> str:
        means = {method: asdict(summary) for method, summary in self.summaries().items()}
        return json.dumps(asdict(self) | {"means": means}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> AgreementRecord:
        """Undo `to_json`; the means are for other readers, and are made anew.

        Raises:
            InputError: the text is no record of agreement.
        """
        try:
            entry = schema.build(dict[str, Any], schema.parse(text))
            del entry["means"]
            found = schema.build(list[dict[str, Any]], entry["looked"], "looked")
            record = schema.build(cls, entry | {"looked": []})
            check_rate(record.right)
            return replace(record, looked=tuple(map(image_study_from, found)))
        except (ValueError, KeyError) as error:
            raise InputError(
                f"This is no record of agreement ({error}); make one with `python -m apr_core "
                "agreement`."
            ) from None


def image_study_from(entry: dict[str, Any]) -> ImageStudy:
    """Undo `dataclasses.asdict` and JSON.

    Raises:
        KeyError, ValueError: it is none, or lacks what every method is held against.
    """
    rows = schema.build(dict[str, Any], entry["maps"], "maps")
    maps = {method: _figures_from(values, method) for method, values in rows.items()}
    for name in (NOISE, CENTRE):
        maps[name]
    return replace(schema.build(ImageStudy, entry | {"maps": {}}), maps=maps)


def _figures_from(values: Any, method: str) -> AttributionScores:
    listed = list(values) if isinstance(values, tuple) else values
    known = AttributionScores(*schema.build(_FIGURES, listed, method))
    if not all(value is None or -1 <= value <= 1 for value in known):
        raise ValueError(f"{method} has a figure beyond 1")
    return known


def summaries(looked: Iterable[ImageStudy]) -> dict[str, Summary]:
    """What the images say together, by method."""
    rows: dict[str, list[dict[str, float | None]]] = {}
    for one in looked:
        noise, centre = one.maps[NOISE], one.maps[CENTRE]
        for method, figures in one.maps.items():
            gains = {
                "truth_gain": _above(figures.with_truth, centre.with_truth),
                "deletion_gain": noise.deletion - figures.deletion,
                "insertion_gain": figures.insertion - noise.insertion,
            }
            rows.setdefault(method, []).append(figures._asdict() | gains)
    return {
        method: Summary(**{name: _mean([row[name] for row in found]) for name in found[0]})
        for method, found in rows.items()
    }


def _above(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _mean(values: Sequence[float | None]) -> Mean | None:
    known = [value for value in values if value is not None]
    return mean_of(known) if known else None


def verdict(correlation: Mean) -> Verdict:
    """Whether a method predicts what it was correlated with, by the whole interval."""
    low, high = correlation.low, correlation.high
    if low is None or high is None:
        return Verdict.OPEN
    if low >= MIDDLING:
        return Verdict.PREDICTS
    if low > -SMALL and high < SMALL:
        return Verdict.NOT
    if low > 0:
        return Verdict.WEAKLY
    return Verdict.ELSEWHERE if high < 0 else Verdict.OPEN


def find_agreement(records: Sequence[AgreementRecord], card: Card) -> AgreementRecord | None:
    """That of a model's present weights, of the most images."""
    fitting = [record for record in records if is_of(record, card)]
    return max(fitting, key=lambda record: record.setting.images, default=None)


def save_agreement(record: AgreementRecord) -> Path:
    """Write a record, whole or not at all; returns where."""
    path = results_folder() / "agreements" / f"{record.setting.name}.json"
    return write_whole(path, record.to_json())


def load_agreements() -> tuple[list[AgreementRecord], list[str]]:
    """Every record of agreement, by name, and a sentence for each that is damaged."""
    return load_all("agreements", AgreementRecord.from_json)
