"""Attacks on a net, by one who knows it: each visitor has searches of their own."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.result import PixelEdit, to_edits
from apr_core.base.hardware import give_way
from apr_core.base.types import InputError
from apr_core.explain.attributions import Cancelled
from apr_core.safety.attack import Budget, Found, attack_pipeline
from apr_core.safety.config import PipelineConfig
from apr_core.safety.pipeline import Pipeline
from apr_core.safety.record import ADAPTIVE, UNKNOWING, Outcome
from apr_ui.choose_picture import Choice
from apr_ui.dataset import class_name
from apr_ui.jobs import Job, Jobs, Report
from apr_ui.prediction_thread import on_prediction_thread
from apr_ui.visitor import current_viewer

MOST_KEPT = 256
BUDGET = Budget()
UNSEEDED = 1 + BUDGET.screened + BUDGET.shown
"""Edits before the first one that depends on the seed."""
MOST_QUERIES = UNSEEDED + BUDGET.population * BUDGET.generations
"""Edits that the bare model is asked about, at most."""


@dataclass(frozen=True)
class NetAttack:
    """One pixel against a net, by one who knows it; as far as it came.

    Attributes:
        edit: the best so far, None before the first.
        queries, shown: edits that the bare model, and the whole net, were asked about.
        recorded: whether the first of them was the record's.
    """

    edit: PixelEdit | None = None
    success: bool = False
    queries: int = 0
    shown: int = 0
    seed: int = 0
    recorded: bool = False


@st.cache_resource(show_spinner=False)
def _jobs() -> Jobs[NetAttack]:
    jobs: Jobs[NetAttack] = Jobs(MOST_KEPT)
    atexit.register(jobs.close)  # else a thread, inside torch, takes the process with it
    return jobs


def found_attack(config: PipelineConfig, choice: Choice) -> Job[NetAttack] | None:
    """This visitor's latest attack on a picture behind a net."""
    return _jobs().get(_key(config, choice))


def begin_attack(net: Pipeline, choice: Choice, known: Outcome | None) -> None:
    """Begin one; after one that has ended, another, with the next seed.

    Args:
        known: what the record holds of the picture, where the model gets it right.

    Raises:
        InputError: the model is wrong already.
    """
    label = choice.label
    if known is None or label is None:
        answer = answer_before(net, choice.image)
        if label not in (None, answer):
            raise InputError(
                f"The model takes this picture for {class_name(answer)} without any attack, so "
                "there is nothing to turn; choose another picture."
            )
        label = answer
    key, last, seed = _key(net.config, choice), found_attack(net.config, choice), 0
    if last is not None:
        if isinstance(before := last.made or last.seen, NetAttack):
            seed = before.seed + (1 if last.made else 0)
        if last.made or last.error:
            _jobs().drop(key)
    work = partial(_attack, net, choice.image, label, choice.index, recorded_edit(known), seed)
    _jobs().ask(key, work)


def recorded_edit(known: Outcome | None) -> PixelEdit | None:
    """The pixel that the record has for a picture: the first search begins with it."""
    return (known.edits.get(ADAPTIVE) or known.edits.get(UNKNOWING)) if known else None


def answer_before(net: Pipeline, image: Tensor) -> int:
    """The model's class of a picture, uint8 (C, H, W), that nobody has attacked."""
    pictures = image[None].to(net.device)
    return int(on_prediction_thread(net.oracle.query_images, pictures)[0].argmax())


def _key(config: PipelineConfig, choice: Choice) -> tuple[str, str, str]:
    return current_viewer(), config.sha256, choice.key


def _attack(
    net: Pipeline,
    image: Tensor,
    label: int,
    index: int,
    edit: PixelEdit | None,
    seed: int,
    report: Report,
    cancelled: Callable[[], bool],
) -> NetAttack:
    give_way()  # the pages go first
    edit = None if seed else edit  # it would end each search in the same way
    images, labels = image[None].to(net.device), torch.tensor([label], device=net.device)
    indices = torch.tensor([index], device=net.device)
    place = (edit.x, edit.y) if edit else (0, 0)
    colour = list(edit.rgb)[: len(image)] if edit else image[:, 0, 0].tolist()
    known = torch.tensor([[place]], device=net.device), torch.tensor([[colour]], device=net.device)

    def so_far(found: Found) -> NetAttack:
        (best,) = to_edits(found.positions[0], found.colours[0])
        counts = int(found.queries[0]), int(found.shown[0])
        return NetAttack(best, bool(found.success[0]), *counts, seed, edit is not None)

    def tell(found: Found) -> None:
        report(int(found.queries[0]), MOST_QUERIES, so_far(found))
        if cancelled():
            raise Cancelled

    return so_far(attack_pipeline(net, images, labels, indices, known, BUDGET, seed, tell))
