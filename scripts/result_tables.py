"""The tables of docs/results.md, from the cards and the records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from apr_core.data.registry import DATASETS, DEFAULT
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.model_summary import Measurement, Records, is_of
from apr_core.evaluation.record import Record, is_own_data, results_folder
from apr_core.report.imagenet import notices
from apr_core.report.overheads import signed
from apr_core.report.printing import columns
from apr_core.report.safety import SafetyTable
from apr_core.report.speeds import (
    SPEED_CAPTION,
    Speeds,
    read_speeds,
    speed_notes,
    speed_table,
)
from apr_core.report.tables import BARE, PLUS, DefenceTable, make_tables, summaries
from apr_core.report.targets import is_target
from apr_core.zoo.checkpoints import Card, caution_of, load_card
from apr_core.zoo.fronts import split_front
from apr_core.zoo.library import is_library

MARK = "†"
"""Beside a model that a caution stands under the tables about."""
CONFIRMS_ALL_FLIPS = 2
"""The first `ATTACK_VERSION` that confirms the flips of a generation until one holds."""
RATE_COLUMNS = ("95 % interval", "of images")


def numbers(cards: Sequence[Card], records: Records) -> str:
    """All sections: models, rates, certificates, targets, speed, and the app."""
    folder, called = results_folder(), {card.name: _called(card) for card in cards}
    sections = [
        ("Models", _models(cards, called)),
        ("Attack success rates", _evaluations(_of_any(records.evaluations, cards), called)),
        *_certificates(_of_any(records.certificates, cards), called),
        *_claims(cards, records, called),
        *_pipelines(cards, records, called),
        ("Speed of the attack", _speed(read_speeds())),
        *(_overhead(_read(path)) for path in sorted(folder.glob("overhead-*.json"))),
        *(
            (title, section(_read(folder / name)))
            for title, name, section in APP_SECTIONS
            if (folder / name).exists()
        ),
    ]
    return "\n\n".join(["", *(f"## {title}\n\n{text}" for title, text in sections), ""])


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def rate_columns(rate: Rate | None) -> tuple[str, str, str]:
    """A share, its interval, and the number of images."""
    if rate is None or rate.rate is None:
        return ("not measured", "", "0")
    return (f"{rate.rate:.1%}", f"{rate.low:.1%} to {rate.high:.1%}", f"{rate.total:,}")


def cautions_of(cards: Iterable[Card]) -> list[str]:
    """A sentence for each thing that is wrong with the weights of marked models."""
    found = dict.fromkeys(filter(None, map(caution_of, cards)))
    return [f"{MARK} {caution.capitalize()}." for caution in found]


def _called(card: Card) -> str:
    """A model's name, marked where there is a caution about it."""
    return f"`{card.name}` {MARK}" if caution_of(card) else f"`{card.name}`"


Kind = TypeVar("Kind", bound=Measurement)


def _of_any(records: Sequence[Kind], cards: Sequence[Card]) -> list[Kind]:
    """The records of the cards' present weights, and of libraries' models on known data; what was
    measured of a person's own model or data stays out of the documents."""
    return [
        record
        for record in records
        if any(is_of(record, card) for card in cards) or _is_of_library(record)
    ]


def _is_of_library(record: Measurement) -> bool:
    setting = record.setting
    return is_library(split_front(setting.model)[0]) and setting.data in DATASETS


def _subject(record: Record | CertRecord, called: dict[str, str]) -> str:
    """A record's model, and the data set that its name does not say."""
    model, data = record.setting.model, record.setting.data
    name = called.get(model, f"`{model}`")
    return name if is_own_data(model, data) else f"{name} on `{data}`"


def _noted(records: Sequence[Record] | Sequence[CertRecord]) -> list[str]:
    """What must be said of their data and weights."""
    return list(notices((record.setting.sha256, record.setting.data) for record in records))


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _models(cards: Sequence[Card], called: dict[str, str]) -> str:
    head = ("model", "clean accuracy", "of test images", "epochs", "seed", "trained on")
    rows = (
        (called[card.name], f"{card.clean_accuracy:.2%}", f"{card.tested:,}", *_trained(card))
        for card in cards
    )
    said = notices((card.sha256, card.dataset) for card in cards)
    return "\n\n".join([table(head, rows), *cautions_of(cards), *said])


def _trained(card: Card) -> tuple[object, object, str]:
    """For how long, with which seed, and where."""
    if card.base:
        return "none", card.seed, f"not trained: the weights are those of `{card.base}`"
    return card.epochs, card.seed, f"{card.hardware}, {card.wall_time / 60:.0f} min"


def _evaluations(records: Sequence[Record], called: dict[str, str]) -> str:
    rows = (
        (
            _subject(record, called),
            record.setting.lattice or "",
            record.setting.attack,
            record.setting.reach(level.pixels),
            *rate_columns(level.asr),
        )
        for record in records
        for level in record.levels
    )
    head = ("model", "lattice", "attack", "changed", "success rate", *RATE_COLUMNS)
    old = sum(record.setting.attack_version < CONFIRMS_ALL_FLIPS for record in records)
    note = (
        f"{old} of these {len(records)} evaluations are of the attack's version 1, which confirmed "
        "the fittest flip of a generation alone: their rates may be slightly too low."
    )
    return "\n\n".join([table(head, rows), *([note] if old else []), *_noted(records)])


