"""Adaptive Pixel Resilience as the paper has it (section IV).

L = alpha L_clean + (1 - alpha) L_adv + beta ||grad_x f(x)||^2, on a model whose input is gated by
pixel attention. Three readings of the paper, where it leaves the choice open:

- A share 1 - alpha of each mini-batch is adversarial and the rest is clean, so that the mean
  cross-entropy over the batch is the mixture, without a second forward pass.
- The one-pixel examples come from the current model through one input gradient
  (`one_pixel_examples`), not through differential evolution, which no mini-batch can afford.
- The penalty is taken in one of two forms (`Regularizer`), over that share or a part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from apr_core.attacks.gradient import loss_gradient
from apr_core.defences.adversarial_training import adversarial_share, mixed_loss
from apr_core.defences.one_pixel_examples import worst_pixel_examples
from apr_core.defences.recipe import Defence
from apr_core.defences.vanilla import clean_loss
from apr_core.models.pixel_attention import PixelAttention

LEAST_EDIT = 0.1
"""Squared length that a finite difference is divided by, at least. In bfloat16 a logit is rounded
by about 0.02: divided by the square of one step of 1/255, that alone would be a penalty of 100."""


class Regularizer(StrEnum):
    """Penalty on the slope of f at an image.

    EXACT is the squared norm of the cross-entropy's input gradient, differentiated a second time.
    FINITE_DIFFERENCE is ||f(x + d) - f(x)||^2 / ||d||^2 for the logits f and the adversarial edit
    d: the square of the quotient that section IV.D bounds by the Lipschitz constant. Both logits
    come from one forward pass (`shared_pass`), and the gradient flows through both.
    """

    FINITE_DIFFERENCE = "finite-difference"
    EXACT = "exact"
    NONE = "none"


@dataclass(frozen=True)
class APR(Defence):
    """The paper's three components, each of which can be left out (its ablations, table 3)."""

    alpha: float = 0.7
    """Weight of the clean loss, against 1 - alpha of the adversarial (section V.A.6)."""
    beta: float = 0.01
    """Weight of the regulariser (section V.A.6)."""
    attention: bool = True
    adversarial: bool = True
    regularizer: Regularizer = Regularizer.FINITE_DIFFERENCE
    paired: float = 0.25
    """Share of the adversarial images whose originals stand in the same forward pass, for the
    finite difference."""

    def make_front(self, channels: int = 3) -> nn.Module | None:
        return PixelAttention(channels) if self.attention else None

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        exact = self.regularizer == Regularizer.EXACT
        finite = self.regularizer == Regularizer.FINITE_DIFFERENCE
        if not (self.adversarial or exact or finite):
            return clean_loss(model(images).float(), labels)
        share = adversarial_share(len(images), self.alpha)
        pairs = pair_count(share, self.paired) if finite else 0
        edited = share if self.adversarial or exact else pairs
        probe = images[:edited].detach().requires_grad_()
        gradient = loss_gradient(model(probe), labels[:edited], probe, differentiable=exact)
        examples = worst_pixel_examples(images[:edited], gradient.detach(), generator)
        loss, parts = shared_pass(model, images, labels, examples, pairs, self.adversarial)
        if exact:
            parts["penalty"] = gradient.square().sum(dim=(1, 2, 3)).mean()
        return loss + self.beta * parts.get("penalty", 0.0), parts


def pair_count(share: int, paired: float) -> int:
    """How many of `share` adversarial images have their originals in the same pass: 1 or more."""
    return max(1, round(paired * share))


def shared_pass(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    examples: Tensor,
    pairs: int,
    adversarial: bool,
    prepare: Callable[[Tensor], Tensor] = lambda clean: clean,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a batch, and the finite-difference penalty of its first images, from one pass.

    Batch normalisation makes the logits of an image depend on the batch it is in. f(x + d) and
    f(x) are comparable in one pass only: from two, an edit of nothing has a penalty too.

    With adversarial training the pass has as many images as the batch: the examples, the first
    `pairs` originals, and the rest, of which the last `pairs` make room. Without it, the pass has
    the whole batch and `pairs` examples, which count for the penalty alone.

    Args:
        images, labels: (B, C, H, W) and (B,).
        examples: adversarial versions (S, C, H, W) of the first S images; `pairs` <= S <= B.
        pairs: images whose penalty is measured; 0 for none.
        adversarial: whether the examples count in the loss.
        prepare: applied to the clean images but the originals.

    Returns:
        The loss without the penalty, and its parts, among them "penalty" if there are pairs.
    """
    share = len(examples) if adversarial else pairs
    rest = slice(share, max(share, len(images) - pairs)) if adversarial else slice(pairs, None)
    batch = torch.cat([examples[:share], images[:pairs], prepare(images[rest])])
    truth = torch.cat([labels[:share], labels[:pairs], labels[rest]])
    logits = model(batch).float()
    if adversarial:
        loss, parts = mixed_loss(logits, truth, share)
    else:
        loss, parts = clean_loss(logits[share:], truth[share:])
    if pairs:
        before, after = logits[share : share + pairs], logits[:pairs]
        parts["penalty"] = finite_difference(before, after, images[:pairs], examples[:pairs]).mean()
    return loss, parts


def finite_difference(before: Tensor, after: Tensor, images: Tensor, edited: Tensor) -> Tensor:
    """||f(x + d) - f(x)||^2 / ||d||^2 of each edited image, ||d||^2 being `LEAST_EDIT` at least.

    Args:
        before, after: logits (B, K) of `images` and of `edited`, from one forward pass.
        images, edited: (B, C, H, W).

    Returns:
        (B,), in the precision of the logits.
    """
    edit = (edited - images).square().sum(dim=(1, 2, 3)).clamp(LEAST_EDIT)
    return (after - before).square().sum(1) / edit
