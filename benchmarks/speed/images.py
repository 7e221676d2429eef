"""The images that are attacked: those that a model is surest of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apr_core.attacks.oracle import ModelOracle
from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.data.registry import find_dataset
from apr_core.models.inference import device_of

FEW = 200
"""Test images, of a data set without a sample, among which those to be attacked are looked for."""


def choose_images(
    model: nn.Module, count: int, data: DataSet | None = None, random_weights: bool = False
) -> tuple[Tensor, Tensor]:
    """Images uint8 (B, C, H, W) that the model is surest of, and their labels (B,).

    They survive most often, so that peers, which stop at success, spend their budget too.

    Args:
        data: whose sample they are of, by default CIFAR-10's; where it has none, they are of the
            first `FEW` of its test set.
        random_weights: nobody trained the model: the labels are its own answers.

    Raises:
        InputError: the model gets too few right, or the images are not here.
    """
    images, labels = _pictures(data or find_dataset())
    rows, labels = _surest(model, images, None if random_weights else labels, count)
    return images[rows], labels


def surest_rows(model: nn.Module, count: int, data: DataSet) -> Tensor:
    """Rows of a data set's sample, (B,), that the model gets right with the greatest margin.

    Raises:
        InputError: it gets too few right.
    """
    rows, _ = _surest(model, *_pictures(data), count)
    return rows


def _pictures(data: DataSet) -> tuple[Tensor, Tensor]:
    if data.sample:
        sample = data.sample()
        return sample.images, sample.labels
    test = data.load("test")
    first = torch.arange(min(FEW, len(test)))
    return test.take(first), test.labels[first]


def _surest(
    model: nn.Module, images: Tensor, labels: Tensor | None, count: int
) -> tuple[Tensor, Tensor]:
    """Rows (B,) and labels (B,); without labels, those that the model answers with."""
    if count > len(images):
        raise InputError(f"images is {count}, but there are only {len(images)}; ask for fewer.")
    logits = ModelOracle(model).verify_float32(images.to(device_of(model))).cpu()
    labels = logits.argmax(1) if labels is None else labels
    true = labels[:, None]
    margins = logits.gather(1, true) - logits.scatter(1, true, float("-inf")).amax(1, keepdim=True)
    surest, rows = margins[:, 0].topk(count)
    right = int((surest > 0).sum())
    if right < count:
        raise InputError(
            f"The model classifies {right} of the sample's images correctly; to bench it, ask for "
            f"fewer images than {count} or train it first."
        )
    return rows, labels[rows]
