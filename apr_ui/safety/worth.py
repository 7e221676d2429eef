"""What thresholds are worth: the ROC, risk against coverage, and pipelines side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import streamlit as st
import torch

from apr_core.base.words import percent
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.report.safety import SafetyRow, SafetyTable
from apr_core.safety.config import PipelineConfig
from apr_core.safety.decision import excess_of
from apr_core.safety.detection import area_under_roc, roc
from apr_core.safety.fallback import risk_coverage
from apr_core.safety.record import (
    ADAPTIVE,
    CLEAN,
    SUSPICION,
    UNKNOWING,
    GuardRecord,
    mistakes_at,
    rates_at,
    suspicion,
)
from apr_ui.changing_text import changing_markdown
from apr_ui.chart_view import show_chart
from apr_ui.charts import SHARE_TO_ONE, lay_out, line_style
from apr_ui.model_names import model_title
from apr_ui.resources import tables
from apr_ui.results.html_table import cell, show_html_table, two_lines
from apr_ui.safety.nets import SLIDERS, TITLES
from apr_ui.terms import explain

HEIGHT = 320
CURVE_TERMS = ("ROC", "risk", "coverage")
STATE_WORDS = {
    CLEAN: "clean",
    UNKNOWING: "attacked, not knowing the net",
    ADAPTIVE: "attacked, knowing the measured net",
}


def show_worth(record: GuardRecord, config: PipelineConfig) -> None:
    """The measured images under the thresholds of now, in words and curves."""
    st.header("What the thresholds are worth", anchor=False)
    changing_markdown("safety.worth", worth_words(record, config))
    explain("safety", CURVE_TERMS, "-curves")
    left, right = st.columns(2, gap="medium")
    movable = [layer for layer in SLIDERS if getattr(config, layer) is not None]
    with left:
        if movable:
            figure, alt = roc_curves(record, config, movable)
            st.markdown("**ROC**: attacked images that a score detects, by clean ones it withholds")
            show_chart(figure, "safety.roc", alt)
    with right:
        figure, alt = risk_curves(record, config)
        st.markdown("**Risk** of a wrong answer, by the share of images that are answered")
        show_chart(figure, "safety.risk", alt)


def worth_words(record: GuardRecord, config: PipelineConfig) -> str:
    """What these thresholds would do to the images of the record, as a Markdown list."""
    limits = {
        layer: getattr(config, layer).threshold
        for layer in SLIDERS
        if getattr(config, layer) is not None
    }
    same = config == record.setting.pipeline
    if not (config.ensemble or config.certificate):
        withheld, turned, known = rates_at(record.outcomes, limits)
        mistakes = mistakes_at(record.outcomes, limits)
        what = "these thresholds withhold"
        lines = [
            "An attacker who does not know the net turns "
            f"{_share(turned, 'remaining answers')} by one pixel."
        ]
        knowing = f"turns {'at least ' if known.total and not same else ''}{_share(known)}"
    else:
        withheld, lines = record.withheld, []
        wrong = [one for one in record.outcomes if not one.right]
        mistakes = rate_of(sum(one.broken(CLEAN) for one in wrong), len(wrong))
        what = "as it was measured, the net withheld"
        knowing = f"{'' if same else 'as it was measured '}turns {_share(record.adaptive)}"
    lines = [
        f"No attack: {what} {_share(withheld, 'right answers')}, which are false alarms, and let "
        f"{_share(mistakes, 'wrong answers')} pass.",
        *lines,
        f"**An attacker who knows the net {knowing}**, where the model alone loses "
        f"{_share(record.bare)}.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _share(rate: Rate, noun: str = "") -> str:
    if not rate.total:
        return "none"
    interval = f"{rate.low:.1%} to {rate.high:.1%}"
    total = f"{rate.total} {noun}".strip()
    return f"{rate.count} of {total} ({rate.share:.1%}, {interval})"


def roc_curves(
    record: GuardRecord, config: PipelineConfig, layers: Sequence[str]
) -> tuple[go.Figure, str]:
    """A curve for each score, with a mark where the threshold stands; and it in words."""
    figure, told = go.Figure(), []
    right = [one for one in record.outcomes if one.right]
    turned = [one for one in right if one.fooled(UNKNOWING)]
    for number, layer in enumerate(layers):
        clean, attacked = (
            suspicion(part, layer, state) for part, state in ((right, CLEAN), (turned, UNKNOWING))
        )
        steps = roc(clean, attacked)
        limit = getattr(config, layer).threshold * SUSPICION[layer]
        at = tuple(float((scores > limit).float().mean()) for scores in (clean, attacked))
        name, style = TITLES[layer], line_style(number)
        figure.add_scatter(
            x=[step[1] for step in steps], y=[step[2] for step in steps],
            name=name, mode="lines", line=style,
        )  # fmt: skip
        figure.add_scatter(
            x=[at[0]], y=[at[1]], mode="markers", showlegend=False, name=f"{name}, the threshold",
            marker={"size": 12, "color": style["color"], "symbol": "diamond"},
        )  # fmt: skip
        area = area_under_roc(clean, attacked)
        told.append(
            f"{name}: at the threshold {percent(at[1])} detected, {percent(at[0])} of clean ones "
            f"withheld; area {area:.2f}"
        )
    axes = {
        "xaxis": {**SHARE_TO_ONE, "title": "clean images withheld (false alarms)"},
        "yaxis": {**SHARE_TO_ONE, "title": "attacked images detected"},
    }
    return lay_out(figure, HEIGHT, "above", **axes), "; ".join(told)


def risk_curves(record: GuardRecord, config: PipelineConfig) -> tuple[go.Figure, str]:
    """Risk against coverage in each state, with a mark at the thresholds; and it in words."""
    figure, told = go.Figure(), []
    for number, (state, name) in enumerate(STATE_WORDS.items()):
        trust = torch.tensor([-worst(config, one.states[state].scores, one.states[state].confidence)
                              for one in record.outcomes])  # fmt: skip
        wrong = torch.tensor([one.fooled(state) for one in record.outcomes])
        curve = risk_coverage(trust, wrong)
        style = line_style(number)
        figure.add_scatter(
            x=[step[0] for step in curve], y=[step[1] for step in curve],
            name=name, mode="lines", line=style,
        )  # fmt: skip
        answered = trust >= 0
        if bool(answered.any()):
            at = float(answered.float().mean()), float(wrong[answered].float().mean())
            figure.add_scatter(
                x=[at[0]], y=[at[1]], mode="markers", showlegend=False, name=name,
                marker={"size": 12, "color": style["color"], "symbol": "diamond"},
            )  # fmt: skip
            told.append(f"{name}: {percent(at[1])} wrong of the {percent(at[0])} answered")
    axes = {
        "xaxis": {**SHARE_TO_ONE, "title": "images answered (coverage)"},
        "yaxis": {"tickformat": ".0%", "rangemode": "tozero", "title": "of these, wrong (risk)"},
    }
    return lay_out(figure, HEIGHT, "above", **axes), "; ".join(told)


def worst(config: PipelineConfig, scores: Mapping[str, float], confidence: float) -> float:
    """The largest excess of the layers under a config's thresholds; see `Sight.worst`."""
    excess = (excess_of(config, layer, score) for layer, score in scores.items())
    return max(excess, default=-confidence)


def _named(row: SafetyRow) -> str:
    title = model_title(row.model)
    return two_lines(row.label, "" if title == row.label else title)


def show_side_by_side(model: str) -> None:
    """Bare models and pipelines, from table 7."""
    table = next((one for one in tables() if isinstance(one, SafetyTable)), None)
    rows = table.rows if table else ()
    subject = next((row.subject for row in rows if row.model == model), None)
    shown = [row for row in rows if row.subject == subject]
    if not shown:
        return
    st.header("Side by side", anchor=False)
    st.caption(
        "Of the right answers, how many one pixel turns into wrong ones that are not withheld; and "
        "how many are withheld without an attack."
    )
    heads = ["Defence", "Attacker knows it", "Attacker does not", "Clean withheld"]
    show_html_table(
        "Side by side",
        heads,
        [
            (
                _named(row),
                cell(row.adaptive),
                cell(row.unknowing),
                cell(row.withheld) if row.withheld else "–",
            )
            for row in shown
        ],
    )
