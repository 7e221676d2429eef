"""No defence: cross-entropy on clean images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apr_core.defences.recipe import Defence


@dataclass(frozen=True)
class Vanilla(Defence):
    """The undefended baseline."""

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return clean_loss(model(images).float(), labels)


def clean_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy of logits (B, K) for labels (B,), and the log's parts."""
    accuracy = (logits.argmax(1) == labels).float().mean()
    return F.cross_entropy(logits, labels), {"accuracy": accuracy}
