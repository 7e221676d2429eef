"""Nets: the pipelines that were measured, with the thresholds that a person sets, and attacks."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import streamlit as st
import torch
from torch import Tensor

from apr_core.attacks.result import PixelEdit, to_edits
from apr_core.base.hardware import default_device, give_way
from apr_core.base.types import InputError
from apr_core.evaluation.model_summary import is_of
from apr_core.explain.attributions import Cancelled
from apr_core.safety.attack import Budget, Found, attack_pipeline
from apr_core.safety.config import PipelineConfig
from apr_core.safety.pipeline import Pipeline
from apr_core.safety.record import ADAPTIVE, UNKNOWING, GuardRecord, GuardSetting, Outcome
from apr_core.serving.requests import PHOTOGRAPHS
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_ui.choose_picture import Choice
from apr_ui.dataset import class_name
from apr_ui.jobs import Job, Jobs, Report
from apr_ui.model_names import model_title
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.prediction_thread import on_prediction_thread
from apr_ui.resources import all_cards, guards

MOST_KEPT = 32
TITLES = {
    "temperature": "Calibration",
    "checks": "Input checks",
    "confidence": "Confidence",
    "ensemble": "Second opinions",
    "certificate": "Certificate",
}
SLIDERS = ("checks", "confidence")
"""Layers whose thresholds can be moved."""


@dataclass(frozen=True)
class NetAttack:
    """One pixel against a net, by one who knows it; as far as it came.

    Attributes:
        edit: the best so far, None before the first.
        queries, shown: edits that the bare model, and the whole net, were asked about.
    """

    edit: PixelEdit | None = None
    success: bool = False
    queries: int = 0
    shown: int = 0
    ended: bool = False


def measured_nets(data: str) -> dict[str, GuardRecord]:
    """Records of a data set's pipelines, of the models' present weights, by hash; of one with
    several, the largest."""
    known = all_cards()[0]
    found: dict[str, GuardRecord] = {}
    for record in sorted(guards()[0], key=lambda one: one.setting.images):
        card = known.get(record.setting.model)
        present = is_of(record, card) if card else record.setting.data == PHOTOGRAPHS
        if present and record.setting.data == data:
            found[record.setting.pipeline.sha256] = record
    return dict(sorted(found.items(), key=lambda one: len(one[1].setting.pipeline.layers)))


def net_title(setting: GuardSetting) -> str:
    """A model and the layers around it."""
    config = setting.pipeline
    layers = ", ".join(TITLES[name].lower() for name in config.layers)
    rate = f", {config.false_alarms:.0%} false alarms" if config.false_alarms else ""
    return f"{model_title(setting.model)}: {layers}{rate}"


def choose_net(nets: dict[str, GuardRecord]) -> GuardRecord:
    """The pipeline picker; at first the one with the most layers that thresholds move."""
    names = sorted(nets, key=lambda name: -_movable(nets[name].setting.pipeline))
    keep_among("safety.net", names)
    chosen: str = st.selectbox(
        "Safety net",
        names,
        format_func=lambda name: net_title(nets[name].setting),
        **persistent("safety.net", names[0]),
        help="Each was measured; its thresholds were set on images held out for that.",
    )
    return nets[chosen]


def _movable(config: PipelineConfig) -> int:
    return sum(getattr(config, layer) is not None for layer in SLIDERS)


def set_thresholds(measured: PipelineConfig) -> PipelineConfig:
    """The sliders of the thresholds; they begin where the record has them."""
    config = measured
    for layer in SLIDERS:
        part = getattr(measured, layer)
        if part is None:
            continue
        name = f"safety.{layer}-{measured.sha256[:8]}"
        above = layer == "checks"
        words = "doubt above" if above else "confidence below"
        limit = st.slider(
            f"Withhold at a {words}",
            0.0,
            1.0,
            step=0.001,
            format="%.3f",
            **persistent(name, round(part.threshold, 3)),
            help="The score of the input checks: 0 where every view leaves the answer as it is."
            if above
            else "The probability of the answer, after calibration.",
        )
        if limit != round(part.threshold, 3):
            config = replace(config, **{layer: replace(part, threshold=float(limit))})
    return config


def net_of(config: PipelineConfig, measured: PipelineConfig) -> Pipeline:
    """The models of a measured pipeline behind other thresholds."""
    return _loaded(measured, zoo_fingerprint()).under(config)


@lru_cache(maxsize=4)
def _loaded(config: PipelineConfig, _zoo: object) -> Pipeline:
    return Pipeline.load(config, default_device())


def outcome_on(record: GuardRecord, choice: Choice) -> Outcome | None:
    """What the record holds of a picture that the model gets right."""
    found = (one for one in record.outcomes if one.index == choice.index and one.right)
    return next(found, None)


@st.cache_resource(show_spinner=False)
def _jobs() -> Jobs[NetAttack]:
    jobs: Jobs[NetAttack] = Jobs(MOST_KEPT)
    atexit.register(jobs.close)  # else a thread, inside torch, takes the process with it
    return jobs


def attack_key(config: PipelineConfig, choice: Choice) -> str:
    """Of the attack on a picture behind a net."""
    return f"{config.sha256}-{choice.key}"


def found_attack(config: PipelineConfig, choice: Choice) -> Job[NetAttack] | None:
    """The attack on a picture behind a net, where one was begun."""
    return _jobs().get(attack_key(config, choice))


def begin_attack(net: Pipeline, choice: Choice, known: Outcome | None) -> None:
    """Begin it, or join it; a picture without a true class is of the model's.

    Args:
        known: what the record holds of it, where the model gets it right.

    Raises:
        InputError: the model is wrong already.
    """
    label = choice.label
    if known is None or label is None:
        answer = on_prediction_thread(_label, net, choice.image)
        if label not in (None, answer):
            raise InputError(
                f"The model takes this picture for {class_name(answer)} without any attack, so "
                "there is nothing to turn; choose another picture."
            )
        label = answer
    edit = (known.edits.get(ADAPTIVE) or known.edits.get(UNKNOWING)) if known else None
    work = partial(_attack, net, choice.image, label, choice.index, edit)
    _jobs().ask(attack_key(net.config, choice), work)


def _label(net: Pipeline, image: Tensor) -> int:
    return int(net.see(image[None]).labels[0])


def most_queries(budget: Budget) -> int:
    """Edits that the bare model is asked about, at most."""
    return 1 + budget.screened + budget.shown + budget.population * budget.generations


def _attack(
    net: Pipeline,
    image: Tensor,
    label: int,
    index: int,
    edit: PixelEdit | None,
    report: Report,
    cancelled: Callable[[], bool],
) -> NetAttack:
    give_way()  # the pages go first
    budget = Budget()
    images, labels = image[None].to(net.device), torch.tensor([label], device=net.device)
    indices = torch.tensor([index], device=net.device)
    place = (edit.x, edit.y) if edit else (0, 0)
    colour = list(edit.rgb)[: len(image)] if edit else image[:, 0, 0].tolist()
    known = torch.tensor([[place]], device=net.device), torch.tensor([[colour]], device=net.device)

    def tell(found: Found) -> None:
        report(int(found.queries[0]), most_queries(budget), _so_far(found))
        if cancelled():
            raise Cancelled

    found = attack_pipeline(net, images, labels, indices, known, budget, report=tell)
    return replace(_so_far(found), ended=True)


def _so_far(found: Found) -> NetAttack:
    (edit,) = to_edits(found.positions[0], found.colours[0])
    return NetAttack(edit, bool(found.success[0]), int(found.queries[0]), int(found.shown[0]))
