"""Sound pictures as cameras and programs save them (handed cases of kind 8)."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile, features

from apr_core.base.types import InputError
from apr_core.data import decode
from apr_core.data.colour import srgb_converter
from apr_core.data.decode import MAX_PIXELS, MAX_SCANS, MAX_VALUES
from apr_core.data.images import read_picture, to_pil, to_png
from apr_core.data.picture_file import MAX_PARTS, MAX_PROFILE, essence, format_of
from apr_core.data.registry import find_dataset
from apr_core.data.sharing import Room, Silence
from tests.fuzz.nasty_pictures import chunk, encode, many_scans, png, scene, with_parts

ORIENTATION = 0x0112
PLAIN = encode(scene(64, 64), "PNG")
JPEG = encode(scene(64, 64), "JPEG", progressive=True)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return exif


def rgb_profile(red: tuple[float, float] = (0.68, 0.32)) -> bytes:
    """An RGB profile like sRGB's, but for where its red lies (x, y): at first, Display P3's."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", data, 128)[0]
    tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    at = struct.unpack_from(">I", data, tags[b"rXYZ"] + 4)[0] + 8
    x, y = red
    values = (x / y * 0.24, 0.24, (1 - x - y) / y * 0.24)
    struct.pack_into(">3i", data, at, *(round(value * 65536) for value in values))
    return bytes(data)


# Metadata


PARTS = {
    # k08 long_note.png, large_profile.png
    "a long note": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9 * 10**6))),
    "many notes": chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(9 * 10**6))) * 9,
    "a large profile": chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(MAX_PROFILE + 1))),
    "a note whose checksum is wrong": chunk(b"tEXt", b"a\0b")[:-1] + b"?",
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_metadata_do_not_spoil_a_png(part: bytes) -> None:
    picture = read_picture(with_parts(PLAIN, part))
    assert torch.equal(picture.image, read_picture(PLAIN).image)
    assert len(picture.warnings) == (b"iCCP" in part)  # that its colours may be off


def test_of_a_png_only_what_is_seen_is_kept() -> None:
    noted = with_parts(PLAIN, chunk(b"tEXt", b"GPS\0home"), chunk(b"pHYs", bytes(9)))
    assert essence(noted, "x").data == PLAIN


def test_of_a_jpeg_only_what_is_seen_is_kept() -> None:
    bare = essence(JPEG, "x").data
    comment, maker = b"\xff\xfe\0\x06home", b"\xff\xe5\0\x06home"
    assert essence(JPEG[:2] + comment + maker + b"junk" + JPEG[2:] + PLAIN, "x").data == bare
    assert bare == JPEG


def test_a_picture_is_turned_by_its_exif_data_still() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encode(scene(64, 40), kind, exif=turned())
        assert read_picture(data).original.size == (40, 64), kind


def test_a_file_of_a_hundred_thousand_parts_is_refused() -> None:
    for data in (
        with_parts(PLAIN, chunk(b"tEXt") * (MAX_PARTS + 1)),
        JPEG[:2] + b"\xff\xfe\0\2" * (MAX_PARTS + 1) + JPEG[2:],
    ):
        with pytest.raises(InputError, match="parts in"):
            read_picture(data)


# Scans


def test_scans_are_counted_in_the_first_picture_only() -> None:
    film = b"\xff\xda\0\x02" * 2 * MAX_SCANS
    scans = essence(JPEG, "x").scans
    assert 1 < scans < MAX_SCANS
    assert essence(JPEG + film, "x").scans == scans
    assert read_picture(JPEG + film).warnings == ()  # k08 motion.jpg


def test_scans_in_a_segment_are_none() -> None:
    thumbnail = b"Exif\0\0" + b"\xff\xda" * 2 * MAX_SCANS
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    read_picture(JPEG[:2] + segment + JPEG[2:])


def test_scans_behind_another_end_are_seen_if_the_decoder_reads_them() -> None:
    data = many_scans(64, 2 * MAX_SCANS)
    end_in_a_comment = b"\xff\xfe\0\x04\xff\xd9"
    with pytest.raises(InputError, match="scans in"):
        read_picture(data[:2] + end_in_a_comment + data[2:])


# Formats


def test_bitmaps_are_read() -> None:  # k08 scan.bmp
    assert torch.equal(read_picture(encode(scene(64, 64), "BMP")).image, read_picture(PLAIN).image)


def test_a_compressed_bitmap_is_refused() -> None:
    data = bytearray(encode(scene(64, 64).convert("L"), "BMP"))
    struct.pack_into("<I", data, 30, 1)
    with pytest.raises(InputError, match="compressed"):
        read_picture(bytes(data))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read() -> None:  # k08 saved.avif
    picture = read_picture(encode(scene(64, 64), "AVIF", quality=95))
    gap = picture.image.float() - read_picture(PLAIN).image.float()
    assert gap.abs().mean() < 4
    moving = encode(scene(), "AVIF", save_all=True, append_images=[scene().rotate(9)])
    with pytest.raises(InputError, match="2 frames"):
        read_picture(moving)


