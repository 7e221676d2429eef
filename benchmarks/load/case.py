"""How many sessions there are, and what each is to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from apr_core.base.types import Stop, check_ranges
from apr_core.serving.requests import SERVED

RANGES: dict[str, tuple[float, float]] = {
    "sessions": (1, 200),
    "population": SERVED["population"],
    "generations": (1, SERVED["generations"][1]),
    "rounds": (1, 100),
    "alone": (1, 100),
    "minutes": (0.0, 240.0),
    "apart_seconds": (0.0, 60.0),
    "click_seconds": (0.0, 3600.0),
}
SEEDS_A_VISITOR = 10_000
SEEDS_A_PHASE = SEEDS_A_VISITOR * 200
"""No two runs have a seed in common: none is found already made."""


@dataclass(frozen=True)
class LoadConfig:
    """How much to ask of the app.

    Attributes:
        sessions: that run at the same time, each on a picture of its own.
        population, generations: of each run; all of it is spent.
        rounds: how often all run; runs alone come before, between and after.
        alone: how many of those there are each time, one after the other.
        minutes: how long all run in the end, each starting anew when its run has ended; 0 for not.
        apart_seconds: between the arrivals of two sessions.
        click_seconds: between two clicks of a session on a control, while its run goes on.
        class_image: index of the test image that a class link is opened on; by default one that
            the model is sure of, whose run is long.
    """

    model: str = "cifar10-resnet20-vanilla"
    sessions: int = 30
    population: int = 400
    generations: int = 100
    rounds: int = 1
    alone: int = 2
    minutes: float = 0.0
    apart_seconds: float = 0.1
    click_seconds: float = 20.0
    class_image: int | None = None

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)

    @property
    def queries(self) -> int:
        """Of one run."""
        return self.population * (self.generations + 1)


@dataclass(frozen=True)
class Visit:
    """A visitor's plan; the attributes are those of `benchmarks.load.visit.Visit`."""

    visitor: int
    page: str
    query: str
    keeps: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    click_seconds: float = 0.0
    seed: int = 0
    stay_seconds: float = 0.0


def hunts(
    config: LoadConfig,
    images: Sequence[int],
    phase: int,
    click_seconds: float = 0.0,
    stay_seconds: float = 0.0,
) -> list[Visit]:
    """A visitor for each of the images, who follows a link that starts a run on it.

    Args:
        images: indices of CIFAR-10 test images.
        phase: a number that no other list of visits has.
    """
    visits = []
    for visitor, index in enumerate(images):
        seed = phase * SEEDS_A_PHASE + visitor * SEEDS_A_VISITOR
        query = {
            "model": config.model,
            "index": index,
            "population": config.population,
            "generations": config.generations,
            "stop": Stop.BUDGET.value,
            "seed": seed,
        }
        visit = Visit(
            visitor,
            "attack",
            urlencode(query),
            delay=visitor * config.apart_seconds,
            click_seconds=click_seconds,
            seed=seed,
            stay_seconds=stay_seconds,
        )
        visits.append(visit)
    return visits
