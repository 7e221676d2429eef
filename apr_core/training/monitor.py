"""Monitoring: accuracy and a small attack after each epoch of training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.config import OnePixelConfig
from apr_core.data.dataset import DataSet, Split
from apr_core.models.inference import device_of
from apr_core.models.inputs import as_input
from apr_core.models.switches import FULL_PRECISION

MOST = 1000
"""Test pictures that accuracy is told of."""
BATCH_PIXELS = 500 * 32 * 32
"""Of the pictures that are classified together."""
PROBED = 16
"""Images that a model under way is attacked on."""
BUDGET = OnePixelConfig(population=60, generations=4)
"""Su et al.'s attack with 300 queries an image."""


class TrainingMonitor:
    """Called after an epoch: a few figures on a model that is being trained.

    The images are always the same, so that the figures make a trend to watch. The attack is too
    small for a rate that could be quoted.
    """

    def __init__(self, model: nn.Module, data: DataSet) -> None:
        self._model = model
        examples = data.examples().first(MOST)
        self._images, self._labels = examples.images, examples.labels
        self._split = Split.in_memory(self._images, self._labels)

    def __call__(self) -> dict[str, float]:
        """`test_accuracy` on the shipped sample, or on as many pictures of the test set; and how
        many of those `probed` were `flipped`."""
        images, labels = self._images, self._labels
        correct = count_correct(self._model, self._split)
        chosen = torch.arange(0, len(images), max(1, len(images) // PROBED))[:PROBED]
        numbers = torch.arange(len(chosen))
        right = are_correct(self._model, images[chosen], labels[chosen])
        return {
            "test_accuracy": correct / len(images),
            "probed": int(right.sum()),
            "flipped": self._flipped(chosen[right], numbers[right]),
        }

    def _flipped(self, chosen: Tensor, numbers: Tensor) -> int:
        """How many of some images of the sample fall; `numbers` fix their draws."""
        if not len(chosen):
            return 0
        images, labels = self._images[chosen], self._labels[chosen]
        result = OnePixelAttack(self._model, BUDGET).run(images, labels, indices=numbers)
        return sum(outcome.success for outcome in result.outcomes)


def count_correct(model: nn.Module, split: Split) -> int:
    """How many pictures of a split get their label; they are decoded a batch at a time."""
    size = int(split.take(torch.zeros(1, dtype=torch.int64))[0, 0].numel())
    places = torch.split(torch.arange(len(split)), max(1, BATCH_PIXELS // size))
    return sum(int(are_correct(model, split.take(one), split.labels[one]).sum()) for one in places)


@torch.no_grad()
def are_correct(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which of uint8 images (N, C, H, W) get their label (N,): bool, on the CPU."""
    model.eval()
    with FULL_PRECISION.held():
        logits: Tensor = model(as_input(images.to(device_of(model))))
    return logits.argmax(1).cpu() == labels
