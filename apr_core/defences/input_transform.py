"""Input transformation (IT): the image is coarsened before any model sees it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.defences.jpeg import jpeg_round_trip
from apr_core.defences.recipe import Defence
from apr_core.models.inputs import RGB


class InputTransform(nn.Module):
    """Bit-depth reduction, then JPEG: images (B, 3, H, W) in [0, 1] -> the same shape and range.

    It has no weights and can stand before any model: `nn.Sequential(InputTransform(), model)`. Both
    steps are flat almost everywhere; so a gradient goes straight through them, unchanged, for
    white-box attacks to follow (Athalye, Carlini and Wagner, 2018).

    Args:
        bits: left of each channel's eight.
        quality: JPEG's, 1 to 100; 0 leaves JPEG out.

    Raises:
        InputError: either is out of its range.
    """

    def __init__(self, bits: int = 5, quality: int = 75) -> None:
        super().__init__()
        for name, value, low, high in (("bits", bits, 1, 8), ("quality", quality, 0, 100)):
            if not low <= value <= high:
                raise InputError(f"{name} is {value}, but must lie between {low} and {high}.")
        self.bits, self.quality = bits, quality

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            levels = (images.float() * 255).round().clamp(0, 255).to(torch.uint8)
            levels = reduce_bits(levels, self.bits)
            if self.quality:
                levels = jpeg_round_trip(levels, self.quality)
            seen: Tensor = levels.to(images.dtype) / 255
        if not images.requires_grad:
            return seen
        straight: Tensor = images + (seen - images).detach()
        return straight

    def extra_repr(self) -> str:
        return f"bits={self.bits}, quality={self.quality}"


def reduce_bits(levels: Tensor, bits: int) -> Tensor:
    """Each uint8 level moved to the nearest of 2^bits that are evenly spaced from 0 to 255."""
    steps: int = 2**bits - 1
    coarse = (levels.float() * steps / 255).round()
    return (coarse * 255 / steps).round().to(torch.uint8)


@dataclass(frozen=True)
class InputTransformation(Defence):
    """The defence: an `InputTransform` before the vanilla model's own weights.

    The strengths are Xu, Evans and Qi's for CIFAR-10 (5 bits, 2018) and Guo et al.'s (quality 75,
    2018); the paper names none.
    """

    bits: int = 5
    quality: int = 75

    def make_front(self, channels: int = 3) -> InputTransform:
        """The transform.

        Raises:
            InputError: the images are not in colour.
        """
        if channels != RGB:
            raise InputError(
                f"JPEG stands before pictures of {RGB} channels, and these have {channels}; choose "
                "another defence."
            )
        return InputTransform(self.bits, self.quality)

    def loss(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """There is none.

        Raises:
            InputError: always.
        """
        raise InputError("Input transformation has no weights to train; it wraps a vanilla model.")
