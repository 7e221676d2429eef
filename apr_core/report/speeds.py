"""Speed: the attack beside the bare forward, other engines and other libraries, from `bench`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apr_core.base import schema
from apr_core.base.types import InputError
from apr_core.evaluation.record import find_records

FILES = "bench-*-*.json"
SPEED_CAPTION = (
    "Queries or images per second, medians of alternating rounds; in brackets the least and the "
    "most of the rounds' ratios. The attack computes only what an edit changes, where that is "
    "faster; the dense attack computes every picture whole. The forward pass is PyTorch's, with "
    "batch normalisation folded, at its best batch size."
)
RATES = {
    "forward": "forward pass",
    "other engine": "best other engine",
    "dense attack": "dense attack",
    "attack": "attack",
}
"""Columns of a rate, by its name in a record."""
OVER = "attack over "
OWN = ("forward", "other engine", "dense attack")
"""What the attack is compared with, before the peers."""
HIDDEN = ("plain forward",)
MET = {True: "met", False: "missed", None: "not measured"}


@dataclass(frozen=True)
class Figure:
    """Of the rounds: the median of a rate, or the quotient of two medians; least and greatest."""

    value: float
    spread: tuple[float, float]


@dataclass(frozen=True)
class Aim:
    """A ratio that was to be reached; `met` is None where it was not measured."""

    what: str
    wanted: float
    met: bool | None


@dataclass(frozen=True)
class Speeds:
    """What of a record is shown; rates are per second."""

    model: str
    random_weights: bool
    shape: tuple[int, int, int]
    hardware: str
    rounds: int
    versions: dict[str, str]
    rates: dict[str, Figure]
    ratios: dict[str, Figure]
    other_engine: str
    aims: tuple[Aim, ...]

    @property
    def title(self) -> str:
        """The model, the size of its images, and whether it was trained."""
        _, height, width = self.shape
        weights = ", random weights" if self.random_weights else ""
        return f"{self.model}, {width}×{height}{weights}"

    def rate(self, name: str) -> str:
        """Of one of `RATES`; "" where it was not measured."""
        if name not in self.rates:
            return ""
        value = self.rates[name].value
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        return f"{shown} ({self.other_engine})" if name == "other engine" else shown

    def ratio(self, other: str) -> str:
        """Of the attack over something else, with its target; "" where it was not measured."""
        what = OVER + other
        aims = [f"; target {aim.wanted:g} {MET[aim.met]}" for aim in self.aims if aim.what == what]
        if what not in self.ratios:
            return "".join(aims)[2:]
        figure = self.ratios[what]
        low, high = figure.spread
        return "".join([f"{figure.value:.2f} ({low:.2f} to {high:.2f})", *aims])


def read_speeds() -> list[Speeds]:
    """The records of `bench`, the slowest model last.

    Raises:
        InputError: a file is damaged.
    """
    found = [_read(path) for path in find_records(FILES)]
    return sorted(found, key=lambda one: -one.rates["forward"].value)


def speed_table(records: Sequence[Speeds]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: one a model, with what the attack is over everything else."""
    peers = _peers(records)
    head = ["model", *(f"{column}, per second" for column in RATES.values())]
    head += [f"attack over {RATES[name]}" for name in OWN]
    head += [f"attack over {peer}" for peer in peers]
    rows = [
        [
            one.title,
            *(one.rate(name) for name in RATES),
            *(one.ratio(name) for name in (*OWN, *peers)),
        ]
        for one in records
    ]
    return head, rows


def speed_notes(records: Iterable[Speeds]) -> list[str]:
    """On what the records were made, a sentence a machine."""
    made: dict[str, list[str]] = {}
    for one in records:
        peers = [f"{name} {found}" for name, found in one.versions.items() if name != "apr_core"]
        how = f"{one.hardware}, {one.rounds} alternating rounds, {', '.join(peers)}"
        made.setdefault(how, []).append(one.model)
    return [f"{', '.join(models)}: {how}." for how, models in made.items()]


def _peers(records: Iterable[Speeds]) -> list[str]:
    """Other libraries that any of them names."""
    named = [
        name.removeprefix(OVER)
        for one in records
        for name in (*one.ratios, *(aim.what for aim in one.aims))
        if name.startswith(OVER)
    ]
    return [name for name in dict.fromkeys(named) if name not in (*OWN, *HIDDEN)]


def _read(path: Path) -> Speeds:
    try:
        entry = schema.build(dict[str, Any], schema.read(path))
        told = {name: entry[name] for name in Speeds.__dataclass_fields__}
        record = schema.build(Speeds, told)
        if "forward" not in record.rates:
            raise ValueError("it has no forward pass")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no record of a bench ({error}); make it with `python -m apr_core bench "
            f"--out {path}`."
        ) from None
    return record
