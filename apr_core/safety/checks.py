"""Input diversity: views of a picture, and how far a model's answer changes from one to the next.

A view is a small transform that leaves what a person sees as it is: uint8 (B, C, H, W) -> the same.
An edited pixel seldom survives all of them. One view draws at random; its answers are averaged over
draws, so that a decision, and an attack on it, goes by the expectation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.base import random
from apr_core.base.registry import Registry
from apr_core.base.types import InputError
from apr_core.defences.jpeg import jpeg_round_trip
from apr_core.models.inputs import RGB

CROPPED = 16
"""A crop leaves out the height over this on each side: 2 pixels of 32."""
SMALLER = 0.875
"""The height of a rescaled picture: 28 of 32."""
QUALITY = 75
Model = Callable[[Tensor], Tensor]
"""uint8 (B, C, H, W) -> logits (B, K)."""


@dataclass(frozen=True)
class View:
    """A view of pictures.

    Attributes:
        title: for people.
        see: pictures uint8 (B, C, H, W) and the number of the draw -> the same shape.
        random: whether draws differ.
        coloured: whether it needs red, green and blue.
    """

    title: str
    see: Callable[[Tensor, int], Tensor]
    random: bool = False
    coloured: bool = False


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)


def _as_uint8(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


def _cropped(images: Tensor, draw: int) -> Tensor:
    height, width = images.shape[2:]
    y, x = max(1, height // CROPPED), max(1, width // CROPPED)
    return _as_uint8(_resized(images[:, :, y : height - y, x : width - x].float(), height, width))


def _rescaled(images: Tensor, draw: int) -> Tensor:
    height, width = images.shape[2:]
    small = _resized(
        images.float(), max(1, round(SMALLER * height)), max(1, round(SMALLER * width))
    )
    return _as_uint8(_resized(small, height, width))


def _around(images: Tensor) -> Tensor:
    """Each pixel and its eight neighbours, mirrored beyond the edge: (9, B, C, H, W)."""
    height, width = images.shape[2:]
    wide = F.pad(images.float(), (1, 1, 1, 1), mode="reflect")
    return torch.stack(
        [wide[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    )


def _blurred(images: Tensor, draw: int) -> Tensor:
    weights = torch.tensor([1, 6, 1], device=images.device) / 8
    weights = torch.outer(weights, weights).flatten()
    return _as_uint8(torch.einsum("n,nbchw->bchw", weights, _around(images)))


def _median(images: Tensor, draw: int) -> Tensor:
    return _around(images).median(0).values.to(torch.uint8)


def _shifted(images: Tensor, draw: int) -> Tensor:
    """Moved by up to `CROPPED`'s share each way, all pictures of a draw alike."""
    height, width = images.shape[2:]
    reach = torch.tensor([max(1, height // CROPPED), max(1, width // CROPPED)])
    move = random.uniform(random.keys_for(draw, torch.zeros(1, dtype=torch.int64)), 0, (2,))[0]
    y, x = (move * (2 * reach + 1)).long().tolist()
    across, down = int(reach[1]), int(reach[0])
    wide = F.pad(images.float(), (across, across, down, down), mode="reflect").to(torch.uint8)
    return wide[:, :, y : y + height, x : x + width]


VIEWS: Registry[View] = Registry("view")
VIEWS.add("crop", View("slight crop", _cropped))
VIEWS.add("rescale", View("smaller and back", _rescaled))
VIEWS.add("blur", View("blur", _blurred))
VIEWS.add("jpeg", View("JPEG", lambda images, _: jpeg_round_trip(images, QUALITY), coloured=True))
VIEWS.add("median", View("3 × 3 median", _median))
VIEWS.add("shift", View("random shift", _shifted, random=True))
USUAL = ("crop", "rescale", "blur", "jpeg", "median")
"""Those that do not draw at random."""


@dataclass(frozen=True, eq=False)
class Diversity:
    """What a model says of the views, V of them.

    Attributes:
        differs: share of draws in which a view's label differs from the picture's, (B, V).
        confidence: of the picture's label in the picture itself, (B,).
        kept: its mean probability in each view, (B, V).
    """

    differs: Tensor
    confidence: Tensor
    kept: Tensor

    @property
    def disagreement(self) -> Tensor:
        """Share of views whose label differs, (B,)."""
        return self.differs.mean(1)

    @property
    def shift(self) -> Tensor:
        """By how much the label loses probability in the view that lowers it most, (B,)."""
        return (self.confidence - self.kept.amin(1)).clamp(min=0)

    @property
    def doubt(self) -> Tensor:
        """One less the label's mean probability in the views, (B,)."""
        return 1 - self.kept.mean(1)


SCORES: dict[str, Callable[[Diversity], Tensor]] = {
    "doubt": lambda found: found.doubt,
    "disagreement": lambda found: found.disagreement,
    "shift": lambda found: found.shift,
}
"""What of it a threshold is set on, from 0 to 1. An edit that turns the answer by a hair leaves
little confidence to lose, so that the shift misses it; the doubt does not."""


def look_again(
    model: Model,
    images: Tensor,
    logits: Tensor,
    views: tuple[str, ...] = USUAL,
    temperature: float = 1.0,
    draws: range = range(1),
) -> Diversity:
    """How a model's answers to views differ from those to the pictures.

    Args:
        model: uint8 (B, C, H, W) -> logits (B, K).
        images: uint8 (B, C, H, W).
        logits: of the pictures themselves, (B, K).
        temperature: by which all logits are divided.
        draws: numbers of the draws of a random view.

    Raises:
        InputError: a view needs colours, and the pictures have none.
    """
    labels = logits.argmax(1, keepdim=True)
    before = (logits / temperature).softmax(1).gather(1, labels)[:, 0]
    differs, kept = [], []
    for name in views:
        view = VIEWS.get(name)
        if view.coloured and images.shape[1] != RGB:
            raise InputError(
                f"The view '{name}' needs pictures of {RGB} channels, and these have "
                f"{images.shape[1]}; leave it out of --views."
            )
        seen = [model(view.see(images, draw)) for draw in (draws if view.random else range(1))]
        answers = torch.stack(seen)  # dim -> (draws, B, K)
        differs.append((answers.argmax(2) != labels[:, 0]).float().mean(0))
        after = (answers / temperature).softmax(2).gather(2, labels.expand(len(seen), -1, 1))
        kept.append(after[..., 0].mean(0))
    return Diversity(torch.stack(differs, 1), before, torch.stack(kept, 1))
