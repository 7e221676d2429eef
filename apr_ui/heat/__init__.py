"""Heatmaps over their pictures, side by side; the pixel under the pointer is read out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from apr_core.attacks.result import PixelEdit, as_rgb
from apr_core.serving.frame import packed
from apr_ui.component import Component

_mount = Component("apr_heat", Path(__file__).parent)


class HeatPicture(TypedDict):
    """One map over one picture.

    `caption` stands beneath it, `alt` tells a screen reader what it shows; `image` is base64 of
    H*W*3 bytes, row by row, and `values` of H*W float32, least byte first, or "" for none; `edits`
    are the x and y of pixels to ring.
    """

    width: int
    height: int
    caption: str
    alt: str
    image: str
    values: str
    edits: Sequence[Sequence[int]]


def heat_picture(
    image: Tensor,
    values: Tensor | None,
    caption: str,
    alt: str,
    edits: Sequence[PixelEdit] = (),
) -> HeatPicture:
    """A picture uint8 (C, H, W) and its map (H, W), if there is one."""
    height, width = image.shape[1:]
    return {
        "width": width,
        "height": height,
        "caption": caption,
        "alt": alt,
        "image": packed(as_rgb(image.permute(1, 2, 0)), torch.uint8),
        "values": "" if values is None else packed(values, torch.float32),
        "edits": [[edit.x, edit.y] for edit in edits],
    }


def heat(
    pictures: Sequence[HeatPicture],
    limits: tuple[float, float],
    signed: bool,
    opacity: float,
    key: str,
) -> None:
    """Draw maps in one scale of colours, with the scale beside them.

    Args:
        limits: the values at its ends.
        signed: whether a value's sign speaks for the class or against it; the scale's middle, which
            should be 0, then has no colour.
        opacity: of the maps, in [0, 1].
    """
    data: dict[str, Any] = {
        "pictures": list(pictures),
        "low": limits[0],
        "high": limits[1],
        "signed": signed,
        "opacity": opacity,
    }
    _mount(key, data)
