"""Pictures: the nasty corpus spoiled further, and files put together from parts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from apr_core.base.types import InputError
from apr_core.data.images import DISPLAY_SIZE, SIZE, from_png, read_picture, to_png
from scripts.fuzz.boundary import Attempt, Boundary, BoundError
from scripts.fuzz.hostile import TEXTS, spoiled_bytes
from scripts.nasty_pictures import chunk, corpus, png, riff, with_checksums

SIDES = (0, 1, 2, 31, 32, 33, 500, 4000, 4330, 5000, 5001, 16_383, 65_535, 2**31 - 1, 2**32 - 1)
_GOOD = tuple(corpus().values())
_BODIES = st.binary(max_size=40) | st.builds(
    lambda start, count: start + zlib.compress(bytes(count)),
    st.sampled_from((b"", b"a\0\0", b"a\0\1\0\0\0")),
    st.sampled_from((0, 100, 10**6, 10**7)),
)


@st.composite
def _pngs(draw: st.DrawFn) -> bytes:
    """A PNG of parts in any order, with right checksums."""
    kinds = st.sampled_from(
        (b"IDAT", b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL",
         b"fcTL", b"fdAT", b"cHRM", b"sRGB", b"pHYs", b"IEND", b"IHDR", b"abcd")
    )  # fmt: skip
    parts = draw(st.lists(st.builds(chunk, kinds, _BODIES), max_size=6))
    header = {
        "depth": draw(st.sampled_from((1, 2, 4, 8, 16, 0, 255))),
        "colour": draw(st.sampled_from((0, 2, 3, 4, 6, 1, 255))),
    }
    return png(draw(st.sampled_from(SIDES)), draw(st.sampled_from(SIDES)), *parts, **header)


@st.composite
def _webps(draw: st.DrawFn) -> bytes:
    kinds = st.sampled_from(
        (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP")
    )
    return riff(*draw(st.lists(st.tuples(kinds, _BODIES), max_size=5)))


@st.composite
def _jpegs(draw: st.DrawFn) -> bytes:
    """Markers put into a JPEG after its start."""
    good = draw(st.sampled_from([data for data in _GOOD if data.startswith(b"\xff\xd8")]))
    marker = st.builds(
        lambda kind, body: bytes((255, kind)) + struct.pack(">H", len(body) + 2) + body,
        st.integers(0xC0, 0xFE),
        st.binary(max_size=60) | st.sampled_from((b"Exif\0\0II*\0\x08\0\0\0", b"MPF\0II*\0")),
    )
    return good[:2] + b"".join(draw(st.lists(marker, max_size=4))) + good[2:]


@st.composite
def _spoiled_pngs(draw: st.DrawFn) -> bytes:
    good = tuple(data for data in _GOOD if data.startswith(b"\x89PNG"))
    return with_checksums(draw(spoiled_bytes(good)))


@contextmanager
def _ready(folder: Path) -> Iterator[Attempt]:
    yield _attempt


def _attempt(given: tuple[bytes, str]) -> None:
    data, name = given
    picture = read_picture(data, name)
    if picture.image.dtype != torch.uint8 or tuple(picture.image.shape) != (3, SIZE, SIZE):
        raise BoundError(f"The model would see {picture.image.shape}.")
    if max(picture.original.size) > DISPLAY_SIZE or picture.original.mode != "RGB":
        raise BoundError(f"The page would show {picture.original}.")
    if picture.original.info:
        raise BoundError(f"{picture.original.info} travels on with the picture.")
    if not torch.equal(from_png(to_png(picture.image)), picture.image):
        raise BoundError("The picture does not come back from its PNG.")
    try:
        from_png(data, SIZE * SIZE)
    except InputError:
        return


def boundaries() -> Iterator[Boundary]:
    """Pictures."""
    files: Any = st.sampled_from(_GOOD) | spoiled_bytes(_GOOD) | _spoiled_pngs()
    files = files | _pngs() | _webps() | _jpegs() | st.binary(max_size=100)
    yield Boundary("pictures", st.tuples(files, st.sampled_from(TEXTS)), _ready)
