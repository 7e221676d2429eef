"""Pictures: the nasty corpus, files spoiled, and files put together from parts."""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import suppress

import pytest
import torch
from hypothesis import strategies as st
from PIL import ImageFile

from apr_core.base.types import InputError
from apr_core.data.decode import MAX_SCANS
from apr_core.data.images import DISPLAY_SIZE, from_png, read_picture, to_png
from tests.fuzz.conftest import Fuzz
from tests.fuzz.hold import foreseen, hold
from tests.fuzz.hostile import TEXTS, spoiled_bytes
from tests.fuzz.nasty_pictures import chunk, corpus, many_scans, png, riff, with_checksums

MEANT = re.compile(
    "plain|progressive|turned|grey|cmyk|mode|clear|bits|lossless|thin|thousand.webp|exif|maker|"
    "two|profile|text-bomb|unicode-bomb|comments|says-it|claims|moving|eight|palette|many"
)
"""Names of nasty pictures that a reader may accept, or refuse; it must refuse all others."""
SIZE = 32
"""Rows and columns of the pictures that models take."""
FILES = tuple(corpus().values())
PNGS = tuple(data for data in FILES if data.startswith(b"\x89PNG"))
JPEGS = tuple(data for data in FILES if data.startswith(b"\xff\xd8"))
SIDES = (0, 1, 2, 31, 32, 33, 500, 4000, 4330, 5000, 5001, 16_383, 65_535, 2**31 - 1, 2**32 - 1)
BODIES = st.binary(max_size=40) | st.builds(
    lambda start, count: start + zlib.compress(bytes(count)),
    st.sampled_from((b"", b"a\0\0", b"a\0\1\0\0\0")),
    st.sampled_from((0, 100, 10**6, 10**7)),
)


def parts(kinds: str) -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    """Parts of these kinds in any order, each with some body."""
    kind = st.sampled_from([name.ljust(4).encode() for name in kinds.split()])
    return st.lists(st.tuples(kind, BODIES), max_size=6)


MADE_PNGS = st.builds(
    lambda width, height, depth, colour, found: png(
        width, height, *(chunk(*part) for part in found), depth=depth, colour=colour
    ),
    st.sampled_from(SIDES),
    st.sampled_from(SIDES),
    st.sampled_from((1, 2, 4, 8, 16, 0, 255)),
    st.sampled_from((0, 2, 3, 4, 6, 1, 255)),
    parts(
        "IDAT PLTE tRNS gAMA iCCP tEXt zTXt iTXt eXIf acTL fcTL fdAT cHRM sRGB pHYs IEND IHDR abcd"
    ),
)
MADE_WEBPS = parts("VP8 VP8L VP8X ALPH ANIM ANMF EXIF ICCP").map(lambda found: riff(*found))
MARKERS = st.lists(
    st.builds(
        lambda kind, body: bytes((255, kind)) + struct.pack(">H", len(body) + 2) + body,
        st.integers(0xC0, 0xFE),
        st.binary(max_size=60) | st.sampled_from((b"Exif\0\0II*\0\x08\0\0\0", b"MPF\0II*\0")),
    ),
    max_size=4,
)
MARKED_JPEGS = st.builds(
    lambda data, found: data[:2] + b"".join(found) + data[2:], st.sampled_from(JPEGS), MARKERS
)
ANY_FILE = st.one_of(
    st.sampled_from(FILES),
    spoiled_bytes(*FILES),
    spoiled_bytes(*PNGS).map(with_checksums),
    MADE_PNGS,
    MADE_WEBPS,
    MARKED_JPEGS,
    st.binary(max_size=100),
)


def read(given: tuple[bytes, str]) -> None:
    data, name = given
    picture = read_picture(data, name)
    assert picture.image.dtype == torch.uint8
    assert picture.image.shape == (3, SIZE, SIZE)
    assert max(picture.original.size) <= DISPLAY_SIZE
    assert picture.original.mode == "RGB"
    assert not picture.original.info, "metadata travel on with the picture"
    assert torch.equal(from_png(to_png(picture.image)), picture.image)
    with suppress(InputError):  # not every picture is small enough for a link
        from_png(data, SIZE * SIZE)


def test_pictures(fuzz: Fuzz) -> None:
    valid = to_png(torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)), "x.png"
    fuzz(st.tuples(ANY_FILE, st.sampled_from(TEXTS)), read, valid)


def test_the_corpus_is_the_same_each_time_and_small() -> None:
    first, second = dict(corpus()), corpus.__wrapped__()
    for files in (first, second):
        files.pop("moving.avif", None)  # its encoder writes down when it was made
    assert first == second
    assert sum(map(len, FILES)) < 500_000


@pytest.mark.parametrize("name", corpus())
def test_a_nasty_picture_is_read_or_refused(name: str) -> None:
    with foreseen():
        said = hold(read, (corpus()[name], name))
    assert said or MEANT.search(name), f"{name} was taken for a picture"


def test_a_scan_that_is_repeated_too_often_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_picture(many_scans(100, MAX_SCANS - 10))
    data = many_scans(5000, 20_000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("it was read"))
    with pytest.raises(InputError, match=rf"scans in .*{MAX_SCANS}"):
        read_picture(data)
