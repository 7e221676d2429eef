"""JPEG compression and decompression of a batch of images, to the very bits that Pillow gives.

Baseline JPEG (ITU-T T.81) loses nothing in its entropy coding, which is therefore left out. What
is left is what libjpeg-turbo, under Pillow, does to the samples: YCbCr in fixed point, 4:2:0
chroma, the integer DCT of Loeffler, Ligtenberg and Moschytz ("Practical fast 1-D DCT algorithms
with 11 multiplications", ICASSP 1989), the standard tables scaled by quality, and back.

Each of libjpeg's integer steps is a sum of integer products, a rounding bias and a right shift.
Here it is a sum of floats, whose weights carry the shift as a power of two, and a floor. Colour
and chroma sums need 24 bits, which float32 holds; DCT sums need up to 31 and are float64 matrix
products, which TF32 and autocast leave alone. Nothing is ever rounded but by the floors, so every
order of summation, and every device, gives the same answer.

Planes are (P, H, W, B), batch last, so that rows and columns are sliced in long runs; samples are
centred, in -128..127.
"""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.base.types import InputError

PIXELS_AT_ONCE = {"cpu": 2**17, "cuda": 2**22}
"""Pixels that go through together: about what a processor's cache holds, what fills a GPU."""
FEWEST_AT_ONCE = 16
"""Images that go through together however large they are, to keep the runs long."""

LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""T.81, table K.1, by vertical and then horizontal frequency."""
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *[(99,) * 8] * 4,
)
"""T.81, table K.2."""

RGB_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
"""JFIF's colour matrix, times 2^16."""

DCT_LEFT = (
    (8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260),
    (10703, 4433, -4433, -10703),
    (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633),
    (4433, -10704, 10704, -4433),
    (2260, -6436, 9633, -11363),
)
"""Left half of the 8x8 DCT times 2^13 sqrt(8), by frequency and sample; the right mirrors it.

The entries are sums of the 1989 flow graph's constants, each rounded to 13 bits by itself: hence
-2259 beside 2260 where the cosine is the same.
"""


def jpeg_round_trip(images: Tensor, quality: int) -> Tensor:
    """The images after JPEG at `quality`, equal to Pillow's save and open at its defaults.

    Args:
        images: uint8 (B, 3, H, W), RGB, on any device.
        quality: libjpeg's, 1 (worst) to 100.

    Returns:
        uint8 (B, 3, H, W) on the same device.

    Raises:
        InputError: for another dtype, shape or quality.
    """
    if quality not in range(1, 101):
        raise InputError(
            f"JPEG quality {quality} is out of range: give a whole number from 1 to 100."
        )
    if images.dtype != torch.uint8:
        raise InputError(f"JPEG takes 8-bit images, not {images.dtype}: give uint8 in 0..255.")
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise InputError(f"JPEG cannot take shape {tuple(images.shape)}: give (B, 3, H, W) images.")
    pixels = images.shape[2] * images.shape[3]
    together = PIXELS_AT_ONCE.get(images.device.type, 2**17) // pixels
    parts = torch.split(images, max(FEWEST_AT_ONCE, together))
    return torch.cat([_round_trip(part, quality) for part in parts])


