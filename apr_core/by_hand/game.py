"""Game: a person tries pixels; each try is one query.

A game is a value; `try_edit`, `undo` and `reset` make another of it. Every try is one query: the
picture with its edits, scored by the model itself in float32 on the uint8 grid, so that a flip by
hand is a flip. The prediction of the clean picture is not counted, and the same edit tried twice is
two queries, as in a search. Undo takes an edit back, and not the query; to start over empties the
count, but what was spent before is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from torch import Tensor

from apr_core.attacks.enumeration import is_large
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.base.types import InputError, check_class
from apr_core.base.words import percent
from apr_core.serving.requests import data_behind

PIXELS, PIXELS_OF_LARGE = (1, 3, 5), (1, 5, 16)
"""How many pixels a person may change, of a small picture and of a large one."""


@dataclass(frozen=True)
class Answer:
    """What the model says of a picture: the class it names, and the K classes' probabilities."""

    label: int
    probabilities: tuple[float, ...]

    @property
    def confidence(self) -> float:
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Try:
    """One query: all the edits that stood in the picture, the newest last, and the answer."""

    edits: tuple[PixelEdit, ...]
    answer: Answer


class Heat(StrEnum):
    """How near a pixel is to breaking the model, among all pixels of the picture."""

    HOT = "hot"
    """A corner colour breaks the model there, or the pixel is of the 5 % that come closest."""
    WARM = "warm"
    """Of the next 20 %."""
    COLD = "cold"
    """Of the rest, or proven harmless."""


@dataclass(frozen=True)
class Hint:
    """How warm a pixel is, by the truth map of the picture that the next try builds on.

    Attributes:
        x, y: where.
        heat: in a word.
        rank: 1 for the pixel that the model withstands least; 0 for one that was not tried,
            because it is proven harmless.
        pixels: how many there are.
        after: tries made when it was given.
    """

    x: int
    y: int
    heat: Heat
    rank: int
    pixels: int
    after: int


@dataclass(frozen=True, eq=False)
class Game:
    """One game, as it stands.

    Attributes:
        model: a name that the app can load.
        image: the clean picture, uint8 (C, H, W), of one channel or three.
        label: its true class, which the model gives it.
        pixels: how many may be changed at a time.
        clean: what the model says of the clean picture.
        tries: every query, in order.
        line: numbers in `tries` of those that led to the present picture, the present one last;
            undo takes the last away.
        hints: that were given, in order.
        earlier: queries spent before the game was last started over.
        earlier_best: the fewest queries of a flip before that, None if there was none.
        earlier_hints: hints given before that.
    """

    model: str
    image: Tensor
    label: int
    pixels: int
    clean: Answer
    tries: tuple[Try, ...] = ()
    line: tuple[int, ...] = ()
    hints: tuple[Hint, ...] = ()
    earlier: int = 0
    earlier_best: int | None = None
    earlier_hints: int = 0

    @property
    def queries(self) -> int:
        """Spent since the start."""
        return len(self.tries)

    @property
    def edits(self) -> tuple[PixelEdit, ...]:
        """In the picture now, the newest last."""
        return self.tries[self.line[-1]].edits if self.line else ()

    @property
    def answer(self) -> Answer:
        """What the model says of the picture as it is now."""
        return self.tries[self.line[-1]].answer if self.line else self.clean

    @property
    def edited(self) -> Tensor:
        """The picture as it is now, uint8 (C, H, W)."""
        return edit_image(self.image, self.edits)

    @property
    def flipped(self) -> bool:
        """Whether the picture, as it is now, fools the model."""
        return self.answer.label != self.label

    @property
    def first_flip(self) -> int | None:
        """Queries up to the first flip, None before there is one: the game's score."""
        flips = (number for number, tried in enumerate(self.tries, 1) if self.broke(tried))
        return next(flips, None)

    @property
    def fewest(self) -> int | None:
        """The best score so far, from before the start too."""
        return min(filter(None, (self.first_flip, self.earlier_best)), default=None)

    @property
    def closest(self) -> float:
        """The least probability of the true class that a try has left, 1 before the first."""
        return min((self.true(tried) for tried in self.tries), default=1.0)

    @property
    def base(self) -> tuple[PixelEdit, ...]:
        """The edits that stay when another pixel is tried."""
        return self.edits[: self.pixels - 1]

    def broke(self, tried: Try) -> bool:
        """Whether a try fooled the model."""
        return tried.answer.label != self.label

    def true(self, tried: Try) -> float:
        """The probability that a try left to the true class."""
        return tried.answer.probabilities[self.label]


