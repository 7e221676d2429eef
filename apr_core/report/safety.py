"""Table 7, which the paper has not: pipelines that may withhold an answer, attacked end to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.model_summary import LADDER, Records, find_record, is_of
from apr_core.evaluation.record import on_data
from apr_core.evaluation.verdicts import Claim
from apr_core.report.imagenet import FRONTS, MEASURED_ON, notices
from apr_core.safety.record import ADAPTIVE, CLEAN, UNKNOWING, GuardRecord
from apr_core.zoo.checkpoints import Card, caution_of, load_card, model_names
from apr_core.zoo.fronts import split_front

BESIDE = ("vanilla", "apr", "apr-plus")
"""Bare models that stand beside the pipelines, of the same architecture."""
SCORES = ("checks", "confidence")
"""Whose detection rates are shown."""
RISKS = (ADAPTIVE, UNKNOWING, CLEAN)
"""States whose risk at `COVERAGES`, and its area, is shown."""


@dataclass(frozen=True)
class SafetyRow:
    """One pipeline, or one bare model beside it.

    Attributes:
        label: its defence, as the other tables call it, and the layers around it.
        false_alarms: that its thresholds were set for; 0 for none.
        adaptive, unknowing: of what is answered rightly, what is then answered wrongly.
        withheld: of the clean images that the model gets right, those that are withheld.
        record: what more there is to show; None for a bare model.
    """

    label: str
    model: str
    subject: str
    false_alarms: float
    adaptive: Rate
    unknowing: Rate
    withheld: Rate | None = None
    record: GuardRecord | None = None
    caution: str = ""


@dataclass(frozen=True)
class SafetyTable:
    """Table 7."""

    number: int
    title: str
    rows: tuple[SafetyRow, ...]
    notes: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()


def safety_table(
    defences: Sequence[tuple[str, str]], guards: Sequence[GuardRecord], records: Records
) -> SafetyTable:
    """Pipelines of the models' present weights and, on ImageNet's classes, of libraries' models;
    of several records of one pipeline, that of the most images counts.

    Args:
        defences: label and registry key of each.
    """
    cards = {name: load_card(name) for name in model_names()}
    labels = {defence: label for label, defence in defences}
    best: dict[str, GuardRecord] = {}
    for record in guards:
        key, setting = record.setting.pipeline.sha256, record.setting
        card = cards.get(setting.model)
        known = is_of(record, card) if card else setting.data in MEASURED_ON
        if known and (key not in best or setting.images > best[key].setting.images):
            best[key] = record
    kept = sorted(best.values(), key=lambda one: one.setting.name)
    guarded = [cards[one.setting.model] for one in kept if one.setting.model in cards]
    rows = [
        *_bare(guarded, labels, cards, records),
        *_bare_library(kept, labels, cards),
        *(_row(one, labels, cards) for one in kept),
    ]
    shown = [(one.setting.sha256, one.setting.data) for one in kept]
    abouts = dict.fromkeys(one.about for one in kept)
    return SafetyTable(
        7, "Pipelines that may withhold an answer", tuple(rows), (NOTE, *abouts, *notices(shown))
    )


NOTE = (
    "Adaptive: of the clean images that are answered rightly, those that an attacker of one pixel "
    "who knows every layer and threshold makes it answer wrongly, without being withheld; "
    "unknowing: the same of an attacker who knows the bare model alone. Of a bare model the two "
    "are one. Detects: of the images that the unknowing attacker turned, those that a score tells "
    "from clean ones, its threshold set for so many false alarms on held-out images. Risk: share "
    "of wrong answers when so many of all images are answered, the most trusted first."
)


def _bare(
    guarded: Sequence[Card],
    labels: Mapping[str, str],
    cards: Mapping[str, Card],
    records: Records,
) -> Iterator[SafetyRow]:
    """The bare models beside pipelines: who knows them knows all that there is."""
    for dataset, architecture in dict.fromkeys((one.dataset, one.architecture) for one in guarded):
        for defence in BESIDE:
            card = cards.get(f"{dataset}-{architecture}-{defence}")
            record = find_record(records.evaluations, card, LADDER) if card else None
            level = record.level(1) if record else None
            if card and level and level.asr.total:
                rate, label = level.asr, labels.get(defence, defence)
                caution = caution_of(card)
                yield SafetyRow(label, card.name, architecture, 0.0, rate, rate, caution=caution)


def _bare_library(
    kept: Sequence[GuardRecord], labels: Mapping[str, str], cards: Mapping[str, Card]
) -> Iterator[SafetyRow]:
    """Libraries' models themselves, each on the most images that a record has."""
    most: dict[str, GuardRecord] = {}
    for record in sorted(kept, key=lambda one: one.setting.images):
        if record.setting.model not in cards:
            most[_subject(record, None)] = record
    for subject, record in most.items():
        model, rate = record.setting.model, record.bare
        yield SafetyRow(_defence(record, None, labels), model, subject, 0.0, rate, rate)


def _defence(record: GuardRecord, card: Card | None, labels: Mapping[str, str]) -> str:
    """As the other tables call it; of a library's model, what stands before the network."""
    key = card.defence if card else FRONTS[split_front(record.setting.model)[1]]
    return labels.get(key, key)


def _subject(record: GuardRecord, card: Card | None) -> str:
    """The network and its data set."""
    setting = record.setting
    named = card.architecture if card else setting.model
    return named + on_data(setting.model, setting.data)


def _row(record: GuardRecord, labels: Mapping[str, str], cards: Mapping[str, Card]) -> SafetyRow:
    setting = record.setting
    card = cards.get(setting.model)
    around = ", ".join(setting.pipeline.layers)
    return SafetyRow(
        label=f"{_defence(record, card, labels)} + {around}",
        model=setting.model,
        subject=_subject(record, card),
        false_alarms=setting.pipeline.false_alarms,
        adaptive=record.adaptive,
        unknowing=record.unknowing,
        withheld=record.withheld,
        record=record,
        caution=caution_of(load_card(card.base) if card.base else card) if card else "",
    )
