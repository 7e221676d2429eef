"""Hostile pictures: small files that are hard on a decoder, generated so that none is stored."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms, features

ORIENTATION, MAKER = 0x0112, 0x010F
START_OF_SCAN, END = b"\xff\xda", b"\xff\xd9"


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file's bytes."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def scene(width: int = 40, height: int = 28) -> Image.Image:
    """Smooth colours with some noise: neither flat nor wild."""
    x, y = np.meshgrid(np.linspace(0, 7, width), np.linspace(0, 5, height))
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1)
    noise = np.random.default_rng(0).normal(0, 9, waves.shape)
    return Image.fromarray((127 + 90 * waves + noise).clip(0, 255).astype(np.uint8))


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """One of a PNG's parts."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *parts: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that claims a size, and holds these parts."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(parts) + chunk(b"IEND")


def with_parts(data: bytes, *parts: bytes) -> bytes:
    """A PNG with parts put in after its header."""
    return data[:33] + b"".join(parts) + data[33:]


def with_checksums(data: bytes) -> bytes:
    """A PNG with its checksums made right, so that a change reaches the decoder."""
    fixed, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        fixed += (
            struct.pack(">I", length) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
        at += 12 + length
    return bytes(fixed)


def riff(*parts: tuple[bytes, bytes]) -> bytes:
    """A WebP file of these parts."""
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in parts
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def many_scans(side: int, copies: int) -> bytes:
    """A progressive JPEG that says its shortest scan again and again: each costs a whole pass."""
    data = encode(Image.new("L", (side, side), 100), "JPEG", progressive=True)
    starts = [at for at in range(len(data)) if data.startswith(START_OF_SCAN, at)]
    ends = [*starts[1:], len(data) - len(END)]
    shortest = min((data[a:b] for a, b in zip(starts[1:], ends[1:], strict=True)), key=len)
    return data[: -len(END)] + shortest * copies + END


def _pixels(width: int, height: int, values: int = 3) -> bytes:
    return chunk(b"IDAT", zlib.compress(bytes(height * (1 + values * width))))


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = orientation, "maker"
    return exif


def _pngs() -> Iterator[tuple[str, bytes]]:
    plain = encode(scene(), "PNG")
    yield "plain.png", plain
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        grey = Image.fromarray(np.linspace(0, 65535, 900).astype(np.uint16).reshape(30, 30))
        yield (
            f"mode-{mode.replace(';', '')}.png",
            encode(grey if mode == "I;16" else scene().convert(mode), "PNG"),
        )
    yield "clear-shade.png", encode(scene().convert("L"), "PNG", transparency=90)
    yield "clear-colour.png", encode(scene(), "PNG", transparency=(1, 2, 3))
    yield (
        "palette-of-one.png",
        png(9, 9, chunk(b"PLTE", bytes(3)), chunk(b"IDAT", zlib.compress(b"\xff" * 90)), colour=3),
    )
    yield "sixteen-bits.png", png(9, 9, _pixels(9, 9, 6), depth=16)
    yield "moving.png", encode(scene(), "PNG", save_all=True, append_images=[scene().rotate(90)])
    yield "says-it-moves.png", with_parts(plain, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))
    for width, height in ((2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (8000, 8000), (5000, 5000)):
        yield f"claims-{width}x{height}.png", png(width, height, _pixels(1, 1))
    yield "eight-thousand.png", encode(Image.new("1", (8000, 8000)), "PNG")
    yield "thin.png", encode(Image.new("1", (20_000, 1)), "PNG")
    yield "no-pixels.png", png(40, 40)
    yield "too-many-pixels.png", png(4, 4, _pixels(900, 900))
    yield (
        "text-bomb.png",
        with_parts(plain, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9 * 10**6))) * 9),
    )
    yield (
        "profile-bomb.png",
        with_parts(plain, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(3 * 10**7)))),
    )
    yield (
        "unicode-bomb.png",
        with_parts(plain, chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(9 * 10**6)))),
    )
    yield "bad-exif.png", with_parts(plain, chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"))
    yield "cut.png", plain[: len(plain) // 2]
    yield "cut-in-a-length.png", plain[:35]


def _jpegs() -> Iterator[tuple[str, bytes]]:
    plain = encode(scene(), "JPEG")
    yield "plain.jpg", plain
    yield "progressive.jpg", encode(scene(), "JPEG", progressive=True)
    yield "cmyk.jpg", encode(scene().convert("CMYK"), "JPEG")
    yield "grey.jpg", encode(scene().convert("L"), "JPEG")
    for orientation in (5, 6, 8, 9, 65535):
        yield f"turned-{orientation}.jpg", encode(scene(), "JPEG", exif=_exif(orientation))
    turned = encode(scene(), "JPEG", exif=_exif(6))
    yield "bad-maker.jpg", turned.replace(struct.pack(">HH", MAKER, 2), b"\x01\x0f\0\x0b")
    yield (
        "two-pictures.jpg",
        encode(scene(), "MPO", save_all=True, append_images=[scene().rotate(90)]),
    )
    yield "profile.jpg", encode(scene(), "JPEG", icc_profile=bytes(60_000))
    size = struct.pack(">HH", 28, 40)
    for height, width in ((65535, 65535), (0, 40), (5000, 5000), (1, 65535)):
        yield f"claims-{width}x{height}.jpg", plain.replace(size, struct.pack(">HH", height, width))
    yield "many-scans.jpg", many_scans(1000, 2000)
    yield "many-comments.jpg", plain[:2] + b"\xff\xfe\0\2" * 2000 + plain[2:]
    yield "cut.jpg", plain[: len(plain) // 2]
    yield "no-end.jpg", plain[:-2]
    yield "two-ends.jpg", plain + plain


def _webps() -> Iterator[tuple[str, bytes]]:
    yield "plain.webp", encode(scene(), "WEBP")
    yield "lossless.webp", encode(scene(), "WEBP", lossless=True)
    yield "clear.webp", encode(scene().convert("RGBA"), "WEBP", lossless=True)
    yield "moving.webp", encode(scene(), "WEBP", save_all=True, append_images=[scene().rotate(9)])
    yield "sixteen-thousand.webp", encode(Image.new("L", (16_383, 64)), "WEBP", lossless=True)
    body = encode(scene(), "WEBP", lossless=True)[20:]
    for side in (40, 16_384, 2**24):
        canvas = bytes(4) + (side - 1).to_bytes(3, "little") * 2
        yield f"canvas-{side}.webp", riff((b"VP8X", canvas), (b"VP8L", body))
    yield "no-parts.webp", riff()
    yield "cut.webp", encode(scene(), "WEBP")[:60]


def _others() -> Iterator[tuple[str, bytes]]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:24] + bytes(12) + profile[36:84] + bytes(16) + profile[100:]  # no date, id
    for kind in ("PNG", "JPEG", "WEBP"):
        yield f"true-profile.{kind.lower()}", encode(scene(), kind, icc_profile=profile)
    yield "plain.bmp", encode(scene(), "BMP")
    yield "palette.bmp", encode(scene().convert("P"), "BMP")
    if features.check("avif"):
        for name, options in (("plain", {}), ("moving", {"append_images": [scene().rotate(9)]})):
            yield f"{name}.avif", encode(scene(), "AVIF", save_all=name == "moving", **options)


def _strangers() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "text.png", b"hello, this is no picture"
    yield "picture.gif", encode(scene(), "GIF")
    yield "picture.tiff", encode(scene(), "TIFF")
    yield "vector.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc"/></svg>'
    yield "script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n"
    yield "pickle.png", b"cos\nsystem\n(S'touch /tmp/opened'\ntR."
    yield "zeros.png", bytes(3000)
    yield "a-png-in-a-jpeg.jpg", encode(scene(), "JPEG")[:200] + encode(scene(), "PNG")


@cache
def corpus() -> dict[str, bytes]:
    """Every picture by its name."""
    return dict([*_pngs(), *_jpegs(), *_webps(), *_others(), *_strangers()])
