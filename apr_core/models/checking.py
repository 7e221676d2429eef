"""What a model is checked for before anything is made of its answers, a sentence for each fault.

An attack, a certificate and a map all take it that the model is a function of one picture, and
that what it returns are logits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.models import Classifier
from apr_core.models.answering import ask
from apr_core.models.inference import Model, in_training

FEW = 2
"""Pictures at hand that are looked at, each as it is, mirrored, and in negative."""
TOLERANCE = {"cpu": 1e-3, "cuda": 1e-2}
"""How far a logit may move when nothing should move it, as a share of how far the logits spread.
A GPU picks its kernels, and so its rounding, by the size of the batch."""


def check_briefly(model: nn.Module, images: Tensor, randomised: bool = False) -> None:
    """See, in a handful of small batches, that a model answers in logits of each picture alone.

    This package's own classifiers do so in evaluation mode; of them only the mode is looked at.
    Of others it is not: many have no part that it changes.

    Args:
        images: (B, C, H, W) floats in [0, 1], on the model's device; the first `FEW` are used.
        randomised: the model is known to draw at random: only its logits are looked at.

    Raises:
        InputError: the first answer that is not as it should be, and what to do.
    """
    if isinstance(model, Classifier):
        check_mode(model)
        return
    images = images[:FEW].detach()
    images = torch.cat([images, images.flip(3), 1 - images])
    with torch.no_grad():
        logits = ask(model, images.clone())  # it may write into what it is given
        check_not_probabilities(logits)
        if not randomised:
            check_repeats(model, images, logits)
            check_company(model, images, logits)


def check_mode(model: nn.Module) -> None:
    """Raise InputError where a part of the model is in training mode."""
    for name in in_training(model):
        part = f"The model's part {name}" if name else "The model"
        raise InputError(f"{part} is in training mode; call model.eval() first.")


def check_not_probabilities(logits: Tensor) -> None:
    """Raise InputError where every row of (B, K) lies in [0, 1] and sums to 1.

    Log-probabilities are logits.
    """
    rows = logits.float()
    unit = bool(((rows >= 0) & (rows <= 1)).all())
    if unit and bool(((rows.sum(1) - 1).abs() < 1e-2).all()):
        raise InputError(
            "The model returns probabilities, not logits; return the layer before the softmax."
        )


def check_repeats(model: Model, images: Tensor, logits: Tensor) -> None:
    """Raise InputError where the same batch again gives other logits than (B, K)."""
    if gap(ask(model, images.clone()), logits) > 1:
        raise InputError(
            "The model answers the same images differently when asked twice; if it is meant to "
            "draw at random give --draws to `evaluate`, which alone takes such models, and if not "
            "look for dropout that was left on."
        )


def check_company(model: Model, images: Tensor, logits: Tensor) -> None:
    """Raise InputError where logits (B, K) change in other company.

    The batch is asked in reverse, an image alone, and three, whose batch statistics differ.
    """
    everyone = torch.arange(len(images), device=images.device)
    for rows in (everyone.flip(0), everyone[:1], everyone[1:4]):
        if len(rows) and gap(ask(model, images[rows]), logits[rows], logits) > 1:
            raise InputError(
                "The model's answer to an image depends on the other images in its batch; use "
                "stored statistics (model.eval(), track_running_stats) in place of the batch's."
            )


def gap(logits: Tensor, same: Tensor, everyone: Tensor | None = None) -> float:
    """The largest difference between logits, in units of what is forgiven.

    Args:
        everyone: the logits whose spread is the measure; by default `same`.
    """
    share = max(TOLERANCE.get(same.device.type, 1e-2), 8 * torch.finfo(same.dtype).eps)
    every = (same if everyone is None else everyone).double()
    spread = (every - every.mean(1, keepdim=True)).abs().max()
    forgiven = share * spread + 1e-5 * every.abs().max() + 1e-12
    return float((logits.double() - same.double()).abs().max() / forgiven)
