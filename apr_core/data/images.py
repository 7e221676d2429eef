"""A person's picture: read with care, reduced to CIFAR-10's size, and kept without loss as PNG."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from apr_core.types import InputError, shown

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 5 * 2**20
MAX_PIXELS = 25_000_000
"""Room for a phone's 24 megapixels. With the limits below, no picture takes 300 MB to decode."""
MAX_VALUES = 75_000_000
"""Pixels times bands, of which a picture may have four."""
MAX_WEBP_PIXELS = 16_000_000
"""The decoder of WebP holds each pixel in four places."""
MAX_SCANS = 50
"""Scans of a progressive JPEG, of which encoders make a dozen. Each costs a pass over all pixels,
and may be twelve bytes long."""
STRIP = 2**20
"""Pixels that are brought to RGB at a time."""
SIZE = 32
"""Side in pixels of what the model sees."""
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

# One picture at a time bounds the memory, and `catch_warnings` is not safe between threads.
_READING = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture ready for the model."""

    image: Tensor
    """What the model sees: uint8 (3, 32, 32)."""
    original: Image.Image
    """The whole picture for display: RGB, at most 512 pixels on its longer side."""
    name: str
    warnings: tuple[str, ...]
    """Sentences for a person: what was done to the picture, and what to expect of it."""


def read_picture(data: bytes, name: str = "the picture") -> Picture:
    """A PNG, JPEG or WEBP file's bytes as a picture; one of 32×32 keeps every pixel.

    Raises:
        InputError: it is empty, too big, of another format, animated or damaged.
    """
    name = shown(name, 80) or "the picture"
    rgb, see_through = _decode(data, name, FORMATS)
    image = _to_tensor(_reduce(rgb))
    notes = (*_shape_warnings(rgb.size, see_through), *content_warnings(image))
    rgb.thumbnail((DISPLAY_SIZE, DISPLAY_SIZE))
    return Picture(image, rgb, name, notes)


def read_picture_file(path: Path) -> Picture:
    """`read_picture` for a path.

    Raises:
        InputError: as `read_picture`, or there is no such file, or it cannot be read.
    """
    try:
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no file"
            raise InputError(f"There is {found} at {path}; give the path of a picture.")
        _check_bytes(path.stat().st_size, path.name)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The file {path} cannot be read ({error.strerror}); check its path and permissions."
        ) from error
    return read_picture(data, path.name)


def to_pil(image: Tensor) -> Image.Image:
    """A uint8 image (3, H, W) as an RGB picture of H rows.

    Raises:
        InputError: the tensor has another type or shape.
    """
    if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or not image.numel():
        raise InputError(
            f"An image cannot be {image.dtype} of shape {tuple(image.shape)}; "
            "give torch.uint8 of shape (3, H, W)."
        )
    return Image.fromarray(image.detach().cpu().permute(1, 2, 0).contiguous().numpy())


def to_png(image: Tensor) -> bytes:
    """A uint8 image (3, H, W) as a PNG file's bytes, without loss."""
    file = io.BytesIO()
    to_pil(image).save(file, "PNG")
    return file.getvalue()


def from_png(data: bytes, most: int = MAX_PIXELS) -> Tensor:
    """The uint8 image (3, H, W) in a PNG file's bytes; raises InputError as `read_picture`.

    Args:
        most: pixels that it may have.
    """
    return _to_tensor(_decode(data, "the PNG file", ("PNG",), most)[0])


def content_warnings(image: Tensor) -> tuple[str, ...]:
    """Sentences on how a uint8 image (3, H, W) differs from CIFAR-10's, whatever the model."""
    pixels = image.float() / 255
    if pixels.std((1, 2), correction=0).mean() < MIN_CONTRAST:
        return ("The picture is nearly one colour, so the model's answer means little.",)
    grey = pixels.mean(0)  # -> (H, W)
    steps = (grey.diff(dim=0).abs().mean() + grey.diff(dim=1).abs().mean()) / 2
    measures = (
        (float(grey.mean()), BRIGHTNESS_RANGE, ("darker", "brighter")),
        (float(steps), DETAIL_RANGE, ("smoother", "more finely patterned")),
    )
    found = [
        f"The picture is {words[value > high]} than nearly all of CIFAR-10's, "
        "so the model may be guessing."
        for value, (low, high), words in measures
        if not low <= value <= high
    ]
    if int((image.amax(0) - image.amin(0)).max()) <= MAX_GREY_SPREAD:
        found.append("The picture is greyscale, as only one in a hundred of CIFAR-10's is.")
    return tuple(found)


def _shape_warnings(size: tuple[int, int], see_through: bool) -> Iterator[str]:
    """Sentences on what was done to a picture of `size` (width, height) pixels."""
    if see_through:
        yield "The picture is partly transparent, so it was laid on white."
    if lost := 100 - 100 * min(size) / max(size):
        yield (
            f"The picture is {size[0]} × {size[1]} pixels and was cropped to its central square, "
            f"which leaves out about {min(99, max(1, round(lost)))} % of it."
        )
    if min(size) < SIZE:
        yield (
            f"The picture's shorter side has only {min(size)} of the {SIZE} pixels that the model "
            "wants, so it was enlarged and looks softer than CIFAR-10's."
        )


