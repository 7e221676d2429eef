"""Nets: the pipelines that were measured, with the thresholds that a person sets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

import streamlit as st

from apr_core.base.hardware import default_device
from apr_core.data.dataset import DataSet
from apr_core.evaluation.model_summary import is_of
from apr_core.safety.config import PipelineConfig
from apr_core.safety.pipeline import Pipeline
from apr_core.safety.record import GuardRecord, GuardSetting, Outcome
from apr_core.serving.requests import PHOTOGRAPHS
from apr_core.zoo.checkpoints import zoo_fingerprint
from apr_core.zoo.target import dataset_of
from apr_ui.choose_picture import Choice
from apr_ui.dataset import kind_title
from apr_ui.model_names import main_first, model_title
from apr_ui.persistent_widget import keep_among, persistent
from apr_ui.resources import all_cards, guards

TITLES = {
    "temperature": "Calibration",
    "checks": "Input checks",
    "confidence": "Confidence",
    "ensemble": "Second opinions",
    "certificate": "Certificate",
}
SLIDERS = ("checks", "confidence")
"""Layers whose thresholds can be moved."""


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


def none_measured(data: DataSet) -> str:
    """That a data set has no net, and how to make one."""
    main, more = main_first(
        [name for name, card in all_cards()[0].items() if card.dataset == data.name]
    )
    model = next(iter(main + more), "")
    given = f" --data {data.name}" if model and dataset_of(model).name != data.name else ""
    return (
        f"No safety net was measured for {kind_title(data)}; choose another kind of picture, or "
        f"measure one with `python -m apr_core guard measure --model {model or 'NAME'}{given}`."
    )


def net_titles(settings: Collection[GuardSetting]) -> list[str]:
    """A short title of each net: the layers that may withhold an answer, those that fewer nets have
    first; then whatever else tells it from another one."""
    parts = [_parts(one) for one in settings]
    titles = []
    for own in parts:
        told = own[:1]
        for number, part in enumerate(own[1:], 1):
            alike = [one for one in parts if one[:number] == own[:number]]
            told += [part] if any(one[number] != part for one in alike) else []
        titles.append(" · ".join(told))
    return titles


def _parts(setting: GuardSetting) -> list[str]:
    """What a net's title says first, and where that is another's too, next."""
    config = setting.pipeline
    layers = [name for name in reversed(config.layers) if name != "temperature"]
    words = ", ".join(TITLES[name].lower() for name in layers or config.layers).capitalize()
    rate = f"{config.false_alarms:.0%} false alarms a layer" if config.false_alarms else "by hand"
    calibrated = "calibrated" if config.temperature else "not calibrated"
    return [words, model_title(setting.model), rate, calibrated, config.sha256[:8]]


def choose_net(nets: dict[str, GuardRecord]) -> GuardRecord:
    """The pipeline picker; at first the one with the most layers that thresholds move."""
    names = sorted(nets, key=lambda name: -_movable(nets[name].setting.pipeline))
    titles = dict(zip(names, net_titles([nets[name].setting for name in names]), strict=True))
    keep_among("safety.net", names)
    chosen: str = st.selectbox(
        "Safety net",
        names,
        format_func=titles.__getitem__,
        **persistent("safety.net", names[0]),
        help="Each was measured; its thresholds were set on images held out for that.",
    )
    st.caption(net_words(nets[chosen].setting))
    return nets[chosen]


def net_words(setting: GuardSetting) -> str:
    """What a net is, in a sentence or three."""
    config, words = setting.pipeline, f"Around {model_title(setting.model)}."
    if config.ensemble:
        others = " and ".join(model_title(name) for name in config.ensemble.models)
        words += f" The second opinions are those of {others}."
    limited = [TITLES[layer].lower() for layer in SLIDERS if getattr(config, layer)]
    if config.false_alarms and limited:
        one = len(limited) == 1
        words += f" The {'threshold' if one else 'thresholds'} of {' and '.join(limited)} "
        words += f"{'was' if one else 'were each'} set for {config.false_alarms:.0%} false alarms"
        words += "." if one else ", so together they may give more."
    return words


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
