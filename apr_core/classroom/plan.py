"""Lesson plan: the image, model, seed and steps of a class, and what is hidden."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from apr_core.attacks.config import RANGES
from apr_core.base.types import InputError, check_ranges
from apr_core.classroom.names import echo
from apr_core.serving.requests import data_behind

STEPS: tuple[str, ...] = (
    "bet",
    "by-hand",
    "slow-search",
    "full-speed",
    "find-the-pixel",
    "attention",
    "defences",
    "failure",
    "threshold",
    "quiz",
)
"""The steps of the lesson, in the order that it suggests."""
HIDEABLE: tuple[str, ...] = ("hints", "board", "answers")
"""What a teacher may hide from students: hot-or-cold hints, the challenge board, and the quiz's
explanations. The teacher's notes are not among them: students never see those."""
MODEL_PATTERN = re.compile(r"[a-z0-9][a-z0-9+-]{0,99}")
"""Names as the zoo has them, behind lattice masking (+lattice) or not."""
LONGEST_JSON = 10_000
"""Characters; a plan takes a few hundred."""


@dataclass(frozen=True)
class Plan:
    """A lesson as its teacher set it.

    Attributes:
        index: of a picture of the model's data set; one of the shipped sample, so that it is there
            offline.
        model: a name of the zoo; whether there is such a model is the zoo's to say.
        seed: of the searches that the class watches.
        steps: some of `STEPS`, in the order of this lesson.
        hidden: some of `HIDEABLE`.
    """

    index: int
    model: str
    seed: int = 0
    steps: tuple[str, ...] = STEPS
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(self, {"seed": RANGES["seed"]})
        if not isinstance(self.model, str) or not MODEL_PATTERN.fullmatch(self.model):
            raise InputError(
                "The class's model must be named as in the zoo, such as cifar10-resnet20-vanilla: "
                "small letters, digits and hyphens, at most 100; choose one of the list."
            )
        _check_index(self.index, self.model)
        object.__setattr__(self, "steps", _some_of(STEPS, "step", self.steps))
        object.__setattr__(self, "hidden", _some_of(HIDEABLE, "thing to hide", self.hidden))
        if not self.steps:
            raise InputError("A lesson without steps is empty; choose at least one step.")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Undo `to_json`; every field must be there, and no other.

        Raises:
            InputError: the text is no plan of a class.
        """
        try:
            entry = json.loads(text) if len(text) <= LONGEST_JSON else None
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict) or set(entry) != {field.name for field in fields(cls)}:
            names = ", ".join(field.name for field in fields(cls))
            raise InputError(
                f"This is no plan of a class, which has {names} and nothing else; open the class "
                "anew on the Classroom page."
            )
        return cls(**entry)


def _check_index(index: object, model: str) -> None:
    if isinstance(index, bool) or not isinstance(index, int):
        raise InputError(f"index must be a whole number, not {index!r}; take a test image's.")
    # An index too great for int64 would not fit beside the sample's.
    sample = data_behind(model).shipped_sample()
    if not 0 <= index < 2**31 or sample.row(index) is None:
        near = int(min(sample.indices.tolist(), key=lambda known: abs(known - index)))
        raise InputError(
            f"Test image {index} is not in the shipped sample of {len(sample.indices):,}; take "
            f"{near}, which is."
        )


def _some_of(known: Sequence[str], what: str, chosen: object) -> tuple[str, ...]:
    """The chosen ones as a tuple.

    Raises:
        InputError: one is not known, or chosen twice, or they are no list.
    """
    if not isinstance(chosen, (list, tuple)):
        raise InputError(f"Each {what} must stand in a list, not in {type(chosen).__name__}.")
    for place, name in enumerate(chosen):
        if name not in known:
            raise InputError(
                f"There is no {what} {echo(str(name))}; the known ones: {', '.join(known)}."
            )
        if name in chosen[:place]:
            raise InputError(f"The {what} '{name}' is there twice; name it once.")
    return tuple(chosen)
