"""Records as figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.metrics import Rate
from apr_core.evaluation.record import Record
from apr_ui.model_names import model_title
from apr_ui.results.names import subject_title
from apr_ui.charts import BEFORE, COLOURS, SHARE, lay_out, line_style

SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "star")
"""One fewer than the colours: the ninth model has the first's colour, and another mark."""
PLOT_HEIGHT, MARGINS = 440, 50
"""Pixels: of the summary picture, and of what is above and below its axes."""
NARROW, LETTER, LINE, REACH = 308, 5.6, 17, 24
"""Pixels: between the axes on a phone, of a letter, of a line of text, from a mark to its label."""


def success_curves(records: Sequence[Record]) -> go.Figure:
    """Share of images broken against queries, on a logarithmic axis; one line a record."""
    figure = go.Figure()
    for number, record in enumerate(records):
        setting, level = record.setting, record.levels[0]
        figure.add_scatter(
            x=[1, *(spent for spent, _ in level.curve)],
            y=[0.0, *(share for _, share in level.curve)],
            name=f"{subject_title(record)}, {setting.attack}, {setting.reach(level.pixels)}",
            mode="lines",
            line={"shape": "hv", **line_style(number)},
            hovertemplate="%{x:,} queries: %{y:.1%}<extra>%{fullData.name}</extra>",
        )
    xaxis, yaxis = {"type": "log", "title": "queries"}, {**SHARE, "rangemode": "tozero"}
    return lay_out(figure, 380, "below", xaxis=xaxis, yaxis=yaxis)


def caught_bars(records: Sequence[Record]) -> go.Figure:
    """How many images each attack was the first to break, stacked, a bar a record."""
    stages = list(dict.fromkeys(name for record in records for name in record.setting.stages))
    names = [
        f"{subject_title(record)}<br>{record.setting.attack}, {record.setting.images} images"
        for record in records
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
            insidetextfont={"color": "#000000"},
            hovertemplate="%{y}: %{x} first flipped by " + stage + "<extra></extra>",
        )
    lay_out(figure, 120 + 44 * len(records), "above", barmode="stack", xaxis={"title": "images"})
    return figure.update_layout(legend_traceorder="normal", yaxis_autorange="reversed")


@dataclass(frozen=True)
class Mark:
    """A model on the summary picture: its title, its clean accuracy, and what is drawn over it."""

    title: str
    clean: Rate
    rate: Rate


def summary(main: Sequence[Mark], others: Sequence[Mark], what: str) -> go.Figure:
    """A rate against clean accuracy: the main models named beside their marks, the others faint.

    Args:
        what: the rate, as the axis names it.
    """
    figure = go.Figure()
    low = min(mark.clean.low for mark in (*main, *others)) - 0.02
    floor = max(0.0, min(mark.rate.low for mark in (*main, *others)) - 0.05)
    high = max(mark.rate.high for mark in (*main, *others)) + 0.03
    scale = (PLOT_HEIGHT - MARGINS) / (high - floor)
    hover = "%{text}<br>clean %{x:.1%}<br>" + what + " %{y:.1%}<extra></extra>"
    figure.add_scatter(
        x=[mark.clean.share for mark in others],
        y=[mark.rate.share for mark in others],
        text=[mark.title for mark in others],
        mode="markers",
        marker={"color": BEFORE, "size": 7, "opacity": 0.5},
        hovertemplate=hover,
    )
    for number, mark in enumerate(main):
        figure.add_scatter(
            x=[mark.clean.share],
            y=[mark.rate.share],
            error_x=_interval(mark.clean),
            error_y=_interval(mark.rate),
            text=[mark.title],
            mode="markers",
            marker={
                "color": COLOURS[number % len(COLOURS)],
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "size": 12,
            },
            hovertemplate=hover,
        )
    for mark, up, right in _label_places(main, low, scale):
        figure.add_annotation(
            x=mark.clean.share,
            y=mark.rate.share,
            text=mark.title,
            ax=REACH if right else -REACH,
            ay=-up,
            xanchor="left" if right else "right",
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=BEFORE,
            standoff=7,
            font={"size": 12},
        )
    xaxis = {**SHARE, "title": "clean accuracy", "range": [low, 1.0]}
    yaxis = {**SHARE, "range": [floor, high]}
    return lay_out(figure, PLOT_HEIGHT, xaxis=xaxis, yaxis=yaxis)


def _label_places(
    main: Sequence[Mark], low: float, scale: float
) -> Iterator[tuple[Mark, float, bool]]:
    """Each mark with its label's height over it, in pixels, and whether that stands on its right.

    A label stands on the right where it fits and crosses no other mark. It keeps off the others'
    intervals, and on either side labels keep a line's height between them. The width is a phone's:
    on a wider screen only the distances between marks grow.

    Args:
        low: clean accuracy at the left edge; the right edge is 1.
        scale: pixels of a rate of 1.
    """
    width = NARROW / (1.0 - low)
    sides: dict[bool, list[Mark]] = {True: [], False: []}
    for mark in sorted(main, key=lambda mark: mark.rate.share):
        needed = REACH + LETTER * len(mark.title)
        fits_right = (1.0 - mark.clean.share) * width >= needed
        fits_left = (mark.clean.share - low) * width >= needed
        crossed = any(
            other.clean.share > mark.clean.share
            and scale * abs(other.rate.share - mark.rate.share) < LINE
            for other in main
        )
        sides[fits_right and not (crossed and fits_left)].append(mark)
    for right, marks in sides.items():
        free = sorted(((_off_intervals(one, main, right, width, scale), one) for one in marks),
                      key=lambda pair: pair[0])  # fmt: skip
        for (_, mark), place in zip(free, _apart([height for height, _ in free]), strict=True):
            yield mark, place - scale * mark.rate.share, right


def _off_intervals(
    mark: Mark, main: Sequence[Mark], right: bool, width: float, scale: float
) -> float:
    """The height, in pixels, nearest to a mark's at which its label crosses no other's interval."""
    height, reach = scale * mark.rate.share, REACH + LETTER * len(mark.title)
    away = width if right else -width
    spans = [
        (scale * other.rate.low - LINE / 2, scale * other.rate.high + LINE / 2)
        for other in main
        if REACH < away * (other.clean.share - mark.clean.share) < reach
    ]
    free = [
        place
        for place in (height, *(end for span in spans for end in span))
        if not any(low < place < high for low, high in spans)
    ]
    return min(free, key=lambda place: abs(place - height))


def _apart(heights: Sequence[float]) -> list[float]:
    """Rising heights moved apart to a line each, as little as one pass up and one down allow."""
    places = list(heights)
    for place in range(1, len(places)):
        gap = LINE - (places[place] - places[place - 1])
        if gap > 0:
            places[place - 1] -= gap / 2
            places[place] += gap / 2
    for place in reversed(range(1, len(places))):
        places[place - 1] = min(places[place - 1], places[place] - LINE)
    return places


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
            name=model_title(model),
            mode="lines+markers",
            line=line_style(number),
            customdata=[[record.setting.spacing, record.certified.total] for record in mine],
            hovertemplate="spacing %{customdata[0]}: %{y:.1%} of %{customdata[1]:,}"
            "<extra>%{fullData.name}</extra>",
        )
    xaxis = {
        "title": "forward passes a prediction",
        "type": "log",
        "tickvals": [spacing**2 for spacing in range(2, 17)],
    }
    return lay_out(figure, 460, "foot", xaxis=xaxis, yaxis={**SHARE, "title": "certified"})
