"""Building a pipeline: temperature and thresholds, set on held-out clean images.

The models here were trained on all training images, which they know too well to be calibrated on.
So the last images of the fixed order of the test set are held out: no measurement of the first ones
touches them, and none that does is allowed (`held_out`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import SPACING
from apr_core.data.dataset import DataSet
from apr_core.evaluation.images import image_order
from apr_core.safety.calibration import fit_temperature
from apr_core.safety.checks import USUAL
from apr_core.safety.config import (
    LAYERS,
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


@dataclass(frozen=True)
class Plan:
    """What is to be built.

    Attributes:
        layers: names; a layer that is not among them is left out.
        others: names of the ensemble's other models.
        agreement: share of all models that must agree.
        spacing: of the certificate's lattice.
        false_alarms: share of clean images that the checks, and the confidence, may each withhold.
        held_out: images that are set apart for temperature and thresholds.
    """

    model: str
    data: str = ""
    layers: tuple[str, ...] = USUAL_LAYERS
    views: tuple[str, ...] = USUAL
    score: str = "doubt"
    draws: int = 8
    others: tuple[str, ...] = ()
    agreement: float = 1.0
    spacing: int = SPACING
    false_alarms: float = 0.05
    held_out: int = HELD_OUT

    def __post_init__(self) -> None:
        for name in self.layers:
            if name not in LAYERS:
                raise InputError(unknown_name("layer", name, LAYERS))
        if self.others and "ensemble" not in self.layers:
            object.__setattr__(self, "layers", (*self.layers, "ensemble"))

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
            Checks(1.0, self.views, self.score, self.draws) if "checks" in asked else None,
            Confidence(0.0) if "confidence" in asked else None,
            Ensemble(self.others, self.agreement) if "ensemble" in asked else None,
            CertificateLayer(self.spacing) if "certificate" in asked else None,
        )


def build_words(config: PipelineConfig) -> list[str]:
    """The options of `guard build` that make a config, whose thresholds were set by a rate."""
    words = ["--model", config.model, "--layers", ",".join(config.layers)]
    words += ["--data", config.data] if config.data else []
    if checks := config.checks:
        words += ["--views", ",".join(checks.views)] if checks.views != USUAL else []
        words += ["--score", checks.score] if checks.score != Plan.score else []
        words += ["--draws", str(checks.draws)] if checks.random else []
    if ensemble := config.ensemble:
        words += ["--others", ",".join(ensemble.models)]
        words += ["--agreement", str(ensemble.threshold)]
    if certificate := config.certificate:
        words += ["--spacing", str(certificate.spacing)]
    if config.false_alarms:
        words += ["--false-alarms", str(config.false_alarms), "--held-out", str(config.held_out)]
    return words


def held_out(data: DataSet, count: int, measured: int = 0) -> tuple[Tensor, Tensor]:
    """The last test images of the fixed order: uint8 (N, C, H, W), and labels (N,).

    Args:
        measured: how many of the first ones are measured on.

    Raises:
        InputError: there are not so many that are not measured on.
    """
    if not 1 <= count <= data.tested - measured:
        raise InputError(
            f"{count:,} images are to be held out and {measured:,} to be measured on, and "
            f"{data.title} has {data.tested:,}; ask for fewer of either."
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
    if {"checks", "confidence"} & set(plan.layers):
        check_enough(plan.held_out, plan.false_alarms)
    pipeline = Pipeline.load(config, device)
    images, labels = held_out(pipeline.data, plan.held_out)
    labels = labels.to(pipeline.device)
    if config.temperature:
        logits = pipeline.oracle.query_images(images.to(pipeline.device))
        config = replace(config, temperature=fit_temperature(logits, labels))
    light = replace(config, ensemble=None, certificate=None)
    seen = Pipeline(light, pipeline.target).see(images)
    right = seen.labels == labels
    if config.checks:
        limit = threshold_for(seen.scores["checks"][right], plan.false_alarms)
        config = replace(config, checks=replace(config.checks, threshold=limit))
    if config.confidence:
        limit = -threshold_for(-seen.scores["confidence"][right], plan.false_alarms)
        config = replace(config, confidence=Confidence(limit))
    return replace(config, false_alarms=plan.false_alarms, held_out=plan.held_out)
