"""The load to put on the app: how many sessions, and what each of them does."""

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
"""No two runs share a seed, so that none is found in the archive."""


@dataclass(frozen=True)
class LoadConfig:
    """Settings of a load test.

    Attributes:
        sessions: concurrent visitors, each with a picture of its own.
        population, generations: of each run; it spends its whole budget.
        rounds: how often all sessions run at once; single runs come before, between and after.
        alone: how many single runs each time.
        minutes: length of a last phase in which sessions start run after run; 0 for none.
        apart_seconds: between the arrivals of two sessions.
        click_seconds: between a session's clicks on a control during its run.
        class_image: index of the test image of the class link; by default the one that the model is
            surest of, whose run is long.
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
        """Queries of one run."""
        return self.population * (self.generations + 1)


@dataclass(frozen=True)
class Visit:
    """A visitor's plan.

    Attributes:
        page, query: the link that they follow: it starts a run, or shows one.
        keeps: values that their browser has stored, by name.
        delay: seconds until they come.
        click_seconds: between clicks on a control during a run; 0 for none.
        seed: of the run that the link starts; each click adds one.
        stay_seconds: they start another run after each, and leave so long after they came, in the
            middle of a run too; 0 to leave when the first run has ended.
    """

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
    """A visitor for each of the test images, who follows a link that starts a run on it.

    Args:
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
        delay, link = visitor * config.apart_seconds, urlencode(query)
        visits.append(Visit(visitor, "attack", link, {}, delay, click_seconds, seed, stay_seconds))
    return visits
