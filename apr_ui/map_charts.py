"""Maps over their pictures, as figures; no streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from torch import Tensor

from apr_core.attacks.result import PixelEdit

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
