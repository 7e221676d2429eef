"""The truth map: for every pixel of an image, the worst that the corner colours do to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from apr_core.attacks.confirmation import confirm_flips
from apr_core.attacks.enumeration import corners_of
from apr_core.attacks.oracle import QueryOracle
from apr_core.attacks.perturbation import Perturbations, apply_edits
from apr_core.attacks.result import PixelEdit, as_rgb
from apr_core.base import random
from apr_core.base.types import InputError, check_class
from apr_core.models.inputs import COLOURED, RGB, as_uint8
from apr_core.models.outputs import logit_margin

PIXELS_A_STEP = 50
"""Pixels whose corner colours are scored together: as many candidates as a generation has."""
BYTES_A_PIXEL = 8
"""Of a map in memory: the margin's four, three of the colour, and whether it is broken."""


@dataclass(frozen=True, eq=False)
class TruthMap:
    """What is known of every pixel of an image.

    Attributes:
        margins: least logit of the true class minus the best other, over the corner colours, (H, W)
            float32; infinite where none was tried. Of a broken pixel, over those colours that the
            model itself did not refute.
        colours: the corner colour that does it, (H, W, 3) uint8; in grey, thrice the same value.
        broken: whether that colour flips the model, in float32, (H, W) bool; it does if any corner
            colour that was seen to flip is upheld.
        certified: whether it is proven that no colour does, (H, W) bool.
        done: share of the pixels that were looked at, in [0, 1].
    """

    margins: Tensor
    colours: Tensor
    broken: Tensor
    certified: Tensor
    done: float

    def flips(self) -> list[PixelEdit]:
        """An edit for each broken pixel, the surest first."""
        y, x = self.broken.nonzero().unbind(1)
        order = self.margins[y, x].argsort(stable=True)
        rgb = self.colours[y, x].tolist()
        places = list(zip(x.tolist(), y.tolist(), rgb, strict=True))
        return [
            PixelEdit(column, row, (colour[0], colour[1], colour[2]))
            for column, row, colour in (places[place] for place in order.tolist())
        ]


class TruthMapSearch:
    """A truth map in the making, by `ask` and `tell`.

    Args:
        oracle: of the model.
        image: (C, H, W), uint8 or float in [0, 1], which is rounded to the uint8 grid.
        label: its true class.
        certified: pixels that need not be tried, (H, W) bool; by default none.
        seed: of the order in which pixels are tried.

    Raises:
        InputError: the model gets the image wrong or is none to attack, or the label is no class
            of its.
    """

    def __init__(
        self,
        oracle: QueryOracle,
        image: Tensor,
        label: int,
        certified: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        self.oracle, self._label, self.cancelled = oracle, label, False
        self._image = as_uint8([image], *COLOURED).to(oracle.device)
        self._check_label()
        channels, height, width = self._image.shape[1:]
        self._palette = corners_of(channels).to(oracle.device)
        none = torch.zeros(height, width, dtype=torch.bool)
        self._certified = none if certified is None else certified.cpu()
        key = random.keys_for(seed, torch.zeros(1, dtype=torch.int64))
        shuffled = random.uniform(key, 0, (height * width,))[0].argsort(stable=True)
        self._todo = shuffled[~self._certified.flatten()[shuffled]]
        self._tried = 0
        self._margins = torch.full((height * width,), float("inf"))
        self._worst = torch.zeros(height * width, dtype=torch.int64)
        self._broken = none.flatten().clone()

    def _check_label(self) -> None:
        logits = self.oracle.verify_float32(self._image)[0]
        check_class("label", self._label, len(logits))
        if (said := int(logits.argmax())) != self._label:
            raise InputError(
                f"The model takes this image for class {said} already, not {self._label}; a map is "
                "of an image that it gets right."
            )

    @property
    def steps(self) -> int:
        """How many steps it takes."""
        return -(-len(self._todo) // PIXELS_A_STEP)

    @property
    def step(self) -> int:
        """How many it took."""
        return -(-self._tried // PIXELS_A_STEP)

    @property
    def live(self) -> bool:
        """Whether any pixel is still to be tried."""
        return self._tried < len(self._todo) and not self.cancelled

    def ask(self) -> Perturbations:
        """The corner colours at each of the next pixels."""
        pixels, count = self._next().to(self.oracle.device), len(self._palette)
        colours = self._palette.repeat(len(pixels), 1)[None, :, None]
        positions = self._positions(pixels.repeat_interleave(count))[None]
        return Perturbations.of_each(self._image, positions, colours)

    def tell(self, logits: Tensor) -> None:
        """Take the logits (N, K) of what `ask` gave."""
        pixels = self._next()
        label = torch.tensor(self._label, device=logits.device)
        margins = logit_margin(logits, label).view(len(pixels), len(self._palette))
        upheld = confirm_flips(margins <= 0, margins, partial(self._upheld, pixels)).cpu()
        margins, broken = margins.cpu(), upheld.any(1)
        among = margins.where(upheld | ~broken[:, None], float("inf"))
        self._margins[pixels], self._worst[pixels] = among.min(1)
        self._broken[pixels] = broken
        self._tried += len(pixels)

    def _next(self) -> Tensor:
        return self._todo[self._tried : self._tried + PIXELS_A_STEP]

    def _positions(self, pixels: Tensor) -> Tensor:
        """Flat places (n,) -> (n, 1, 2) as x, y."""
        width = self._image.shape[3]
        return torch.stack([pixels % width, pixels // width], dim=1)[:, None]

    def _upheld(self, pixels: Tensor, row: Tensor, corner: Tensor) -> Tensor:
        """Whether corner colours (n,), each at the pixel in that row, flip the model itself."""
        positions = self._positions(pixels.to(row.device)[row])
        colours = self._palette[corner][:, None]
        images = self._image.expand(len(row), -1, -1, -1)
        logits = self.oracle.verify_float32(apply_edits(images, positions, colours))
        return logits.argmax(1) != self._label

    def cancel(self) -> None:
        """End it where it is."""
        self.cancelled = True

    def result(self) -> TruthMap:
        """The map at the end."""
        return self.snapshot()

    def snapshot(self) -> TruthMap:
        """The map as it stands."""
        shape = self._certified.shape
        known = self._tried + int(self._certified.sum())
        return TruthMap(
            margins=self._margins.view(shape).clone(),
            colours=as_rgb(self._palette.cpu()[self._worst]).to(torch.uint8).view(*shape, RGB),
            broken=self._broken.view(shape).clone(),
            certified=self._certified,
            done=known / self._certified.numel(),
        )
