"""Attack results: outcomes, which round-trip through JSON, and snapshots of a generation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isqrt
from typing import Any, TypedDict

import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.perturbation import apply_edits
from apr_core.base import schema
from apr_core.base.types import InputError, Status
from apr_core.models.inputs import COLOURED, RGB, as_pictures, as_uint8


@dataclass(frozen=True)
class PixelEdit:
    """One pixel and its new colour: x from the left, y from the top, rgb in 0 to 255.

    Of a grey picture, red, green and blue are the same.
    """

    x: int
    y: int
    rgb: tuple[int, int, int]


def to_edits(positions: Tensor, colours: Tensor) -> tuple[PixelEdit, ...]:
    """Positions (k, 2) and colours (k, C) of one candidate as values."""
    return tuple(
        PixelEdit(x, y, (red, green, blue))
        for (x, y), (red, green, blue) in zip(
            positions.tolist(), as_rgb(colours).tolist(), strict=True
        )
    )


class Square(TypedDict):
    """A patch: its upper left pixel, and its side."""

    x: int
    y: int
    side: int


def square_of(edits: Sequence[PixelEdit]) -> Square | None:
    """The square that edits fill, each of its pixels once; None if they fill none of two or more.

    The edits of a patch do, and those of single pixels hardly ever.
    """
    places = {(edit.x, edit.y) for edit in edits}
    side = isqrt(len(places))
    if side < 2 or side**2 != len(edits):
        return None
    x, y = min(places)
    whole = {(x + right, y + down) for right in range(side) for down in range(side)}
    return {"x": x, "y": y, "side": side} if places == whole else None


def edits_text(edits: Sequence[PixelEdit]) -> str:
    """What an edit is, as it stands within a sentence: pixels, or a patch."""
    if square := square_of(edits):
        return f"a patch of {square['side']} × {square['side']}"
    return "one pixel" if len(edits) == 1 else f"{len(edits)} pixels"


def as_rgb(colours: Tensor) -> Tensor:
    """Colours (..., C) as red, green and blue (..., 3): a grey is thrice the same."""
    return colours.expand(*colours.shape[:-1], RGB)


def from_rgb(colours: Tensor, channels: int) -> Tensor:
    """Undo `as_rgb`: (..., 3) -> (..., C)."""
    return colours[..., :channels]


def edit_image(image: Tensor, edits: tuple[PixelEdit, ...]) -> Tensor:
    """A copy of one image, uint8 (C, H, W), with its pixels set.

    Raises:
        InputError: one of them is not in the picture, or is no colour of it in 0 to 255.
    """
    if not edits:
        return image.clone()
    height, width = image.shape[1:]
    for x, y, rgb in ((edit.x, edit.y, edit.rgb) for edit in edits):
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(
                f"The pixel ({x}, {y}) lies outside the image of {width} × {height} pixels; use an "
                "edit that was found on this image."
            )
        if len(rgb) != RGB or not 0 <= min(rgb) <= max(rgb) <= 255:
            raise InputError(f"The colour {rgb} is none; give red, green and blue from 0 to 255.")
        if len(image) == 1 and len(set(rgb)) > 1:
            raise InputError(
                f"The picture is grey, and the colour {rgb} is none of its; give red, green and "
                "blue the same value."
            )
    positions = torch.tensor([[(edit.x, edit.y) for edit in edits]])
    colours = from_rgb(torch.tensor([[edit.rgb for edit in edits]]), len(image))
    return apply_edits(image[None].cpu(), positions, colours)[0]


@dataclass(frozen=True)
class Outcome:
    """How the attack on one image ended.

    Attributes:
        index: the image's index, which with the seed fixed its random numbers.
        status: flipped, survived, misclassified or skipped (not attacked), or cancelled.
        queries: candidates scored; the one prediction of the clean image is not among them.
        generations: generations after the initial population that were run.
        flip_generation: generation of the first flip, None if there was none.
        edits: the winning edit, or the closest one of an image that survived.
        label: true class.
        target: class to reach, None if untargeted.
        label_before, confidence_before: the model's answer to the clean image.
        label_after, confidence_after: its answer to the edited image.
        true_before, true_after: probability of the true class, before and after.
    """

    index: int
    status: Status
    queries: int
    generations: int
    flip_generation: int | None
    edits: tuple[PixelEdit, ...]
    label: int
    target: int | None
    label_before: int
    label_after: int
    confidence_before: float
    confidence_after: float
    true_before: float
    true_after: float

    @property
    def success(self) -> bool:
        return self.status is Status.FLIPPED

    def apply(self, image: Tensor) -> Tensor:
        """The edited image: uint8 (C, H, W) -> uint8 (C, H, W)."""
        return edit_image(image, self.edits)

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Outcome:
        """Undo `dataclasses.asdict` and JSON."""
        edits = tuple(PixelEdit(e["x"], e["y"], tuple(e["rgb"])) for e in entry["edits"])
        return cls(**{**entry, "edits": edits, "status": Status(entry["status"])})


@dataclass(frozen=True)
class AttackResult:
    """The outcomes of one run, with what made them.

    Attributes:
        model: the model's name, "" for one that has none.
        config: as it was run.
        outcomes: one an image.
        seconds: wall time of the search.
        versions: of torch, Python and this package.
    """

    model: str
    config: OnePixelConfig
    outcomes: tuple[Outcome, ...]
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def queries(self) -> int:
        return sum(outcome.queries for outcome in self.outcomes)

    @property
    def attacked(self) -> int:
        """Images that were classified correctly, and therefore attacked."""
        return sum(outcome.status.attacked for outcome in self.outcomes)

    @property
    def success_rate(self) -> float:
        """Flipped over attacked; not a number where none was attacked."""
        flipped = sum(outcome.success for outcome in self.outcomes)
        return flipped / self.attacked if self.attacked else float("nan")

    def adversarial(self, images: object) -> Tensor:
        """The images with the winning edits; an image that was not flipped is left as it was.

        Args:
            images: (B, C, H, W), in the order they were attacked.

        Returns:
            (B, C, H, W) on the CPU: uint8 of bytes; of floats, floats in [0, 1] of the same type,
            and where an edit was found, the image on the uint8 grid, which is what it flips.

        Raises:
            InputError: no such images, or not as many as were attacked.
        """
        given = as_pictures(images, *COLOURED).cpu()
        if len(given) != len(self.outcomes):
            raise InputError(
                f"{len(self.outcomes)} images were attacked, but these are {len(given)}; give the "
                "same ones, in the same order."
            )
        edited = given.clone()
        for row, outcome in enumerate(self.outcomes):
            if outcome.success:
                changed = outcome.apply(as_uint8(given[row : row + 1])[0])
                edited[row] = changed.float() / 255 if given.is_floating_point() else changed
        return edited

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> AttackResult:
        """Undo `to_json`.

        Raises:
            InputError: the text is not a result.
        """
        try:
            return schema.build(cls, schema.parse(text))
        except ValueError as error:
            raise InputError(
                f"This is not an attack result ({error}); use one that `to_json` wrote."
            ) from None


@dataclass(frozen=True)
class MutationTrace:
    """How one child of a generation was made of its parent and donors, for slow motion.

    Attributes:
        slot: its place in the population.
        parent, child: edits before and after.
        donors: the edits r1, r2, r3 that the child was made of.
        weight: F.
        parent_true, child_true: probability of the true class for each.
        kept: whether the child took its parent's place.
    """

    slot: int
    parent: tuple[PixelEdit, ...]
    child: tuple[PixelEdit, ...]
    donors: tuple[tuple[PixelEdit, ...], ...]
    weight: float
    parent_true: float
    child_true: float
    kept: bool


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One image's search after one generation: all that a screen draws.

    Attributes:
        generation: 0 for the initial population.
        queries: candidates scored so far.
        positions: of the population, (P, k, 2) int16 as x, y.
        colours: (P, k, 3) uint8; of a grey picture, thrice the same.
        fitness: (P,) float32, lower is better.
        true: probability of the true class for each member, (P,) float32.
        moved: members that are new in this generation, (P,) bool.
        best: slot of the fittest member. A flip that its own parent outranked is not in the
            population; it is shown in this slot, in place of the fittest.
        best_true: probability of the true class for what is shown there.
        best_label, best_confidence: the leading class for it.
        flipped: whether the search has succeeded.
        done: whether it has ended.
        walk: how one child was made; None in the initial population.
        other_walks: how others were, for slow motion.
    """

    generation: int
    queries: int
    positions: Tensor
    colours: Tensor
    fitness: Tensor
    true: Tensor
    moved: Tensor
    best: int
    best_true: float
    best_label: int
    best_confidence: float
    flipped: bool
    done: bool
    walk: MutationTrace | None
    other_walks: tuple[MutationTrace, ...] = ()
