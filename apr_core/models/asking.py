"""What is handed to a model, looked at before it is: images, and a class for each."""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.types import InputError, check_class


def check_images(images: Tensor, channels: int | None = None) -> None:
    """Raise InputError unless the images are (B, C, H, W) floats in [0, 1], at least one.

    Args:
        channels: C; by default, any number.
    """
    shaped = images.ndim == 4 and images.numel() > 0 and channels in (None, images.shape[1])
    if not shaped or not images.is_floating_point():
        raise InputError(
            f"Images cannot be {images.dtype} of shape {tuple(images.shape)}; give floats in "
            f"[0, 1] of shape (B, {channels or 'C'}, H, W), as in images.float() / 255."
        )
    low, high = (float(value) for value in images.detach().aminmax())
    if not 0 <= low <= high <= 1:
        raise InputError(
            f"The images' values go from {low:g} to {high:g}, but must lie between 0 and 1; "
            "divide 8-bit images by 255."
        )


def check_one_each(name: str, values: Tensor, count: int) -> None:
    """Raise InputError unless there is a whole number for each of `count` images.

    Args:
        name: what the numbers are: "label", or "target".
    """
    if values.shape != (count,) or values.dtype not in (torch.int32, torch.int64):
        raise InputError(
            f"The {name}s are {values.dtype} of shape {tuple(values.shape)}; give a class number "
            f"for each image, ({count},)."
        )


def check_classes(name: str, values: Tensor, count: int, classes: int) -> None:
    """Raise InputError unless there is a class below `classes` for each of `count` images."""
    check_one_each(name, values, count)
    for value in sorted(set(values.tolist())):
        check_class(name, value, classes)
