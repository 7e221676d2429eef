"""Records of pipelines: what was seen of every image, and the rates that follow from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from apr_core.attacks.result import PixelEdit
from apr_core.base import schema
from apr_core.base.files import write_whole
from apr_core.base.provenance import Provenance
from apr_core.base.types import InputError
from apr_core.data.registry import DEFAULT
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.record import check_rate, load_all, results_folder, subject_name
from apr_core.safety.attack import Budget
from apr_core.safety.calibration import Reliability, reliability
from apr_core.safety.config import PipelineConfig
from apr_core.safety.detection import Detection
from apr_core.safety.fallback import COVERAGES, RiskAt, aurc, risk_at

CLEAN, UNKNOWING, ADAPTIVE = "clean", "unknowing", "adaptive"
STATES = (CLEAN, UNKNOWING, ADAPTIVE)
"""Of an image: as it is; edited by one who knows the bare model alone; by one who knows it all."""

SUSPICION = {"checks": 1, "confidence": -1}
"""Layers whose scores are detectors, and the sign that makes a high one suspicious."""


@dataclass(frozen=True)
class GuardSetting:
    """What was measured and how.

    Attributes:
        pipeline: its layers.
        model, sha256, data, data_sha256, data_size: as in a `Setting` of an evaluation.
    """

    pipeline: PipelineConfig
    model: str
    sha256: str
    images: int
    indices_sha256: str
    seed: int = 0
    budget: Budget = field(default_factory=Budget)
    data: str = DEFAULT
    data_sha256: str = ""
    data_size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """What the record's file is called."""
        subject = subject_name(self.model, self.data, self.data_sha256)
        layers = "-".join(self.pipeline.layers)
        return f"{subject}-{layers}-{self.pipeline.sha256[:8]}-n{self.images}-seed{self.seed}"


@dataclass(frozen=True)
class Seen:
    """One image in one state.

    Attributes:
        label: of the model.
        layer: that withholds the answer, "" where none does.
        confidence, brier: calibrated; before the temperature, `raw_confidence` and `raw_brier`.
        excess: the largest of the layers.
        scores: by layer.
        votes: by other model of the ensemble.
    """

    label: int
    layer: str
    confidence: float
    raw_confidence: float
    brier: float
    raw_brier: float
    excess: float
    scores: dict[str, float]
    votes: dict[str, int]


@dataclass(frozen=True)
class Outcome:
    """One image; where the model is wrong about it, it is not attacked, and all states are one.

    Attributes:
        edits: by attack, the pixel that it changed.
        queries: edits that the adaptive attack asked the bare model about.
        shown: of these, how many it asked the whole pipeline about.
    """

    index: int
    label: int
    states: dict[str, Seen]
    edits: dict[str, PixelEdit]
    queries: int = 0
    shown: int = 0

    @property
    def right(self) -> bool:
        """Whether the model labels the clean image rightly."""
        return self.states[CLEAN].label == self.label

    @property
    def answered(self) -> bool:
        """Whether the pipeline answers the clean image, and rightly."""
        return self.right and not self.states[CLEAN].layer

    def fooled(self, state: str) -> bool:
        """Whether the model labels it wrongly."""
        return self.states[state].label != self.label

    def broken(self, state: str) -> bool:
        """Whether the pipeline gives a wrong answer, not withheld."""
        return self.fooled(state) and not self.states[state].layer


