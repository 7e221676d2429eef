"""The batched JPEG against Pillow's own, bit for bit."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from apr_core import InputError
from apr_core.data.sample import load_sample
from apr_core.defences.jpeg import jpeg_round_trip

QUALITIES = (1, 10, 50, 75, 95, 100)
SIZES = ((1, 1), (1, 40), (40, 1), (7, 5), (9, 4), (16, 16), (17, 33), (33, 47), (224, 100))


def pillow(images: Tensor, quality: int) -> Tensor:
    """`images` saved and opened one by one; uint8 (B, 3, H, W)."""
    opened = []
    for image in images:
        file = BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, format="JPEG", quality=quality)
        opened.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    return torch.stack(opened)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def assert_as_pillow(images: Tensor, quality: int) -> None:
    ours = jpeg_round_trip(images, quality)
    assert ours.dtype == torch.uint8
    assert ours.shape == images.shape
    assert torch.equal(ours, pillow(images, quality))


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_sample_comes_out_as_from_pillow(quality: int) -> None:
    assert_as_pillow(load_sample().images[:200], quality)


@pytest.mark.parametrize("quality", QUALITIES)
def test_noise_comes_out_as_from_pillow(quality: int) -> None:
    images = noise(20, 3, 32, 32)
    assert_as_pillow(images, quality)
    assert_as_pillow(images // 128 * 255, quality)


@pytest.mark.parametrize("quality", QUALITIES)
def test_constant_and_saturated_images_come_out_as_from_pillow(quality: int) -> None:
    levels = torch.tensor([0, 1, 127, 128, 254, 255], dtype=torch.uint8)
    colours = torch.cartesian_prod(levels, levels, levels)
    assert_as_pillow(colours.view(-1, 3, 1, 1).expand(-1, 3, 16, 16), quality)


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_sharpest_patterns_come_out_as_from_pillow(quality: int) -> None:
    """The signs of the 64 cosine patterns, which drive the DCT to its largest values."""
    k = torch.arange(8)
    waves = torch.cos((2 * k + 1) * k[:, None] * torch.pi / 16)
    patterns = (torch.einsum("ui,vj->uvij", waves, waves) > 0).view(64, 1, 8, 8).byte() * 255
    luma = patterns.repeat(1, 3, 2, 2)
    chroma = patterns.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert_as_pillow(torch.cat([luma, torch.cat([chroma, 255 - chroma, chroma], dim=1)]), quality)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_out_as_from_pillow(size: tuple[int, int]) -> None:
    for quality in QUALITIES:
        assert_as_pillow(noise(2, 3, *size), quality)


def test_random_sizes_and_qualities_come_out_as_from_pillow() -> None:
    draw = np.random.default_rng(0)
    for seed in range(100):
        height, width = (int(side) for side in draw.integers(1, 70, size=2))
        assert_as_pillow(noise(2, 3, height, width, seed=seed), int(draw.integers(1, 101)))


def test_a_batch_comes_out_as_its_images_one_by_one() -> None:
    images = load_sample().images[:150]
    one_by_one = torch.cat([jpeg_round_trip(image[None], 75) for image in images])
    assert torch.equal(jpeg_round_trip(images, 75), one_by_one)


def test_memory_layout_autocast_and_the_input_itself_make_no_difference() -> None:
    images = load_sample().images[:8]
    before, expected = images.clone(), jpeg_round_trip(images, 75)
    channels_last = images.to(memory_format=torch.channels_last)
    assert torch.equal(jpeg_round_trip(channels_last, 75), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(jpeg_round_trip(images, 75), expected)
    assert torch.equal(images, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_processor_gives() -> None:
    images = load_sample().images
    for quality in QUALITIES:
        ours = jpeg_round_trip(images.cuda(), quality)
        assert ours.is_cuda
        assert torch.equal(ours.cpu(), jpeg_round_trip(images, quality))


def test_an_empty_batch_stays_empty() -> None:
    assert jpeg_round_trip(noise(0, 3, 32, 32), 75).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("quality", [0, 101, -1, 75.5])
def test_a_quality_out_of_range_is_refused(quality: int) -> None:
    with pytest.raises(InputError, match=f"quality {quality} .* from 1 to 100"):
        jpeg_round_trip(noise(1, 3, 8, 8), quality)


def test_images_that_are_not_uint8_are_refused() -> None:
    with pytest.raises(InputError, match=r"float32.* uint8"):
        jpeg_round_trip(torch.zeros(1, 3, 8, 8), 75)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 8, 8, 3), (1, 3, 0, 8)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(B, 3, H, W\)"):
        jpeg_round_trip(torch.zeros(shape, dtype=torch.uint8), 75)
