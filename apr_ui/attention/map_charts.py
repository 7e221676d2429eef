"""What the Classes page draws as figures; no streamlit here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from torch import Tensor

from apr_core.evaluation.metrics import Mean


def flips(matrix: Tensor, classes: Sequence[str]) -> go.Figure:
    """How many images of each class (down) fell to each other (across), (K, K)."""
    figure = go.Figure()
    figure.add_heatmap(
        z=matrix.tolist(),
        x=list(classes),
        y=list(classes),
        text=[[str(count) if count else "" for count in row] for row in matrix.tolist()],
        texttemplate="%{text}",
        colorscale=[[0, "rgba(122, 134, 154, 0.12)"], [1e-6, "#8fcbd3"], [1, "#00566b"]],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{y} → %{x}: %{z}<extra></extra>",
    )
    figure.update_layout(
        height=420,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={
            "title": {"text": "read as, after the edit", "standoff": 10},
            "fixedrange": True,
            "showgrid": False,
            "automargin": True,
        },
        yaxis={"autorange": "reversed", "fixedrange": True, "showgrid": False},
    )
    return figure


def ratios(means: Mapping[str, Mean | None], notable: float) -> go.Figure:
    """How much attention prefers the object, class by class.

    Args:
        notable: from 1, which is no preference, how far a band reaches that is called none either;
            the axis shows all of it, so that little does not look like much.
    """
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
    figure.add_vrect(1 - notable, 1 + notable, fillcolor="#7a869a", opacity=0.15, line_width=0)
    figure.add_vline(x=1, line={"dash": "dash", "color": "#7a869a"})
    figure.update_layout(
        height=340,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        showlegend=False,
        xaxis={
            "title": "attention on the object ÷ its area",
            "fixedrange": True,
            "range": [
                min([1 - 1.5 * notable, *(mean.low or mean.mean for mean in known.values())]),
                max([1 + 1.5 * notable, *(mean.high or mean.mean for mean in known.values())]),
            ],
        },
        yaxis={"autorange": "reversed", "fixedrange": True},
    )
    return figure