def _round_trip(images: Tensor, quality: int) -> Tensor:
    """`jpeg_round_trip` without the checks, all images at once."""
    batch, _, height, width = images.shape
    rgb = images.flatten(1).t().contiguous().view(3, height, width, batch)

    luma, chroma = _to_ycc(rgb)
    luma = _compressed(luma, _scaled(LUMA_TABLE, quality))
    chroma = _compressed(_downsampled(chroma), _scaled(CHROMA_TABLE, quality))
    chroma = _upsampled(chroma[:, :, : (width + 1) // 2])[:, :height, :width]
    rgb = _to_rgb(luma, chroma)

    return rgb.flatten(0, 2).t().contiguous().view(batch, 3, height, width)


def _scaled(table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """The quantisation table at `quality`, float64 (8, 8): libjpeg's rule, kept in 1..255."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = [[min(max((step * percent + 50) // 100, 1), 255) for step in row] for row in table]
    return torch.tensor(steps, dtype=torch.float64)


def _to_ycc(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Uint8 RGB (3, H, W, B) -> centred Y (1, H, W, B) and CbCr (2, H, W, B), float32."""
    red, green, blue = rgb.float()
    planes = []
    # libjpeg's bias for chroma is one unit short of a half.
    for (r, g, b), bias in zip(RGB_TO_YCC, (0.5 - 128, 0.5 - 2**-16, 0.5 - 2**-16), strict=True):
        plane = (red * (r / 2**16)).add_(green, alpha=g / 2**16).add_(blue, alpha=b / 2**16)
        planes.append(plane.add_(bias).floor_())
    return planes[0][None], torch.stack(planes[1:])


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """Centred Y (1, H, W, B) and CbCr (2, H, W, B) -> uint8 RGB (3, H, W, B)."""
    cb, cr = chroma
    luma = luma[0] + 128.5
    red = luma.add(cr, alpha=91881 / 2**16)
    # Chroma first: luma and one chroma term together can pass 255 and need a 25th bit.
    green = (cb * (-22554 / 2**16)).add_(cr, alpha=-46802 / 2**16).add_(luma)
    blue = luma.add(cb, alpha=116130 / 2**16)
    # The conversion to uint8 is the floor.
    return torch.stack([c.clamp_(0, 255.5).to(torch.uint8) for c in (red, green, blue)])


def _downsampled(planes: Tensor) -> Tensor:
    """Means of 2x2: (P, H, W, B) -> (P, ceil(H / 2), 8 ceil(W / 16), B).

    Their rounding bias is 1, 2, 1, 2, ... quarters along a row. The width is padded to whole
    blocks before this step, but the height after it (in `_compressed`), save for a last odd row.
    """
    height, width = planes.shape[1:3]
    planes = _padded(planes, height + height % 2, width + -width % 16)
    rows = planes[:, 0::2] + planes[:, 1::2]
    sums = rows[:, :, 0::2] + rows[:, :, 1::2]
    sums[:, :, 0::2].add_(1)
    sums[:, :, 1::2].add_(2)
    return sums.mul_(1 / 4).floor_()


def _upsampled(planes: Tensor) -> Tensor:
    """Twice the height and the width: each new sample is 3/4 of the nearer, 1/4 of the further.

    Planes of one or two columns only have their samples repeated.
    """
    if planes.shape[2] <= 2:
        return planes.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    sums = _three_to_one(_three_to_one(planes, dim=1), dim=2)
    sums[:, :, 0::2].add_(8)
    sums[:, :, 1::2].add_(7)
    return sums.mul_(1 / 16).floor_()


def _three_to_one(planes: Tensor, dim: int) -> Tensor:
    """Along `dim`, each sample x becomes 3x + the one before, 3x + the one after; ends repeat."""
    last = planes.shape[dim] - 1
    sums = torch.stack([planes, planes], dim + 1).mul_(3)
    with_before, with_after = sums.unbind(dim + 1)
    with_before.narrow(dim, 0, 1).add_(planes.narrow(dim, 0, 1))
    with_before.narrow(dim, 1, last).add_(planes.narrow(dim, 0, last))
    with_after.narrow(dim, 0, last).add_(planes.narrow(dim, 1, last))
    with_after.narrow(dim, last, 1).add_(planes.narrow(dim, last, 1))
    return sums.flatten(dim, dim + 1)


def _padded(planes: Tensor, height: int, width: int) -> Tensor:
    """(P, H, W, B) grown to (P, height, width, B) by repeating the last row and column."""
    for dim, size in ((1, height), (2, width)):
        if planes.shape[dim] < size:
            index = torch.arange(size, device=planes.device).clamp_(max=planes.shape[dim] - 1)
            planes = planes.index_select(dim, index)
    return planes


def _compressed(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (P, H, W, B) through DCT, quantisation by `table` (8, 8), and back to samples."""
    count, height, width, batch = planes.shape
    samples = _padded(planes, height + -height % 8, width + -width % 8).double()
    left = samples.new_tensor(DCT_LEFT)
    signs = samples.new_tensor([1, -1] * 4).view(8, 1)
    dct = torch.cat([left, signs * left.flip(1)], dim=1)

    # The forward passes leave 2 fractional bits, then none, on coefficients 8 times T.81's.
    coefs = _along_columns(_along_rows(samples, dct, shift=11), dct, shift=15)
    blocks = coefs.view(count, coefs.shape[1] // 8, 8, coefs.shape[2] // 8, 8, batch)
    table = table.to(planes.device).view(8, 1, 8, 1)
    # libjpeg rounds halves away from zero, and `round` to even. The extra 2^-20 carries halves
    # over and nothing else: the coefficients are under 2^15, and quotients that are no halves are
    # at least 1 / (8 table) from one.
    blocks.mul_((1 + 2**-20) / (8 * table)).round_().mul_(table)
    samples = _along_rows(_along_columns(coefs, dct.t(), shift=11), dct.t(), shift=18)
    return samples.clamp_(-128, 127)[:, :height, :width].float()


def _along_rows(planes: Tensor, matrix: Tensor, shift: int) -> Tensor:
    """`matrix` (8, 8) times each run of 8 samples of a row, over 2^shift, rounded half up."""
    count, height, width, batch = planes.shape
    runs = planes.view(count * height * width // 8, 8, batch)
    return torch.matmul(matrix / 2**shift, runs).add_(0.5).floor_().view(planes.shape)


def _along_columns(planes: Tensor, matrix: Tensor, shift: int) -> Tensor:
    """The same along columns."""
    count, height, width, batch = planes.shape
    runs = planes.view(count * height // 8, 8, width * batch)
    return torch.matmul(matrix / 2**shift, runs).add_(0.5).floor_().view(planes.shape)
