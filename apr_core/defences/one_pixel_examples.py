"""One-pixel adversarial examples for training, from one input gradient.

Differential evolution for every mini-batch is unaffordable. To first order, setting a pixel to a
colour changes the loss by the sum over channels of gradient times change, and the colour that
raises it most is a corner of the RGB cube; so one gradient ranks every (pixel, corner).
"""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.attacks.gradient import score_pixels

TOP = 16
"""The pixel is drawn from this many best-scored ones: always taking the first overfits places."""
ANYWHERE = 4
"""Of several pixels, one in so many lies anywhere."""


def worst_pixel_examples(images: Tensor, gradient: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W) with one pixel each set to its worst corner colour.

    The pixel is drawn uniformly from the `TOP` best-scored ones of its image; a channel goes to 1
    where the gradient is positive and to 0 elsewhere.
    """
    count, _, height, width = images.shape
    top = min(TOP, height * width)
    best = score_pixels(images, gradient).flatten(1).topk(top, dim=1).indices  # dim -> (B, top)
    drawn = torch.randint(0, top, (count,), generator=generator).to(images.device)
    rows = torch.arange(count, device=images.device)
    pixel = best[rows, drawn]
    y, x = pixel // width, pixel % width
    examples = images.clone()
    examples[rows, :, y, x] = (gradient[rows, :, y, x] > 0).to(images.dtype)
    return examples


def worst_pixels_examples(
    images: Tensor, gradient: Tensor, generator: torch.Generator, most: int
) -> Tensor:
    """Images (B, C, H, W) with one to `most` pixels each set to their worst corner colours.

    How many is drawn uniformly. A pixel is one of the `TOP` best-scored ones, or, once in
    `ANYWHERE` times, any pixel.
    """
    count, channels, height, width = images.shape
    area = height * width
    top = min(TOP, area)
    best = score_pixels(images, gradient).flatten(1).topk(top, dim=1).indices  # dim -> (B, top)
    named = best.gather(1, torch.randint(0, top, (count, most), generator=generator).to(best))
    anywhere = torch.randint(0, area, (count, most), generator=generator).to(best)
    stray = torch.randint(0, ANYWHERE, (count, most), generator=generator).to(best) == 0
    pixels = torch.where(stray, anywhere, named)
    several = torch.randint(1, most + 1, (count, 1), generator=generator).to(best)
    idle = torch.arange(most, device=best.device) >= several
    pixels = torch.where(idle, pixels[:, :1], pixels)  # the first one again changes nothing more
    places = pixels[:, None].expand(-1, channels, -1)
    worst = (gradient.flatten(2) > 0).to(images.dtype).gather(2, places)
    return images.flatten(2).scatter(2, places, worst).view_as(images)
