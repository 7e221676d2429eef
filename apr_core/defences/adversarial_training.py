"""Adversarial training (AT): cross-entropy on a mixture of clean and adversarial images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apr_core.attacks.gradient import EPSILON, fgsm, loss_gradient, pgd
from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.defences.one_pixel_examples import worst_pixel_examples
from apr_core.defences.recipe import Defence

EXAMPLES = ("one-pixel", "fgsm", "pgd")
"""What a model can be trained against."""


@dataclass(frozen=True)
class AdversarialTraining(Defence):
    """Goodfellow, Shlens and Szegedy's even mixture (2015); the paper gives no share of its own.

    A share 1 - alpha of each mini-batch is replaced by adversarial examples of the current model,
    so that the mean over the batch is the mixture, without a second pass over it.
    """

    alpha: float = 0.5
    """Weight of the clean loss, against 1 - alpha of the adversarial."""
    examples: str = "one-pixel"
    epsilon: float = EPSILON
    """Reach of FGSM and PGD."""

    def __post_init__(self) -> None:
        if self.examples not in EXAMPLES:
            raise InputError(unknown_name("kind of example", self.examples, EXAMPLES))

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        share = adversarial_share(len(images), self.alpha)
        examples = self._attack(model, images[:share], labels[:share], generator)
        logits = model(torch.cat([examples, images[share:]])).float()
        return mixed_loss(logits, labels, share)

    def _attack(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        if self.examples == "fgsm":
            return fgsm(model, images, labels, self.epsilon)
        if self.examples == "pgd":
            start = torch.rand(images.shape, generator=generator)
            return pgd(model, images, labels, start, self.epsilon)
        probe = images.detach().requires_grad_()
        gradient = loss_gradient(model(probe), labels, probe)
        return worst_pixel_examples(images, gradient, generator)


def adversarial_share(count: int, alpha: float) -> int:
    """How many of `count` images become adversarial, at least one."""
    return max(1, round((1 - alpha) * count))


def mixed_loss(logits: Tensor, labels: Tensor, share: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy of a batch whose first `share` images are adversarial, and its parts.

    Args:
        logits: (B, K).
        labels: (B,).
    """
    losses = F.cross_entropy(logits, labels, reduction="none")
    parts = {
        "clean": losses[share:].mean(),
        "adversarial": losses[:share].mean(),
        "accuracy": (logits[share:].argmax(1) == labels[share:]).float().mean(),
    }
    return losses.mean(), parts