def _decode(
    data: bytes, name: str, formats: tuple[str, ...], most: int = MAX_PIXELS
) -> tuple[Image.Image, bool]:
    """The upright RGB picture in a file's bytes, and whether any white shows through it."""
    _check_bytes(len(data), name)
    with _reading(name, formats), Image.open(io.BytesIO(data), formats=formats) as file:
        _check_header(file, name, most)
        _check_scans(data, file, name)
        file.load()
        _set_upright(file)
        rgb, see_through = _to_rgb(file)
    rgb.info.clear()  # or the EXIF data's place and time could travel on with the picture
    return rgb, see_through


@contextmanager
def _reading(name: str, formats: tuple[str, ...]) -> Iterator[None]:
    """Turn what Pillow raises into an InputError, and silence its warnings."""
    with _READING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except InputError:  # itself a ValueError
            raise
        except (Image.DecompressionBombError, MemoryError) as error:
            raise InputError(_too_many_pixels("too many", name, MAX_PIXELS)) from error
        except UnidentifiedImageError as error:
            raise InputError(
                f"There is no {' or '.join(formats)} picture in {name}; "
                "save it in such a format and try again."
            ) from error
        except Exception as error:  # Pillow's readers raise nearly anything on damaged files
            raise InputError(
                f"Only part of {name} can be read because the file is damaged or cut short; "
                "save or download it again."
            ) from error


def _check_bytes(count: int, name: str) -> None:
    if not count:
        raise InputError(f"There is nothing in {name} (0 bytes); choose another file.")
    if count > MAX_BYTES:
        raise InputError(
            f"There are {count:,} bytes in {name}, over the limit of {MAX_BYTES:,}; "
            "scale the picture down or save it with more compression."
        )


def _check_header(file: Image.Image, name: str, most: int) -> None:
    """Refuse before decoding, which is what a small file of many pixels makes costly."""
    width, height = file.size
    most = min(most, MAX_VALUES // len(file.getbands()))
    most = min(most, MAX_WEBP_PIXELS) if file.format == "WEBP" else most
    if width * height > most:
        raise InputError(_too_many_pixels(f"{width} × {height}", name, most))
    frames = int(getattr(file, "n_frames", 1))
    # A phone's JPEG may carry a depth or brightness map as a second frame (MPO): no animation.
    if frames > 1 and file.format != "MPO":
        raise InputError(
            f"There are {frames} frames in {name}, which makes it an animation; "
            "save one of them as a still picture and try again."
        )


def _too_many_pixels(count: str, name: str, most: int) -> str:
    limit = f"{most // 10**6} million" if most >= 10**6 else f"{most + 1:,}"
    return f"There are {count} pixels in {name}; scale it down to under {limit} in all."


def _check_scans(data: bytes, file: Image.Image, name: str) -> None:
    """Refuse a JPEG that says the same too often: in its data, the marker is nothing else."""
    scans = data.count(b"\xff\xda") if file.format in ("JPEG", "MPO") else 0
    if scans > MAX_SCANS:
        raise InputError(
            f"There are {scans:,} scans in {name}, and a progressive JPEG has at most {MAX_SCANS}; "
            "open it and save it again."
        )


def _set_upright(image: Image.Image) -> None:
    """Turn the picture as its EXIF data say; where they cannot be read, they say nothing.

    In place, Pillow turns the pixels before it rewrites the data, which is where it may stumble.
    """
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> tuple[Image.Image, bool]:
    """A picture of any mode as RGB on white, and whether any of the white shows.

    It goes in strips: brought over whole, a picture would be in memory five times.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return image.convert("RGB"), False
    rgb, see_through = Image.new("RGB", image.size), False
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        part, clear = _strip_to_rgb(strip)
        rgb.paste(part, (0, top))
        see_through |= clear
    return rgb, see_through


def _strip_to_rgb(image: Image.Image) -> tuple[Image.Image, bool]:
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB"), False
    rgba = image.convert("RGBA")
    see_through = bool(np.asarray(rgba.getchannel("A")).min() < 255)
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB"), see_through


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey (modes I;16, I, F) by its upper bytes, as L, or LA where a shade is clear."""
    values = np.asarray(image).clip(0, 65535).astype(np.uint16)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    if "transparency" in image.info:
        opaque = values != image.info["transparency"]
        grey.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey


def _reduce(rgb: Image.Image) -> Image.Image:
    """The central square at 32×32.

    BOX averages areas, so no colour falls outside those it stands for. LANCZOS overshoots at
    edges, and an extreme pixel of the filter's making would mislead in a one-pixel lab.
    """
    side = min(rgb.size)
    left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
    method = Image.Resampling.BOX if side >= SIZE else Image.Resampling.BILINEAR
    return rgb.resize((SIZE, SIZE), method, box=(left, top, left + side, top + side))


def _to_tensor(rgb: Image.Image) -> Tensor:
    """An RGB picture of H rows as uint8 (3, H, W)."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()
