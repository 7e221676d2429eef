"""Gallery: verified, reproducible example runs.

A random picture usually survives one pixel. The gallery holds some that flip, fast; one that flips
one model and not another; one that survives both; and one that breaks the defended model. Each
data set has its own file. An entry says what happened, on weights of which hash; a test makes the
quick ones again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import Outcome
from apr_core.base import schema
from apr_core.base.files import write_whole
from apr_core.base.paths import shipped
from apr_core.base.types import InputError, Status
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.serving.model_loader import load_served
from apr_core.serving.offered import offered
from apr_core.serving.requests import PHOTOGRAPHS, AttackRequest, data_behind
from apr_core.zoo.checkpoints import load_card
from apr_core.zoo.library import LITE0


def gallery_file(data: str) -> Path:
    """Where the runs on a data set are."""
    return shipped("assets") / "gallery" / f"{data}.json"


GALLERY = gallery_file(DEFAULT)


def race_file(data: str) -> Path:
    """Where a gallery's first run is, made on the undefended model and on each defended one."""
    return shipped("assets") / "race" / f"{data}.json"


@dataclass(frozen=True)
class GalleryEntry:
    """One verified run, of the default configuration but for what `config` says.

    Attributes:
        kind: flips, holds, survives or breaks: what it is in the gallery for; or race.
        story: one sentence for a person.
        data: name of the data set that its picture is of.
        model: the model it was run on.
        sha256: of that model's weights.
        index: of the test image.
        config: as it was run.
        outcome: how it ended.
    """

    kind: str
    story: str
    data: str
    model: str
    sha256: str
    index: int
    config: OnePixelConfig
    outcome: Outcome

    @property
    def title(self) -> str:
        """Such as "cat → dog", or "cat: attack fails"."""
        data = find_dataset(self.data)
        before = data.class_name(self.outcome.label)
        if self.outcome.success:
            return f"{before} → {data.class_name(self.outcome.label_after)}"
        return f"{before}: attack fails"


