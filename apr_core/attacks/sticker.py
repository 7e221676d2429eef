"""Stickers: one square that turns pictures into a chosen class, wherever and however it is stuck.

A universal, targeted adversarial patch (Brown et al., 2017), learned by gradient over random views
(expectation over transformations; Athalye et al., 2018): turned, resized, lit and placed at random
on random pictures. Dimensions: B pictures, n of them in a step, C channels, s the sticker's side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.attacks.gradient import cross_entropy, loss_gradient
from apr_core.base import random
from apr_core.base.batch import Batch
from apr_core.base.types import InputError, check_ranges
from apr_core.models.inference import Model, as_module, device_of, evaluating, scale_chunk
from apr_core.models.inputs import as_input
from apr_core.models.outputs import in_chunks, query_model

CHUNK = 128
"""Pictures of 32 x 32 that are asked about together."""
DECAY = (0.9, 0.999)
"""Adam's (Kingma and Ba, 2015)."""
_TINY = 1e-8
_PICTURE, _VIEW, _START = 0, 1, 0
_STREAMS = 2
HELD_OUT = 2**20
"""Where the random numbers of views begin that nothing was learned on."""


@dataclass(frozen=True)
class StickerConfig:
    """What to learn, and what the sticker is to withstand.

    Attributes:
        target: the class that pictures are to become.
        side: of the sticker, in pixels of its own.
        smallest, largest: its side on a picture, as a share of the picture's shorter side.
        turn: how far it may be turned either way, in degrees.
        light: by what share it may be lighter or darker.
        steps: of learning.
        batch: pictures in a step, each in its own view.
        rate: how far a step goes, in units of the [0, 1] image.
        seed: of pictures, views and the start.

    Raises:
        InputError: a field is out of its range in `RANGES`.
    """

    target: int
    side: int = 64
    smallest: float = 0.3
    largest: float = 0.5
    turn: float = 20.0
    light: float = 0.2
    steps: int = 150
    batch: int = 8
    rate: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        if self.smallest > self.largest:
            raise InputError(
                f"smallest is {self.smallest}, but largest is {self.largest}; let it be no more."
            )


RANGES: dict[str, tuple[float, float]] = {
    "target": (0, 2**31 - 1),
    "side": (2, 512),
    "smallest": (0.02, 1.0),
    "largest": (0.02, 1.0),
    "turn": (0.0, 180.0),
    "light": (0.0, 0.9),
    "steps": (1, 10_000),
    "batch": (1, 256),
    "rate": (0.001, 0.5),
    "seed": (0, 2**31 - 1),
}
"""What each field may be, ends included."""


@dataclass(frozen=True)
class Views(Batch):
    """How a sticker is stuck on each of n pictures.

    Attributes:
        across, down: of its centre, (n,), in [0, 1] from the left and from the top.
        size: its side over the picture's shorter side, (n,).
        turn: clockwise, in degrees, (n,).
        light: what its shades are multiplied by, (n,).
    """

    across: Tensor
    down: Tensor
    size: Tensor
    turn: Tensor
    light: Tensor

    @classmethod
    def one(
        cls,
        across: float = 0.5,
        down: float = 0.5,
        size: float = 0.4,
        turn: float = 0.0,
        light: float = 1.0,
    ) -> Views:
        """Of one picture, by hand."""
        return cls(*(torch.tensor([value]) for value in (across, down, size, turn, light)))


def random_views(config: StickerConfig, keys: Tensor, stream: int) -> Views:
    """A view for each key (n,), the whole sticker inside a square picture unless it is turned."""
    drawn = random.uniform(keys, stream, (5,))
    size = config.smallest + (config.largest - config.smallest) * drawn[:, 0]
    across, down = (size / 2 + (1 - size) * drawn[:, axis] for axis in (1, 2))
    turn = config.turn * (2 * drawn[:, 3] - 1)
    return Views(across, down, size, turn, 1 + config.light * (2 * drawn[:, 4] - 1))


def stick(images: Tensor, sticker: Tensor, views: Views) -> Tensor:
    """Pictures with a sticker on each; a gradient goes through the sticker.

    Args:
        images: (n, C, H, W) in [0, 1].
        sticker: (C, s, s) in [0, 1].

    Returns:
        (n, C, H, W). Edges are softened over a pixel; what lies outside the picture is cut off.
    """
    height, width = images.shape[2:]
    device = images.device
    y, x = torch.meshgrid(
        torch.arange(height, device=device) + 0.5,
        torch.arange(width, device=device) + 0.5,
        indexing="ij",
    )
    centre_x, centre_y, half, angle, light = (
        part.to(device)[:, None, None]
        for part in (
            views.across * width,
            views.down * height,
            views.size * min(height, width) / 2,
            views.turn * math.pi / 180,
            views.light,
        )
    )
    right, below = x - centre_x, y - centre_y  # (n, H, W), in pixels
    along = (right * angle.cos() + below * angle.sin()) / half
    down = (below * angle.cos() - right * angle.sin()) / half
    inside = ((1 - along.abs()) * half + 0.5).clamp(0, 1) * ((1 - down.abs()) * half + 0.5).clamp(
        0, 1
    )
    shown = F.grid_sample(
        sticker.expand(len(images), -1, -1, -1),
        torch.stack([along, down], dim=-1),
        padding_mode="border",
        align_corners=False,
    )
    shown = (shown * light[:, None]).clamp(0, 1)
    return images + inside[:, None] * (shown - images)


