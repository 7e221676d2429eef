"""Reading a person's picture: every way in gives a Picture or one plain sentence."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from apr_core.base.types import InputError
from apr_core.data import decode
from apr_core.data.decode import MAX_BYTES
from apr_core.data.images import (
    Picture,
    content_warnings,
    from_png,
    read_picture,
    read_picture_file,
    refit,
    to_pil,
    to_png,
)
from apr_core.data.registry import find_dataset
from tests.fuzz.nasty_pictures import encode

SIZE = 32
"""Rows and columns of CIFAR-10's pictures, which a person's are brought to."""
ORIENTATION, MAKER, SOFTWARE = 0x0112, 0x010F, 0x0131


def scene(width: int = 64, height: int = 64) -> Image.Image:
    """Smooth colours that vary in both directions: as plain as a photograph, to the statistics."""
    x, y = np.meshgrid(np.linspace(0, 7, width), np.linspace(0, 5, height))
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1)
    return Image.fromarray((127 + 90 * waves).astype(np.uint8))


def noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def animation(format_: str) -> bytes:
    return encode(scene(), format_, save_all=True, append_images=[scene().rotate(90)])


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


def is_one_sentence(text: str) -> bool:
    """One capital start, one full stop, at the end (a file name's own dots are inside a word)."""
    return bool(re.fullmatch(r"[A-Z](?:(?![.!?](?:\s|$))[^\n])*\.", text))


# What is refused


REFUSED = {
    "empty": (b"", r"0 bytes.*choose another"),
    "text": (b"hello, this is no picture", "no PNG, JPEG.*save it in such a format"),
    "over the bytes": (b"\x89PNG" + bytes(MAX_BYTES), "26,214,404 bytes.*26,214,400.*scale"),
    "gif": (encode(scene(), "GIF"), "is GIF.*save it as JPEG or PNG"),
    "animated gif": (animation("GIF"), "is GIF"),
    "8000 × 8000": (encode(Image.new("1", (8000, 8000)), "PNG"), "8000 × 8000 pixels.*scale it"),
    "warned bomb": (png_header(12_000, 9_000), "12000 × 9000 pixels.*under 25 million"),
    "refused bomb": (png_header(60_000, 60_000), "too many pixels.*under 25 million"),
    "no width": (png_header(0, 5), "damaged or cut short"),
    "no pixels": (png_header(40, 40), "damaged or cut short; save or download it again"),
    "animated png": (animation("PNG"), "2 frames.*save one of them"),
    "animated webp": (animation("WEBP"), "2 frames.*save one of them"),
    **{
        f"cut {format_} at {share}": (file[: int(len(file) * share)], "picture.*again")
        for format_ in ("PNG", "JPEG", "WEBP")
        for file in [encode(to_pil(noise(3, 60, 60)), format_)]
        for share in (0.001, 0.02, 0.5, 0.9)
    },
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_in_one_sentence(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_picture(data)
    assert is_one_sentence(str(caught.value)), str(caught.value)
    assert "the picture" in str(caught.value)


def test_a_small_file_of_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Image.new("1", (8000, 8000)), "PNG")
    assert len(data) < 10_000
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("the pixels were decoded"))
    with pytest.raises(InputError, match="8000"):
        read_picture(data)


def test_running_out_of_memory_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", no_memory)
    with pytest.raises(InputError, match="too many pixels"):
        read_picture(encode(scene(), "PNG"))


def test_the_callers_warning_filters_are_left_alone() -> None:
    before = list(warnings.filters)
    with pytest.raises(InputError):
        read_picture(png_header(12_000, 9_000))
    assert list(warnings.filters) == before


def test_a_name_is_made_fit_for_a_sentence() -> None:
    with pytest.raises(InputError) as caught:
        read_picture(b"", "my\n\x1b[31m  holiday" + "y" * 500)
    assert "in my [31m holidayyy" in str(caught.value)
    assert is_one_sentence(str(caught.value))
    assert len(str(caught.value)) < 200
    assert read_picture(encode(scene(), "PNG"), " \n").name == "the picture"


# What the model sees


@pytest.mark.parametrize(("format_", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_an_exact_picture_keeps_every_pixel(format_: str, options: dict[str, object]) -> None:
    image = noise(3, SIZE, SIZE)
    picture = read_picture(encode(to_pil(image), format_, **options))
    assert torch.equal(picture.image, image)
    assert np.array_equal(np.asarray(picture.original), image.permute(1, 2, 0).numpy())


def test_a_plain_picture_has_no_warnings() -> None:
    for size in (SIZE, 64, 200):
        picture = read_picture(encode(scene(size, size), "JPEG"), "holiday.jpg")
        assert picture.warnings == ()
        assert picture.name == "holiday.jpg"
        assert (picture.image.dtype, tuple(picture.image.shape)) == (torch.uint8, (3, SIZE, SIZE))


def test_reduction_is_the_mean_of_areas() -> None:
    image = noise(3, 4 * SIZE, 4 * SIZE)
    blocks = image.float().unflatten(2, (SIZE, 4)).unflatten(1, (SIZE, 4)).mean((2, 4))
    reduced = read_picture(to_png(image)).image.float()
    assert (reduced - blocks).abs().max() <= 1


def test_reduction_makes_no_colour_of_its_own() -> None:
    edge = torch.full((3, 100, 100), 60, dtype=torch.uint8)
    edge[:, :, 51:] = 200
    reduced = read_picture(to_png(edge)).image
    assert (int(reduced.min()), int(reduced.max())) == (60, 200)


@pytest.mark.parametrize(("width", "height"), [(96, 32), (32, 96), (97, 32)])
def test_crops_the_central_square(width: int, height: int) -> None:
    image = noise(3, height, width)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    picture = read_picture(to_png(image))
    assert torch.equal(picture.image, image[:, top : top + SIZE, left : left + SIZE])
    assert any("which leaves out about 67%" in sentence for sentence in picture.warnings)
    assert picture.original.size == (width, height)


@pytest.mark.parametrize(("size", "percent"), [((501, 500), 1), ((100, 75), 25), ((1, 900), 99)])
def test_never_says_that_nothing_or_everything_was_left_out(
    size: tuple[int, int], percent: int
) -> None:
    sentences = read_picture(encode(scene(*size), "PNG")).warnings
    assert f"about {percent}% of it" in sentences[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (31, 31)])
def test_enlarges_a_tiny_picture(size: tuple[int, int]) -> None:
    picture = read_picture(encode(scene(*size), "PNG"))
    assert tuple(picture.image.shape) == (3, SIZE, SIZE)
    side = min(size)
    assert any(f"enlarged from {side} × {side} pixels" in said for said in picture.warnings)
    assert any("cropped" in sentence for sentence in picture.warnings) == (size[0] != size[1])


@pytest.mark.parametrize("size", [(2000, 1000), (1000, 2000), (513, 1), (512, 512)])
def test_the_original_is_small_enough_to_show(size: tuple[int, int]) -> None:
    original = read_picture(encode(scene(*size), "PNG")).original
    assert max(original.size) == 512
    assert min(original.size) == max(1, round(512 * min(size) / max(size)))
    assert original.mode == "RGB"


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_a_photograph_as_its_exif_data_say(format_: str, orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = scene(64, 40)
    upright = stored.transpose(turns[orientation]) if orientation in turns else stored
    original = read_picture(encode(stored, format_, exif=exif, quality=95)).original
    assert original.size == upright.size
    assert np.abs(np.asarray(original, int) - np.asarray(upright, int)).mean() < 4
    assert original.info == {}


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
def test_bad_exif_data_do_not_spoil_a_picture(exif: bytes) -> None:
    picture = read_picture(encode(scene(), "JPEG", exif=exif))
    assert picture.warnings == ()


def test_a_photograph_is_turned_though_its_exif_data_cannot_be_rewritten() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[MAKER], exif[SOFTWARE] = "maker", "software" * 10
    data = encode(scene(64, 40), "JPEG", exif=exif)
    text, number = struct.pack(">HH", MAKER, 2), struct.pack(">HH", MAKER, 11)
    assert text in data
    assert read_picture(data.replace(text, number)).original.size == (40, 64)


# Modes


def grey_16() -> np.ndarray:
    return np.linspace(0, 65535, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)


def test_16_bit_grey_is_shifted_not_clipped() -> None:
    picture = read_picture(encode(Image.fromarray(grey_16()), "PNG"))
    expected = torch.from_numpy((grey_16() >> 8).astype(np.uint8)).expand(3, -1, -1)
    assert torch.equal(picture.image, expected)
    assert any("greyscale" in sentence for sentence in picture.warnings)


def test_16_bit_grey_with_a_clear_shade() -> None:
    values = grey_16()
    shade = int(values[3, 3])
    data = encode(Image.fromarray(values), "PNG", transparency=shade)
    picture = read_picture(data)
    assert picture.image[:, 3, 3].tolist() == [255, 255, 255]
    assert picture.image[0, 3, 4] == values[3, 4] >> 8
    assert "transparent" in picture.warnings[0]


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_grey_modes(mode: str) -> None:
    deep = Image.fromarray(grey_16())
    if mode != "I;16":
        deep = Image.fromarray(grey_16().astype({"I": np.int32, "F": np.float32}[mode]))
    assert deep.mode == mode
    rgb, see_through = decode._to_rgb(deep)
    assert np.array_equal(np.asarray(rgb)[..., 1], grey_16() >> 8)
    assert not see_through


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encode(scene().convert("CMYK"), "JPEG", quality=95), 6),
        (encode(scene().convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), 12),
        (encode(scene().convert("RGBA"), "PNG"), 0),
        (encode(scene(), "MPO", save_all=True, append_images=[scene().rotate(90)]), 6),
    ],
    ids=["cmyk", "palette", "opaque rgba", "a phone's second frame"],
)
def test_colours_survive_every_mode(data: bytes, tolerance: int) -> None:
    picture = read_picture(data)
    plain = read_picture(encode(scene(), "PNG"))
    assert (picture.image.int() - plain.image.int()).abs().float().mean() <= tolerance
    assert picture.warnings == ()


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_greyscale_is_read_and_said(mode: str) -> None:
    picture = read_picture(encode(scene(32, 32).convert("L").convert(mode), "PNG"))
    assert torch.equal(picture.image[0], picture.image[2])
    assert any("greyscale" in sentence for sentence in picture.warnings)


