"""Deletion and insertion curves: a class's probability as pixels go or come in a map's order.

Maps are (B, H, W), one an image, and put the pixels in an order, the strongest first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.base import random
from apr_core.base.types import InputError
from apr_core.explain.attention import own_copy
from apr_core.models.inference import Model, default_chunk, device_of
from apr_core.models.inputs import COLOURED, as_floats, as_labels, check_classes
from apr_core.models.outputs import check_briefly, query_model

STEPS = 32
"""In which a curve goes from its beginning to its end, unless more are asked for."""
BLUR = 1 / 8
"""Standard deviation of the blur that an insertion starts from, as a share of the shorter side."""


@dataclass(frozen=True, eq=False)
class Curve:
    """The target's probability while pixels go, or come, the most important first.

    Attributes:
        shares: of the pixels that have gone or come, (S + 1,) from 0 to 1.
        probabilities: (B, S + 1).
        areas: under each curve, (B,) in [0, 1].
    """

    shares: Tensor
    probabilities: Tensor
    areas: Tensor


def deletion_curve(
    model: Model, images: object, targets: object, maps: Tensor, steps: int = STEPS
) -> Curve:
    """Pixels turn black, the strongest of the map first (Petsiuk, Das and Saenko, 2018).

    A map that knows what the model looks at makes the probability fall early: a small area. But
    black pixels strewn about upset a network wherever they lie, so hold the area against that of a
    map of noise.

    Args:
        model: images (B, C, H, W) in [0, 1] -> logits (B, K); a copy of it is asked.
        images: (B, C, H, W), uint8 or float in [0, 1].
        targets: (B,) whole numbers, classes.
        maps: (B, H, W), finite; ties are broken by a fixed shuffle.
        steps: S, from the whole image to none of it.

    Raises:
        InputError: any of these does not fit.
    """
    pictures = as_floats(images, *COLOURED)
    return _curve(model, pictures, torch.zeros_like(pictures), targets, maps, steps)


def insertion_curve(
    model: Model, images: object, targets: object, maps: Tensor, steps: int = STEPS
) -> Curve:
    """Pixels come into the blurred image, the strongest of the map first (the same authors).

    The blur leaves no sharp edge of its own for the model to answer to. A map that knows what the
    model looks at makes the probability rise early: a large area. Arguments and errors are those of
    `deletion_curve`.
    """
    pictures = as_floats(images, *COLOURED)
    return _curve(model, blurred(pictures), pictures, targets, maps, steps)


def blurred(images: Tensor) -> Tensor:
    """A Gaussian blur of `BLUR`, cut at two standard deviations: (B, C, H, W), edges repeated."""
    channels, deviation = images.shape[1], BLUR * min(images.shape[2:])
    reach = max(1, round(2 * deviation))
    places = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.softmax(-places.square() / (2 * deviation**2), 0)
    wide = F.pad(images, (reach,) * 4, mode="replicate")
    rows = F.conv2d(wide, weights.expand(channels, 1, 1, -1), groups=channels)
    columns = weights[:, None].expand(channels, 1, -1, 1)
    return F.conv2d(rows, columns, groups=channels).clamp(0, 1)


def _curve(
    model: Model, before: Tensor, after: Tensor, targets: object, maps: Tensor, steps: int
) -> Curve:
    """From `before` to `after` (B, C, H, W), pixel by pixel."""
    count, _, height, width = before.shape
    classes = as_labels("target", targets, count)
    _check_maps(maps, (count, height, width))
    if not 1 <= steps <= height * width:
        raise InputError(
            f"steps is {steps}, but must lie between 1 and the {height * width} pixels there are."
        )
    shares = torch.arange(steps + 1) / steps
    own = own_copy(model)
    device = device_of(own)
    before, after = (images.detach().to(device).float() for images in (before, after))
    places = _places(maps).view(count, 1, height, width).to(device)
    moved = (shares * height * width).round().to(device)[:, None, None, None]

    def draw(numbers: Tensor) -> Tensor:
        image, stage = numbers // (steps + 1), numbers % (steps + 1)
        return torch.where(places[image] < moved[stage], after[image], before[image])

    numbers = torch.arange(count * (steps + 1), device=device)
    with torch.inference_mode(False), torch.no_grad():
        check_briefly(own, torch.cat([after[:1], before[:1]]))
        logits = torch.cat(
            [
                query_model(own, draw(part)).float()
                for part in torch.split(numbers, default_chunk(device, height, width))
            ]
        ).cpu()
    check_classes("target", classes, logits.shape[1])
    probabilities = logits.softmax(1).view(count, steps + 1, -1)
    probabilities = probabilities[torch.arange(count), :, classes.cpu()]
    return Curve(shares, probabilities, torch.trapezoid(probabilities, shares))


def _places(maps: Tensor) -> Tensor:
    """Each pixel's place in its map's order, 0 for the strongest: (B, H, W) -> (B, H * W)."""
    flat = maps.detach().flatten(1).cpu()
    shuffle = random.uniform(random.keys_for(0, torch.zeros(1).long()), 0, flat.shape[1:])[0]
    mixed = shuffle.argsort()
    order = mixed[flat[:, mixed].argsort(dim=1, descending=True, stable=True)]
    return order.argsort(dim=1)


def _check_maps(maps: Tensor, shape: tuple[int, int, int]) -> None:
    if tuple(maps.shape) != shape:
        raise InputError(
            f"The maps are of shape {tuple(maps.shape)}, but the images want {shape}; give one map "
            "an image, of its size."
        )
    if not bool(maps.isfinite().all()):
        raise InputError(
            "The maps hold a value that is not finite, and so put the pixels in no order; replace "
            "it first."
        )