class StickerLearner:
    """A sticker that is being learned, step by step.

    Args:
        model: (B, C, H, W) in [0, 1] -> logits; in evaluation mode, on the device to learn on.
        images: uint8 (B, C, H, W), to learn on; those that are the target already are left out.
        labels: (B,), their true classes.

    Attributes:
        sticker: (C, s, s) float in [0, 1], as it is now.
        step: steps that were made.
        loss: cross-entropy to the target in each of them, on average.

    Raises:
        InputError: the target is no class of the model, every picture is of it, or the model gives
            no gradient.
    """

    def __init__(self, model: Model, images: Tensor, labels: Tensor, config: StickerConfig) -> None:
        self.model, self.config = as_module(model), config
        self.device = device_of(self.model)
        self.images = other_pictures(images, labels, config.target).to(self.device)
        side, channels = config.side, images.shape[1]
        start = random.uniform(self._keys(1), _START, (channels, side, side))[0]
        self.sticker = 0.25 + 0.5 * start
        self._mean, self._square = torch.zeros_like(start), torch.zeros_like(start)
        self.step = 0
        self.loss: list[float] = []
        classes = query_model(self.model, as_input(self.images[:1])).shape[1]
        if config.target >= classes:
            raise InputError(
                f"The target is class {config.target}, but the model has {classes}; choose one "
                f"below {classes}."
            )

    @property
    def live(self) -> bool:
        """Whether steps are left."""
        return self.step < self.config.steps

    def advance(self) -> Tensor:
        """One step; returns the pictures that it looked at, (n, C, H, W) in [0, 1]."""
        config, keys = self.config, self._keys(self.config.batch)
        stream = _STREAMS * (self.step + 1)
        chosen = random.integers(keys, stream + _PICTURE, (), len(self.images))
        views = random_views(config, keys, stream + _VIEW)
        with torch.enable_grad(), evaluating(self.model):
            sticker = self.sticker.detach().requires_grad_()
            seen = stick(as_input(self.images[chosen]), sticker, views)
            logits = self.model(seen)
            targets = torch.full_like(chosen, config.target)
            slope = loss_gradient(logits, targets, sticker) / len(chosen)
        self.loss.append(float(cross_entropy(logits.detach(), targets)) / len(chosen))
        self.step += 1
        self._mean = DECAY[0] * self._mean + (1 - DECAY[0]) * slope
        self._square = DECAY[1] * self._square + (1 - DECAY[1]) * slope**2
        mean = self._mean / (1 - DECAY[0] ** self.step)
        spread = (self._square / (1 - DECAY[1] ** self.step)).sqrt()
        rate = config.rate * (1 - (self.step - 1) / config.steps)
        self.sticker = (self.sticker - rate * mean / (spread + _TINY)).clamp(0, 1)
        return seen.detach()

    def _keys(self, count: int) -> Tensor:
        rows = torch.arange(count, device=self.device)
        return random.keys_for(self.config.seed, rows)


def other_pictures(images: Tensor, labels: Tensor, target: int) -> Tensor:
    """The pictures that are not of the target class.

    Raises:
        InputError: there are none.
    """
    others = images[labels.to(images.device) != target]
    if not len(others):
        raise InputError(
            f"All {len(images)} pictures are of the target, class {target}; choose another target."
        )
    return others


@torch.no_grad()
def become_target(
    model: Model, images: Tensor, config: StickerConfig, sticker: Tensor | None = None
) -> Tensor:
    """Which pictures a model takes for the target, (B,) bool.

    Args:
        images: uint8 (B, C, H, W): of other classes, and best ones that nothing was learned on.
        sticker: (C, s, s) float in [0, 1], on each picture in one random view that nothing was
            learned on; by default they are left as they are.
    """
    module = as_module(model)
    images = images.to(device_of(module))
    keys = random.keys_for(config.seed, torch.arange(len(images), device=images.device))
    views = random_views(config, keys, HELD_OUT)

    def some(first: int, last: int) -> Tensor:
        shown = as_input(images[first:last])
        if sticker is not None:
            rows = torch.arange(first, first + len(shown), device=images.device)
            shown = stick(shown, sticker, views.at(rows))
        return query_model(module, shown).argmax(1) == config.target

    with evaluating(module):
        chunk = scale_chunk(CHUNK, images.device, *images.shape[2:])
        return in_chunks(some, len(images), chunk)[0]