@dataclass(frozen=True)
class Area:
    """Area under the risk-coverage curve, with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class GuardRecord(Provenance):
    """What a pipeline does to clean and to attacked images.

    Attributes:
        adaptive: of the images that the pipeline answers rightly, those that the adaptive attack
            makes it answer wrongly; the attack and its budget are told in `about`.
        unknowing: the same of the attack ladder, which knows the bare model alone.
        bare: of the images that the model labels rightly, those that the ladder turns.
        right: of all images, those that the pipeline answers rightly.
        withheld: of the images that the model labels rightly, those that are withheld.
        detections: by score, at false-alarm rates set on held-out images, of the ladder's flips.
        risks, areas: by state, over all images, by trust.
        calibration: by state, before the temperature ("clean, before") and after.
        transfers: by other model, what share of the ladder's flips fools it too.
        queries, shown: of the adaptive attack, an attacked image, on average.
    """

    setting: GuardSetting
    about: str
    adaptive: Rate
    unknowing: Rate
    bare: Rate
    right: Rate
    withheld: Rate
    detections: tuple[Detection, ...]
    risks: dict[str, tuple[RiskAt, ...]]
    areas: dict[str, Area]
    calibration: dict[str, Reliability]
    transfers: dict[str, Rate]
    queries: float
    shown: float
    outcomes: tuple[Outcome, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_json(cls, text: str) -> GuardRecord:
        """Undo `to_json`.

        Raises:
            InputError: the text is no record of a pipeline.
        """
        try:
            record = schema.build(cls, schema.parse(text))
            _check(record)
            return record
        except ValueError as error:
            raise InputError(
                f"This is no record of a pipeline ({error}); make one with `python -m apr_core "
                "guard measure`."
            ) from None


def _check(record: GuardRecord) -> None:
    """Raise ValueError where a record says what cannot be."""
    if not set(STATES) <= record.risks.keys() & record.areas.keys():
        raise ValueError(f"it has no risk or area of one of {', '.join(STATES)}")
    if missing := {f"{CLEAN}, before", f"{CLEAN}, after"} - record.calibration.keys():
        raise ValueError(f"it has no calibration of {', '.join(sorted(missing))}")
    rates = [record.adaptive, record.unknowing, record.bare, record.right, record.withheld]
    rates += [rate for one in record.detections for rate in (one.false, one.detected)]
    rates += [one.risk for risks in record.risks.values() for one in risks]
    for rate in (*rates, *record.transfers.values()):
        check_rate(rate)
    for outcome in record.outcomes:
        if not set(STATES) <= outcome.states.keys():
            raise ValueError(f"image {outcome.index} has no state of one of {', '.join(STATES)}")


def broken_rate(outcomes: Sequence[Outcome], state: str) -> Rate:
    """Of the images that the pipeline answers rightly, those broken in a state."""
    answered = [one for one in outcomes if one.answered]
    return rate_of(sum(one.broken(state) for one in answered), len(answered))


def rates_at(outcomes: Sequence[Outcome], limits: Mapping[str, float]) -> tuple[Rate, Rate, Rate]:
    """What other thresholds would do: the share of right clean answers withheld, and of answered
    ones that the unknowing attacker turns; and, at least, one who knows these thresholds: the
    adaptive attack would have to be run anew, see `passing_at`.

    Args:
        limits: thresholds by layer; a layer that is not named withholds nothing.
    """
    right = [one for one in outcomes if one.right]
    answered = [one for one in right if not _withholds(limits, one.states[CLEAN])]
    withheld = rate_of(len(right) - len(answered), len(right))
    unknowing, knowing = (
        rate_of(_passing(answered, limits, states), len(answered))
        for states in ({UNKNOWING}, {UNKNOWING, ADAPTIVE})
    )
    return withheld, unknowing, knowing


def passing_at(
    outcomes: Sequence[Outcome], limits: Mapping[str, float], attacks: Collection[str]
) -> Rate:
    """Of the images that the model gets right until one of the recorded edits turns it, those where
    a wrong answer passes other thresholds.

    Of both attacks, it is what one who knows these thresholds achieves at least: the recorded edits
    were sought against others.

    Args:
        limits: as in `rates_at`.
        attacks: states of `STATES`, whose edits the attacker has.
    """
    right = [one for one in outcomes if one.right]
    turned = sum(any(one.fooled(state) for state in attacks) for one in right)
    return rate_of(_passing(right, limits, attacks), turned)


def mistakes_at(outcomes: Sequence[Outcome], limits: Mapping[str, float]) -> Rate:
    """Of the images that the model gets wrong without any attack, those whose wrong answer passes
    other thresholds; see `rates_at`."""
    wrong = [one for one in outcomes if not one.right]
    return rate_of(_passing(wrong, limits, {CLEAN}), len(wrong))


def _passing(
    outcomes: Sequence[Outcome], limits: Mapping[str, float], attacks: Collection[str]
) -> int:
    """Images with a wrong answer, in one of some states, that is not withheld."""
    return sum(
        any(one.fooled(at) and not _withholds(limits, one.states[at]) for at in attacks)
        for one in outcomes
    )


def _withholds(limits: Mapping[str, float], seen: Seen) -> bool:
    return any(
        seen.scores[layer] > limit if layer == "checks" else seen.scores[layer] < limit
        for layer, limit in limits.items()
    )


def suspicion(outcomes: Sequence[Outcome], name: str, state: str) -> Tensor:
    """A layer's scores of images in a state, (N,): a high one is suspicious."""
    return torch.tensor([SUSPICION[name] * one.states[state].scores[name] for one in outcomes])


def risks_of(outcomes: Sequence[Outcome], state: str) -> tuple[RiskAt, ...]:
    """The risk at `COVERAGES`, the images with the least excess first."""
    trust, wrong = _trust(outcomes, state)
    return tuple(risk_at(trust, wrong, coverage) for coverage in COVERAGES)


def area_of(outcomes: Sequence[Outcome], state: str, seed: int) -> Area:
    """Area under the risk-coverage curve in a state."""
    found = aurc(*_trust(outcomes, state), seed)
    return Area(found.value, found.low, found.high)


def _trust(outcomes: Sequence[Outcome], state: str) -> tuple[Tensor, Tensor]:
    trust = torch.tensor([-one.states[state].excess for one in outcomes])
    return trust, torch.tensor([one.fooled(state) for one in outcomes])


def calibration_of(outcomes: Sequence[Outcome], state: str, raw: bool) -> Reliability:
    """How the model's confidence and accuracy agree in a state.

    Args:
        raw: before the temperature.
    """
    seen = [one.states[state] for one in outcomes]
    pairs = [
        (one.raw_confidence, one.raw_brier) if raw else (one.confidence, one.brier) for one in seen
    ]
    confidences, briers = torch.tensor(pairs).unbind(1)
    right = torch.tensor([not one.fooled(state) for one in outcomes])
    return reliability(confidences, right, briers)


def save_guard(record: GuardRecord) -> Path:
    """Write a record, whole or not at all; returns where."""
    path = results_folder() / "safety" / f"{record.setting.name}.json"
    return write_whole(path, record.to_json())


def load_guards() -> tuple[list[GuardRecord], list[str]]:
    """Every record of a pipeline, by name, and a sentence for each that is damaged."""
    return load_all("safety", GuardRecord.from_json)
