"""APR+: the paper's three components in a stronger form, trained to be certified.

- Attention becomes a clamp and a gate toward the neighbourhood (`NeighbourhoodFront`): the paper's
  gate draws a pixel toward black, which is itself an attacker's colour.
- Adversarial examples change one to `most` pixels, at places that the gradient names or at random.
- The regulariser is APR's finite difference, which needs no pass of its own.
- The clean images, but those that an edit is compared with, have one or two groups of a lattice
  masked, as the certificate has them (`lattice_masking`): what is certified is how the network
  reads such images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apr_core.attacks.gradient import loss_gradient
from apr_core.certification.inpainting import mask_groups
from apr_core.certification.lattice_masking import SPACING
from apr_core.defences.adversarial_training import adversarial_share
from apr_core.defences.apr import pair_count, shared_pass
from apr_core.defences.one_pixel_examples import worst_pixels_examples
from apr_core.defences.recipe import Defence
from apr_core.defences.vanilla import clean_loss
from apr_core.models.clamp_front import NeighbourhoodFront


@dataclass(frozen=True)
class APRPlus(Defence):
    """Its components, each of which can be left out."""

    alpha: float = 0.7
    """Weight of the clean loss, as in the paper."""
    beta: float = 0.01
    """Weight of the regulariser, as in the paper; 0 leaves it out."""
    clamp: bool = True
    attention: bool = True
    adversarial: bool = True
    masked: float = 1.0
    """Share of the clean images that is masked; 0 leaves masks out."""
    spacing: int = SPACING
    most: int = 8
    """Pixels that an adversarial example changes, at most."""
    paired: float = 0.25
    """As in APR."""

    def make_front(self, channels: int = 3) -> nn.Module | None:
        if not (self.clamp or self.attention):
            return None
        return NeighbourhoodFront(self.clamp, self.attention, channels)

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if not (self.adversarial or self.beta):
            return clean_loss(model(self._mask(model, images, generator)).float(), labels)
        share = adversarial_share(len(images), self.alpha)
        pairs = pair_count(share, self.paired) if self.beta else 0
        edited = share if self.adversarial else pairs
        probe = images[:edited].detach().requires_grad_()
        gradient = loss_gradient(model(probe), labels[:edited], probe)
        examples = worst_pixels_examples(images[:edited], gradient, generator, self.most)
        loss, parts = shared_pass(
            model,
            images,
            labels,
            examples,
            pairs,
            self.adversarial,
            lambda clean: self._mask(model, clean, generator),
        )
        return loss + self.beta * parts.get("penalty", 0.0), parts

    def _mask(self, model: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        """The images, the first `masked` of them under two groups each, which may be the same."""
        count = round(self.masked * len(images))
        if not count:
            return images
        data = getattr(model, "data", None)
        pairs = torch.randint(0, self.spacing**2, (count, 2), generator=generator)
        masked = mask_groups(images[:count], pairs.to(images.device), self.spacing, data)
        return torch.cat([masked, images[count:]])
