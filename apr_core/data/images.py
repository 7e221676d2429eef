"""Images: a person's picture decoded and resized to a data set's size; lossless PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from apr_core.base.types import InputError, shown
from apr_core.data.dataset import DataSet
from apr_core.data.decode import Decoded, check_bytes, decode
from apr_core.data.registry import DEFAULT, find_dataset

OWN_PICTURE = -1
"""The index of a person's own picture, which has none in a test set."""
DISPLAY_SIZE = 512
"""Longer side in pixels, at most, of what the page shows."""

# Pixels in [0, 1]. `content_warnings` on CIFAR-10's 10,000 test images: outside the first three
# lie 34 (8 contrast, 15 brightness, 12 detail); 108 are greyscale, all but two of them exactly.
MIN_CONTRAST = 0.045
"""Standard deviation over the pixels of a channel, averaged over channels."""
BRIGHTNESS_RANGE = (0.1, 0.92)
"""Mean over pixels and channels."""
DETAIL_RANGE = (0.009, 0.115)
"""Mean absolute step in grey between neighbours, across and down."""
MAX_GREY_SPREAD = 4
"""Largest difference between a pixel's channels, of 255, that passes for grey: room for JPEG."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture ready for the model."""

    image: Tensor
    """What the model sees: uint8 (C, H, W)."""
    decoded: Decoded
    """What was read; its longer side is reduced to 512 pixels."""
    name: str
    warnings: tuple[str, ...]
    """Sentences for a person: what was done to the picture, and what to expect of it."""

    @property
    def original(self) -> Image.Image:
        """The whole picture for display, RGB."""
        return self.decoded.rgb


def read_picture(data: bytes, name: str = "the picture", dataset: DataSet | None = None) -> Picture:
    """A PNG, JPEG, WebP, AVIF or BMP file's bytes as a picture; one of the size keeps every pixel.

    Args:
        data: the file.
        name: of the picture, for sentences.
        dataset: whose size and channels the model wants; by default CIFAR-10.

    Raises:
        InputError: it is empty, too big, of another format, animated or damaged.
    """
    name = shown(name, 80) or "the picture"
    picture = _fit(decode(data, name), name, dataset or find_dataset())
    picture.original.thumbnail((DISPLAY_SIZE, DISPLAY_SIZE))
    return picture


def refit(picture: Picture, dataset: DataSet) -> Picture:
    """A picture that was read for one data set, for the models of another.

    What they see is made of the picture as it is displayed, whose longer side has 512 pixels.
    """
    return _fit(picture.decoded, picture.name, dataset)


def picture_of(image: Tensor, name: str = "the picture") -> Picture:
    """What a model sees, uint8 (C, H, W), as a picture that needed no fitting."""
    rgb = to_pil(image)
    return Picture(image, Decoded(rgb, rgb.size, see_through=False, off_colour=False), name, ())


def _fit(decoded: Decoded, name: str, wanted: DataSet) -> Picture:
    """A picture at the size and in the channels of a data set, with what is to be said of it."""
    image = _to_tensor(_reduce(decoded.rgb, wanted.size, wanted.channels))
    usual = content_warnings if wanted.name == DEFAULT else _contrast_warnings
    return Picture(image, decoded, name, (*_reading_warnings(decoded, wanted), *usual(image)))


def read_picture_file(path: Path, dataset: DataSet | None = None) -> Picture:
    """`read_picture` for a path.

    Raises:
        InputError: as `read_picture`, or there is no such file, or it cannot be read.
    """
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no file"
            raise InputError(f"There is {found} at {path}; give the path of a picture.")
        check_bytes(path.stat().st_size, path.name)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The file {path} cannot be read ({error.strerror}); check its path and permissions."
        ) from error
    return read_picture(data, path.name, dataset)


def to_pil(image: Tensor) -> Image.Image:
    """A uint8 image (3, H, W), or (1, H, W) in grey, as an RGB picture of H rows.

    Raises:
        InputError: the tensor has another type or shape.
    """
    if (
        image.dtype != torch.uint8
        or image.ndim != 3
        or len(image) not in (1, 3)
        or not image.numel()
    ):
        raise InputError(
            f"An image cannot be {image.dtype} of shape {tuple(image.shape)}; "
            "give torch.uint8 of shape (3, H, W) or (1, H, W)."
        )
    pixels = image.detach().cpu().expand(3, -1, -1).permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().numpy())


