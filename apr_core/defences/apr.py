"""Adaptive Pixel Resilience as the paper has it (section IV).

L = alpha L_clean + (1 - alpha) L_adv + beta ||grad_x f(x)||^2, on a model whose input is gated by
pixel attention. Three readings of the paper, where it leaves the choice open:

- A share 1 - alpha of each mini-batch is adversarial and the rest is clean, so that the mean
  cross-entropy over the batch is the mixture, without a second forward pass.
- The one-pixel examples come from the current model through one input gradient
  (`one_pixel_examples`), not through differential evolution, which no mini-batch can afford.
- The regulariser is taken over that same share, in one of two forms (`Regularizer`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from apr_core.attacks.gradient import loss_gradient
from apr_core.defences.adversarial_training import adversarial_share, mixed_loss
from apr_core.defences.one_pixel_examples import worst_pixel_examples
from apr_core.defences.vanilla import clean_loss
from apr_core.models.pixel_attention import PixelAttention

LEAST_EDIT = 1 / 255**2
"""Squared length of the smallest edit on the uint8 grid: what a quotient is divided by at least."""


class Regularizer(StrEnum):
    """How the steepness of f at an image is measured.

    EXACT is the squared norm of the cross-entropy's input gradient, differentiated a second time.
    FINITE_DIFFERENCE is ||f(x + d) - f(x)||^2 / ||d||^2 for the logits f and the one-pixel edit d
    that the batch holds anyway: the square of the quotient that section IV.D bounds by the
    Lipschitz constant. f(x) is what the examples' gradient was taken of, and is held fixed; so
    there is no pass that adversarial training does not make.
    """

    FINITE_DIFFERENCE = "finite-difference"
    EXACT = "exact"
    NONE = "none"


@dataclass(frozen=True)
class APR:
    """The paper's three components, each of which can be left out (its ablations, table 3)."""

    alpha: float = 0.7
    """Weight of the clean loss, against 1 - alpha of the adversarial (section V.A.6)."""
    beta: float = 0.01
    """Weight of the regulariser (section V.A.6)."""
    attention: bool = True
    adversarial: bool = True
    regularizer: Regularizer = Regularizer.FINITE_DIFFERENCE

    def make_front(self) -> nn.Module | None:
        """See `apr_core.training.recipes.Defence`."""
        return PixelAttention() if self.attention else None

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `apr_core.training.recipes.Defence`."""
        share = adversarial_share(len(images), self.alpha)
        probe = images[:share].detach().requires_grad_()
        before = model(probe)
        exact = self.regularizer == Regularizer.EXACT
        gradient = loss_gradient(before, labels[:share], probe, differentiable=exact)
        examples = worst_pixel_examples(images[:share], gradient.detach(), generator)
        rest = images[share:] if self.adversarial else images
        logits = model(torch.cat([examples, rest])).float()
        if self.adversarial:
            loss, parts = mixed_loss(logits, labels, share)
        else:
            loss, parts = clean_loss(logits[share:], labels)
        if self.regularizer == Regularizer.NONE:
            return loss, parts
        if exact:
            penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
        else:
            ends = (images[:share], examples)
            penalty = steepness(before.detach(), logits[:share], *ends).mean()
        return loss + self.beta * penalty, {**parts, "penalty": penalty}


def steepness(
    before: Tensor, after: Tensor, images: Tensor, edited: Tensor, least: float = LEAST_EDIT
) -> Tensor:
    """||f(x + d) - f(x)||^2 / ||d||^2 of each edited image.

    Args:
        before, after: logits (B, K) of `images` and `edited`.
        images, edited: (B, C, H, W).
        least: ||d||^2 that is divided by, at least.

    Returns:
        (B,) float32.
    """
    edit = (edited - images).square().sum(dim=(1, 2, 3)).clamp(least)
    return (after.float() - before.float()).square().sum(1) / edit
