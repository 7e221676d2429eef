"""Building a pipeline: temperature and thresholds, set on held-out clean images.

The models here were trained on all training images, which they know too well to be calibrated on.
So the last images of the fixed order of the test set are held out: no measurement of the first ones
touches them, and none that does is allowed (`held_out`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError, check_ranges
from apr_core.data.dataset import DataSet
from apr_core.evaluation.images import image_order
from apr_core.safety.calibration import fit_temperature
from apr_core.safety.checks import USUAL, VIEWS
from apr_core.safety.config import (
    LAYERS,
    MOST_HELD_OUT,
    CertificateLayer,
    Checks,
    Confidence,
    Ensemble,
    PipelineConfig,
)
from apr_core.safety.detection import check_enough, threshold_for
from apr_core.safety.pipeline import Pipeline

HELD_OUT = 1000
USUAL_LAYERS = ("temperature", "checks", "confidence")
SET = frozenset(USUAL_LAYERS)
"""Layers that held-out images say something about."""
THRESHOLDS = frozenset({"checks", "confidence"})
"""Of these, those whose threshold is set by a false-alarm rate."""
LAYERS_OF = {
    "views": {"checks"},
    "score": {"checks"},
    "draws": {"checks"},
    "agreement": {"ensemble"},
    "spacing": {"certificate"},
    "false_alarms": THRESHOLDS,
    "held_out": SET,
}
"""What each option belongs to: one of these layers."""
FALSE_ALARMS = 0.05


@dataclass(frozen=True)
class Plan:
    """What is to be built; an option that is None has its usual value.

    Attributes:
        layers: names; a layer that is not among them is left out.
        others: names of the ensemble's other models.
        agreement: share of all models that must agree.
        spacing: of the certificate's lattice.
        false_alarms: share of clean images that the checks, and the confidence, may each withhold;
            `FALSE_ALARMS` usually.
        held_out: images that are set apart for temperature and thresholds; `HELD_OUT` usually.
    """

    model: str
    data: str = ""
    layers: tuple[str, ...] = USUAL_LAYERS
    views: tuple[str, ...] | None = None
    score: str | None = None
    draws: int | None = None
    others: tuple[str, ...] = ()
    agreement: float | None = None
    spacing: int | None = None
    false_alarms: float | None = None
    held_out: int | None = None

    def __post_init__(self) -> None:
        for name in self.layers:
            if name not in LAYERS:
                raise InputError(unknown_name("layer", name, LAYERS))
        if self.others and "ensemble" not in self.layers:
            object.__setattr__(self, "layers", (*self.layers, "ensemble"))
        self._check_used()
        if self.held_out is not None:
            title = "The number of held-out images (--held-out)"
            check_ranges(self, {"held_out": (1, MOST_HELD_OUT)}, {"held_out": title})

    def _check_used(self) -> None:
        """Raise InputError for an option that no layer goes by."""
        for name, layers in LAYERS_OF.items():
            if getattr(self, name) is None or layers & set(self.layers):
                continue
            option = f"--{name.replace('_', '-')}"
            wanted = " or ".join(layer for layer in LAYERS if layer in layers)
            raise InputError(
                f"{option} belongs to the layer {wanted}, and the layers are "
                f"{', '.join(self.layers) or 'none'}; add {wanted} to --layers, or leave {option} "
                "out."
            )
        views = USUAL if self.views is None else self.views
        if views and self.draws is not None and not any(VIEWS.get(name).random for name in views):
            raise InputError(
                f"--draws belongs to random views, and none of {', '.join(views)} is random; add "
                "shift to --views, or leave --draws out."
            )

    def config(self) -> PipelineConfig:
        """The layers, before anything is set: no threshold withholds anything yet.

        Raises:
            InputError: there is none, or one cannot be as it is asked for.
        """
        asked = set(self.layers)
        return PipelineConfig(
            self.model,
            self.data,
            1.0 if "temperature" in asked else None,
            Checks(1.0, **_given(views=self.views, score=self.score, draws=self.draws))
            if "checks" in asked
            else None,
            Confidence(0.0) if "confidence" in asked else None,
            Ensemble(self.others, **_given(threshold=self.agreement))
            if "ensemble" in asked
            else None,
            CertificateLayer(**_given(spacing=self.spacing)) if "certificate" in asked else None,
        )


def _given(**options: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def build_words(config: PipelineConfig) -> list[str]:
    """The options of `guard build` that make a config, whose thresholds were set by a rate."""
    words = ["--model", config.model, "--layers", ",".join(config.layers)]
    words += ["--data", config.data] if config.data else []
    if checks := config.checks:
        words += ["--views", ",".join(checks.views)] if checks.views != USUAL else []
        words += ["--score", checks.score] if checks.score != Checks.score else []
        words += ["--draws", str(checks.draws)] if checks.random else []
    if ensemble := config.ensemble:
        words += ["--others", ",".join(ensemble.models)]
        words += ["--agreement", str(ensemble.threshold)]
    if certificate := config.certificate:
        words += ["--spacing", str(certificate.spacing)]
    if config.false_alarms and THRESHOLDS & set(config.layers):
        words += ["--false-alarms", str(config.false_alarms)]
    if config.held_out:
        words += ["--held-out", str(config.held_out)]
    return words


def held_out(data: DataSet, count: int, measured: int = 0) -> tuple[Tensor, Tensor]:
    """The last test images of the fixed order: uint8 (N, C, H, W), and labels (N,).

    Args:
        measured: how many of the first ones are measured on.

    Raises:
        InputError: there are not so many that are not measured on.
    """
    if not 1 <= count <= data.tested - measured:
        also = f" and {measured:,} to be measured on (--images)" if measured else ""
        raise InputError(
            f"{count:,} images are to be held out (--held-out){also}, and {data.title} has "
            f"{data.tested:,} test images; ask for fewer."
        )
    part = data.test_part(image_order(data)[-count:])
    return part.images, part.labels


def build(plan: Plan, device: torch.device) -> PipelineConfig:
    """The pipeline of a plan, its temperature and thresholds set on held-out images.

    Raises:
        InputError: the plan has no layer, models of other classes, or too few images.
    """
    config = plan.config()
    if not SET & set(plan.layers):
        Pipeline.load(config, device)
        return config
    count = plan.held_out or HELD_OUT
    rate = FALSE_ALARMS if plan.false_alarms is None else plan.false_alarms
    limited = bool(THRESHOLDS & set(plan.layers))
    if limited:
        check_enough(count, rate)
    pipeline = Pipeline.load(config, device)
    images, labels = held_out(pipeline.data, count)
    labels = labels.to(pipeline.device)
    if config.temperature:
        logits = pipeline.oracle.query_images(images.to(pipeline.device))
        config = replace(config, temperature=fit_temperature(logits, labels))
    light = replace(config, ensemble=None, certificate=None)
    seen = Pipeline(light, pipeline.target).see(images)
    right = seen.labels == labels
    if limited:
        check_enough(int(right.sum()), rate, count)
    if config.checks:
        limit = threshold_for(seen.scores["checks"][right], rate)
        config = replace(config, checks=replace(config.checks, threshold=limit))
    if config.confidence:
        limit = -threshold_for(-seen.scores["confidence"][right], rate)
        config = replace(config, confidence=Confidence(limit))
    return replace(config, false_alarms=rate if limited else 0.0, held_out=count)
