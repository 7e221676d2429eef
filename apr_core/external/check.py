"""What a person's own model is checked for before it is attacked, a sentence for each fault."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apr_core.attacks.attack import as_uint8
from apr_core.attacks.scoring import as_input, check_logits
from apr_core.data.cifar10 import CLASSES, MEAN, STD
from apr_core.data.sample import load_sample
from apr_core.external.load import blaming
from apr_core.models.inference import device_of
from apr_core.types import InputError

CHECK_IMAGES = 64
BETTER, SLIGHTLY_BETTER = 0.2, 0.1
"""How much more of the images another scaling must get right before it is taken for the right one
(of 64 images, over three standard errors at chance level), and before it is worth a note."""
TOLERANCE = {"cpu": 1e-3, "cuda": 1e-2}
"""How far a logit may move when nothing should move it, as a share of how far the logits spread.
A GPU picks its kernels, and so its rounding (TF32), by the size of the batch."""
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
    "CIFAR-10's mean and standard deviation": (MEAN, STD),
    "ImageNet's mean and standard deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
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


def check_images(count: int = CHECK_IMAGES) -> tuple[Tensor, Tensor]:
    """Images of the shipped sample, uint8 (count, 3, 32, 32), and labels, each class in turn."""
    sample = load_sample()
    classes = [(sample.labels == label).nonzero()[:, 0] for label in range(len(CLASSES))]
    rows = torch.stack(classes, dim=1).flatten()[:count]
    return sample.images[rows], sample.labels[rows]


def check_model(
    model: nn.Module, images: Tensor, labels: Tensor, *, randomised: bool = False
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
       images more right, it is what the model expects; a tenth is worth a note.
    7. Gradient: whether one comes back from two logits to the images. It is told, not judged.

    Args:
        model: images (B, C, H, W) float in [0, 1] -> logits (B, K).
        images: uint8 (N, C, H, W), or float in [0, 1]; `check_images()` gives some.
        labels: their classes, (N,).
        randomised: the model is known to draw at random; 4 and 5 are left out.

    Raises:
        InputError: the first answer that is not as it should be, and what to do.
    """
    _check_mode(model)
    images = as_input(as_uint8(images).to(device_of(model)))
    labels = labels.to(images.device)
    logits = _call(model, images)
    _check_classes(logits, labels)
    _check_not_probabilities(logits)
    if not randomised:
        _check_repeats(model, images, logits)
        _check_company(model, images, logits)
    correct, classes = _correct(logits, labels), logits.shape[1]
    notes = _check_scaling(model, images, labels, correct)
    differentiable = _has_gradient(model, images[:2])
    if _by_chance(correct, len(images), classes):
        notes.append(
            f"The model labels {correct} of {len(images)} sample images right, no more than chance "
            "would; check its weights and the order of its classes."
        )
    if not differentiable:
        notes.append("No gradient comes back to the images, so gradient attacks cannot be used.")
    return ModelCheck(classes, correct, len(images), differentiable, tuple(notes))


def _check_mode(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if module.training:
            part = f"The model's part {name}" if name else "The model"
            raise InputError(f"{part} is in training mode; call model.eval() first.")


def _call(model: nn.Module, images: Tensor) -> Tensor:
    """Logits (B, K) in the model's own precision; the model may write into its input."""
    images = images.clone()
    remedy = "it must take float (B, C, H, W) in [0, 1], of any memory layout and any batch size"
    with torch.no_grad(), blaming(f"The model fails on images {tuple(images.shape)}", remedy):
        logits: Tensor = model(images)
        checked = check_logits(logits, len(images))
    return logits if logits.is_floating_point() else checked


def _check_classes(logits: Tensor, labels: Tensor) -> None:
    classes, highest = logits.shape[1], int(labels.max())
    if classes < 2 or highest >= classes:
        raise InputError(
            f"The model returns {classes} logits an image, but labels go up to {highest}; return "
            "one for each class: the commands have CIFAR-10's ten, and check_model takes images "
            "and labels of others."
        )


def _check_not_probabilities(logits: Tensor) -> None:
    rows = logits.float()
    unit = bool(((rows >= 0) & (rows <= 1)).all())
    if unit and bool(((rows.sum(1) - 1).abs() < 1e-2).all()):
        raise InputError(
            "The model returns probabilities, not logits; return the layer before the softmax."
        )


def _check_repeats(model: nn.Module, images: Tensor, logits: Tensor) -> None:
    gap = _gap(_call(model, images), logits)
    if gap > 1:
        raise InputError(
            "The model answers the same images differently when asked twice; if it is meant to "
            "draw at random give --draws to `evaluate`, which alone takes such models, and if not "
            "look for dropout that was left on."
        )


def _check_company(model: nn.Module, images: Tensor, logits: Tensor) -> None:
    everyone = torch.arange(len(images), device=images.device)
    for rows in (everyone.flip(0), everyone[:1], everyone[1:4]):
        if len(rows) and _gap(_call(model, images[rows]), logits[rows], logits) > 1:
            raise InputError(
                "The model's answer to an image depends on the other images in its batch; use "
                "stored statistics (model.eval(), track_running_stats) in place of the batch's."
            )


def _gap(logits: Tensor, same: Tensor, everyone: Tensor | None = None) -> float:
    """The largest difference between logits, in units of what is forgiven.

    Args:
        everyone: the logits whose spread is the measure; by default `same`.
    """
    share = max(TOLERANCE.get(same.device.type, 1e-2), 8 * torch.finfo(same.dtype).eps)
    every = (same if everyone is None else everyone).double()
    spread = (every - every.mean(1, keepdim=True)).abs().max()
    forgiven = share * spread + 1e-5 * every.abs().max() + 1e-12
    return float((logits.double() - same.double()).abs().max() / forgiven)


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
    if best - correct < SLIGHTLY_BETTER * tested:
        return []
    sure = best - correct >= BETTER * tested
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
    if images.shape[1] != len(MEAN):
        return
    for name, constants in NORMALISATIONS.items():
        mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in constants)
        yield (NORMALISED, name), (images - mean) / std
        yield (TWICE, name), images * std + mean


def _by_chance(correct: int, tested: int, classes: int) -> bool:
    """Whether a guesser would do as well, within two standard errors."""
    chance = 1 / classes
    return correct / tested <= chance + 2 * math.sqrt(chance * (1 - chance) / tested)


def _has_gradient(model: nn.Module, images: Tensor) -> bool:
    images = images.clone().requires_grad_()
    try:
        with torch.enable_grad():
            logits = model(images)
            (gradient,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), images)
    except Exception:
        return False
    return bool(gradient.isfinite().all() and gradient.any())
