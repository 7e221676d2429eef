"""Batched step: all live runs of one model scored in one batch; an error ends its own run only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from apr_core.attacks.oracle import QueryOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.base.types import InputError
from apr_core.models.outputs import ModelError, out_of_memory
from apr_core.serving.requests import View, Work

TROUBLE = (Exception, SystemExit)
"""What a model may raise: a run's end, and nobody else's."""


@dataclass
class Run:
    """A run as the service holds it; `claims` are tokens, with when each was last seen.

    It ends where it is once it is `cancelled`: by a person, or, if it is `unwatched`, by nobody.
    """

    view: View[Any, Any, Any]
    claims: dict[str, float] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)
    began: float = 0.0
    work: Work | None = None
    cancelled: bool = False
    unwatched: bool = False


Fail = Callable[[Run, BaseException], None]


def advance(scorer: QueryOracle, runs: list[Run], fail: Fail) -> None:
    """Score the runs' candidates together, and let each take its part.

    Should scoring them together fail, each is scored alone, to find out whose fault it is.

    Args:
        fail: ends a run that came to grief.
    """
    parts = [(run, run.work, edits) for run, edits in _proposed(runs, fail) if run.work]
    if not parts:
        return
    try:
        merged = scorer.query(Perturbations.merge([edits for _, _, edits in parts]))
        logits = list(torch.split(merged, [len(edits) for _, _, edits in parts]))
    except TROUBLE as error:
        if len(parts) == 1:
            fail(parts[0][0], error)
            return
        for run, _, _ in parts:
            advance(scorer, [run], fail)
        return
    for (run, work, _), part in zip(parts, logits, strict=True):
        try:
            work.tell(part)
        except TROUBLE as error:
            fail(run, error)


def apology(error: BaseException) -> tuple[str, bool]:
    """What a run's viewers are told that ended with an error, and whether that was foreseen."""
    if isinstance(error, InputError):
        return str(error), not isinstance(error, ModelError)
    if out_of_memory(error):
        sentence = "There is not enough memory for this run; ask for fewer candidates or pixels."
        return sentence, True
    kind = type(error).__name__
    return f"The attack broke off ({kind}); start it again, or choose another model.", False


def _proposed(runs: list[Run], fail: Fail) -> Iterator[tuple[Run, Perturbations]]:
    """Each run with its candidates, but for those that come to grief over them."""
    for run in runs:
        try:
            if run.work is not None:
                yield run, run.work.ask()
        except TROUBLE as error:
            fail(run, error)