OTHERS = {
    "TIFF": encode(scene(), "TIFF"),  # k08 scan.tiff
    "GIF": encode(scene(), "GIF"),
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
    "MP4": b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(40),
    "PDF": b"%PDF-1.4\n" + bytes(40),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_format_is_named_and_how_to_convert_it(kind: str) -> None:
    with pytest.raises(InputError, match=f"is {kind}, .* save it as JPEG or PNG"):
        read_picture(OTHERS[kind], "mine")


def test_avif_is_told_from_heic_by_all_its_brands() -> None:
    assert format_of(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif" + bytes(40)) == "AVIF"
    assert format_of(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40)) == "HEIC"


# Large pictures


def large_jpeg(width: int, height: int, **options: object) -> bytes:
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    whole = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return encode(whole, "JPEG", quality=60, **options)


def decoded_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each picture whose pixels are brought over from now on, its size as it was decoded."""
    seen: list[tuple[int, int]] = []
    bring = decode._to_rgb

    def noted(image: Image.Image, convert: Callable | None) -> tuple[Image.Image, bool]:
        seen.append(image.size)
        return bring(image, convert)

    monkeypatch.setattr(decode, "_to_rgb", noted)
    return seen


def test_a_large_jpeg_is_reduced_while_it_is_decoded(monkeypatch) -> None:  # k08 phone48.jpg
    data = large_jpeg(8000, 6000)
    seen = decoded_sizes(monkeypatch)
    picture = read_picture(data)
    assert seen == [(4000, 3000)]
    assert any("8000 × 6000" in sentence for sentence in picture.warnings)
    with Image.open(io.BytesIO(data)) as file:
        whole = file.resize(find_dataset().size, Image.Resampling.BOX, box=(1000, 0, 7000, 6000))
    assert np.abs(np.asarray(to_pil(picture.image), int) - np.asarray(whole, int)).max() <= 3


def test_a_turned_large_jpeg_says_its_upright_size() -> None:
    picture = read_picture(large_jpeg(6000, 4200, exif=turned()))
    assert any("4200 × 6000" in sentence for sentence in picture.warnings)


def test_a_jpeg_of_ordinary_size_is_decoded_whole(monkeypatch) -> None:
    seen = decoded_sizes(monkeypatch)
    read_picture(large_jpeg(4000, 3000))
    assert seen == [(4000, 3000)]


def test_a_progressive_jpeg_is_held_to_what_its_decoder_keeps() -> None:
    grey = encode(Image.new("L", (9000, 9000)), "JPEG", progressive=True)
    with pytest.raises(InputError, match=r"9000 × 9000 pixels.*under 75 million"):
        read_picture(grey)
    assert MAX_VALUES == 75_000_000


def test_a_png_is_not_let_in_with_a_jpegs_pixels() -> None:
    with pytest.raises(InputError, match="under 25 million"):
        read_picture(png(6000, 8000))
    assert MAX_PIXELS == 25_000_000


# Colours


def test_colours_are_converted_by_the_profile() -> None:  # k08 other_primaries.jpg
    profile = rgb_profile()
    opened = scene(64, 64)
    srgb = ImageCms.profileToProfile(
        opened, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    )
    right = read_picture(encode(srgb, "PNG")).image.float()
    naive = read_picture(PLAIN).image.float()
    assert (right - naive).abs().mean() > 3
    for kind, most in (("PNG", 0), ("JPEG", 3), ("WEBP", 3)):
        data = encode(opened, kind, icc_profile=profile, quality=95)
        picture = read_picture(data)
        assert (picture.image.float() - right).abs().mean() <= most, kind
        assert picture.warnings == ()


def test_an_alpha_channel_is_left_as_it_is() -> None:
    clear = scene(64, 64).convert("RGBA")
    clear.putalpha(0)
    data = encode(clear, "PNG", icc_profile=rgb_profile())
    assert (read_picture(data).image == 255).all()


def test_srgb_itself_changes_no_pixel() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(scene(64, 64), "PNG", icc_profile=own)
    assert torch.equal(read_picture(data).image, read_picture(PLAIN).image)


@pytest.mark.parametrize(
    ("profile", "mode"), [(b"x" * 200, "RGB"), (bytes(MAX_PROFILE + 1), "RGB"), (None, "CMYK")]
)
def test_a_profile_that_does_not_fit_is_no_profile(profile: bytes | None, mode: str) -> None:
    with pytest.raises(ValueError, match="profile"):
        srgb_converter(profile or rgb_profile(), mode)


def test_a_profile_that_cannot_be_applied_is_said() -> None:
    picture = read_picture(encode(scene(64, 64), "PNG", icc_profile=b"x" * 200))
    assert torch.equal(picture.image, read_picture(PLAIN).image)
    assert "colour profile" in picture.warnings[0]


def test_grey_stays_grey_with_an_rgb_profile() -> None:
    grey = scene(64, 64).convert("L")
    data = encode(grey, "JPEG", icc_profile=rgb_profile())
    image = read_picture(data).image
    assert torch.equal(image[0], image[1])


# Several at once


def test_a_small_picture_does_not_wait_for_a_large_one(monkeypatch) -> None:
    """The large one is held in its decoder until the small one has been read."""
    inside, done = threading.Event(), threading.Event()
    load = ImageFile.ImageFile.load
    large = to_png(torch.zeros(3, 500, 500, dtype=torch.uint8))

    def slow(image: ImageFile.ImageFile) -> object:
        if threading.current_thread() is waiting:
            inside.set()
            assert done.wait(60)
        return load(image)

    waiting = threading.Thread(target=read_picture, args=(large,))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", slow)
    waiting.start()
    assert inside.wait(60)
    read_picture(PLAIN)
    done.set()
    waiting.join(60)


def test_room_is_lent_up_to_its_total() -> None:
    room, order = Room(10), []

    def later() -> None:
        with room.take(6):
            order.append("second")

    thread = threading.Thread(target=later)
    with room.take(6):
        thread.start()
        with room.take(4):  # what is left
            order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    with pytest.raises(ZeroDivisionError), room.take(10):
        _ = 1 / 0
    with room.take(10):
        pass


def test_the_filters_of_warnings_come_back_after_the_last_reader() -> None:
    silence, before = Silence(), list(warnings.filters)
    silence.__enter__()
    with silence:
        warnings.warn("unheard", stacklevel=1)
    warnings.warn("unheard still", stacklevel=1)
    silence.__exit__()
    assert list(warnings.filters) == before
