"""A race in words and as a table: how each run stands, and which model was broken when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from apr_core.attacks.result import Outcome
from apr_core.base.types import Status, Stop, Strategy
from apr_core.base.words import percent
from apr_core.data.images import OWN_PICTURE
from apr_core.serving.requests import AttackRequest, Phase, RunView
from apr_core.serving.wait_estimate import in_words
from apr_ui.dataset import class_name
from apr_ui.model_names import model_title
from apr_ui.words import count_text, duration_text, edit_text

ENDED = {
    Status.FLIPPED: "flipped",
    Status.SURVIVED: "survived",
    Status.CANCELLED: "cancelled",
    Status.MISCLASSIFIED: "misread already",
    Status.SKIPPED: "not attacked",
}
UNWATCHED, FAILED = "not watched", "failed"
_ORDER = (*ENDED.values(), UNWATCHED, FAILED)
_NEWS = {
    ENDED[Status.SURVIVED]: "Survived",
    ENDED[Status.MISCLASSIFIED]: "Not attacked, because they misread the picture already",
    ENDED[Status.SKIPPED]: "Not attacked, because the target is the picture's own class",
    ENDED[Status.CANCELLED]: "Cancelled",
    UNWATCHED: "Ended early, because nobody was watching",
    FAILED: "Failed",
}


@dataclass(frozen=True, eq=False)
class Runner:
    """One model in a race: its name there, and its run as it stands."""

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
        """Whether the attack flipped the model's prediction."""
        return self.ended == ENDED[Status.FLIPPED]

    @property
    def queries(self) -> int:
        """Queries spent, 0 without an outcome."""
        return self.view.outcome.queries if self.view.outcome else 0


def shown_names(models: Sequence[str]) -> list[str]:
    """The title of each model; its own name where two would have the same title."""
    titles = [model_title(name) for name in models]
    count = Counter(titles)
    return [
        title if count[title] == 1 else name for title, name in zip(titles, models, strict=True)
    ]


def in_finish_order(runners: Sequence[Runner]) -> list[Runner]:
    """Broken models first, by their queries; then those that survived, the closest first."""

    def place(runner: Runner) -> tuple[int, float]:
        outcome = runner.view.outcome
        if outcome is None:
            return _ORDER.index(FAILED), 0.0
        return _ORDER.index(runner.ended), runner.queries if runner.fell else outcome.true_after

    return sorted(runners, key=place)


def status_words(view: RunView) -> str:
    """The run in a few words, live or ended."""
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
    after = class_name(outcome.label_after)
    closest = f"{percent(outcome.true_after)} {class_name(outcome.label)}"
    if outcome.target is not None:
        closest = f"{percent(outcome.confidence_after)} {after}"
    spent = f"{outcome.queries:,} queries"
    return {
        Status.FLIPPED: f"flipped to {after} after {spent}",
        Status.SURVIVED: f"survived {spent}; the closest edit left {closest}",
        Status.MISCLASSIFIED: f"misread already, as {class_name(outcome.label_before)}: nothing to "
        "flip",
        Status.SKIPPED: "not attacked: the target is its own class",
        Status.CANCELLED: f"cancelled after {spent}",
    }[outcome.status]


def standing(runners: Sequence[Runner]) -> str:
    """How the race stands, live or ended: short, so that it is one line on a phone."""
    live = [runner.view for runner in runners if runner.view.live]
    if not live:
        return f"{_fooled(runners)}."
    known = [view.seconds_left for view in live if view.seconds_left]
    left = f", up to {duration_text(max(known))} left" if known else ""
    return f"{len(live)} of {len(runners)} searching{left}."


def _fooled(runners: Sequence[Runner]) -> str:
    fallen = sum(runner.fell for runner in runners)
    of = count_text(len(runners), "model", "models")
    return f"{fallen} of {of} {'was' if fallen == 1 else 'were'} fooled"


def news(runners: Sequence[Runner]) -> str:
    """How the race ended, in a sentence or two."""
    ranked = in_finish_order(runners)
    broken = [f"{runner.name} after {runner.queries:,} queries" for runner in ranked if runner.fell]
    listed = f": {', '.join(broken)}" if broken else ""
    parts = [f"{_fooled(runners)}{listed}."]
    for ended, words in _NEWS.items():
        if names := [runner.name for runner in ranked if runner.ended == ended]:
            parts.append(f"{words}: {', '.join(names)}.")
    return " ".join(parts)


_MIXED = {Strategy.SU2019: "", Strategy.BEST1BIN: ", mixed with the best edit"}
_STOPS = {
    Stop.FIRST_FLIP: "to the first flip",
    Stop.SU2019: "until the model is confidently wrong",
    Stop.BUDGET: "all generations",
}


def about(request: AttackRequest) -> str:
    """The picture and the settings that all models of a race share."""
    own = request.index == OWN_PICTURE
    what = "a picture of one's own" if own else request.data.picture_name(request.index)
    picture = f"{class_name(request.label).capitalize()}, {what}"
    if not request.named:
        picture = f"{what.capitalize()}, predicted as {class_name(request.label)}"
    config = request.config
    target = "" if config.target is None else f", target {class_name(config.target)}"
    most = f"at most {config.max_queries:,} queries each{_MIXED[config.strategy]}"
    return (
        f"{picture}{target}; {config.words}, population {config.population}, {most}, "
        f"{_STOPS[config.stop]}, seed {config.seed}."
    )


def as_table(runners: Sequence[Runner]) -> pd.DataFrame:
    """A row a model, in the order in which they finished; probabilities in [0, 1]."""
    ranked = in_finish_order(runners)
    spent = [runner.queries for runner in ranked if runner.fell]
    rows = []
    for runner in ranked:
        outcome = runner.view.outcome
        place = 1 + sum(less < runner.queries for less in spent) if runner.fell else None
        rows.append(
            {
                "Place": place,
                "Model": runner.name,
                "Ended": runner.ended,
                "Queries": outcome.queries if outcome else None,
                "Prediction": class_name(outcome.label_after) if outcome else None,
                "Pixel and colour": "; ".join(map(edit_text, outcome.edits)) if outcome else "",
                "Sure before": outcome.confidence_before if outcome else None,
                "Sure after": outcome.confidence_after if outcome else None,
                "True class after": outcome.true_after if outcome else None,
                "Checkpoint": runner.view.request.model,
            }
        )
    return pd.DataFrame(rows).astype({"Place": "Int64", "Queries": "Int64"})


def all_status_words(runners: Sequence[Runner]) -> str:
    """Every model's status, for people who cannot see the pictures."""
    return "; ".join(f"{runner.name}: {status_words(runner.view)}" for runner in runners) + "."
