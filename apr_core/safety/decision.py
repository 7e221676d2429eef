"""Decisions: a label or "ask a person", with every layer's score and the reason in a sentence.

Each layer gives a score and has a threshold. Its excess is how far the score lies on the wrong side
of the threshold; above 0, the layer withholds the answer. The largest excess of all layers is the
pipeline's own, and minus that is the trust in an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from apr_core.data.dataset import DataSet
from apr_core.safety.checks import VIEWS, Diversity
from apr_core.safety.config import PipelineConfig

ROUNDING = 1e-6
"""By which a share of models may fall short of its threshold."""
Score = TypeVar("Score", float, Tensor)


@dataclass(frozen=True)
class LayerVerdict:
    """What one layer says of one picture.

    Attributes:
        score, threshold: None where the layer has none.
        withholds: whether this layer alone would withhold the answer.
        reason: a sentence.
    """

    layer: str
    score: float | None
    threshold: float | None
    withholds: bool
    reason: str

    @property
    def ending(self) -> str:
        """What becomes of the answer there, in a word or two."""
        if self.threshold is None:
            return "nothing to withhold"
        return "answer withheld" if self.withholds else "passed"


@dataclass(frozen=True)
class Decision:
    """A label, or "ask a person".

    Attributes:
        answer: the label, None where it is withheld.
        label: of the model, also where it is withheld.
        confidence: its probability, calibrated where there is a temperature.
        layer: the first that withholds, "" where none does.
        reason: a sentence.
        layers: every layer's verdict, in order; also of those after one that withholds.
    """

    answer: int | None
    label: int
    confidence: float
    layer: str
    reason: str
    layers: tuple[LayerVerdict, ...]


@dataclass(frozen=True, eq=False)
class Sight:
    """What the pipeline sees in pictures.

    Attributes:
        logits: of the model, (B, K).
        confidence: of its label, calibrated, (B,).
        scores: by layer that may withhold, (B,).
        excess: by the same, (B,); above 0, the layer withholds.
        votes: by other model of the ensemble, labels (B,).
        diversity: what the views gave, where there are checks.
    """

    logits: Tensor
    confidence: Tensor
    scores: dict[str, Tensor]
    excess: dict[str, Tensor]
    votes: dict[str, Tensor]
    diversity: Diversity | None

    @property
    def labels(self) -> Tensor:
        """Of the model, (B,)."""
        return self.logits.argmax(1)

    @property
    def worst(self) -> Tensor:
        """The largest excess, (B,); without a layer that may withhold, minus the confidence."""
        if not self.excess:
            return -self.confidence
        return torch.stack(list(self.excess.values())).amax(0)

    @property
    def withheld(self) -> Tensor:
        """(B,) bool."""
        return self.worst > 0


def excess_of(config: PipelineConfig, layer: str, score: Score) -> Score:
    """How far a layer's score, or scores (B,), lie on the wrong side of its threshold."""
    if layer == "certificate":
        return 1 - score
    limit: float = getattr(config, layer).threshold
    if layer == "checks":
        return score - limit
    return limit - (ROUNDING if layer == "ensemble" else 0) - score


def decided(config: PipelineConfig, seen: Sight, row: int, data: DataSet) -> Decision:
    """What was seen in one picture, as a decision."""
    label, confidence = int(seen.labels[row]), float(seen.confidence[row])
    name = data.class_name(label)
    layers = tuple(_verdicts(config, seen, row, name))
    first = next((one for one in layers if one.withholds), None)
    if first is None:
        reason = f"The answer is {name}: no layer withholds it."
        return Decision(label, label, confidence, "", reason, layers)
    reason = f"Ask a person: {first.reason[0].lower()}{first.reason[1:]}"
    return Decision(None, label, confidence, first.layer, reason, layers)


def _verdicts(config: PipelineConfig, seen: Sight, row: int, name: str) -> Iterator[LayerVerdict]:
    if config.temperature is not None:
        words = f"Probabilities are read at the temperature {config.temperature:.3g}."
        yield LayerVerdict("temperature", config.temperature, None, False, words)
    for layer, scores in seen.scores.items():
        limit = 1.0 if layer == "certificate" else getattr(config, layer).threshold
        withholds = bool(seen.excess[layer][row] > 0)
        words = _REASONS[layer](_Case(config, seen, row, name, withholds, float(limit)))
        yield LayerVerdict(layer, float(scores[row]), float(limit), withholds, words)


@dataclass(frozen=True)
class _Case:
    """One layer and one picture, whose class by the model has a name."""

    config: PipelineConfig
    seen: Sight
    row: int
    name: str
    withholds: bool
    limit: float

    def compared(self, what: str, score: Tensor, over: str = "above") -> str:
        """A score and its threshold, at the end of a sentence."""
        side = over if self.withholds else f"not {over}"
        return f"{what} {float(score[self.row]):.2f}, {side} the threshold {self.limit:.2f}."


def _of_checks(case: _Case) -> str:
    checks, found = case.config.checks, case.seen.diversity
    assert checks is not None
    assert found is not None
    score = case.seen.scores["checks"]
    if checks.score == "disagreement":
        what = f"The share of views that say another class than {case.name} is"
        return case.compared(what, score)
    if checks.score == "shift":
        view = VIEWS.get(checks.views[int(found.kept[case.row].argmin())]).title
        return case.compared(f"The view {view} lowers the probability of {case.name} by", score)
    kept = float(found.kept[case.row].mean())
    what = f"The views leave {case.name} a mean probability of {kept:.2f}, which is a doubt of"
    return case.compared(what, score)


def _of_confidence(case: _Case) -> str:
    return case.compared(f"The probability of {case.name} is", case.seen.confidence, "below")


def _of_ensemble(case: _Case) -> str:
    models = 1 + len(case.seen.votes)
    agreeing = round(float(case.seen.scores["ensemble"][case.row]) * models)
    say = "says" if agreeing == 1 else "say"
    return f"{agreeing} of {models} models {say} {case.name}, and {case.limit:.0%} are asked for."


def _of_certificate(case: _Case) -> str:
    if not case.withholds:
        return (
            f"All masked predictions say {case.name}: whatever one pixel is changed to, no other "
            "class is answered."
        )
    share = float(case.seen.scores["certificate"][case.row])
    return (
        f"{share:.1%} of the masked predictions say {case.name}, and a certificate takes all of "
        "them."
    )


_REASONS: dict[str, Callable[[_Case], str]] = {
    "checks": _of_checks,
    "confidence": _of_confidence,
    "ensemble": _of_ensemble,
    "certificate": _of_certificate,
}
