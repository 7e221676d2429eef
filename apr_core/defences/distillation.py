"""Defensive distillation (DD; Papernot, McDaniel, Wu, Jha and Swami, 2016)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.defences.recipe import Defence


@dataclass(frozen=True)
class Distillation(Defence):
    """A student that fits a teacher's probabilities at a temperature, and is used at 1.

    The student's logits grow to about `temperature` times the teacher's; used without it, its
    probabilities are close to 0 and 1 and nearly flat, which blinds whoever attacks them, though
    not the one who looks at the margin between logits. The teacher is the vanilla model of the same
    architecture. It was trained at temperature 1, where Papernot et al. train it at the student's:
    its logits are that much smaller, and its probabilities are of the same kind.
    """

    temperature: float = 20.0
    """Within Papernot et al.'s 1 to 100; the paper names none."""
    teacher: str = ""
    """Name and hash of the teacher's checkpoint, once there is one."""
    model: nn.Module | None = field(default=None, repr=False, compare=False)
    """The teacher itself, in evaluation mode."""

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The cross-entropy with the teacher's probabilities.

        It is times the temperature, which gives it the slope in the logits that it has at
        temperature 1.

        Raises:
            InputError: there is no teacher.
        """
        if self.model is None:
            raise InputError("Distillation needs a teacher; give Distillation(model=...) one.")
        with torch.no_grad():
            taught = self.model(images).float().softmax(1)
        logits = model(images).float()
        loss = self.temperature * F.cross_entropy(logits / self.temperature, taught)
        return loss, {"accuracy": (logits.argmax(1) == labels).float().mean()}
