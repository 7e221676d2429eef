"""The paper's pixel-wise attention (section IV.B), as a convolution gates its own input."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PixelAttention(nn.Module):
    """A(x) = sigmoid(Wa * x + ba), and A(x) ⊙ x goes on; (B, C, H, W) -> (B, C, H, W).

    Wa is a 3x3 convolution to one map, so that the channels of a pixel share a weight.
    It starts nearly open (ba = 2, A about 0.88), which leaves an untrained gate harmless.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, kernel_size=3, padding=1)
        self.sigmoid = nn.Sigmoid()
        nn.init.normal_(self.conv.weight, std=0.05)
        nn.init.constant_(self.conv.bias, 2.0)  # type: ignore[arg-type]

    def attention(self, images: Tensor) -> Tensor:
        """The map A(x): (B, C, H, W) -> (B, 1, H, W) in (0, 1)."""
        gate: Tensor = self.sigmoid(self.conv(images))
        return gate

    def forward(self, images: Tensor) -> Tensor:
        return torch.mul(self.attention(images), images)
