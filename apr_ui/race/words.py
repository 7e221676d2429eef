"""A race in words and in a table: how each model stands, who fell, and when. No streamlit here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from apr_core.attacks.result import Outcome
from apr_core.base.types import Status
from apr_core.data.cifar10 import CLASSES
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.requests import AttackRequest, Phase, RunView
from apr_core.serving.wait_estimate import in_words
from apr_core.zoo.checkpoints import Card
from apr_ui.words import defence_title

ENDED = {
    Status.FLIPPED: "flipped",
    Status.SURVIVED: "survived",
    Status.CANCELLED: "cancelled",
    Status.MISCLASSIFIED: "misread already",
    Status.SKIPPED: "not attacked",
}
UNWATCHED, FAILED = "not watched", "failed"
_ORDER = (*ENDED.values(), UNWATCHED, FAILED)


@dataclass(frozen=True, eq=False)
class Runner:
    """One model in a race: what it is called there, and its run as it stands."""

    name: str
    view: RunView

    @property
    def ended(self) -> str:
        """How its run ended, in a word or two; "" while it is live."""
        if self.view.live:
            return ""
        if self.view.outcome is None:
            return FAILED
        return UNWATCHED if self.view.unwatched else ENDED[self.view.outcome.status]

    @property
    def fell(self) -> bool:
        return self.ended == ENDED[Status.FLIPPED]


def shown_names(models: Sequence[str], cards: Mapping[str, Card]) -> list[str]:
    """Each model by its defence, as people say it; by its own name where two would share that."""
    titles = [defence_title(cards[name].defence) if name in cards else name for name in models]
    count = Counter(titles)
    return [
        title if count[title] == 1 else name for title, name in zip(titles, models, strict=True)
    ]


def in_finish_order(runners: Sequence[Runner]) -> list[Runner]:
    """Those that fell, the first to fall first; then those that held, the closest call first."""

    def place(runner: Runner) -> tuple[int, float]:
        outcome = runner.view.outcome
        if outcome is None:
            return _ORDER.index(FAILED), 0.0
        late = outcome.queries if runner.fell else outcome.true_after
        return _ORDER.index(runner.ended), late

    return sorted(runners, key=place)


def status_words(view: RunView) -> str:
    """The run in a few words, whether it is live or has ended."""
    if view.outcome is not None and view.unwatched:
        return f"ended after {view.outcome.queries:,} queries: nobody was watching"
    if view.outcome is not None:
        return _outcome_words(view.outcome)
    if view.phase is Phase.FAILED:
        return view.error
    if view.phase is Phase.QUEUED:
        starts = f", starts{in_words(view.wait)}" if view.wait else ""
        place = f"waiting: place {view.queue_place} in the queue{starts}"
        return place if view.queue_place else "starting"
    done = view.snapshots[-1].queries if view.snapshots else 0
    return f"searching: {done:,} of {view.request.config.max_queries:,} queries"


def _outcome_words(outcome: Outcome) -> str:
    left = f"{outcome.true_after:.0%} {CLASSES[outcome.label]}"
    if outcome.target is not None:
        left = f"{outcome.confidence_after:.0%} {CLASSES[outcome.label_after]}"
    spent = f"{outcome.queries:,} queries"
    return {
        Status.FLIPPED: f"flipped to {CLASSES[outcome.label_after]} after {spent}",
        Status.SURVIVED: f"survived {spent}; the closest left {left}",
        Status.MISCLASSIFIED: f"misread already, as {CLASSES[outcome.label_before]}: nothing to "
        "flip",
        Status.SKIPPED: "not attacked: the target is its own class",
        Status.CANCELLED: f"cancelled after {spent}",
    }[outcome.status]


def news(runners: Sequence[Runner]) -> str:
    """How the race ended, in a sentence or two."""
    ranked = in_finish_order(runners)
    fallen = [
        f"{runner.name} after {_queries(runner):,} queries" for runner in ranked if runner.fell
    ]
    order = f": {', '.join(fallen)}." if fallen else "."
    parts = [f"{len(fallen)} of {len(runners)} fell{order}"]
    for ended, words in (
        (ENDED[Status.SURVIVED], "Survived"),
        (ENDED[Status.MISCLASSIFIED], "Misread the picture already, and were not attacked"),
        (ENDED[Status.SKIPPED], "Not attacked, as the target is the picture's own class"),
        (ENDED[Status.CANCELLED], "Cancelled"),
        (UNWATCHED, "Ended early, as nobody was watching"),
        (FAILED, "Failed"),
    ):
        names = [runner.name for runner in ranked if runner.ended == ended]
        if names:
            parts.append(f"{words}: {', '.join(names)}.")
    return " ".join(parts)


def _queries(runner: Runner) -> int:
    return runner.view.outcome.queries if runner.view.outcome else 0


def about(request: AttackRequest) -> str:
    """What raced: the picture and the settings that all models shared."""
    own = request.index == OWN_PICTURE
    what = "a picture of one's own" if own else f"test image {request.index}"
    config = request.config
    count = "1 pixel" if config.pixels == 1 else f"{config.pixels} pixels"
    aim = "" if config.target is None else f", to be turned into {CLASSES[config.target]}"
    return (
        f"{CLASSES[request.label].capitalize()}, {what}{aim}; {count}, population "
        f"{config.population}, at most {config.max_queries:,} queries each, {config.strategy}, "
        f"stop {config.stop}, seed {config.seed}."
    )


def as_table(runners: Sequence[Runner]) -> pd.DataFrame:
    """A line a model, those that fell first at the top; probabilities in [0, 1]."""
    ranked = in_finish_order(runners)
    spent = [_queries(runner) for runner in ranked if runner.fell]
    rows = []
    for runner in ranked:
        outcome = runner.view.outcome
        place = 1 + sum(less < _queries(runner) for less in spent) if runner.fell else None
        rows.append(
            {
                "Fell": place,
                "Model": runner.name,
                "Ended": runner.ended,
                "Queries": outcome.queries if outcome else None,
                "Read as": CLASSES[outcome.label_after] if outcome else None,
                "Pixel and colour": edit_words(outcome),
                "Sure before": outcome.confidence_before if outcome else None,
                "Sure after": outcome.confidence_after if outcome else None,
                "True class after": outcome.true_after if outcome else None,
                "Checkpoint": runner.view.request.model,
            }
        )
    return pd.DataFrame(rows).astype({"Fell": "Int64", "Queries": "Int64"})


def edit_words(outcome: Outcome | None) -> str:
    """Where the edit is and which colour it has; "" where there is none."""
    edits = outcome.edits if outcome else ()
    return "; ".join(f"({edit.x}, {edit.y}) rgb{edit.rgb}" for edit in edits)


def all_in_words(runners: Sequence[Runner]) -> str:
    """Every model and how it ended, for those who cannot see the pictures."""
    return "; ".join(f"{runner.name}: {status_words(runner.view)}" for runner in runners) + "."
