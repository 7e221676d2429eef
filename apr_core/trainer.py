"""From a request to a checkpoint: build, fit, measure, write weights and card."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.attacks.scoring import as_input
from apr_core.data.cifar10 import SHA256, Cifar10
from apr_core.defences import DEFENCES
from apr_core.hardware import describe_hardware
from apr_core.models import ARCHITECTURES, build_model
from apr_core.training.fit import Progress, fit
from apr_core.training.recipes import TrainConfig
from apr_core.version import versions
from apr_core.zoo import Card, check_name, half_precision, load_model, save_checkpoint


@dataclass(frozen=True)
class TrainRequest:
    """What to train; unknown names are refused at once."""

    architecture: str
    defence: str
    config: TrainConfig
    name: str = ""

    def __post_init__(self) -> None:
        ARCHITECTURES.get(self.architecture)
        DEFENCES.get(self.defence)
        if not self.name:
            object.__setattr__(self, "name", f"cifar10-{self.architecture}-{self.defence}")
        check_name(self.name)

    @property
    def state_file(self) -> Path:
        """Where an unfinished run is kept: in `$APR_TRAINING`, or `training/` by the package."""
        folder = os.environ.get("APR_TRAINING", Path(__file__).parents[1] / "training")
        return Path(folder) / f"{self.name}-seed{self.config.seed}.safetensors"


def train(
    request: TrainRequest,
    data: Cifar10,
    device: torch.device,
    report: Callable[[Progress], None] = lambda progress: None,
    notes: str = "",
) -> Card:
    """Train, or go on with what was begun, and ship the checkpoint.

    Raises:
        InputError: the loss is not finite, or an unfinished run has other settings.
    """
    config = request.config
    torch.manual_seed(config.seed)  # fixes the initial weights
    defence = DEFENCES.get(request.defence)
    model = build_model(request.architecture, defence.attention)
    images, labels = data.train_images[: config.subset], data.train_labels[: config.subset]
    fitted = fit(model, defence, images, labels, config, device, request.state_file, report)
    constants: dict[str, Any] = asdict(defence)  # type: ignore[call-overload]
    card = Card(
        name=request.name,
        dataset="cifar10",
        architecture=request.architecture,
        defence=request.defence,
        attention=defence.attention,
        recipe={"defence": constants, **asdict(config)},
        seed=config.seed,
        epochs=config.epochs,
        data_sha256=SHA256["train_images"],
        clean_accuracy=0.0,
        correct=0,
        tested=0,
        hardware=describe_hardware(device),
        wall_time=round(fitted.seconds, 1),
        versions=versions(),
        history=fitted.history,
        notes=notes,
    )
    return save_measured(model, card, data)


def save_measured(model: nn.Module, card: Card, data: Cifar10) -> Card:
    """Save with the accuracy of the weights as they will be loaded, half precision and all."""
    model.load_state_dict(half_precision(model), strict=False)
    correct = count_correct(model, data.test_images, data.test_labels)
    tested = len(data.test_labels)
    card = replace(card, clean_accuracy=correct / tested, correct=correct, tested=tested)
    card = save_checkpoint(model, card)
    load_model(card.name)
    return card


@torch.inference_mode()
def count_correct(model: nn.Module, images: Tensor, labels: Tensor, batch: int = 500) -> int:
    """How many of uint8 images (N, C, H, W) get their label (N,)."""
    model.eval()
    device = next(model.parameters()).device
    correct = 0
    for part, truth in zip(torch.split(images, batch), torch.split(labels, batch), strict=True):
        answers = model(as_input(part.to(device))).argmax(1).cpu()
        correct += int((answers == truth).sum())
    return correct
