"""Adaptive Pixel Resilience as the paper has it (section IV).

L = alpha L_clean + (1 - alpha) L_adv + beta ||grad_x f(x)||^2, on a model whose input is gated by
pixel attention. Three readings of the paper, where it leaves the choice open:

- A share 1 - alpha of each mini-batch is adversarial and the rest is clean, so that the mean
  cross-entropy over the batch is the mixture, without a second forward pass.
- The one-pixel examples come from the current model through one input gradient
  (`one_pixel_examples`), not through differential evolution, which no mini-batch can afford.
- f in the regulariser is the cross-entropy of the clean image, whose gradient the examples need
  anyway; it is differentiated a second time, exactly, over that same share of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apr_core.defences.one_pixel_examples import worst_pixel_examples


@dataclass(frozen=True)
class APR:
    """The paper's three components, with its constants (section V.A.6)."""

    alpha: float = 0.7
    """Weight of the clean loss, against 1 - alpha of the adversarial."""
    beta: float = 0.01
    """Weight of the squared norm of the input gradient."""
    attention: bool = True

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `apr_core.training.recipes.Defence`."""
        share = max(1, round((1 - self.alpha) * len(images)))
        clean = images[:share].detach().requires_grad_()
        gradient = input_gradient(model, clean, labels[:share])
        penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
        examples = worst_pixel_examples(clean.detach(), gradient.detach(), generator)
        logits = model(torch.cat([examples, images[share:]])).float()
        losses = F.cross_entropy(logits, labels, reduction="none")
        parts = {
            "clean": losses[share:].mean(),
            "adversarial": losses[:share].mean(),
            "penalty": penalty,
            "accuracy": (logits[share:].argmax(1) == labels[share:]).float().mean(),
        }
        return losses.mean() + self.beta * penalty, parts


def input_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Gradient of each image's cross-entropy with respect to it, itself differentiable.

    Args:
        images: (B, C, H, W), requiring a gradient.
        labels: (B,).

    Returns:
        (B, C, H, W). In training mode, batch normalisation couples the images slightly.
    """
    total = F.cross_entropy(model(images).float(), labels, reduction="sum")
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return gradient.float()