def load_gallery(path: Path = GALLERY) -> tuple[GalleryEntry, ...]:
    """A shipped gallery; by default of CIFAR-10.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        entries = schema.build(tuple[GalleryEntry, ...], schema.read(path))
        if not entries:
            raise ValueError("it has no runs")
        return entries
    except (OSError, ValueError) as error:
        raise InputError(
            f"The gallery cannot be read ({error}); make it with `python -m apr_core gallery`."
        ) from None


def run_entry(model: str, index: int, config: OnePixelConfig) -> Outcome:
    """One gallery run, as anyone would make it again."""
    image, label = data_behind(model).test_image(index)
    attack = OnePixelAttack(load_served(model), config)
    result = attack.run(image[None], torch.tensor([label]), indices=torch.tensor([index]))
    return result.outcomes[0]


def weights_sha256(model: str) -> str:
    """SHA-256 of the weights of a model that is served."""
    return offered().get(model) or load_card(model).sha256


@dataclass(frozen=True)
class Plan:
    """How many runs of each kind a gallery holds, and how fast "fast" is.

    Attributes:
        vanilla: the undefended model.
        defended: one of the same data set; "" for none, and then no runs that hold or break.
        config: of the runs in full.
        images: of the sample, how many are tried.
    """

    vanilla: str
    defended: str
    flips: int = 5
    holds: int = 1
    survives: int = 1
    breaks: int = 1
    fewest_generations: int = 3
    fast_generations: int = 12
    images: int = 150
    config: OnePixelConfig = field(default_factory=OnePixelConfig)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.vanilla, self.defended)))


PLANS = {
    DEFAULT: Plan("cifar10-resnet20-vanilla", "cifar10-resnet20-apr"),
    "gtsrb": Plan("gtsrb-resnet20-vanilla", "gtsrb-resnet20-apr", flips=4),
    "breastmnist": Plan(
        "breastmnist-resnet20-vanilla",
        "breastmnist-resnet20-apr",
        flips=4,
        fewest_generations=0,
        fast_generations=6,
        images=60,
    ),
    PHOTOGRAPHS: Plan(
        LITE0,
        "",
        flips=2,
        survives=2,
        fast_generations=0,
        images=8,
        config=OnePixelConfig(generations=20),
    ),
}
"""By data set, in the order of the pages."""


def make_gallery(plan: Plan, say: Callable[[str], None] = print) -> list[GalleryEntry]:
    """Run the attack on the sample's images, in order, until every kind is filled.

    The first pass gives each image a few generations only; what it flips is a fast run, because
    a search of few generations is the beginning of one of many. Survivors are then run in full.
    """
    quick = {name: _quick_pass(name, plan, say) for name in plan.models}
    flipped = {
        name: {o.index: o for o in outcomes if o.success} for name, outcomes in quick.items()
    }
    right = {
        name: {o.index for o in outcomes if o.status is not Status.MISCLASSIFIED}
        for name, outcomes in quick.items()
    }
    all_right = set.intersection(*right.values())
    of_vanilla, of_defended = flipped[plan.vanilla], flipped.get(plan.defended, {})
    watched = _spread(_worth_watching(of_vanilla, plan))
    found: list[GalleryEntry] = []
    for kind, count, model, indices in (
        ("flips", plan.flips, plan.vanilla, _shared_first(watched, all_right)),
        ("breaks", plan.breaks, plan.defended, _spread(of_defended)),
        (
            "holds",
            plan.holds,
            plan.defended,
            _spread(of_vanilla, all_right) if plan.defended else [],
        ),
        ("survives", plan.survives, plan.vanilla, sorted(all_right - set(of_vanilla))),
    ):
        if model:
            found += _fill(kind, count, model, indices, plan, say)
    return found


def make_race(
    first: GalleryEntry, models: Sequence[str], say: Callable[[str], None] = print
) -> list[GalleryEntry]:
    """One run of the gallery, made on each of several models."""
    found = []
    for model in models:
        outcome = run_entry(model, first.index, first.config)
        say(f"race: {model}: {outcome.status} after {outcome.queries:,} queries")
        found.append(_entry("race", "", model, first.config, outcome))
    return found


def _entry(
    kind: str, story: str, model: str, config: OnePixelConfig, outcome: Outcome
) -> GalleryEntry:
    data, sha256 = data_behind(model).name, weights_sha256(model)
    return GalleryEntry(kind, story, data, model, sha256, outcome.index, config, outcome)


def _quick_pass(name: str, plan: Plan, say: Callable[[str], None]) -> tuple[Outcome, ...]:
    sample, chosen = data_behind(name).shipped_sample(), slice(0, plan.images)
    count = len(sample.labels[chosen])
    say(f"{name}: {count} images, {plan.fast_generations} generations each ...")
    config = OnePixelConfig(generations=plan.fast_generations)
    attack = OnePixelAttack(load_served(name), config)
    return attack.run(
        sample.images[chosen], sample.labels[chosen], indices=sample.indices[chosen]
    ).outcomes


def _spread(outcomes: dict[int, Outcome], among: set[int] | None = None) -> list[int]:
    """Indices with the classes taking turns, so that a gallery shows many of them."""
    turns: dict[int, int] = {}
    order = []
    for index, outcome in sorted(outcomes.items()):
        if among is None or index in among:
            turn = turns[outcome.label] = turns.get(outcome.label, 0) + 1
            order.append((turn, index))
    return [index for _, index in sorted(order)]


def _shared_first(indices: list[int], right: set[int]) -> list[int]:
    """Pictures that every model gets right before the others: the first is raced on them all."""
    return sorted(indices, key=lambda index: index not in right)


def _worth_watching(outcomes: dict[int, Outcome], plan: Plan) -> dict[int, Outcome]:
    """Those that took the search some generations, or all where none did."""
    slow = {
        index: outcome
        for index, outcome in outcomes.items()
        if outcome.generations >= plan.fewest_generations
    }
    return slow or outcomes


def _fill(
    kind: str, count: int, model: str, indices: list[int], plan: Plan, say: Callable[[str], None]
) -> list[GalleryEntry]:
    """Run `indices` in full until `count` of them end as the kind wants."""
    found: list[GalleryEntry] = []
    others = set(plan.models) - {model}
    for index in indices:
        if len(found) == count:
            break
        outcome = run_entry(model, index, plan.config)
        wanted = outcome.success == (kind in ("flips", "breaks"))
        if wanted and kind == "survives":
            wanted = not any(run_entry(other, index, plan.config).success for other in others)
        say(f"{kind}: {model} on {index}: {outcome.status} after {outcome.queries:,} queries")
        if wanted:
            story = _story(kind, outcome, plan)
            found.append(_entry(kind, story, model, plan.config, outcome))
    return found


def _story(kind: str, outcome: Outcome, plan: Plan) -> str:
    """What happened, in a sentence. A thing's class is spoken of as a thing, a sign's is quoted."""
    data = data_behind(plan.vanilla)
    true = data.class_name(outcome.label)
    turns = f"turns {data.this_one(outcome.label)} into {data.one_of(outcome.label_after)}"
    fail = f"{outcome.queries:,} queries fail"
    left = f"the closest edit left {outcome.true_after:.0%} {true}"
    everywhere = f"{fail}, here and on the defended model" if plan.defended else fail
    return {
        "flips": f"One pixel {turns}.",
        "breaks": f"Even this defended model is fooled: one pixel {turns}.",
        "holds": f"One pixel fools the undefended model, but here {fail}: {left}.",
        "survives": f"{everywhere}; {left}.",
    }[kind]


def save_gallery(entries: list[GalleryEntry], path: Path) -> None:
    """Write the gallery."""
    write_whole(path, json.dumps([asdict(entry) for entry in entries], indent=1) + "\n")


def request_of(entry: GalleryEntry) -> AttackRequest:
    """The entry's run as a request to the service."""
    image, label = data_behind(entry.model).test_image(entry.index)
    return AttackRequest(entry.model, image, label, entry.index, entry.config)