def to_png(image: Tensor) -> bytes:
    """A uint8 image (3, H, W) as a PNG file's bytes, without loss."""
    file = io.BytesIO()
    to_pil(image).save(file, "PNG")
    return file.getvalue()


def from_png(data: bytes, most: int | None = None) -> Tensor:
    """The uint8 image (3, H, W) in a PNG file's bytes; raises InputError as `read_picture`.

    Args:
        data: the file.
        most: pixels that it may have; None for what any PNG may.
    """
    return _to_tensor(decode(data, "the PNG file", ("PNG",), most).rgb)


def content_warnings(image: Tensor) -> tuple[str, ...]:
    """Sentences on how a uint8 image (3, H, W) differs from CIFAR-10's, whatever the model."""
    if plain := _contrast_warnings(image):
        return plain
    grey = image.float().mean(0) / 255  # -> (H, W)
    steps = (grey.diff(dim=0).abs().mean() + grey.diff(dim=1).abs().mean()) / 2
    measures = (
        (float(grey.mean()), BRIGHTNESS_RANGE, ("darker", "brighter")),
        (float(steps), DETAIL_RANGE, ("smoother", "more finely patterned")),
    )
    found = [
        f"The picture is {words[value > high]} than nearly all pictures of CIFAR-10, "
        "so the model may be guessing."
        for value, (low, high), words in measures
        if not low <= value <= high
    ]
    if int((image.amax(0) - image.amin(0)).max()) <= MAX_GREY_SPREAD:
        found.append("The picture is greyscale; only one in a hundred pictures of CIFAR-10 is.")
    return tuple(found)


def _contrast_warnings(image: Tensor) -> tuple[str, ...]:
    """The sentence on a uint8 image (C, H, W) with less contrast than those of any data set."""
    if (image.float() / 255).std((1, 2), correction=0).mean() >= MIN_CONTRAST:
        return ()
    return ("The picture is nearly one colour, so the model's answer means little.",)


def _reading_warnings(decoded: Decoded, wanted: DataSet) -> Iterator[str]:
    """Sentences on what was done to a picture."""
    size = decoded.size
    if decoded.off_colour:
        yield (
            "The picture's colour profile cannot be read, so its colours may look a little "
            "different here."
        )
    if decoded.see_through:
        yield "The picture is partly transparent, so it was laid on white."
    height, width = wanted.size
    if height != width:
        yield f"The picture was brought to {width} × {height} pixels, whatever its own shape."
    elif lost := 100 - 100 * min(size) / max(size):
        yield (
            f"The picture is {size[0]} × {size[1]} pixels and was cropped to its central square, "
            f"which leaves out about {min(99, max(1, round(lost)))}% of it."
        )
    used = decoded.rgb.size if height != width else (min(decoded.rgb.size),) * 2
    if used[0] < width or used[1] < height:
        yield (
            f"The picture was enlarged from {used[0]} × {used[1]} pixels, so it looks softer than "
            "those that the models learned from."
        )


def _reduce(rgb: Image.Image, size: tuple[int, int], channels: int) -> Image.Image:
    """The central square, or the whole where the size is none, at a height and width.

    BOX averages areas, so no colour falls outside those it stands for. LANCZOS overshoots at
    edges, and an extreme pixel of the filter's making would mislead in a one-pixel lab.
    """
    height, width = size
    box = (0, 0, rgb.width, rgb.height)
    if height == width:
        side = min(rgb.size)
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        box = (left, top, left + side, top + side)
    shrinks = box[2] - box[0] >= width and box[3] - box[1] >= height
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    reduced = rgb.resize((width, height), method, box=box)
    return reduced.convert("L") if channels == 1 else reduced


def _to_tensor(rgb: Image.Image) -> Tensor:
    """An RGB picture of H rows as uint8 (3, H, W), one in grey as (1, H, W)."""
    pixels = torch.from_numpy(np.array(rgb))
    return pixels.view(rgb.height, rgb.width, -1).permute(2, 0, 1).contiguous()
