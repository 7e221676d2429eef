"""Calibration: temperature scaling (Guo et al., 2017), reliability, ECE and Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.base.types import InputError

BINS = 15
"""Of the reliability diagram and the ECE, as Guo et al. have them: equally wide."""
TEMPERATURES = (0.05, 20.0)
LEAST_IMAGES = 50
"""That a temperature is fitted to."""


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least negative log-likelihood, within `TEMPERATURES`.

    Args:
        logits: (N, K), of images that the model was not trained on.
        labels: (N,).

    Raises:
        InputError: there are too few images.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - slow to import

    if len(labels) < LEAST_IMAGES:
        raise InputError(
            f"The layer 'temperature' takes at least {LEAST_IMAGES} held-out images, but has "
            f"{len(labels)}; hold out more (--held-out)."
        )
    exact, low, high = logits.double(), *TEMPERATURES

    def loss(inverse: float) -> float:
        """Convex in 1/T, so that its one minimum is found."""
        return float(F.cross_entropy(exact * inverse, labels))

    found = minimize_scalar(loss, bounds=(1 / high, 1 / low), method="bounded")
    return float(1 / found.x)


@dataclass(frozen=True)
class Bin:
    """Images whose confidence lies in one interval: how many, its mean, and the share right."""

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How confidence and accuracy agree.

    Attributes:
        bins: `BINS` equally wide intervals of (0, 1], the least confident first.
        ece: expected calibration error over these bins.
        brier: mean squared distance of the probabilities from the one-hot label, 0 to 2.
        images: how many.
    """

    bins: tuple[Bin, ...]
    ece: float
    brier: float
    images: int


def reliability(confidences: Tensor, right: Tensor, briers: Tensor) -> Reliability:
    """Of images by their confidence (N,), whether the answer is right (N,), and Brier scores (N,).

    Raises:
        InputError: there is no image.
    """
    if not len(confidences):
        raise InputError("Calibration is measured on 1 image at least, and there are 0.")
    confidences, right = confidences.double(), right.double()
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    place = torch.bucketize(confidences, edges).clamp(1, BINS) - 1
    bins = tuple(_bin(confidences[place == n], right[place == n]) for n in range(BINS))
    gaps = (one.count * abs(one.confidence - one.accuracy) for one in bins)
    count = len(confidences)
    return Reliability(bins, sum(gaps) / count, float(briers.double().mean()), count)


def _bin(confidences: Tensor, right: Tensor) -> Bin:
    if not len(confidences):
        return Bin(0, 0.0, 0.0)
    return Bin(len(confidences), float(confidences.mean()), float(right.mean()))


def brier(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Brier score of each image: (N, K) and (N,) -> (N,)."""
    return (probabilities - F.one_hot(labels, probabilities.shape[1])).square().sum(1)
