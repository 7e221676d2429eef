"""Figures in Plotly, and the layout that all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from apr_core.attacks.truth_map import TruthMap
from apr_core.training.fit import Progress

BEFORE, AFTER = "#7a869a", "#d1495b"
"""Grey-blue and red: they differ in lightness too, and are named in the legend."""
COLOURS = (AFTER, "#0f8b9e", "#b9790f", "#4a7fb0", "#9a6bb5", "#5c946e", "#a8695c", BEFORE)
"""Each has a contrast of 3 with the background of both themes, and black text on it has 4.5."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Of many lines: no two neighbours share both."""
CROSS = {"symbol": "x", "color": AFTER, "size": 8}
DOT = {"symbol": "circle", "color": BEFORE, "size": 4}
SHARE = {"tickformat": ".0%"}
SHARE_TO_ONE = {**SHARE, "range": [0, 1.03]}
QUERIES = {"title": "queries", "tickformat": ","}
LOG_QUERIES = {
    **QUERIES,
    "type": "log",
    "tickvals": [first * 10**zeros for zeros in range(7) for first in (1, 2, 5)],
}
MOST_LETTERS = 16
"""Of a class's name on a line beside its bars, so that the bars have room on a phone."""
COLOUR_BAR = {"orientation": "h", "thickness": 10, "yanchor": "top"}
_LEGENDS: dict[str, dict[str, Any]] = {
    "above": {"y": 1.02, "yanchor": "bottom"},
    "below": {"y": -0.25, "yanchor": "top"},
    "foot": {"yref": "container", "y": 0, "yanchor": "bottom"},
}


def line_style(number: int) -> dict[str, Any]:
    """Colour and dash of the line of a number."""
    return {"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number % len(DASHES)]}


def lay_out(figure: go.Figure, height: int, legend: str = "", **layout: Any) -> go.Figure:
    """The figure with the layout that all share: small margins, and axes that do not zoom.

    Args:
        height: in CSS pixels.
        legend: where it stands: above, below, foot, or "" for none.
        layout: more of Plotly's layout.
    """
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        showlegend=bool(legend),
        legend={"orientation": "h", **_LEGENDS.get(legend, {})},
    )
    figure.update_layout(**layout)
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True)
    return figure


def confidence_bars(
    classes: tuple[str, ...], before: Tensor, after: Tensor, most: int = 5
) -> go.Figure:
    """Class probabilities before and after the edit, side by side.

    Args:
        classes: names of the K classes.
        before, after: probabilities, (K,).
        most: how many classes to show, those with the largest probability in either.
    """
    order = before.maximum(after).argsort(descending=True)[:most].flip(0).tolist()
    names = ["<br>".join(wrap(classes[k], MOST_LETTERS)) for k in order]
    figure = go.Figure()
    for name, values, colour, pattern in (
        ("after", after, AFTER, "/"),
        ("before", before, BEFORE, ""),
    ):
        shown = [float(values[k]) for k in order]
        figure.add_bar(
            y=names,
            x=shown,
            name=name,
            orientation="h",
            marker={"color": colour, "pattern": {"shape": pattern, "solidity": 0.25}},
            text=[f"{value:.0%}" for value in shown],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.1%} " + name + "<extra></extra>",
        )
    xaxis = {**SHARE, "range": [0, 1.08]}
    height, margin = 60 + 46 * len(names), {"r": 30, "b": 30}
    lay_out(figure, height, "above", barmode="group", xaxis=xaxis, margin=margin)
    return figure.update_layout(legend_traceorder="reversed")


def describe_bars(classes: tuple[str, ...], before: Tensor, after: Tensor) -> str:
    """The bars in words."""
    first, last = int(before.argmax()), int(after.argmax())
    return (
        f"Before: {classes[first]} {float(before[first]):.0%}. After: {classes[last]} "
        f"{float(after[last]):.0%}, {classes[first]} {float(after[first]):.0%}."
    )