def begin(model: str, scorer: ModelOracle, image: Tensor, label: int, pixels: int = 1) -> Game:
    """A new game.

    Args:
        image: uint8 (C, H, W), of one channel or three.
        label: its true class.

    Raises:
        InputError: the number of pixels cannot be, the label is no class of the model, or the
            model misreads the picture already.
    """
    check_pixels(pixels, image)
    clean = look(scorer, image)
    check_class("label", label, len(clean.probabilities))
    if clean.label != label:
        named = data_behind(model).class_name
        raise InputError(
            f"The model takes this picture ({named(label)}) for another class already "
            f"({named(clean.label)}, {percent(clean.confidence)} sure), so there is nothing to "
            "flip; choose another picture or another model."
        )
    return Game(model, image, label, pixels, clean)


def pixel_choices(image: Tensor) -> tuple[int, ...]:
    """How many pixels of an image (C, H, W) a person may change."""
    return PIXELS_OF_LARGE if is_large(*image.shape[1:]) else PIXELS


def check_pixels(pixels: int, image: Tensor) -> None:
    """Raise InputError unless so many pixels of an image (C, H, W) may be changed by hand."""
    if pixels not in (choices := pixel_choices(image)):
        allowed = ", ".join(map(str, choices))
        raise InputError(f"pixels is {pixels}, but by hand it is one of {allowed}.")


def look(scorer: ModelOracle, image: Tensor) -> Answer:
    """What the model itself says, in float32, of an image uint8 (C, H, W)."""
    logits = scorer.verify_float32(image[None].to(scorer.device))[0]
    return Answer(int(logits.argmax()), tuple(logits.softmax(-1).tolist()))


def try_edit(game: Game, edit: PixelEdit, scorer: ModelOracle) -> Game:
    """Spend a query on one more edit.

    An edit of a pixel that is edited already takes its place. Where all the pixels that may be
    changed are, the newest gives way.

    Raises:
        InputError: the edit lies outside the picture, or is no colour.
    """
    check_edit(game, edit)
    others = tuple(old for old in game.edits if (old.x, old.y) != (edit.x, edit.y))
    edits = (*others[: game.pixels - 1], edit)
    tried = Try(edits, look(scorer, edit_image(game.image, edits)))
    return replace(game, tries=(*game.tries, tried), line=(*game.line, len(game.tries)))


def check_edit(game: Game, edit: PixelEdit) -> None:
    """Raise InputError unless the edit lies in the game's picture and has a colour."""
    height, width = game.image.shape[1:]
    numbers = (edit.x, edit.y, *edit.rgb)
    if not all(type(number) is int for number in numbers):
        raise InputError(f"An edit is made of whole numbers, not of {numbers!r}; round them.")
    if not (0 <= edit.x < width and 0 <= edit.y < height):
        raise InputError(
            f"There is no pixel at x {edit.x}, y {edit.y}; x goes from 0 to {width - 1} and y from "
            f"0 to {height - 1}."
        )
    if len(edit.rgb) != 3 or not all(0 <= value <= 255 for value in edit.rgb):
        raise InputError(f"rgb{tuple(edit.rgb)} is no colour; give three numbers from 0 to 255.")
    if len(game.image) == 1 and len(set(edit.rgb)) > 1:
        raise InputError(
            f"The picture is grey, and rgb{tuple(edit.rgb)} is not; give thrice the same number."
        )


def undo(game: Game) -> Game:
    """The picture as it was before the newest edit; the query stays spent."""
    return replace(game, line=game.line[:-1])


def reset(game: Game) -> Game:
    """Start over from the clean picture; what was spent is remembered apart."""
    return replace(
        game,
        tries=(),
        line=(),
        hints=(),
        earlier=game.earlier + game.queries,
        earlier_best=game.fewest,
        earlier_hints=game.earlier_hints + len(game.hints),
    )
