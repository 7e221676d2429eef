"""Records to figures; no streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from apr_core.evaluation.cells import Cell
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.record import Record

COLOURS = ("#d1495b", "#00798c", "#edae49", "#30638e", "#7a5195", "#5c946e", "#8c564b", "#7a869a")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Of many lines: no two that stand together share both."""
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")
"""One fewer than the colours: the ninth model has the first's colour, and another mark."""
SHARE = {"tickformat": ".0%", "fixedrange": True}
LEGEND = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
"""At the figure's foot, where it covers no axis's title."""


def success_curves(records: Sequence[Record]) -> go.Figure:
    """Share of images broken against queries, on a logarithmic axis; one line a record."""
    figure = go.Figure()
    for number, record in enumerate(records):
        level = record.levels[0]
        figure.add_scatter(
            x=[1, *(spent for spent, _ in level.curve)],
            y=[0.0, *(share for _, share in level.curve)],
            name=f"{record.setting.subject}, {record.setting.attack}, {record.setting.reach(level.pixels)}",
            line={
                "shape": "hv",
                "color": COLOURS[number % len(COLOURS)],
                "dash": DASHES[number % len(DASHES)],
            },
            hovertemplate="%{x:,} queries: %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(
        height=380,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
        xaxis={"type": "log", "title": "queries", "fixedrange": True},
        yaxis={"tickformat": ".0%", "rangemode": "tozero", "fixedrange": True},
        showlegend=True,
    )
    return figure


def caught_bars(records: Sequence[Record]) -> go.Figure:
    """How many images each attack was the first to break, stacked, a bar a record."""
    stages = list(dict.fromkeys(name for record in records for name in record.setting.stages))
    names = [
        f"{setting.subject}<br>{setting.attack}, {setting.images} images"
        for setting in (record.setting for record in records)
    ]
    figure = go.Figure()
    for number, stage in enumerate(stages):
        counts = [record.levels[0].caught.get(stage, 0) for record in records]
        figure.add_bar(
            y=names,
            x=counts,
            name=stage,
            orientation="h",
            marker={"color": COLOURS[number % len(COLOURS)]},
            text=[str(count) if count else "" for count in counts],
            hovertemplate="%{y}: %{x} first broken by " + stage + "<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        height=120 + 44 * len(records),
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        xaxis={"title": "images", "fixedrange": True},
        yaxis={"fixedrange": True},
        showlegend=True,
    )
    return figure


def trade_off(cells: Sequence[Cell]) -> go.Figure:
    """What a defence costs and what it buys: clean accuracy against what is certified, as a filled
    mark, and what is right and withstood the attack, as an open one; all are shares of all images.

    Args:
        cells: with a clean accuracy each; shown where something of their robustness is known.
    """
    figure = go.Figure()
    for number, cell in enumerate(cells):
        if cell.clean is None:
            continue
        for what, rate, filled in (
            ("certified behind the lattice", cell.certified, True),
            ("right, and withstood the attack", cell.robust, False),
        ):
            if rate is None:
                continue
            symbol = SYMBOLS[number % len(SYMBOLS)]
            figure.add_scatter(
                x=[cell.clean.rate],
                y=[rate.rate],
                error_y=_reach(rate),
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
    figure.update_layout(
        height=340 + 20 * len(cells),  # the legend has a line a model, or nearly
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        legend=LEGEND,
        xaxis={**SHARE, "title": "clean accuracy"},
        yaxis={**SHARE, "title": "share of images"},
        showlegend=True,
    )
    return figure


def _reach(*rates: Rate) -> dict[str, object]:
    """Intervals as Plotly has them."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [rate.high - rate.share for rate in rates],
        "arrayminus": [rate.share - rate.low for rate in rates],
        "thickness": 1,
    }


def lattice_costs(records: Sequence[CertRecord]) -> go.Figure:
    """Certified share against what a prediction costs, by the lattice's spacing; a line a model."""
    figure = go.Figure()
    for number, model in enumerate(dict.fromkeys(record.setting.model for record in records)):
        mine = sorted(
            (record for record in records if record.setting.model == model),
            key=lambda record: record.setting.spacing,
        )
        rates = [record.certified for record in mine]
        figure.add_scatter(
            x=[record.setting.spacing**2 for record in mine],
            y=[rate.rate for rate in rates],
            error_y=_reach(*rates),
            name=model,
            mode="lines+markers",
            line={
                "color": COLOURS[number % len(COLOURS)],
                "dash": DASHES[number % len(DASHES)],
            },
            customdata=[[record.setting.spacing, record.certified.total] for record in mine],
            hovertemplate="spacing %{customdata[0]}: %{y:.1%} of %{customdata[1]:,}"
            "<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(
        height=460,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        legend=LEGEND,
        xaxis={
            "title": "forwards of a prediction, where all agree",
            "type": "log",
            "tickvals": [spacing**2 for spacing in range(2, 17)],
            "fixedrange": True,
        },
        yaxis={**SHARE, "title": "certified"},
        showlegend=True,
    )
    return figure
