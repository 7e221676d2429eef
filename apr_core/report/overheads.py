"""Overhead (table 4): the cost of APR in training and inference, from `bench --overhead`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apr_core.base import schema
from apr_core.base.types import InputError
from apr_core.evaluation.metrics import Estimate
from apr_core.evaluation.record import find_records
from apr_core.evaluation.verdicts import Claim, Holds, settle
from apr_core.report import paper

APR, EXACT, PLUS = "apr", "apr-exact", "apr-plus"
CALLED = {
    APR: "APR, its penalty as a finite difference",
    EXACT: "APR, its penalty differentiated twice",
    PLUS: "APR+",
}
"""The forms, in words; in inference the exact one is APR itself, and has no figures of its own."""


@dataclass(frozen=True)
class OverheadRow:
    """Table 4 for one architecture: shares by which APR takes longer; None: not measured.

    Attributes:
        training_interval, inference_interval: None also where too few rounds were measured.
    """

    architecture: str
    form: str
    paper_training: float | None
    paper_inference: float | None
    training: float | None
    training_interval: tuple[float, float] | None
    inference: float | None
    inference_interval: tuple[float, float] | None
    hardware: str


def overhead_claims(rows: Sequence[OverheadRow]) -> list[Claim]:
    """That APR, and APR+, cost no more than section V.E says."""
    return [
        Claim(
            f"{what} takes at most {theirs:.1%} longer with {CALLED[row.form]}.",
            row.architecture,
            settle(Estimate(ours, *interval).at_most(theirs)) if interval else Holds.OPEN,
            f"By {signed(ours, interval)}, on {row.hardware}.",
        )
        for row in rows
        for what, theirs, ours, interval in (
            ("Training", row.paper_training, row.training, row.training_interval),
            ("Inference", row.paper_inference, row.inference, row.inference_interval),
        )
        if theirs is not None and ours is not None
    ]


def signed(share: float | None, interval: Sequence[float] | None = None) -> str:
    """A share with its sign and, where there is one, its interval; "" where there is none."""
    if share is None:
        return ""
    reach = f" ({interval[0]:+.1%} to {interval[1]:+.1%})" if interval else ""
    return f"{share:+.1%}{reach}"


def overhead_rows(architecture: str) -> list[OverheadRow]:
    """One row a form of APR that was measured; one without figures where none was."""
    theirs: tuple[float | None, float | None] = paper.OVERHEAD.get(architecture, (None, None))
    record = _read_overhead(architecture)
    if record is None:
        return [OverheadRow(architecture, "", *theirs, None, None, None, None, "")]
    loaded = {cost.defence: cost for cost in record.inference if cost.form == "loaded"}
    return [
        OverheadRow(
            architecture,
            cost.defence,
            *theirs,
            cost.overhead,
            cost.interval,
            loaded[cost.defence].overhead if cost.defence in loaded else None,
            loaded[cost.defence].interval if cost.defence in loaded else None,
            record.hardware,
        )
        for cost in record.training
        if cost.defence in CALLED
    ]


@dataclass(frozen=True)
class _Cost:
    """A share by which something takes longer than without a defence; `form` is of inference."""

    defence: str
    overhead: float
    interval: tuple[float, float] | None
    form: str = ""


@dataclass(frozen=True)
class _Costs:
    hardware: str
    training: tuple[_Cost, ...]
    inference: tuple[_Cost, ...]


def _read_overhead(architecture: str) -> _Costs | None:
    """What `bench --overhead` wrote.

    Raises:
        InputError: the file is damaged.
    """
    path = next(iter(find_records(f"overhead-{architecture}.json")), None)
    if path is None:
        return None
    try:
        entry = schema.build(dict[str, Any], schema.read(path))
        costs = (tuple(map(_cost, entry[name])) for name in ("training", "inference"))
        return _Costs(schema.build(str, entry["hardware"]), *costs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no record of an overhead ({error}); make it with `python -m apr_core "
            f"bench --overhead --architecture {architecture} --out {path}`."
        ) from None


def _cost(entry: dict[str, Any]) -> _Cost:
    """One line of the record; what else it holds is not asked for here."""
    told = {
        name: entry[name] for name in ("defence", "form", "overhead", "interval") if name in entry
    }
    return schema.build(_Cost, told)