def mask_votes(shares: Tensor, sure: Tensor, name: str) -> go.Figure:
    """How sure a model is of a class under every two masks; on the diagonal, under one.

    Args:
        shares: (G, G) in [0, 1], the first mask in the row; NaN where none was looked at.
        sure: (G, G) bool: where that counts. A cross marks what does not.
        name: of the class.
    """
    parts = list(range(1, len(shares) + 1))
    figure = go.Figure()
    figure.add_heatmap(
        x=parts,
        y=parts,
        z=shares.tolist(),
        text=[[f"part {a}" if a == b else f"parts {a} and {b}" for b in parts] for a in parts],
        hovertemplate=f"%{{text}} masked: {name} %{{z:.0%}}<extra></extra>",
        hoverongaps=False,
        zmin=0,
        zmax=1,
        colorscale="Viridis",
        xgap=1,
        ygap=1,
        colorbar={
            **COLOUR_BAR,
            "title": {"text": f"confidence in {name}", "side": "bottom"},
            "tickformat": ".0%",
            "y": -0.08,
        },
    )
    _mark(figure, "disagrees", shares.isfinite() & ~sure, CROSS, first=1)
    return _squared(figure, title="part masked", tickvals=parts[:: max(1, len(parts) // 4)])


def truth_map(found: TruthMap) -> go.Figure:
    """The margin that each pixel's worst corner colour leaves to the true class; hover for values.

    A cross marks a pixel that fools the model, a dot one that is proven harmless.
    """
    height, width = found.margins.shape
    figure = go.Figure()
    figure.add_heatmap(
        z=torch.where(found.margins.isfinite(), found.margins, torch.nan).tolist(),
        text=[[_pixel_text(found, x, y) for x in range(width)] for y in range(height)],
        hovertemplate="(%{x}, %{y}): %{text}<extra></extra>",
        colorscale="Viridis",
        colorbar={
            **COLOUR_BAR,
            "title": {"text": "safety margin (lower is closer to fooled)", "side": "bottom"},
            "y": -0.08,
        },
    )
    _mark(figure, "fools the model", found.broken, CROSS)
    _mark(figure, "proven harmless", found.certified, DOT)
    return _squared(figure)


def _mark(
    figure: go.Figure, name: str, where: Tensor, marker: dict[str, Any], first: int = 0
) -> None:
    """Marks on a heatmap's cells (H, W) bool, whose rows and columns are counted from `first`."""
    rows, columns = (where.nonzero() + first).unbind(1)
    if len(rows):
        figure.add_scatter(
            x=columns.tolist(),
            y=rows.tolist(),
            mode="markers",
            name=name,
            marker=marker | {"line": {"width": 1, "color": "white"}},
            hoverinfo="skip",
        )


def _squared(figure: go.Figure, **axes: Any) -> go.Figure:
    """A heatmap of square cells, its first row on top."""
    axes |= {"constrain": "domain", "showgrid": False}
    return lay_out(
        figure,
        400,
        "above",
        margin={"b": 10},
        xaxis={**axes, "side": "top"},
        yaxis={**axes, "autorange": "reversed", "scaleanchor": "x"},
    )


def _pixel_text(found: TruthMap, x: int, y: int) -> str:
    if bool(found.certified[y, x]):
        return "proven harmless"
    margin = float(found.margins[y, x])
    if margin == float("inf"):
        return "not tried"
    colour = "rgb(" + ", ".join(map(str, found.colours[y, x].tolist())) + ")"
    if bool(found.broken[y, x]):
        return f"{colour} fools the model"
    return f"{colour} is the worst, with a margin of {margin:.2f}"


def loss_curve(progress: Sequence[Progress]) -> go.Figure:
    """The loss over the epochs: the mean since the beginning of each epoch, at every report."""
    figure = go.Figure()
    figure.add_scatter(
        x=[_epochs_done(report) for report in progress],
        y=[report.loss for report in progress],
        name="loss",
        line={"color": BEFORE},
        hovertemplate="epoch %{x:.1f}: %{y:.3f}<extra></extra>",
    )
    return _over_epochs(figure, progress, {"rangemode": "tozero"})


def learning_curves(progress: Sequence[Progress]) -> go.Figure:
    """Accuracy in training and in the test, and the share not flipped by the test attack."""
    tested = [report for report in progress if report.found]
    probed = [report for report in tested if report.found["probed"]]
    withstood = [1 - report.found["flipped"] / report.found["probed"] for report in probed]
    figure = go.Figure()
    figure.add_scatter(
        x=[_epochs_done(report) for report in progress],
        y=[report.accuracy for report in progress],
        name="right, training",
        line={"color": BEFORE, "dash": "dot"},
    )
    for reports, shares, name, style in (
        (tested, [one.found["test_accuracy"] for one in tested], "right, test", {}),
        (probed, withstood, "not flipped by the test attack", {"symbol": "diamond", "size": 9}),
    ):
        figure.add_scatter(
            x=[report.epoch for report in reports],
            y=shares,
            name=name,
            mode="lines+markers",
            line={"color": AFTER if style else BEFORE},
            marker=style,
        )
    figure.update_traces(hovertemplate="epoch %{x:.1f}: %{y:.0%}<extra>%{fullData.name}</extra>")
    return _over_epochs(figure, progress, SHARE_TO_ONE)


def _epochs_done(report: Progress) -> float:
    return report.epoch - 1 + report.step / report.steps


def _over_epochs(
    figure: go.Figure, progress: Sequence[Progress], yaxis: Mapping[str, Any]
) -> go.Figure:
    figure.update_traces(cliponaxis=False)
    xaxis = {"title": "epoch", "range": [0, progress[-1].epochs]}
    return lay_out(figure, 260, "above", xaxis=xaxis, yaxis=yaxis)
