"""Decoding: a picture file to upright RGB in sRGB, with limits on memory and time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from apr_core.base.types import InputError
from apr_core.data.colour import Converter, srgb_converter
from apr_core.data.picture_file import READ, Essence, essence, format_of
from apr_core.data.sharing import Room, Silence

MAX_BYTES = 25 * 2**20
"""Room for a JPEG of a phone's 48 megapixels with all its detail."""
MAX_PIXELS = 25_000_000
"""With the limits below, no picture takes 300 MB to decode."""
MAX_VALUES = 75_000_000
"""Pixels times bands, of which a picture may have four; or a progressive JPEG's coefficients."""
MAX_JPEG_PIXELS = 120_000_000
"""A large JPEG is reduced while it is decoded, and never in memory whole."""
MAX_MODERN_PIXELS = 16_000_000
"""Of WebP and AVIF, whose decoders hold each pixel in four places."""
MAX_SCANS = 50
"""Scans of a progressive JPEG, of which encoders make a dozen. Each costs a pass over all pixels,
and may be twelve bytes long."""
REDUCED_SIDE = 2048
"""Shorter side in pixels, at least, of a JPEG that is reduced while it is decoded."""
STRIP = 2**20
"""Pixels that are brought to RGB at a time."""

_ROOM = Room(2 * MAX_VALUES)
"""Of all pictures that are decoded at once: the largest leaves room for others beside it."""
_SILENCE = Silence()
_NAMES = {"WEBP": "WebP"}
_PLAIN_BITMAPS = (0, 3)
"""Kinds of compression of a BMP that are none. Pillow unpacks the others in Python, slowly."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A file's picture.

    Attributes:
        rgb: upright, in sRGB, on white; a large JPEG's is smaller than the file's.
        size: width and height in pixels that the file has, upright.
        see_through: whether any of the white shows.
        off_colour: whether it has a colour profile that could not be applied.
    """

    rgb: Image.Image
    size: tuple[int, int]
    see_through: bool
    off_colour: bool


def decode(
    data: bytes, name: str, formats: tuple[str, ...] = READ, most: int | None = None
) -> Decoded:
    """The picture in a file's bytes.

    Args:
        data: the file.
        name: of the picture, for sentences.
        formats: those that are taken, of `READ`.
        most: pixels that it may have; None for what its format allows.

    Raises:
        InputError: it is empty, too big, of another format, animated or damaged.
    """
    check_bytes(len(data), name)
    found = essence(data, name)
    with (
        _reading(name, formats, format_of(data)),
        Image.open(io.BytesIO(found.data), formats=formats) as file,
    ):
        size = file.size
        _check_header(file, found, name, most)
        with _ROOM.take(_reduce(file, found, name)):
            file.load()
            return _decoded(file, size, found.profile)


def _decoded(file: Image.Image, size: tuple[int, int], profile: bytes | None) -> Decoded:
    convert, off_colour = _converter(file, profile)
    stored = file.size
    _set_upright(file)
    rgb, see_through = _to_rgb(file, convert)
    rgb.info.clear()  # or the EXIF data's place and time could travel on with the picture
    width, height = size if rgb.size == stored else size[::-1]
    return Decoded(rgb, (width, height), see_through, off_colour)


def _converter(file: Image.Image, profile: bytes | None) -> tuple[Converter | None, bool]:
    """What brings the colours to sRGB, if anything; whether the profile cannot be applied."""
    profile = file.info.get("icc_profile") if profile is None else profile
    if profile is None:
        return None, False
    try:
        return srgb_converter(profile, file.mode), False
    except ValueError:
        return None, True


@contextmanager
def _reading(name: str, formats: tuple[str, ...], found: str) -> Iterator[None]:
    """Turn what Pillow raises into an InputError, and silence its warnings.

    Args:
        name: of the picture.
        formats: those that are taken.
        found: the format by the file's first bytes.
    """
    with _SILENCE:
        try:
            yield
        except InputError:  # itself a ValueError
            raise
        except (Image.DecompressionBombError, MemoryError) as error:
            most = MAX_JPEG_PIXELS if found == "JPEG" else MAX_PIXELS
            raise InputError(_too_many_pixels("too many", name, most)) from error
        except Exception as error:  # Pillow's readers raise nearly anything on damaged files
            unknown = isinstance(error, UnidentifiedImageError) and found not in formats
            raise InputError(_not_read(name, formats, found, unknown)) from error


def _not_read(name: str, formats: tuple[str, ...], found: str, unknown: bool) -> str:
    if not unknown:
        return (
            f"Only part of {name} can be read because the file is damaged or cut short; "
            "save or download it again."
        )
    if found and found not in READ:
        return (
            f"The format of {name} is {found}, which cannot be read here; open it in a picture "
            "program, save it as JPEG or PNG, and try again."
        )
    *others, last = (_NAMES.get(format_, format_) for format_ in formats)
    listed = f"{', '.join(others)} or {last}" if others else last
    return f"There is no {listed} picture in {name}; save it in such a format and try again."


