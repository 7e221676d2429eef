"""FGSM and PGD on one picture, a step at a time, so that a screen can follow them.

`apr_core.attacks.gradient` has both for batches, and `apr_core.attacks.stages` for evaluation.
Dimensions: C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from apr_core.attacks.gradient import fgsm, margin_loss
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.stages import PGD_REACH, PGD_STEPS
from apr_core.base import random
from apr_core.base.types import check_ranges
from apr_core.base.version import versions
from apr_core.data.dataset import DataSet
from apr_core.models.inference import evaluating
from apr_core.models.inputs import as_input

MOST_TIMES = 10
"""How much larger than they are changes are drawn, at most."""
RANGES: dict[str, tuple[float, float]] = {
    "reach": (0, 255), "steps": (1, 200), "seed": (0, 2**31 - 1),
}  # fmt: skip


@dataclass(frozen=True)
class ShiftConfig:
    """How far every pixel may be moved, and in how many steps.

    Attributes:
        reach: the epsilon of the attack, in 255ths: no channel of a pixel changes by more.
        steps: 1 is FGSM, a single step from the picture itself; more are PGD, each of
            `PGD_REACH` times the reach over their number, from a random start within reach.
        seed: with the picture's index it fixes the random start.

    Raises:
        InputError: a field is out of its range in `RANGES`.
    """

    reach: int = 8
    steps: int = PGD_STEPS
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)

    @property
    def name(self) -> str:
        return "FGSM" if self.steps == 1 else "PGD"

    @property
    def words(self) -> str:
        """What may change, as it stands within a sentence."""
        return f"at most {self.reach} of 255 in every pixel, by {self.name}"

    @property
    def times(self) -> int:
        """How much larger the changes can be drawn, up to `MOST_TIMES`, so that none is cut off."""
        return max(1, min(MOST_TIMES, 127 // max(1, self.reach)))


@dataclass(frozen=True, eq=False)
class ShiftStep:
    """A picture after a step.

    Attributes:
        image: uint8 (C, H, W), within reach of the clean one.
        probabilities: the model's own for it, (K,) float32.
    """

    image: Tensor
    probabilities: Tensor


def shift(
    oracle: ModelOracle, image: Tensor, label: int, config: ShiftConfig, index: int = 0
) -> Iterator[ShiftStep]:
    """The clean picture, then the picture after each step; it ends at the first flip.

    Each step raises the margin of the best other class over the true one (Carlini and Wagner,
    2017): of a model that is very sure, the cross-entropy has no gradient in floats. What is shown
    and judged lies on the uint8 grid.

    Args:
        image: uint8 (C, H, W).
        label: its true class.

    Raises:
        InputError: the model gives no gradient.
    """
    labels = torch.tensor([label], device=oracle.device)
    clean = as_input(image[None].to(oracle.device))
    reach = config.reach / 255
    low, high = (clean - reach).clamp(0, 1), (clean + reach).clamp(0, 1)
    now, step = clean, reach
    if config.steps > 1:
        keys = random.keys_for(config.seed, torch.tensor([index], device=oracle.device))
        now = low + random.uniform(keys, 0, tuple(image.shape)) * (high - low)
        step = PGD_REACH * reach / config.steps
    found = _seen(oracle, clean)
    yield found
    for _ in range(config.steps):
        if int(found.probabilities.argmax()) != label:
            return
        with torch.enable_grad(), evaluating(oracle.model):
            now = fgsm(oracle.answer, now, labels, step, margin_loss).clamp(low, high)
        found = _seen(oracle, now)
        yield found


def _seen(oracle: ModelOracle, images: Tensor) -> ShiftStep:
    """One picture in [0, 1] on the uint8 grid, and what the model says of it."""
    rounded = (255 * images).round().to(torch.uint8)
    logits = oracle.verify_float32(rounded)
    return ShiftStep(rounded[0].cpu(), logits[0].softmax(0).cpu())


def has_flipped(steps: Sequence[ShiftStep], label: int) -> bool:
    """Whether the model had the clean picture, which is the first step, right, and the last not."""
    first, last = (int(steps[k].probabilities.argmax()) for k in (0, -1))
    return first == label != last


def describe_shift(
    model: str,
    data: DataSet,
    label: int,
    index: int,
    config: ShiftConfig,
    steps: Sequence[ShiftStep],
    seconds: float,
) -> dict[str, Any]:
    """The steps of `shift` as JSON values.

    Args:
        index: of a test image; it fixed the random start.
    """

    def said(step: ShiftStep) -> dict[str, Any]:
        leading = int(step.probabilities.argmax())
        return {
            "true_probability": float(step.probabilities[label]),
            "leading_class": data.class_name(leading),
            "confidence": float(step.probabilities[leading]),
            "largest_change": int((step.image.int() - steps[0].image.int()).abs().max()),
        }

    return {
        "model": model,
        "attack": config.name,
        "config": asdict(config),
        "index": index,
        "label": data.class_name(label),
        "flipped": has_flipped(steps, label),
        "steps": [said(step) for step in steps],
        "seconds": seconds,
        "versions": versions(),
    }


def magnify(before: Tensor, after: Tensor, times: int = MOST_TIMES) -> Tensor:
    """What has changed, so many times as large, around a middle grey: uint8 (C, H, W) each."""
    return (128 + times * (after.int() - before.int())).clamp(0, 255).to(torch.uint8)
