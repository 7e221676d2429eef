"""Model checks: the contract that a person's own model must keep, one sentence per fault."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.data.registry import find_dataset
from apr_core.models.inference import Model, as_module, device_of
from apr_core.models.inputs import RGB, as_input, as_labels, as_uint8
from apr_core.models.outputs import (
    check_company,
    check_mode,
    check_not_probabilities,
    check_repeats,
    logits_of,
    query_model,
)
from apr_core.models.switches import FULL_PRECISION

CHECK_IMAGES = 64
BETTER, SLIGHTLY_BETTER = 0.2, 0.1
"""How much more of the images another scaling must get right before it is taken for the right one
(of 64 images, over three standard errors), and before it is worth a note. Of fewer images it must
be more: three standard errors, and over `CLOSE` images."""
BYTES, NORMALISED = "expect images in [0, 255]", "expect images normalised by "
TWICE = "normalise twice by "
REMEDIES = {
    BYTES: "wrap it in a module that multiplies them by 255, or leave out its division by 255",
    NORMALISED: "wrap it in a module that normalises them first",
    TWICE: "leave out one of the two, its own or its wrapper's",
}
CLOSE = 3
"""Images by which two normalisations may differ before one is taken to be the model's."""
NORMALISATIONS = {
    "CIFAR-10's mean and standard deviation": (find_dataset().mean, find_dataset().std),
    "ImageNet's mean and standard deviation": (
        find_dataset("imagenet").mean,
        find_dataset("imagenet").std,
    ),
    "mean 0.5 and standard deviation 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


@dataclass(frozen=True)
class ModelCheck:
    """What a model that passed said of itself.

    Attributes:
        classes: K.
        correct, tested: images that it labels right, of how many.
        differentiable: whether a gradient that is not all zero came back to the images.
        notes: sentences for a person; nothing in them forbids an evaluation.
    """

    classes: int
    correct: int
    tested: int
    differentiable: bool
    notes: tuple[str, ...]


def check_images(data: DataSet | None = None, count: int = CHECK_IMAGES) -> tuple[Tensor, Tensor]:
    """Test pictures, uint8 (N, C, H, W), and labels, each class in turn; `count` at most.

    Args:
        data: CIFAR-10 by default. Its sample is taken or, where it has none, its test set.

    Raises:
        InputError: it has neither here.
    """
    split = (data or find_dataset()).examples()
    labels = split.labels
    ranks = torch.zeros_like(labels)  # of each picture within its class
    for label in sorted(set(labels.tolist())):
        ranks[labels == label] = torch.arange(int((labels == label).sum()))
    rows = (ranks * (int(labels.max()) + 1) + labels).argsort()[:count]
    return split.take(rows), labels[rows]


def check_model(
    model: Model, images: object, labels: object, *, randomised: bool = False
) -> ModelCheck:
    """Ask a model a few questions whose answers would spoil an evaluation, before there is one.

    In this order, so that each may rely on those before:

    1. Mode: no submodule is in training mode (dropout, and batch norm of the batch). It is looked
       up before the model is called, which in that mode could change it.
    2. Call: the images, float in [0, 1], go in as attacks send them (channels last, on the
       model's device), and finite logits (N, K), with a class for each label, come out.
    3. Probabilities: not every row lies in [0, 1] and sums to 1. Log-probabilities are logits.
    4. Repeat: the same batch again gives the same logits. Rounding is forgiven (`TOLERANCE`).
    5. Company: so do the batch in reverse, an image alone and three images, whose batch
       statistics would differ; and a model that cannot take such batches says so here.
    6. Scaling: unless nearly all labels are right, the images go in otherwise scaled: in [0, 255],
       normalised as is usual for CIFAR-10, for ImageNet and to [-1, 1], and with each of these
       undone, which is right for a model that normalises twice. If one of them gets a fifth of the
       images more right, it is what the model expects; a tenth is worth a note. What chance may do
       on few images is neither.
    7. Channels: if the images get more right with blue, green and red in this order, it is noted.
    8. Gradient: whether one comes back from two logits to the images. It is told, not judged.

    Args:
        model: images (B, C, H, W) float in [0, 1] -> logits (B, K).
        images: (N, C, H, W), uint8 or float in [0, 1]; `check_images()` gives some.
        labels: their classes, (N,).
        randomised: the model is known to draw at random; 4 and 5 are left out.

    Raises:
        InputError: the first answer that is not as it should be, and what to do.
    """
    model = as_module(model)
    check_mode(model)
    images = as_input(as_uint8(images).to(device_of(model)))
    labels = as_labels("label", labels, len(images)).to(images.device)
    with FULL_PRECISION.held(), torch.no_grad():
        return _checked(model, images, labels, randomised)


def _checked(model: nn.Module, images: Tensor, labels: Tensor, randomised: bool) -> ModelCheck:
    logits = _call(model, images)
    _check_classes(logits, labels)
    check_not_probabilities(logits)
    if not randomised:
        check_repeats(model, images, logits)
        check_company(model, images, logits)
    correct, classes = _correct(logits, labels), logits.shape[1]
    notes = _check_scaling(model, images, labels, correct)
    notes += _note_channels(model, images, labels, correct)
    differentiable = _has_gradient(model, images[:2])
    if _by_chance(correct, len(images), classes):
        notes.append(
            f"The model labels {correct} of {len(images)} sample images right, no more than chance "
            "would; check its weights and the order of its classes."
        )
    if not differentiable:
        notes.append("No gradient comes back to the images, so gradient attacks cannot be used.")
    return ModelCheck(classes, correct, len(images), differentiable, tuple(notes))


def _call(model: nn.Module, images: Tensor) -> Tensor:
    """Logits (B, K) in the model's own precision; the model may write into its input."""
    return query_model(model, images.clone())


def _check_classes(logits: Tensor, labels: Tensor) -> None:
    classes, highest = logits.shape[1], int(labels.max())
    if highest >= classes:
        raise InputError(
            f"The model returns {classes} logits an image, but labels go up to {highest}; return "
            "one for each class, or choose data with the model's classes (without --data the "
            "commands have CIFAR-10's ten)."
        )


def _correct(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(1) == labels).sum())


