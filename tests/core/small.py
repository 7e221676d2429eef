"""A network and a problem small enough to train in a test."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet, Split
from apr_core.data.registry import find_dataset
from apr_core.defences.recipe import TrainConfig
from tests.conftest import noise

QUICK = TrainConfig(epochs=3, batch_size=16, learning_rate=0.1, mixed_precision=False)


class SmallNet(nn.Module):
    """A few weights with a batch norm, whose statistics a resumed run must find again."""

    def __init__(self, seed: int = 0, classes: int = 2, width: int = 4) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.pool(self.relu(self.bn(self.conv(images)))).flatten(1))


def red_and_blue(count: int = 64, size: int = 8) -> tuple[Tensor, Tensor]:
    """Noise with more red in class 0 and more blue in class 1."""
    labels = torch.arange(count) % 2
    images = noise(count, 3, size, size, seed=3) * 120
    images[labels == 0, 0] += 100
    images[labels == 1, 2] += 100
    return images.to(torch.uint8), labels


def small_data(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> DataSet:
    """CIFAR-10 of a few pictures uint8 (N, 3, H, W) and labels (N,); there is nothing to fetch."""
    splits = {"train": Split.in_memory(*train), "test": Split.in_memory(*test)}
    return replace(
        find_dataset(), load=splits.__getitem__, here=lambda: True, fetch=lambda source, say: None
    )


def red_and_blue_data() -> DataSet:
    """40 pictures of red and blue to learn from, and 20 to be asked."""
    images, labels = red_and_blue(count=60, size=32)
    return small_data((images[:40], labels[:40]), (images[40:], labels[40:]))


def small_network(num_classes: int = 10, channels: int = 3) -> nn.Module:
    """A `SmallNet` as an architecture is made."""
    return SmallNet(0, num_classes)


class PlainNet(nn.Module):
    """No batch norm: each image is on its own, and the share of a batch is as good as the whole."""

    def __init__(self, num_classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.linear = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(torch.tanh(self.conv(images)).mean(dim=(2, 3)))


def double(number: int) -> int:
    """Work that other processes can import; it cannot bear a 7."""
    if number == 7:
        raise InputError("7 cannot be doubled; leave it out.")
    return 2 * number
