"""Residual networks for 32 x 32 images (He, Zhang, Ren and Sun, 2016).

Every ReLU is a module of its own: attribution methods hook modules, and a ReLU used twice, or
called as a function, makes some of them fail or, worse, answer wrongly.
"""

from __future__ import annotations

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected by 1x1 where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        self.relu2 = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        inner = self.relu1(self.bn1(self.conv1(features)))
        out: Tensor = self.relu2(self.bn2(self.conv2(inner)) + self.shortcut(features))
        return out


class ResNet(nn.Module):
    """(B, C, H, W), normalised -> logits (B, K).

    Args:
        widths: channels of each stage; every stage after the first halves the resolution.
        blocks: basic blocks in each stage.
        num_classes: K.
        channels: C.
    """

    def __init__(
        self, widths: tuple[int, ...], blocks: int, num_classes: int, channels: int = 3
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        stages = []
        for number, width in enumerate(widths):
            before = widths[max(number - 1, 0)]
            stride = 1 if number == 0 else 2
            first = BasicBlock(before, width, stride)
            rest = (BasicBlock(width, width, 1) for _ in range(blocks - 1))
            stages.append(nn.Sequential(first, *rest))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(widths[-1], num_classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(self.relu(self.bn(self.conv(images))))
        logits: Tensor = self.linear(self.flatten(self.pool(features)))
        return logits


def _initialise(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def resnet20(num_classes: int = 10, channels: int = 3) -> ResNet:
    """0.27 M parameters: He et al.'s CIFAR network, with projection shortcuts."""
    return ResNet((16, 32, 64), blocks=3, num_classes=num_classes, channels=channels)


def resnet18(num_classes: int = 10, channels: int = 3) -> ResNet:
    """11.2 M parameters: the ImageNet network with a 3x3 stem and no first pooling."""
    return ResNet((64, 128, 256, 512), blocks=2, num_classes=num_classes, channels=channels)
