"""Entries: what a pretrained model of a library takes and returns, before its weights are here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apr_core.data.registry import find_dataset
from apr_core.models import Normalize

IMAGENET = "imagenet"


@dataclass(frozen=True)
class LibraryEntry:
    """A pretrained model that has not been loaded yet.

    Attributes:
        name: what people call it, such as "torchvision:resnet50".
        size: height and width of the images that its weights were trained on.
        channels: C.
        num_classes: K.
        mean, std: what it normalises by, for pixels in [0, 1].
        build: makes the network with its weights, which it may fetch; returns it and the SHA-256
            of the weights' file. InputError where that fails.
    """

    name: str
    size: tuple[int, int]
    channels: int
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    build: Callable[[], tuple[nn.Module, str]]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of its classes, by label; () where only their number is known."""
        return imagenet_classes() if self.num_classes == len(imagenet_classes()) else ()

    def load(self, device: str | torch.device = "cpu") -> LibraryModel:
        """The model in evaluation mode, with verified weights.

        Raises:
            InputError: its weights cannot be fetched, are damaged or do not fit.
        """
        backbone, sha256 = self.build()
        return LibraryModel(self, backbone, sha256).to(device).eval()


class LibraryModel(nn.Module):
    """A library's classifier, normalisation inside: images (B, C, H, W) in [0, 1] -> logits (B, K).

    Attributes:
        sha256: of the file of its weights.
        differentiable: whether gradients pass through it.
        data: what it classifies.
        size, channels, classes: as its entry has them.
    """

    differentiable = True

    def __init__(self, entry: LibraryEntry, backbone: nn.Module, sha256: str) -> None:
        super().__init__()
        self.name, self.sha256, self.data = entry.name, sha256, find_dataset(IMAGENET)
        self.size, self.channels, self.classes = entry.size, entry.channels, entry.classes
        self.normalize = Normalize(entry.mean, entry.std)
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.backbone(self.normalize(images))
        return logits


def imagenet_classes() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, by label."""
    return find_dataset(IMAGENET).classes
