"""JPEG of a batch against Pillow, bit for bit."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from apr_core import InputError
from apr_core.data.registry import find_dataset
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
def test_the_sample_and_noise_come_out_as_from_pillow(quality: int) -> None:
    black_and_white = noise(20, 3, 32, 32) // 128 * 255
    assert_as_pillow(
        torch.cat([find_dataset().shipped_sample().images[:200], noise(20, 3, 32, 32)]), quality
    )
    assert_as_pillow(black_and_white.to(memory_format=torch.channels_last), quality)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_out_as_from_pillow(size: tuple[int, int]) -> None:
    for quality in QUALITIES:
        assert_as_pillow(noise(2, 3, *size), quality)


def test_the_input_is_left_as_it_was_and_an_empty_batch_stays_empty() -> None:
    images = find_dataset().shipped_sample().images[:8]
    before = images.clone()
    jpeg_round_trip(images, 75)
    assert torch.equal(images, before)
    assert jpeg_round_trip(images[:0], 75).shape == (0, 3, 32, 32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_processor_gives() -> None:
    images = find_dataset().shipped_sample().images
    for quality in QUALITIES:
        ours = jpeg_round_trip(images.cuda(), quality)
        assert ours.is_cuda
        assert torch.equal(ours.cpu(), jpeg_round_trip(images, quality))


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
