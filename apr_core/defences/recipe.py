"""Training recipes: optimiser settings by preset, and the base class of defences."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.base.registry import Registry
from apr_core.base.types import InputError


class Defence:
    """Base of defences: a training loss, and what stands before the network.

    Defences are frozen dataclasses; their fields are their constants (`constants`).
    """

    def make_front(self, channels: int = 3) -> nn.Module | None:
        """A fresh module that sees the image first, in [0, 1]; by default there is none.

        Args:
            channels: of the images.
        """
        return None

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to descend, and its named parts for the log.

        Args:
            images: (B, C, H, W) float in [0, 1].
            labels: (B,).
            generator: on the CPU, the defence's only source of randomness.
        """
        raise NotImplementedError


def constants(defence: Defence) -> dict[str, Any]:
    """A defence's fields as a card has them; what its repr leaves out is no constant."""
    shown = (entry.name for entry in fields(defence) if entry.repr)  # type: ignore[arg-type]
    return {name: getattr(defence, name) for name in shown}


@dataclass(frozen=True)
class TrainConfig:
    """Everything about a training run but its architecture and its defence.

    Attributes:
        mixed_precision: bfloat16 where it is safe, or float32 throughout; None for whichever the
            machine is faster in, as measured when the run starts (`choose_precision`). It is no
            part of what makes one run another: a run may go on in the other precision.
    """

    preset: str = "fast"
    epochs: int = 40
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.2
    weight_decay: float = 5e-4
    one_cycle: bool = True
    mixed_precision: bool | None = None
    seed: int = 0
    subset: int | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """The settings by which a run is known: all but the precision."""
        return {key: value for key, value in asdict(self).items() if key != "mixed_precision"}

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "subset"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name} must be above 0, not {value}; try 1 or more.")


PRESETS: Registry[TrainConfig] = Registry("preset")
PRESETS.add("fast", TrainConfig())
PRESETS.add(
    "paper",  # section V.A.5: Adam, 0.001, weight decay 5e-4, batch 128, 200 epochs
    TrainConfig(
        preset="paper",
        epochs=200,
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=5e-4,
        one_cycle=False,
        mixed_precision=False,
    ),
)


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or Adam."""
    if config.optimizer == "adam":
        return torch.optim.Adam(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=0.9,
        weight_decay=config.weight_decay,
        nesterov=True,
    )


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Rate at `progress` in [0, 1] of the run: one cycle (up for 20 %, then a cosine down)."""
    if not config.one_cycle:
        return config.learning_rate
    if progress < 0.2:
        return config.learning_rate * (0.05 + 0.95 * progress / 0.2)
    return config.learning_rate * (1 + math.cos(math.pi * (progress - 0.2) / 0.8)) / 2