def _check_scaling(model: nn.Module, images: Tensor, labels: Tensor, correct: int) -> list[str]:
    """A note, if any, on a scaling that suits the model better, or InputError if by far."""
    tested = len(images)
    if correct > (1 - SLIGHTLY_BETTER) * tested:
        return []
    counts = {("", ""): correct}
    for way, scaled in _scalings(images):
        with suppress(InputError):  # a model may refuse what is not in [0, 1]
            counts[way] = _correct(_call(model, scaled), labels)
    kind, norm = max(counts, key=counts.__getitem__)
    best = counts[kind, norm]
    gain = best - correct
    if gain <= CLOSE or gain < SLIGHTLY_BETTER * tested:
        return []
    sure = gain >= max(BETTER * tested, 1.5 * math.sqrt(tested))
    # 64 images cannot tell one normalisation from another that is nearly the same
    norms = [n for (k, n), count in counts.items() if k == kind and best - count <= CLOSE]
    sentence = (
        f"The model {'seems to' if sure else 'may'} {kind}{' or '.join(norms)}: {best} of {tested} "
        f"sample images are right that way, {correct} as it is; {REMEDIES[kind]}."
    )
    if sure:
        raise InputError(sentence)
    return [sentence]


def _scalings(images: Tensor) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """What a model may do and with which constants, and images (B, C, H, W) that then suit it."""
    yield (BYTES, ""), images * 255
    if images.shape[1] != RGB:
        return
    for name, constants in NORMALISATIONS.items():
        mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in constants)
        yield (NORMALISED, name), (images - mean) / std
        yield (TWICE, name), images * std + mean


def _note_channels(model: nn.Module, images: Tensor, labels: Tensor, correct: int) -> list[str]:
    """A note, if any, that the model gets more right when blue comes first."""
    with suppress(InputError):
        best = _correct(_call(model, images.flip(1)), labels)
        if images.shape[1] == RGB and best - correct > CLOSE:
            return [
                f"The model may expect the channels as blue, green and red (BGR): {best} of "
                f"{len(images)} sample images are right that way, {correct} as it is; wrap it in a "
                "module that turns them with images.flip(1)."
            ]
    return []


def _by_chance(correct: int, tested: int, classes: int) -> bool:
    """Whether a guesser would do as well, within two standard errors."""
    chance = 1 / classes
    return correct / tested <= chance + 2 * math.sqrt(chance * (1 - chance) / tested)


def _has_gradient(model: nn.Module, images: Tensor) -> bool:
    images = images.clone().requires_grad_()
    try:
        with torch.enable_grad():
            logits: Any = logits_of(model(images))
            (gradient,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), images)
    except Exception:
        return False
    return bool(gradient.isfinite().all() and gradient.any())
