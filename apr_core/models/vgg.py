"""VGG-16 with batch normalisation for small images (Simonyan and Zisserman, 2015)."""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the thirteen convolutions, in five groups that each end in a 2x2 pooling."""


class VGG(nn.Module):
    """(B, C, H, W), normalised -> logits (B, K), with one linear layer.

    Of 17 to 32 pixels a side one place is left before it; of more, the mean over all places.
    """

    def __init__(
        self, widths: tuple[tuple[int, ...], ...], num_classes: int, channels: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for group in widths:
            for width in group:
                layers += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
                channels = width
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.flatten(self.pool(self.features(images))))
        return logits


def vgg16(num_classes: int = 10, channels: int = 3) -> VGG:
    """14.7 M parameters."""
    return VGG(WIDTHS, num_classes, channels)