def half_clear(mode: str) -> bytes:
    """Black; its left half fully transparent."""
    alpha = np.full((SIZE, SIZE), 255, np.uint8)
    alpha[:, :16] = 0
    if mode == "P":
        indices = Image.fromarray((alpha // 255).astype(np.uint8)).convert("L")
        palette = Image.new("P", indices.size)
        palette.putdata(list(indices.tobytes()))
        palette.putpalette([0, 0, 0, 0, 0, 0])
        return encode(palette, "PNG", transparency=b"\x00\xff")
    if mode in {"L", "RGB"}:
        black = Image.fromarray(255 - alpha).convert(mode)
        return encode(black, "PNG", transparency=255 if mode == "L" else (255, 255, 255))
    clear = Image.new(mode, (SIZE, SIZE))
    clear.putalpha(Image.fromarray(alpha))
    return encode(clear, "PNG")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    picture = read_picture(half_clear(mode))
    assert (picture.image[:, :, :16] == 255).all()
    assert (picture.image[:, :, 16:] == 0).all()
    assert "transparent" in picture.warnings[0]


def test_half_transparency_is_mixed_with_white() -> None:
    picture = read_picture(encode(Image.new("RGBA", (SIZE, SIZE), (200, 0, 100, 51)), "PNG"))
    expected = [round(0.2 * colour + 0.8 * 255) for colour in (200, 0, 100)]
    assert picture.image[:, 5, 5].tolist() == pytest.approx(expected, abs=1)


# Warnings on content


def shifted(scale: float, offset: float) -> torch.Tensor:
    picture = torch.from_numpy(np.array(scene(SIZE, SIZE))).permute(2, 0, 1).float()
    return ((picture - 127) * scale + offset).clamp(0, 255).to(torch.uint8)


CONTENT = {
    "one colour": (torch.full((3, SIZE, SIZE), 90, dtype=torch.uint8), "nearly one colour"),
    "flat": (shifted(0.1, 127), "nearly one colour"),
    "dark": (shifted(0.3, 15), "darker"),
    "bright": (shifted(0.3, 245), "brighter"),
    "noise": (noise(1, SIZE, SIZE).repeat(3, 1, 1), "more finely patterned"),
    "two halves": (
        torch.tensor([60, 200], dtype=torch.uint8).repeat_interleave(16).repeat(3, SIZE, 1),
        "smoother",
    ),
    "grey": (shifted(1, 127)[:1].repeat(3, 1, 1), "greyscale"),
}


@pytest.mark.parametrize(("image", "word"), CONTENT.values(), ids=CONTENT.keys())
def test_says_what_is_unlike_cifar10(image: torch.Tensor, word: str) -> None:
    sentences = content_warnings(image)
    assert any(word in sentence for sentence in sentences)
    assert all(is_one_sentence(sentence) for sentence in sentences)
    assert set(sentences) <= set(read_picture(to_png(image)).warnings)


def test_nothing_is_said_of_an_ordinary_picture() -> None:
    for scale in (0.7, 1.0, 1.4):
        for offset in (70, 127, 190):
            assert content_warnings(shifted(scale, offset)) == ()


@pytest.mark.parametrize("data", ["nips2017", "gtsrb", "breastmnist"])
def test_a_picture_of_one_colour_is_said_to_be_one_whatever_the_data(data: str) -> None:
    dataset = find_dataset(data)
    flat = read_picture(encode(Image.new("RGB", (300, 300), (40, 90, 160)), "PNG"), "", dataset)
    assert any("nearly one colour" in sentence for sentence in flat.warnings)
    for image in dataset.shipped_sample().images:
        assert read_picture(to_png(image), "", dataset).warnings == ()


@pytest.mark.parametrize("size", [(90, 60), (60, 500)])
def test_what_was_done_to_a_picture_is_said_whichever_data_it_was_read_for(
    size: tuple[int, int],
) -> None:
    glassy = scene(*size)
    glassy.putalpha(200)
    content = encode(glassy, "PNG")
    first, other = find_dataset(), find_dataset("nips2017")
    for one, then in ((first, other), (other, first)):
        changed = refit(read_picture(content, "", one), then)
        assert changed.warnings == read_picture(content, "", then).warnings
        for word in ("transparent", "cropped"):
            assert any(word in sentence for sentence in changed.warnings)


def test_every_warning_is_a_sentence() -> None:
    data = encode(Image.new("RGBA", (20, 400), (9, 9, 9, 128)), "PNG")
    sentences = read_picture(data).warnings
    assert len(sentences) == 4
    assert all(is_one_sentence(sentence) for sentence in sentences), sentences


# Files


def test_reads_a_file(tmp_path: Path) -> None:
    image = noise(3, SIZE, SIZE)
    path = tmp_path / "cat.v2.png"
    path.write_bytes(to_png(image))
    picture = read_picture_file(path)
    assert torch.equal(picture.image, image)
    assert picture.name == "cat.v2.png"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.png", "no file at .*missing.png; give the path"),
        ("folder", "a folder at .*folder; give the path"),
        ("x" * 5000, "cannot be read .*; check its path"),
        ("empty.png", "nothing in empty.png"),
        ("big.png", "30,000,000 bytes in big.png"),
        ("text.png", "in text.png; save it in such a format"),
    ],
)
def test_refuses_a_file_in_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    with (tmp_path / "big.png").open("wb") as file:
        file.truncate(30_000_000)
    with pytest.raises(InputError, match=message) as caught:
        read_picture_file(tmp_path / name)
    assert is_one_sentence(str(caught.value))


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(b"x")

    def locked(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", locked)  # the tests may run as root
    with pytest.raises(InputError, match=r"locked.png cannot be read \(Permission denied\)"):
        read_picture_file(path)


# PNG


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 1, 1), (3, 7, 224), (3, 300, 2)])
def test_png_is_lossless(shape: tuple[int, int, int]) -> None:
    image = noise(*shape)
    back = from_png(to_png(image))
    assert back.dtype == torch.uint8
    assert torch.equal(back, image)
    assert torch.equal(from_png(to_png(image.transpose(1, 2))), image.transpose(1, 2))
    assert to_pil(image).size == (shape[2], shape[1])


