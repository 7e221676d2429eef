"""Figures of the Classes page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from torch import Tensor

from apr_core.evaluation.metrics import Mean
from apr_ui.charts import BEFORE, COLOURS, lay_out


def flips(matrix: Tensor, classes: Sequence[str]) -> go.Figure:
    """How many images of each class (down) became each other class (across), (K, K)."""
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
    title = {"text": "predicted after the edit", "standoff": 10}
    xaxis = {"title": title, "showgrid": False, "automargin": True}
    yaxis = {"autorange": "reversed", "showgrid": False}
    return lay_out(figure, 420, margin={"b": 10}, xaxis=xaxis, yaxis=yaxis)


def ratios(means: Mapping[str, Mean | None], notable: float) -> go.Figure:
    """How much attention prefers the object, class by class.

    Args:
        notable: half the width of the band around 1, no preference, that counts as none either; the
            axis shows all of it, so that a small effect does not look large.
    """
    known = {name: mean for name, mean in means.items() if mean is not None}
    lows, highs = (
        [getattr(mean, end) or mean.mean for mean in known.values()] for end in ("low", "high")
    )
    centres = [mean.mean for mean in known.values()]
    figure = go.Figure()
    figure.add_scatter(
        x=centres,
        y=list(known),
        mode="markers",
        marker={"size": 10, "color": COLOURS[1]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - mean for high, mean in zip(highs, centres, strict=True)],
            "arrayminus": [mean - low for low, mean in zip(lows, centres, strict=True)],
        },
        customdata=[mean.runs for mean in known.values()],
        hovertemplate="%{y}: %{x:.3f} over %{customdata} pictures<extra></extra>",
    )
    figure.add_vrect(1 - notable, 1 + notable, fillcolor=BEFORE, opacity=0.15, line_width=0)
    figure.add_vline(x=1, line={"dash": "dash", "color": BEFORE})
    xaxis = {
        "title": "attention on the object ÷ its area",
        "range": [min([1 - 1.5 * notable, *lows]), max([1 + 1.5 * notable, *highs])],
    }
    return lay_out(
        figure, max(340, 60 + 20 * len(known)), xaxis=xaxis, yaxis={"autorange": "reversed"}
    )
