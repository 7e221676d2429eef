"""Input gradients, and the attacks that follow them: FGSM and PGD.

Images are floats in [0, 1] here: what these functions return lies off the uint8 grid.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.models.inference import Model
from apr_core.models.outputs import logit_margin, out_of_memory, reason_of

EPSILON = 8 / 255
"""The customary reach of an L-infinity attack on CIFAR-10 (Madry et al., 2018)."""


Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K) and labels (B,) -> the sum of what an attack raises."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of training. Where a model is very sure, its gradient vanishes in floats."""
    return F.cross_entropy(logits.float(), labels, reduction="sum")


def margin_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The best other logit minus the true one (Carlini and Wagner, 2017), which never vanishes."""
    return -logit_margin(logits.float(), labels).sum()


def loss_gradient(
    logits: Tensor,
    labels: Tensor,
    images: Tensor,
    differentiable: bool = False,
    loss: Loss = cross_entropy,
) -> Tensor:
    """Gradient of each image's loss with respect to it.

    Args:
        logits: (B, K), computed from `images`.
        labels: (B,).
        images: (B, C, H, W), requiring a gradient.
        differentiable: whether the gradient can itself be differentiated; costs memory and time.

    Returns:
        (B, C, H, W), float32. In training mode, batch normalisation couples the images slightly.

    Raises:
        InputError: the model cannot be differentiated.
    """
    total = loss(logits, labels)
    try:
        (gradient,) = torch.autograd.grad(total, images, create_graph=differentiable)
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        plain = "does not require grad" in str(error)  # torch's words for what is said here
        why = "" if plain else f" ({reason_of(error)})"
        raise InputError(
            f"The model gives no gradient{why}, and this needs one; choose another model, or an "
            "attack that needs none."
        ) from error
    return gradient.float()


def score_pixels(images: Tensor, gradient: Tensor) -> Tensor:
    """First-order rise of the loss from the worst corner colour at each pixel.

    Args:
        images: (B, C, H, W) in [0, 1].
        gradient: of the loss with respect to `images`, same shape.

    Returns:
        (B, H, W): sum over channels of max(g (1 - x), -g x).
    """
    rise = torch.maximum(gradient * (1 - images), -gradient * images)
    return rise.sum(dim=1)


def fgsm(
    model: Model,
    images: Tensor,
    labels: Tensor,
    epsilon: float = EPSILON,
    loss: Loss = cross_entropy,
) -> Tensor:
    """One step of size `epsilon` along the sign of the gradient (Goodfellow et al., 2015).

    Args:
        images: (B, C, H, W) in [0, 1].
        labels: (B,), the true ones.

    Returns:
        (B, C, H, W) in [0, 1], at most `epsilon` from `images` in every channel.
    """
    probe = images.detach().requires_grad_()
    gradient = loss_gradient(model(probe), labels, probe, loss=loss)
    return (images + epsilon * gradient.sign()).clamp(0, 1).detach()


def pgd(
    model: Model,
    images: Tensor,
    labels: Tensor,
    start: Tensor,
    epsilon: float = EPSILON,
    step: float = 2 / 255,
    steps: int = 7,
    loss: Loss = cross_entropy,
) -> Tensor:
    """`steps` signed steps from a random start, each brought back to reach (Madry et al., 2018).

    Args:
        images: (B, C, H, W) in [0, 1].
        labels: (B,), the true ones.
        start: where to begin within reach, in [0, 1], drawn at random: (B, C, H, W).

    Returns:
        (B, C, H, W) in [0, 1], at most `epsilon` from `images` in every channel.
    """
    low, high = (images - epsilon).clamp(0, 1), (images + epsilon).clamp(0, 1)
    reached = low + start.to(images.device) * (high - low)
    for _ in range(steps):
        reached = fgsm(model, reached, labels, step, loss).clamp(low, high)
    return reached