def check_bytes(count: int, name: str) -> None:
    """Raise InputError where a file is empty or has more bytes than are read."""
    if not count:
        raise InputError(f"There is nothing in {name} (0 bytes); choose another file.")
    if count > MAX_BYTES:
        raise InputError(
            f"There are {count:,} bytes in {name}, over the limit of {MAX_BYTES:,}; "
            "scale the picture down or save it with more compression."
        )


def _check_header(file: Image.Image, found: Essence, name: str, most: int | None) -> None:
    """Refuse before decoding, which is what a small file of many pixels makes costly."""
    width, height = file.size
    if width * height > (limit := _most_pixels(file) if most is None else most):
        raise InputError(_too_many_pixels(f"{width} × {height}", name, limit))
    frames = int(getattr(file, "n_frames", 1))
    if frames > 1:
        raise InputError(
            f"There are {frames} frames in {name}, which makes it an animation; "
            "save one of them as a still picture and try again."
        )
    if found.scans > MAX_SCANS:
        raise InputError(
            f"There are {found.scans:,} scans in {name}, and a progressive JPEG has at most "
            f"{MAX_SCANS}; open it and save it again."
        )
    if file.format == "BMP" and file.info.get("compression") not in _PLAIN_BITMAPS:
        raise InputError(f"The bitmap in {name} is compressed; save it as PNG and try again.")


def _most_pixels(file: Image.Image) -> int:
    """How many pixels a file of its format and bands may have."""
    if file.format == "JPEG":
        return MAX_JPEG_PIXELS
    most = MAX_MODERN_PIXELS if file.format in ("WEBP", "AVIF") else MAX_PIXELS
    return min(most, MAX_VALUES // len(file.getbands()))


def _too_many_pixels(count: str, name: str, most: int) -> str:
    limit = f"{most // 10**6} million" if most >= 10**6 else f"{most + 1:,}"
    return f"There are {count} pixels in {name}; scale it down to under {limit} in all."


def _reduce(file: Image.Image, found: Essence, name: str) -> int:
    """Have a large JPEG reduced while it is decoded; how many values decoding will hold.

    Raises:
        InputError: they are too many even so.
    """
    size, coefficients = file.size, 0
    if isinstance(file, JpegImageFile):
        coefficients = _coefficients(file) if found.scans > 1 else 0
        file.draft(None, (REDUCED_SIDE, REDUCED_SIDE))
    values = max(file.width * file.height * len(file.getbands()), coefficients)
    if values > MAX_VALUES:
        most = size[0] * size[1] * MAX_VALUES // values // 10**6 * 10**6
        raise InputError(_too_many_pixels(f"{size[0]} × {size[1]}", name, most))
    return values


def _coefficients(file: JpegImageFile) -> int:
    """How many coefficients the decoder of a JPEG in several scans holds until the last one."""
    across, down = ([layer[at] for layer in file.layer] for at in (1, 2))  # sampling factors
    samples = sum(a * d for a, d in zip(across, down, strict=True))
    return int(file.width * file.height * samples // max(1, max(across) * max(down)))


def _set_upright(image: Image.Image) -> None:
    """Turn the picture as its EXIF data say; where they cannot be read, they say nothing.

    In place, Pillow turns the pixels before it rewrites the data, which is where it may stumble.
    """
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image, convert: Converter | None = None) -> tuple[Image.Image, bool]:
    """A picture of any mode as RGB on white, and whether any of the white shows.

    It goes in strips: brought over whole, a picture would be in memory five times.
    """
    if image.mode == "RGB" and not image.has_transparency_data and convert is None:
        return image.convert("RGB"), False
    rgb, see_through = Image.new("RGB", image.size), False
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        part, clear = _strip_to_rgb(strip, convert or (lambda whole: whole.convert("RGB")))
        rgb.paste(part, (0, top))
        see_through |= clear
    return rgb, see_through


def _strip_to_rgb(image: Image.Image, convert: Converter) -> tuple[Image.Image, bool]:
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if not image.has_transparency_data:
        return convert(image), False
    rgba = image.convert("RGBA")
    alpha = rgba.getchannel("A")
    see_through = bool(np.asarray(alpha).min() < 255)
    colours = convert(rgba.convert("RGB"))
    colours.putalpha(alpha)
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, colours).convert("RGB"), see_through


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey (modes I;16, I, F) by its upper bytes, as L, or LA where a shade is clear."""
    values = np.asarray(image).clip(0, 65535).astype(np.uint16)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    if "transparency" in image.info:
        opaque = values != image.info["transparency"]
        grey.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey
