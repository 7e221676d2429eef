"""JPEG compression and decompression of a batch of images, by torchvision's libjpeg-turbo."""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.base.types import InputError


def jpeg_round_trip(images: Tensor, quality: int) -> Tensor:
    """Images saved as JPEG and opened again; equal to Pillow's bits at its defaults (4:2:0).

    It runs on the CPU, image by image: those of a GPU are copied there and back.

    Args:
        images: uint8 (B, 3, H, W), RGB, on any device.
        quality: 1 (worst) to 100.

    Returns:
        uint8 (B, 3, H, W) on the same device.

    Raises:
        InputError: another dtype, shape or quality.
    """
    if quality not in range(1, 101):
        raise InputError(
            f"JPEG quality {quality} is out of range: give a whole number from 1 to 100."
        )
    if images.dtype != torch.uint8:
        raise InputError(f"JPEG takes 8-bit images, not {images.dtype}: give uint8 in 0..255.")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise InputError(f"JPEG cannot take shape {tuple(images.shape)}: give (B, 3, H, W) images.")
    from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg  # noqa: PLC0415  seconds

    decoded = torch.empty_like(images, device="cpu", memory_format=torch.contiguous_format)
    for row, image in zip(decoded, images.cpu(), strict=True):
        row.copy_(decode_jpeg(encode_jpeg(image, quality), ImageReadMode.RGB))
    return decoded.to(images.device)