def _certificates(
    records: Sequence[CertRecord], called: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Certificates against one pixel, and those against patches where there are any."""
    pixels = [record for record in records if not record.setting.patch]
    patches = [record for record in records if record.setting.patch]
    head = ("clean accuracy", "certified", *RATE_COLUMNS)
    rows = ((_subject(one, called), one.setting.spacing, *_proven(one)) for one in pixels)
    lattices = table(("model", "lattice", *head), rows)
    yield "Certified accuracy", "\n\n".join([lattices, *_noted(pixels)])
    if patches:
        rows = (
            (_subject(one, called), _side(one), one.setting.masks**2, *_proven(one))
            for one in patches
        )
        squares = table(("model", "patch", "masks", *head), rows)
        yield "Certified accuracy against patches", "\n\n".join([squares, *_noted(patches)])


def _proven(record: CertRecord) -> tuple[str, ...]:
    return (f"{record.clean.rate:.1%}", *rate_columns(record.certified))


def _side(record: CertRecord) -> str:
    return f"{record.setting.patch} × {record.setting.patch}"


def _claims(
    cards: Sequence[Card], records: Records, called: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """The targets of APR+, and what its components gain, as tables 1 and 3 settle it."""
    tables = [each for each in make_tables(records) if isinstance(each, DefenceTable)]
    plus = {
        card.architecture: called[card.name]
        for card in cards
        if (card.dataset, card.defence) == (DEFAULT, PLUS)
    }
    rows = (
        (plus[claim.architecture], claim.text, claim.holds, claim.found)
        for claim in tables[0].claims
        if is_target(claim) and claim.architecture in plus
    )
    text = table(("model", "target", "holds", "found"), rows)
    yield "Targets of APR+", "\n\n".join([text, *chain.from_iterable(map(summaries, tables))])


def _pipelines(
    cards: Sequence[Card], records: Records, called: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Table 7, where anything of it was measured; without models of other weights than present."""
    past = {card.name for card in cards if card.sha256 != load_card(card.name).sha256}
    for each in make_tables(records):
        if isinstance(each, SafetyTable):
            head, rows = columns(each)
            kept = [place for place, name in enumerate(head) if name != "caution"]
            for row, cells in zip(each.rows, rows, strict=True):
                cells[head.index("model")] = called.get(row.model, f"`{row.model}`")
            rows = [
                cells for row, cells in zip(each.rows, rows, strict=True) if row.model not in past
            ]
            cut = [[cells[place] for place in kept] for cells in (head, *rows)]
            yield each.title, "\n\n".join([table(cut[0], cut[1:]), *each.notes])


def _speed(records: Sequence[Speeds]) -> str:
    if not records:
        return "Not measured yet: `make bench`."
    return "\n\n".join([SPEED_CAPTION, table(*speed_table(records)), *speed_notes(records)])


def _overhead(record: Any) -> tuple[str, str]:
    costs = [(f"a training step, `{cost['defence']}`", cost) for cost in record["training"]]
    costs += [
        (f"inference as {cost['form']}, `{cost['defence']}`", cost) for cost in record["inference"]
    ]
    rows = (
        (what, signed(cost["overhead"], cost["interval"]))
        for what, cost in costs
        if cost["defence"] != BARE
    )
    config = record["config"]
    return (
        f"Overhead of APR and APR+, {record['architecture']}",
        f"{record['hardware']}, batch {config['batch_size']}, {config['rounds']} alternating "
        "rounds: medians of the rounds' ratios, and in brackets 95 % intervals.\n\n"
        f"{table(('', 'over the undefended model'), rows)}",
    )


def _load(record: Any) -> str:
    config = record["config"]
    stay = f", and for {config['minutes']:g} minutes" if config["minutes"] else ""
    rows = (
        (
            aim["what"],
            f"{aim['wanted']:g}",
            f"{aim['measured']:.4g}{'' if aim['met'] else ', missed'}",
        )
        for aim in record["aims"]
    )
    return (
        f"{config['sessions']} browser sessions{stay}, `{record['model']}`, {record['hardware']} "
        f"(`bench --load {config['sessions']}` with {config['population']} candidates and "
        f"{config['generations']} generations).\n\n{table(('', 'target', 'measured'), rows)}"
    )


def _race(record: Any) -> str:
    targets, races = record["aims"], record["races"]
    rows = (
        (race["title"], race["statuses"].count("survived"), race["first_frame"], race["end"])
        for race in races
    )
    head = ("gallery's picture", "models that survive all", "first frame, s", "end, s")
    return (
        f"{len(record['models'])} ResNet-20 models at once in a browser, {record['hardware']}: "
        f"{record['within_first_frame']} of {len(races)} begin within "
        f"{targets['first_frame']:g} s, {record['within_end']} end within {targets['end']:g} s."
        f"\n\n{table(head, rows)}"
    )


def _hunts(record: Any) -> str:
    aims, hunts = record["aims"], record["hunts"]
    rows = (
        (one["index"], one["pixels"], one["status"], one["first_frame"], one["end"])
        for one in hunts
    )
    head = ("test image", "pixels", "ended", "first frame, s", "verdict, s")
    return (
        f"EfficientNet-Lite0 in a browser, {record['hardware']}, engine chosen before: "
        f"{record['within_first_frame']} of {len(hunts)} default runs begin within "
        f"{aims['first_frame']:g} s, {record['within_end']} end within {aims['end']:g} s; medians "
        f"{record['first_frame_median']:.2g} and {record['end_median']:.2g} s "
        f"(`{record['command']}`).\n\n{table(head, rows)}"
    )


APP_SECTIONS = (
    ("The app under load", "load.json", _load),
    ("The app under load, photographs", "load-photographs.json", _load),
    ("A photograph attacked in a browser", "hunt.json", _hunts),
    ("Races in a browser", "race.json", _race),
)
