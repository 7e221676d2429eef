"""File formats: a picture file's format and parts, and its metadata removed before decoding."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import features

from apr_core.base.types import InputError

READ = ("PNG", "JPEG", "WEBP", *(["AVIF"] if features.check("avif") else []), "BMP")
"""Formats that are read, by Pillow's names."""
MAX_PARTS = 100_000
"""PNG chunks or JPEG segments, of which cameras and programs write some thousands at most."""
MAX_PROFILE = 4 * 2**20
"""Bytes of a colour profile; those of printers have up to three million."""

_STARTS = (
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\1\0", "icon"),
    (b"<svg", "SVG"),
)
_BRANDS = {"AVIF": (b"avif", b"avis"), "HEIC": (b"heic", b"heix", b"heim", b"hevc", b"mif1")}
"""Of an ISO media file, whose films have none of them."""

_PNG_PARTS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"}
_PNG_XMP = b"XML:com.adobe.xmp\0\0"
"""The start of an iTXt chunk that says, uncompressed, how the picture is turned."""
_JPEG_APPS = {
    0xE0: (b"",),
    0xE1: (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"),
    0xE2: (b"ICC_PROFILE\0",),
    0xEE: (b"",),
}
"""Application segments that are kept, and how they begin: those that bear on how it looks."""
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
"""No restart: those stand within a scan, by the thousand."""
_COMMENT, _START_OF_SCAN, _END = 0xFE, 0xDA, 0xD9
_ALONE = {0x01, 0xD8, _END}
"""Markers without a length after them."""


@dataclass(frozen=True)
class Essence:
    """A picture file without what decoding it does not need.

    Attributes:
        data: the file's bytes; PNG text and comments, thumbnails and whatever follows the first
            picture are gone.
        scans: of a JPEG, up to its first end of image; 1 for other formats.
        profile: a PNG's colour profile, b"" for one that cannot be read, None where there is none
            or the format's own decoder finds it.
    """

    data: bytes
    scans: int = 1
    profile: bytes | None = None


def format_of(data: bytes) -> str:
    """The format by a file's first bytes, as people name it; "" for an unknown one."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        named = data[8 : min(200, int.from_bytes(data[:4]))]
        kinds = (kind for kind, brands in _BRANDS.items() if any(one in named for one in brands))
        return next(kinds, "MP4")
    return next((name for start, name in _STARTS if data.startswith(start)), "")


def essence(data: bytes, name: str) -> Essence:
    """The file without its metadata, which are dropped unread.

    A damaged file keeps its damage, for the decoder to find.

    Raises:
        InputError: it is in more than `MAX_PARTS` parts.
    """
    readers = {"PNG": _png, "JPEG": _jpeg}
    reader = readers.get(format_of(data))
    return reader(data, name) if reader else Essence(data)


def _png(data: bytes, name: str) -> Essence:
    kept, profile = [data[:8]], None
    for kind, start, end in _chunks(data, name):
        if kind == b"iCCP":
            profile = _inflated(data[start + 8 : end - 4]) if profile is None else profile
        elif kind in _PNG_PARTS or (kind == b"iTXt" and data.startswith(_PNG_XMP, start + 8)):
            kept.append(data[start:end])
    return Essence(b"".join(kept), profile=profile)


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each of a PNG's chunks, the last of which may be cut short."""
    at, count = 8, 0
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        yield kind, at, end
        at, count = end, _counted(count, name)
        if kind == b"IEND":
            return


def _inflated(body: bytes) -> bytes:
    """The profile in an iCCP chunk; b"" if it is damaged or longer than `MAX_PROFILE`."""
    reader = zlib.decompressobj()
    try:
        profile = reader.decompress(body.partition(b"\0")[2][1:], MAX_PROFILE)
    except zlib.error:
        return b""
    return b"" if reader.unconsumed_tail else profile


def _jpeg(data: bytes, name: str) -> Essence:
    """The header is put together anew; from the first scan to the first end, all is as it was."""
    kept, first, scans, end = [b"\xff\xd8"], None, 0, len(data)
    for marker, start, stop in _segments(data, name):
        if marker == _END:
            end = stop
            break
        if marker == _START_OF_SCAN:
            scans += 1
            first = start if first is None else first
        elif first is None and _matters(marker, data[start + 4 : start + 40]):
            kept.append(data[start:stop])
    scanned = data[first:end] if first is not None else b""
    return Essence(b"".join([*kept, scanned]), scans=scans)


def _segments(data: bytes, name: str) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each of a JPEG's segments; what lies between them is skipped."""
    at, count = 2, 0
    while found := _MARKER.search(data, at):
        marker, start, at = found[1][0], found.start(), found.end()
        if marker not in _ALONE and at + 2 <= len(data):
            at += max(2, struct.unpack_from(">H", data, at)[0])
        count = _counted(count, name)
        yield marker, start, at


def _matters(marker: int, start: bytes) -> bool:
    """Whether a segment bears on the pixels or on how they are shown."""
    if marker in range(0xE0, 0xF0):
        return start.startswith(_JPEG_APPS.get(marker, ()))
    return marker != _COMMENT and marker not in _ALONE


def _counted(count: int, name: str) -> int:
    if count >= MAX_PARTS:
        raise InputError(
            f"There are more than {MAX_PARTS:,} parts in {name}; open it in a picture program and "
            "save it again."
        )
    return count + 1
