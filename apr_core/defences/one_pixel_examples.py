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
