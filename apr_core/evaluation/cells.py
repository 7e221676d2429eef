"""What was found of one model: from its card, and from the records of its present weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apr_core.evaluation.metrics import Mean, Paired, Rate, mean_of, paired, rate_of
from apr_core.evaluation.record import Level, Record, results_folder
from apr_core.types import InputError
from apr_core.zoo import Card, load_card, model_names

LADDER, PAPERS_ATTACK = "ladder", "de"


@dataclass(frozen=True)
class Cell:
    """Ours for one row and one architecture; what was not measured is None.

    Attributes:
        clean: on all 10,000 test images.
        asr: with one pixel, of the strongest attack that was tried: the ladder where there is one.
        attack, images: which attack that was, and on how many images.
        papers_attack: success rate of the paper's differential evolution alone.
        versus: against the table's first row, on the images that both models get right.
        clean_runs, asr_runs: over several training seeds, where there are such runs.
    """

    model: str
    architecture: str
    clean: Rate | None
    asr: Rate | None = None
    attack: str = ""
    images: int = 0
    papers_attack: Rate | None = None
    versus: Paired | None = None
    clean_runs: Mean | None = None
    asr_runs: Mean | None = None


def cell_of(name: str, architecture: str, first: str, records: Sequence[Record]) -> Cell:
    """What was found of the model `name`, and how it compares with the model `first`."""
    card = load_card(name)
    clean, runs = rate_of(card.correct, card.tested), _read_seeds(card)
    clean_runs = mean_of([run["clean_accuracy"] for run in runs]) if runs else None
    record = find_record(records, card)
    if record is None:
        return Cell(name, architecture, clean, clean_runs=clean_runs)
    reference = None
    if first != name and first in model_names():
        reference = find_record(records, load_card(first), record.setting.attack)
    versus = None
    if reference is not None and reference.setting.images == record.setting.images:
        versus = paired(reference.broken(1), record.broken(1))
    theirs = find_record(records, card, PAPERS_ATTACK)
    return Cell(
        model=name,
        architecture=architecture,
        clean=clean,
        asr=_one_pixel(record).asr,
        attack=record.setting.attack,
        images=record.setting.images,
        papers_attack=_one_pixel(theirs).asr if theirs else None,
        versus=versus,
        clean_runs=clean_runs,
        asr_runs=_over_runs(runs, records, record),
    )


def _read_seeds(card: Card) -> list[dict[str, Any]]:
    """The runs that `train --seeds` recorded, if the shipped one is the model's.

    Raises:
        InputError: the file is damaged.
    """
    path = results_folder() / f"seeds-{card.name}.json"
    if not path.exists():
        return []
    try:
        runs: list[dict[str, Any]] = json.loads(path.read_text())["runs"]
        return runs if any(run["sha256"] == card.sha256 for run in runs) else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no record of several seeds ({error}); make it again with `python -m "
            "apr_core train --seeds`."
        ) from None


def _over_runs(runs: list[dict[str, Any]], records: Sequence[Record], like: Record) -> Mean | None:
    """The success rate over training runs, each evaluated as the shipped one; None if not all."""
    rates = [
        _one_pixel(record).asr.rate
        for run in runs
        for record in records
        if record.setting.sha256 == run["sha256"]
        and record.setting.attack == like.setting.attack
        and record.setting.images == like.setting.images
        and record.level(1) is not None
    ]
    return mean_of(rates) if runs and len(rates) == len(runs) else None


def find_record(records: Sequence[Record], card: Card, attack: str = "") -> Record | None:
    """The record of a model's present weights at one pixel, of the most images.

    Args:
        attack: which; by default the ladder, else the corner sweep, else whatever there is.
    """
    fitting = [
        record
        for record in records
        if record.setting.model == card.name
        and record.setting.sha256 == card.sha256
        and record.level(1) is not None
        and attack in ("", record.setting.attack)
    ]
    order = (PAPERS_ATTACK, "corners", LADDER)

    def worth(record: Record) -> tuple[int, int]:
        kind = record.setting.attack
        return order.index(kind) if kind in order else -1, record.setting.images

    return max(fitting, key=worth, default=None)


def _one_pixel(record: Record) -> Level:
    level = record.level(1)
    assert level is not None
    return level
