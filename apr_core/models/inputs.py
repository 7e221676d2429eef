"""Input checks: images and labels from a caller, as tensors.

Images are (B, C, H, W): bytes (uint8) or floats in [0, 1]. They may come as a tensor, a numpy
array, a Pillow picture, or a list of these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from apr_core.base.types import InputError, check_class

RGB = 3
SLACK = 1e-3
"""How far a float may lie outside [0, 1] and be rounding: a normalisation undone, in half precision
even. It is a quarter of a grey level."""
COLOURED = (1, RGB)
"""Channels of pictures whose pixels an edit can colour: grey, or red, green and blue."""


def as_pictures(images: object, *channels: int) -> Tensor:
    """Pictures as bytes, uint8 (B, C, H, W), or as floats in [0, 1], whichever they are.

    Whole numbers of another type become uint8. Floats keep their type; what rounding put outside
    [0, 1] is clamped. A tensor stays on its device, and has no part in a gradient.

    Args:
        channels: what C may be; by default, any number.

    Raises:
        InputError: no such pictures.
    """
    pictures = _as_tensor(images).detach()
    _check_shape(pictures, *channels)
    if pictures.dtype == torch.uint8:
        return pictures
    if pictures.dtype == torch.bool or pictures.is_complex():
        raise InputError(
            f"Images cannot be {pictures.dtype}; give uint8, or floats in [0, 1], of shape "
            "(B, C, H, W)."
        )
    low, high = (float(value) for value in pictures.aminmax())
    if not pictures.is_floating_point():
        return _as_bytes(pictures, low, high)
    if not -SLACK <= low <= high <= 1 + SLACK:
        raise InputError(
            f"The images' values go from {low:.4g} to {high:.4g}, but must lie in [0, 1]; "
            f"{_scaling_remedy(low, high)}."
        )
    return pictures if low >= 0 and high <= 1 else pictures.clamp(0, 1)


def as_uint8(images: object, *channels: int) -> Tensor:
    """Pictures on the grid of bytes, uint8 (B, C, H, W): what a PNG would hold of them.

    Raises:
        InputError: no such pictures; see `as_pictures`.
    """
    pictures = as_pictures(images, *channels)
    return _rounded(pictures) if pictures.is_floating_point() else pictures


def as_floats(images: object, *channels: int) -> Tensor:
    """Pictures as floats in [0, 1], (B, C, H, W); float32, unless they are floats already.

    Raises:
        InputError: no such pictures; see `as_pictures`.
    """
    pictures = as_pictures(images, *channels)
    return pictures if pictures.is_floating_point() else pictures.float() / 255


def as_input(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) -> float in [0, 1], channels last; what a PNG reader would make of it."""
    return images.to(torch.float32, copy=True, memory_format=torch.channels_last).div_(255)


def as_labels(name: str, values: object, count: int) -> Tensor:
    """A whole number for each of `count` pictures, int64 (count,).

    Args:
        name: what the numbers are: "label", or "target".
        values: a tensor, an array, or a list of them.

    Raises:
        InputError: no such numbers.
    """
    try:
        labels = torch.as_tensor(values).detach()  # type: ignore[call-overload]
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"The {name}s cannot be of type {type(values).__name__}; give a class number for each "
            f"image, ({count},)."
        ) from None
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if labels.shape == (count,) and whole:
        return labels.long()
    one_hot = labels.ndim == 2 and len(labels) == count
    remedy = f", as {name}s.argmax(1) makes them of one-hot rows" if one_hot else ""
    raise InputError(
        f"The {name}s are {labels.dtype} of shape {tuple(labels.shape)}; give a class number for "
        f"each image, whole and of shape ({count},){remedy}."
    )


def check_classes(name: str, values: Tensor, classes: int) -> None:
    """Raise InputError unless every value is a class below `classes`."""
    for value in sorted(set(values.tolist())):
        check_class(name, value, classes)


def _as_tensor(images: object) -> Tensor:
    if isinstance(images, Tensor):
        return images
    if isinstance(images, Image.Image):
        return _of_pillow(images)[None]
    if isinstance(images, list | tuple) and images:
        return _stacked([_one(image) for image in images])
    return _of_array(images)


def _one(image: object) -> Tensor:
    """One of a list of pictures, (C, H, W) if all is well."""
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    return image if isinstance(image, Tensor) else _of_array(image)


def _of_pillow(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _of_array(images: Any) -> Tensor:
    try:
        array = np.ascontiguousarray(images)
        array = array.astype(np.int64) if array.dtype in (np.uint16, np.uint32) else array
        return torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"Images cannot be of type {type(images).__name__}; give a tensor or a numpy array of "
            "shape (B, C, H, W)."
        ) from None


def _stacked(images: list[Tensor]) -> Tensor:
    shapes = sorted({tuple(image.shape) for image in images})
    kinds = {(image.dtype, image.device) for image in images}
    if len(shapes) > 1 or len(kinds) > 1:
        raise InputError(
            f"The images of a list must be alike, but these are of shapes {shapes[:4]} and of "
            f"{len(kinds)} kinds of value or device; give pictures of one size and type."
        )
    return torch.stack(images)


def _check_shape(images: Tensor, *channels: int) -> None:
    shape = tuple(images.shape)
    if images.ndim == 3:
        raise InputError(
            f"Images must have shape (B, C, H, W), not {shape}; add the batch dimension with "
            "image[None]."
        )
    if images.ndim != 4 or 0 in shape:
        raise InputError(f"Images must have shape (B, C, H, W), at least one, not {shape}.")
    if shape[3] in COLOURED and shape[1] not in COLOURED:
        raise InputError(
            f"Images must have shape (B, C, H, W), but these, {shape}, seem to have their channels "
            "last; give images.permute(0, 3, 1, 2)."
        )
    if not channels or shape[1] in channels:
        return
    grey = shape[1] == 1
    remedy = "repeat grey ones, as in" if grey else "give red, green and blue, as in"
    remedy += " images.repeat(1, 3, 1, 1)" if grey else " images[:, :3]"
    wanted = " or ".join(map(str, channels))
    raise InputError(
        f"A picture must have {wanted} channels, but these, {shape}, have {shape[1]}; {remedy}."
    )


def _as_bytes(images: Tensor, low: float, high: float) -> Tensor:
    if not 0 <= low <= high <= 255:
        raise InputError(
            f"The images are whole numbers from {low:.0f} to {high:.0f}, but bytes (uint8) go from "
            "0 to 255; scale them first."
        )
    return images.to(torch.uint8)


def _rounded(images: Tensor) -> Tensor:
    precise = images.to(torch.promote_types(images.dtype, torch.float32))
    return precise.mul(255).round().to(torch.uint8)


def _scaling_remedy(low: float, high: float) -> str:
    if low < -SLACK:
        return "undo the normalisation, which belongs inside the model"
    if 2 < high <= 255:
        return "divide them by 255"
    return "clamp or rescale them, and leave normalisation to the model"
