"""Detection: thresholds by a wanted false-alarm rate, and the ROC of a score.

A score is higher the more suspicious a picture is; a picture is withheld where its score lies
strictly above the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.evaluation.metrics import Rate, rate_of

FALSE_ALARMS = (0.01, 0.05)
"""The rates that records report."""


def check_enough(count: int, false_alarms: float, held_out: int = 0) -> None:
    """See that a threshold for a false-alarm rate can be set on so many clean images.

    Args:
        held_out: images of which the model gets `count` right, where that was found out.

    Raises:
        InputError: there are too few, or the rate is none that a threshold can be set for.
    """
    if not 0 < false_alarms < 1:
        raise InputError(
            f"The false-alarm rate (--false-alarms) is {false_alarms:g}, but must lie between 0 "
            "and 1, ends excluded; try 0.01 or 0.05."
        )
    needed = math.ceil(1 / false_alarms - 1e-9)
    if count < needed:
        have = f"{count:,}" + (f" of the {held_out:,} held out" if held_out else "")
        raise InputError(
            f"A false-alarm rate of {false_alarms:.3g} takes at least {needed:,} held-out images "
            f"that the model gets right, but has {have}; hold out more (--held-out), or allow more "
            "false alarms (--false-alarms)."
        )


def threshold_for(scores: Tensor, false_alarms: float) -> float:
    """The lowest threshold that withholds a new clean image with at most that probability.

    It is the conformal quantile, the ceil((1 - a)(n + 1))-th smallest of n scores (N,): over the
    draw of these images and of the new one, the false-alarm rate is at most a.

    Raises:
        InputError: there are too few images.
    """
    check_enough(len(scores), false_alarms)
    rank = math.ceil((1 - false_alarms) * (len(scores) + 1) - 1e-9)
    return float(scores.sort().values[rank - 1])


@dataclass(frozen=True)
class Detection:
    """What a score detects at a threshold.

    Attributes:
        score: its name.
        false_alarms: wanted; the threshold is set for it on held-out images.
        false: share of clean images, answered rightly, that it withholds all the same.
        detected: share of attacked images, answered wrongly, that it withholds.
    """

    score: str
    false_alarms: float
    threshold: float
    false: Rate
    detected: Rate


def detect(
    name: str, held_out: Tensor, clean: Tensor, attacked: Tensor, false_alarms: float
) -> Detection:
    """A score's detection rate at a false-alarm rate; each argument is of one picture each, (N,).

    Raises:
        InputError: there are too few held-out images.
    """
    threshold = threshold_for(held_out, false_alarms)
    false, caught = (int((scores > threshold).sum()) for scores in (clean, attacked))
    return Detection(
        name,
        false_alarms,
        threshold,
        rate_of(false, len(clean)),
        rate_of(caught, len(attacked)),
    )


def roc(clean: Tensor, attacked: Tensor) -> list[tuple[float, float, float]]:
    """Threshold, false-alarm rate and detection rate at every threshold, the highest first."""
    steps = torch.unique(torch.cat([clean, attacked])).flip(0)
    rows = [(math.inf, 0.0, 0.0)]
    for step in steps.tolist():
        false, caught = ((scores >= step).float().mean().item() for scores in (clean, attacked))
        rows.append((step, false, caught))
    return rows


def area_under_roc(clean: Tensor, attacked: Tensor) -> float:
    """The chance that an attacked image scores higher than a clean one, ties counted half."""
    above = (attacked[:, None] > clean).double() + 0.5 * (attacked[:, None] == clean).double()
    return float(above.mean())
