"""Maps over their pictures, as figures; no streamlit here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from torch import Tensor

from apr_core.attacks.result import PixelEdit
from apr_core.evaluation.metrics import Mean

SIDE = 250
"""Screen pixels of a picture's side."""
SIGNED, UNSIGNED = "RdBu_r", "Viridis"


def overlay(
    image: Tensor,
    values: Tensor,
    limit: float,
    signed: bool,
    opacity: float,
    edits: Sequence[PixelEdit] = (),
) -> go.Figure:
    """A map over its picture; hover for values; a ring is around each edited pixel.

    Args:
        image: uint8 (3, H, W).
        values: (H, W).
        limit: the value at the end of the colour scale, which several maps may share.
        signed: whether values below 0 speak against the class; the scale is then symmetric.
        opacity: of the map, in [0, 1].
    """
    figure = go.Figure()
    figure.add_image(z=image.permute(1, 2, 0).tolist(), hoverinfo="skip")
    figure.add_heatmap(
        z=values.tolist(),
        zmin=-limit if signed else 0,
        zmax=limit or 1,
        colorscale=SIGNED if signed else UNSIGNED,
        opacity=opacity,
        showscale=False,
        hovertemplate="(%{x}, %{y}): %{z:.3g}<extra></extra>",
    )
    if edits:
        figure.add_scatter(
            x=[edit.x for edit in edits],
            y=[edit.y for edit in edits],
            mode="markers",
            marker={
                "symbol": "circle-open",
                "size": 16,
                "color": "white",
                "line": {"width": 3},
            },
            hoverinfo="skip",
        )
    figure.update_layout(
        width=SIDE,
        height=SIDE,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        showlegend=False,
        xaxis={"visible": False, "fixedrange": True},
        yaxis={
            "visible": False,
            "fixedrange": True,
            "autorange": "reversed",
            "scaleanchor": "x",
        },
    )
    return figure


def flips(matrix: Tensor, classes: Sequence[str]) -> go.Figure:
    """How many images of each class (down) fell to each other (across), (K, K)."""
    figure = go.Figure()
    figure.add_heatmap(
        z=matrix.tolist(),
        x=list(classes),
        y=list(classes),
        text=[[str(count) if count else "" for count in row] for row in matrix.tolist()],
        texttemplate="%{text}",
        colorscale="Blues",
        showscale=False,
        xgap=1,
        ygap=1,
        hovertemplate="%{y} → %{x}: %{z}<extra></extra>",
    )
    figure.update_layout(
        height=420,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"title": "read as, after the edit", "fixedrange": True},
        yaxis={"autorange": "reversed", "fixedrange": True},
    )
    return figure


def ratios(means: Mapping[str, Mean | None]) -> go.Figure:
    """How much attention prefers the object, class by class; the line at 1 is no preference."""
    known = {name: mean for name, mean in means.items() if mean is not None}
    figure = go.Figure()
    figure.add_scatter(
        x=[mean.mean for mean in known.values()],
        y=list(known),
        mode="markers",
        marker={"size": 10, "color": "#00798c"},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(mean.high or mean.mean) - mean.mean for mean in known.values()],
            "arrayminus": [mean.mean - (mean.low or mean.mean) for mean in known.values()],
        },
        customdata=[mean.runs for mean in known.values()],
        hovertemplate="%{y}: %{x:.3f} over %{customdata} pictures<extra></extra>",
    )
    figure.add_vline(x=1, line={"dash": "dash", "color": "#7a869a"})
    figure.update_layout(
        height=340,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        showlegend=False,
        xaxis={"title": "attention on the object ÷ its share of the picture", "fixedrange": True},
        yaxis={"autorange": "reversed", "fixedrange": True},
    )
    return figure
