"""Results to figures; no streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from apr_core.attacks.truth_map import TruthMap
from apr_core.training.fit import Progress

BEFORE, AFTER = "#7a869a", "#d1495b"
"""Grey-blue and red: told apart by lightness too, and named in the legend."""


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
    names = [classes[k] for k in order]
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
    figure.update_layout(
        barmode="group",
        height=60 + 46 * len(names),
        margin={"l": 10, "r": 30, "t": 10, "b": 30},
        legend={"orientation": "h", "traceorder": "reversed", "y": 1.02, "yanchor": "bottom"},
        xaxis={"range": [0, 1.08], "tickformat": ".0%", "fixedrange": True},
        yaxis={"fixedrange": True},
    )
    return figure


def truth_map(found: TruthMap) -> go.Figure:
    """How far the worst corner colour leaves each pixel from breaking the model; hover for values.

    A cross is on what breaks it, a dot on what is proven harmless.
    """
    tried = found.margins.isfinite()
    shown = torch.where(tried, found.margins, torch.nan)
    height, width = shown.shape
    figure = go.Figure()
    figure.add_heatmap(
        z=shown.tolist(),
        text=[[_pixel_words(found, x, y) for x in range(width)] for y in range(height)],
        hovertemplate="(%{x}, %{y}): %{text}<extra></extra>",
        colorscale="Viridis",
        colorbar={
            "title": {"text": "logits left to the true class", "side": "bottom"},
            "orientation": "h",
            "thickness": 10,
            "y": -0.08,
            "yanchor": "top",
        },
    )
    marks = (
        ("breaks it", found.broken, {"symbol": "x", "color": AFTER, "size": 8}),
        ("proven harmless", found.certified, {"symbol": "circle", "color": BEFORE, "size": 4}),
    )
    for name, where, marker in marks:
        rows, columns = where.nonzero().unbind(1)
        if len(rows):
            figure.add_scatter(
                x=columns.tolist(),
                y=rows.tolist(),
                mode="markers",
                name=name,
                marker=marker | {"line": {"width": 1, "color": "white"}},
                hoverinfo="skip",
            )
    figure.update_layout(
        height=400,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        xaxis={"fixedrange": True, "constrain": "domain", "side": "top", "showgrid": False},
        yaxis={
            "autorange": "reversed",
            "scaleanchor": "x",
            "constrain": "domain",
            "fixedrange": True,
            "showgrid": False,
        },
    )
    return figure


def _pixel_words(found: TruthMap, x: int, y: int) -> str:
    if bool(found.certified[y, x]):
        return "proven harmless"
    margin = float(found.margins[y, x])
    if margin == float("inf"):
        return "not tried"
    colour = "rgb(" + ", ".join(map(str, found.colours[y, x].tolist())) + ")"
    if bool(found.broken[y, x]):
        return f"{colour} breaks it"
    return f"{colour} does most, and leaves {margin:.2f}"


def describe_bars(classes: tuple[str, ...], before: Tensor, after: Tensor) -> str:
    """The same in words."""
    first, last = int(before.argmax()), int(after.argmax())
    return (
        f"Before: {classes[first]} {float(before[first]):.0%}. After: {classes[last]} "
        f"{float(after[last]):.0%}, {classes[first]} {float(after[first]):.0%}."
    )


def loss_curve(progress: Sequence[Progress]) -> go.Figure:
    """The loss over the epochs: the mean since each epoch's beginning, at every report."""
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
    """Shares of images over the epochs: right in training, right in the test, and unflipped."""
    figure = go.Figure()
    figure.add_scatter(
        x=[_epochs_done(report) for report in progress],
        y=[report.accuracy for report in progress],
        name="right, training",
        line={"color": BEFORE, "dash": "dot"},
    )
    looked = [report for report in progress if report.found]
    figure.add_scatter(
        x=[report.epoch for report in looked],
        y=[report.found["test_accuracy"] for report in looked],
        name="right, test",
        mode="lines+markers",
        line={"color": BEFORE},
    )
    probed = [report for report in looked if report.found["probed"]]
    figure.add_scatter(
        x=[report.epoch for report in probed],
        y=[1 - report.found["flipped"] / report.found["probed"] for report in probed],
        name="withstood the probe",
        mode="lines+markers",
        line={"color": AFTER},
        marker={"symbol": "diamond", "size": 9},
    )
    figure.update_traces(hovertemplate="epoch %{x:.1f}: %{y:.0%}<extra>%{fullData.name}</extra>")
    return _over_epochs(figure, progress, {"range": [0, 1.03], "tickformat": ".0%"})


def _epochs_done(report: Progress) -> float:
    return report.epoch - 1 + report.step / report.steps


def _over_epochs(
    figure: go.Figure, progress: Sequence[Progress], yaxis: dict[str, object]
) -> go.Figure:
    figure.update_traces(cliponaxis=False)
    figure.update_layout(
        height=260,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        showlegend=True,
        xaxis={"title": "epoch", "range": [0, progress[-1].epochs], "fixedrange": True},
        yaxis={"fixedrange": True, **yaxis},
    )
    return figure
