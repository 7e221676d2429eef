"""How a model does, at a glance: while it is being trained, and once it has been."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.scoring import as_input
from apr_core.data.sample import load_sample
from apr_core.models.inference import keep_precision
from apr_core.types import Status

PROBED = 16
"""Images that a model under way is attacked on."""
BUDGET = OnePixelConfig(population=60, generations=4)
"""Su et al.'s attack with 300 queries an image."""


class Probe:
    """Called after an epoch: a few figures on a model that is being trained.

    The images are always the same, so that the figures make a trend to watch. The attack is too
    small for a rate that could be quoted.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._sample = load_sample()

    def __call__(self) -> dict[str, float]:
        """`test_accuracy` on the shipped sample, and how many of those `probed` were `flipped`."""
        images, labels = self._sample.images, self._sample.labels
        correct = count_correct(self._model, images, labels)
        chosen = slice(0, None, len(images) // PROBED)
        outcomes = OnePixelAttack(self._model, BUDGET).run(images[chosen], labels[chosen]).outcomes
        states = [outcome.status for outcome in outcomes[:PROBED]]
        return {
            "test_accuracy": correct / len(images),
            "probed": PROBED - states.count(Status.MISCLASSIFIED),
            "flipped": states.count(Status.FLIPPED),
        }


@torch.inference_mode()
def count_correct(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 500) -> int:
    """How many of uint8 images (N, C, H, W) get their label (N,)."""
    model.eval()
    keep_precision()
    device = next(model.parameters()).device
    correct = 0
    for part, truth in zip(torch.split(images, batch), torch.split(labels, batch), strict=True):
        answers = model(as_input(part.to(device))).argmax(1).cpu()
        correct += int((answers == truth).sum())
    return correct
