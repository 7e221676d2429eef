"""Shapes, enums and errors that every room of the engine shares."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

LONGEST_MESSAGE = 1200


class InputError(ValueError):
    """Something a person gave us cannot be used.

    The message is one plain sentence: what was wrong, with which value, and what to do.
    The command line prints it and exits with code 2; the app shows it and keeps the page as it was.
    It may repeat what a file or a link said, and is made one printable line of bounded length.
    """

    def __init__(self, message: str = "") -> None:
        line = shown(str(message), -1)
        if len(line) > LONGEST_MESSAGE:  # the remedy stands at the end
            line = f"{line[: LONGEST_MESSAGE - 300]} … {line[-290:]}"
        super().__init__(line)


def shown(text: str, most: int = 60) -> str:
    """A text from outside, fit to stand in a sentence: one short printable line.

    Args:
        most: characters; -1 for all.
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(line.split())
    return line if most < 0 else line[:most]


def check_ranges(
    config: object,
    ranges: Mapping[str, tuple[float, float]],
    titles: Mapping[str, str] | None = None,
) -> None:
    """Hold a configuration's numbers against what each may be, ends included.

    Args:
        ranges: by field; one that begins with an int asks for a whole number.
        titles: by field, what a sentence calls it where its name alone says too little.

    Raises:
        InputError: the first field that is out of its range, or no such number.
    """
    for name, (low, high) in ranges.items():
        value, title = getattr(config, name), (titles or {}).get(name, name)
        whole = isinstance(low, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            kind = "a whole number" if whole else "a number"
            raise InputError(f"{title} must be {kind}, not {value!r:.40}; try {low} to {high}.")
        if not low <= value <= high:
            raise InputError(f"{title} is {value!s:.40}, but must lie between {low} and {high}.")


def check_class(name: str, value: int, classes: int) -> None:
    """Raise InputError unless a value is one of so many classes, counted from 0.

    Args:
        name: what the value is: "label", or "target".
    """
    if not 0 <= value < classes:
        raise InputError(
            f"The {name} {value} is not a class of this model; its classes are 0 to {classes - 1}."
        )


class Threat(StrEnum):
    """What an attack may change of a picture."""

    L0 = "l0"
    """A few pixels, by any amount."""
    PATCH = "patch"
    """One square of pixels, by any amount."""
    LINF = "linf"
    """Every pixel, by a little."""


class Method(StrEnum):
    """How a search proposes the pixels to change."""

    DE = "de"
    """Differential evolution (Su, Vargas and Sakurai, 2019): for a few pixels."""
    SPARSE_RS = "sparse-rs"
    """Random search in corner colours (Croce et al., 2022): for many pixels."""
    PATCH = "sparse-rs-patch"
    """The same for a patch: a square of s^2 pixels side by side."""

    @property
    def words(self) -> str:
        """As it stands within a sentence."""
        return "differential evolution" if self is Method.DE else "Sparse-RS"


class Strategy(StrEnum):
    """How differential evolution makes a child."""

    SU2019 = "su2019"
    """r1 + F (r2 - r3) with F = 0.5 and no crossover (Su, Vargas and Sakurai, 2019)."""
    BEST1BIN = "best1bin"
    """best + F (r1 - r2) with F drawn from [0.5, 1) each generation. SciPy's default strategy, as
    most ports of this attack run it: without crossover, `recombination` being 1 unless it is set,
    where SciPy's own default is 0.7."""


class Fitness(StrEnum):
    """What the search minimises."""

    PROBABILITY = "probability"
    """Softmax probability of the true class (untargeted), or minus that of the target."""
    MARGIN = "margin"
    """Logit of the true class minus the best other (untargeted), or best other minus target.
    It does not go flat where the softmax saturates."""


class Stop(StrEnum):
    """When the search for one image ends before its budget does."""

    FIRST_FLIP = "first-flip"
    """At the first candidate that the model labels as the attacker wants."""
    SU2019 = "su2019"
    """At a flip past Su et al.'s threshold: true class under 5 % (untargeted), target over 90 %."""
    BUDGET = "budget"
    """Never: spend every generation."""


class Status(StrEnum):
    """How the attack on one image ended."""

    FLIPPED = "flipped"
    SURVIVED = "survived"
    MISCLASSIFIED = "misclassified"
    """The model was wrong about the clean image, which was therefore not attacked."""
    SKIPPED = "skipped"
    """The target is the image's own class: there is nothing to attack."""
    CANCELLED = "cancelled"

    @property
    def attacked(self) -> bool:
        """Whether there was an attack."""
        return self not in (Status.MISCLASSIFIED, Status.SKIPPED)


class NotAttacked(UserWarning):
    """Images were not attacked, where a person may not look for it."""
