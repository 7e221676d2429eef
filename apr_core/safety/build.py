"""Building a pipeline: temperature and thresholds, set on held-out clean images.

The models here were trained on all training images, which they know too well to be calibrated on.
So the last images of the fixed order of the test set are held out: no measurement of the first ones
touches them, and none that does is allowed (`held_out`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.evaluation.images import image_order
from apr_core.safety.calibration import fit_temperature
from apr_core.safety.checks import USUAL
from apr_core.safety.config import (
    CertificateLayer,
    Checks,
    Confidence,
    Ensemble,
    PipelineConfig,
)
from apr_core.safety.detection import images_needed, threshold_for
from apr_core.safety.pipeline import Pipeline, Sight

HELD_OUT = 1000
OPEN = {"checks": 1.0, "confidence": 0.0}
"""Thresholds that withhold nothing, before they are set."""


@dataclass(frozen=True)
class Plan:
    """What is to be built; a layer that is not asked for is left out.

    Attributes:
        temperature, checks, confidence: whether there are such layers.
        ensemble: names of the other models.
        agreement: share of all models that must agree.
        certificate: spacing of the lattice, 0 for none.
        false_alarms: share of clean images that the checks, and the confidence, may each withhold.
        held_out: images that are set apart for it.
    """

    model: str
    data: str = ""
    temperature: bool = True
    checks: bool = True
    confidence: bool = True
    views: tuple[str, ...] = USUAL
    score: str = "shift"
    draws: int = 8
    ensemble: tuple[str, ...] = ()
    agreement: float = 1.0
    certificate: int = 0
    false_alarms: float = 0.05
    held_out: int = HELD_OUT

    def config(self) -> PipelineConfig:
        """The layers, before anything is set.

        Raises:
            InputError: there is none, or one cannot be as it is asked for.
        """
        views, score, draws = self.views, self.score, self.draws
        return PipelineConfig(
            self.model,
            self.data,
            1.0 if self.temperature else None,
            Checks(OPEN["checks"], views, score, draws) if self.checks else None,
            Confidence(OPEN["confidence"]) if self.confidence else None,
            Ensemble(self.ensemble, self.agreement) if self.ensemble else None,
            CertificateLayer(self.certificate) if self.certificate else None,
        )


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
    if (plan.checks or plan.confidence) and plan.held_out < images_needed(plan.false_alarms):
        threshold_for(torch.zeros(plan.held_out), plan.false_alarms)  # which says how many
    pipeline = Pipeline.load(config, device)
    if not (plan.temperature or plan.checks or plan.confidence):
        return config
    return _calibrated(pipeline, config, plan)


def _calibrated(pipeline: Pipeline, config: PipelineConfig, plan: Plan) -> PipelineConfig:
    """A config with what held-out images say put in."""
    images, labels = held_out(pipeline.data, plan.held_out)
    labels = labels.to(pipeline.device)
    if plan.temperature:
        logits = pipeline.oracle.query_images(images.to(pipeline.device))
        config = replace(config, temperature=fit_temperature(logits, labels))
    seen = Pipeline(replace(config, ensemble=None, certificate=None), pipeline.target).see(images)
    right = seen.labels == labels
    if config.checks:
        limit = threshold_for(seen.scores["checks"][right], plan.false_alarms)
        config = replace(config, checks=replace(config.checks, threshold=limit))
    if config.confidence:
        limit = -threshold_for(-seen.scores["confidence"][right], plan.false_alarms)
        config = replace(config, confidence=Confidence(limit))
    return replace(config, false_alarms=plan.false_alarms, held_out=plan.held_out)