@pytest.mark.parametrize(
    "image",
    [noise(3, 4, 4).float(), noise(2, 4, 4), noise(2, 3, 4, 4), noise(4, 4, 3), noise(3, 0, 4)],
    ids=lambda image: f"{image.dtype} {tuple(image.shape)}",
)
def test_only_uint8_images_become_png(image: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"shape .*give torch.uint8 of shape \(3, H, W\)"):
        to_png(image)


def test_a_grey_image_becomes_a_png_of_equal_channels() -> None:
    grey = noise(1, 4, 5)
    assert torch.equal(from_png(to_png(grey)), grey.expand(3, -1, -1))


@pytest.mark.parametrize("data", [b"", b"x", encode(scene(), "JPEG"), to_png(noise(3, 9, 9))[:150]])
def test_only_png_becomes_an_image(data: bytes) -> None:
    with pytest.raises(InputError, match="PNG") as caught:
        from_png(data)
    assert is_one_sentence(str(caught.value))


# Fuzz

SEEDS = [
    encode(scene(20, 24), "PNG"),
    encode(scene(20, 24).convert("RGBA"), "PNG"),
    half_clear("P"),
    encode(Image.fromarray(grey_16()), "PNG"),
    encode(
        scene(20, 24), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\6\0\0\0"
    ),
    encode(scene(20, 24), "JPEG", progressive=True),
    encode(scene(20, 24), "WEBP"),
    encode(scene(20, 24), "WEBP", lossless=True),
]


def with_checksums(png: bytes) -> bytes:
    """The PNG with its checksums made right, so that a change reaches the decoder."""
    fixed, at = bytearray(png[:8]), 8
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        body = png[at + 4 : at + 8 + length]
        fixed += png[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(fixed)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    data = data[: draw(st.just(len(data)) | st.integers(0, len(data)))]
    is_png = data.startswith(b"\x89PNG")
    return with_checksums(bytes(data)) if is_png and draw(st.booleans()) else bytes(data)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400) | mutated())
def test_any_bytes_give_a_picture_or_one_sentence(data: bytes) -> None:
    try:
        picture = read_picture(data)
    except InputError as error:
        sentences = (str(error),)
    else:
        assert isinstance(picture, Picture)
        assert tuple(picture.image.shape) == (3, SIZE, SIZE)
        sentences = picture.warnings
    assert all(is_one_sentence(sentence) for sentence in sentences), sentences
