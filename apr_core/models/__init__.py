"""Architectures by name, and the classifier that wraps each: gate, normalise, classify."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from apr_core.base.registry import Registry
from apr_core.data.dataset import DataSet
from apr_core.data.registry import find_dataset
from apr_core.models.resnet import resnet18, resnet20
from apr_core.models.torchvision_network import torchvision_network
from apr_core.models.vgg import vgg16

ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("architecture")
ARCHITECTURES.add("resnet20", resnet20)
ARCHITECTURES.add("resnet18", resnet18)
ARCHITECTURES.add("vgg16", vgg16)
SMALL = ARCHITECTURES.names
"""For images of about 32 x 32 pixels."""
for _name in ("resnet50", "vgg19"):
    ARCHITECTURES.add(_name, partial(torchvision_network, _name))


class Normalize(nn.Module):
    """(images - mean) / std by channel; (B, C, H, W) in [0, 1] -> (B, C, H, W)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class Classifier(nn.Module):
    """Images (B, C, H, W) in [0, 1] -> logits (B, K), with nothing left to prepare outside.

    Args:
        backbone: classifies normalised images.
        front: sees the image first, still in [0, 1] (the paper's attention, say, or JPEG).
        data: whose mean and standard deviation images are normalised by; by default CIFAR-10.
    """

    def __init__(
        self, backbone: nn.Module, front: nn.Module | None = None, data: DataSet | None = None
    ) -> None:
        super().__init__()
        data = data or find_dataset()
        self.front = front if front is not None else nn.Identity()
        self.normalize = Normalize(data.mean, data.std)
        self.backbone = backbone
        self.data = data

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.backbone(self.normalize(self.front(images)))
        return logits


def build_model(
    architecture: str, front: nn.Module | None = None, data: DataSet | None = None
) -> Classifier:
    """A fresh classifier by its registered name, behind what sees the image first.

    Args:
        data: what it is to classify; by default CIFAR-10.

    Raises:
        InputError: the architecture is unknown.
    """
    data = data or find_dataset()
    make = ARCHITECTURES.get(architecture)
    return Classifier(make(num_classes=len(data.classes), channels=data.channels), front, data)
