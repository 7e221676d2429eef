"""`OnePixelConfig`: the settings of a search for pixels that change a model's answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isqrt

from apr_core.base.types import Fitness, InputError, Method, Stop, Strategy, check_ranges, shown

RANGES: dict[str, tuple[float, float]] = {
    "pixels": (1, 150),
    "population": (4, 10_000),
    "generations": (0, 10_000),
    "l2_penalty": (0.0, 100.0),
    "weight": (0.0, 2.0),
    "recombination": (0.0, 1.0),
    "seed": (0, 2**31 - 1),
}
"""What each numeric field may be, ends included."""
SPARSE_RANGES: dict[str, tuple[float, float]] = {"pixels": (1, 250), "population": (1, 10_000)}
"""Where Sparse-RS has other limits: 250 pixels are 0.5 % of a picture of 224 x 224."""
PATCH_RANGES: dict[str, tuple[float, float]] = SPARSE_RANGES | {"pixels": (1, 64**2)}
"""Of a patch, which is a square."""
METHOD_RANGES: dict[Method, dict[str, tuple[float, float]]] = {
    Method.DE: {},
    Method.SPARSE_RS: SPARSE_RANGES,
    Method.PATCH: PATCH_RANGES,
}


@dataclass(frozen=True)
class OnePixelConfig:
    """How to attack; the defaults are those of Su, Vargas and Sakurai (2019).

    Attributes:
        pixels: k, how many pixels may change, 1 to 150; by Sparse-RS 1 to 250; of a patch, all
            that it has: the square of a side of 1 to 64.
        population: P, candidates in a generation: of Sparse-RS, proposals made together from the
            best set of pixels so far. With one, it is the authors' own algorithm.
        generations: most generations after the initial population.
        strategy: how differential evolution makes children.
        fitness: what is minimised: probability, or the logit margin; Sparse-RS always lowers the
            margin.
        stop: when a search ends early.
        target: class to reach; None for an untargeted attack.
        l2_penalty: the lambda of f_t(x + d) - lambda ||d||_2, with ||d|| in units of [0, 1].
        weight: F of su2019.
        recombination: chance that a gene of differential evolution is the mutant's; 1 means no
            crossover. SciPy's own default is 0.7.
        seed: with an image's index it fixes every random number of that image's search.
        method: how pixels are proposed.

    Raises:
        InputError: a field is out of its range in `RANGES`, or names no known choice.
    """

    pixels: int = 1
    population: int = 400
    generations: int = 100
    strategy: Strategy = Strategy.SU2019
    fitness: Fitness = Fitness.PROBABILITY
    stop: Stop = Stop.FIRST_FLIP
    target: int | None = None
    l2_penalty: float = 0.0
    weight: float = 0.5
    recombination: float = 1.0
    seed: int = 0
    method: Method = Method.DE

    def __post_init__(self) -> None:
        kinds: dict[str, type[StrEnum]] = {
            "method": Method,
            "strategy": Strategy,
            "fitness": Fitness,
            "stop": Stop,
        }
        for name, choice in kinds.items():
            object.__setattr__(self, name, _member(choice, name, getattr(self, name)))
        if self.method is not Method.DE:
            object.__setattr__(self, "fitness", Fitness.MARGIN)
        check_ranges(self, RANGES | METHOD_RANGES[self.method])
        if self.method is Method.PATCH and self.side**2 != self.pixels:
            raise InputError(
                f"pixels is {self.pixels}, but a patch is a square; give {self.side**2} for one of "
                f"{self.side} × {self.side}."
            )
        if self.target is not None and (
            isinstance(self.target, bool) or not isinstance(self.target, int) or self.target < 0
        ):
            raise InputError(
                f"target must be a class number from 0, not {self.target!r:.40}; leave it out for "
                "an untargeted attack."
            )

    @property
    def side(self) -> int:
        """Of a patch."""
        return isqrt(self.pixels)

    @property
    def words(self) -> str:
        """What may change, as it stands within a sentence."""
        if self.method is Method.PATCH:
            return f"a patch of {self.side} × {self.side}"
        return "one pixel" if self.pixels == 1 else f"{self.pixels} pixels"

    @property
    def code(self) -> str:
        """What may change, as it stands within a file's name."""
        return f"patch{self.side}" if self.method is Method.PATCH else f"{self.pixels}px"

    @property
    def max_queries(self) -> int:
        """Candidates scored for an image that survives, the initial population included."""
        return self.population * (self.generations + 1)


def _member(kind: type[StrEnum], name: str, value: str) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise InputError(
            f"There is no {name} '{shown(str(value))}'; the known ones are: {known}."
        ) from None
