"""Colour management: ICC profiles converted to sRGB, the colour space of CIFAR-10."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import product

import numpy as np
from PIL import Image, ImageCms

from apr_core.data.picture_file import MAX_PROFILE

Converter = Callable[[Image.Image], Image.Image]
"""An 8-bit picture in its own colours to RGB in sRGB."""
SAME = 2
"""Steps of 255 that a profile may move a colour by and still be sRGB's, or as good as."""
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GREYS = ("1", "L", "LA", "La", "I", "F")


def srgb_converter(profile: bytes, mode: str) -> Converter | None:
    """What brings a picture's colours to sRGB; None where they are as good as in it.

    Args:
        profile: an ICC profile.
        mode: the picture's, as Pillow names it.

    Raises:
        ValueError: the profile is damaged, too long, or for another kind of picture.
    """
    if not 0 < len(profile) <= MAX_PROFILE:
        raise ValueError(f"a profile of {len(profile)} bytes")
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        taken = _MODES.get(own.profile.xcolor_space.strip(), "")
        if taken == "RGB" and _mode_of(mode) == "L":
            return None  # grey stays grey
        if taken != _mode_of(mode):
            raise ValueError(f"a profile of {own.profile.xcolor_space} for {mode}")
        transform = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), taken, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError) as error:
        raise ValueError("a damaged profile") from error

    def convert(image: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(image.convert(taken), transform)
        assert converted is not None  # it is None in place alone
        return converted

    return convert if _moves(convert, taken) else None


def _mode_of(mode: str) -> str:
    """The mode in which a picture's colours stand, its alpha apart."""
    if mode == "CMYK":
        return mode
    return "L" if mode.startswith(_GREYS) and mode != "LAB" else "RGB"


def _moves(convert: Converter, mode: str) -> bool:
    """Whether it shows any of a grid of colours otherwise than Pillow would without it."""
    if mode == "CMYK":
        return True
    levels = list(product(range(0, 256, 15), repeat=3)) if mode == "RGB" else range(256)
    grid = Image.fromarray(np.array([levels], np.uint8))  # (1, n, 3) or (1, n)
    before, after = np.asarray(grid.convert("RGB"), int), np.asarray(convert(grid), int)
    return bool(np.abs(after - before).max() > SAME)
