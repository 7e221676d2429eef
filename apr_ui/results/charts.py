"""Records as figures."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from apr_core.evaluation.model_summary import ModelSummary
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.record import Record
from apr_ui.charts import COLOURS, SHARE, lay_out, line_style

SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")
"""One fewer than the colours: the ninth model has the first's colour, and another mark."""


def success_curves(records: Sequence[Record]) -> go.Figure:
    """Share of images broken against queries, on a logarithmic axis; one line a record."""
    figure = go.Figure()
    for number, record in enumerate(records):
        setting, level = record.setting, record.levels[0]
        figure.add_scatter(
            x=[1, *(spent for spent, _ in level.curve)],
            y=[0.0, *(share for _, share in level.curve)],
            name=f"{setting.subject}, {setting.attack}, {setting.reach(level.pixels)}",
            line={"shape": "hv", **line_style(number)},
            hovertemplate="%{x:,} queries: %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    xaxis, yaxis = {"type": "log", "title": "queries"}, {**SHARE, "rangemode": "tozero"}
    return lay_out(figure, 380, "below", xaxis=xaxis, yaxis=yaxis)


def caught_bars(records: Sequence[Record]) -> go.Figure:
    """How many images each attack was the first to break, stacked, a bar a record."""
    settings = [record.setting for record in records]
    stages = list(dict.fromkeys(name for setting in settings for name in setting.stages))
    figure = go.Figure()
    for number, stage in enumerate(stages):
        counts = [record.levels[0].caught.get(stage, 0) for record in records]
        figure.add_bar(
            y=[f"{one.subject}<br>{one.attack}, {one.images} images" for one in settings],
            x=counts,
            name=stage,
            orientation="h",
            marker={"color": COLOURS[number % len(COLOURS)]},
            text=[str(count) if count else "" for count in counts],
            hovertemplate="%{y}: %{x} first broken by " + stage + "<extra></extra>",
        )
    lay_out(figure, 120 + 44 * len(records), "above", barmode="stack", xaxis={"title": "images"})
    return figure.update_layout(legend_traceorder="normal")


def trade_off(cells: Sequence[ModelSummary]) -> go.Figure:
    """Robustness against clean accuracy, as shares of all images.

    A filled mark is the certified share, an open one the robust accuracy.

    Args:
        cells: models; shown where a clean accuracy and something of their robustness is known.
    """
    figure = go.Figure()
    for number, cell in enumerate(cells):
        for what, rate, filled in (
            ("certified behind the lattice", cell.certified, True),
            ("right, and withstood the attack", cell.robust, False),
        ):
            if rate is None or cell.clean is None:
                continue
            symbol = SYMBOLS[number % len(SYMBOLS)]
            figure.add_scatter(
                x=[cell.clean.rate],
                y=[rate.rate],
                error_y=_interval(rate),
                mode="markers",
                name=cell.model,
                legendgroup=cell.model,
                showlegend=filled or cell.certified is None,
                marker={
                    "symbol": symbol if filled else f"{symbol}-open",
                    "color": COLOURS[number % len(COLOURS)],
                    "size": 11,
                },
                hovertemplate=f"{cell.model}<br>clean %{{x:.1%}}<br>{what} %{{y:.1%}} of "
                f"{rate.total:,}<extra></extra>",
            )
    xaxis, yaxis = {**SHARE, "title": "clean accuracy"}, {**SHARE, "title": "share of images"}
    # The legend has a line a model, or nearly.
    return lay_out(figure, 340 + 20 * len(cells), "foot", xaxis=xaxis, yaxis=yaxis)


def _interval(*rates: Rate) -> dict[str, object]:
    """Confidence intervals as Plotly's error bars."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [rate.high - rate.share for rate in rates],
        "arrayminus": [rate.share - rate.low for rate in rates],
        "thickness": 1,
    }


def lattice_costs(records: Sequence[CertRecord]) -> go.Figure:
    """Certified share against forward passes a prediction, by the lattice; one line a model."""
    figure = go.Figure()
    for number, model in enumerate(dict.fromkeys(record.setting.model for record in records)):
        mine = [record for record in records if record.setting.model == model]
        mine.sort(key=lambda record: record.setting.spacing)
        rates = [record.certified for record in mine]
        figure.add_scatter(
            x=[record.setting.spacing**2 for record in mine],
            y=[rate.rate for rate in rates],
            error_y=_interval(*rates),
            name=model,
            mode="lines+markers",
            line=line_style(number),
            customdata=[[record.setting.spacing, record.certified.total] for record in mine],
            hovertemplate="spacing %{customdata[0]}: %{y:.1%} of %{customdata[1]:,}"
            "<extra>%{fullData.name}</extra>",
        )
    xaxis = {
        "title": "forward passes a prediction, where all agree",
        "type": "log",
        "tickvals": [spacing**2 for spacing in range(2, 17)],
    }
    return lay_out(figure, 460, "foot", xaxis=xaxis, yaxis={**SHARE, "title": "certified"})
