"""Results to figures; no streamlit here."""

from __future__ import annotations

import plotly.graph_objects as go
from torch import Tensor

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


def describe_bars(classes: tuple[str, ...], before: Tensor, after: Tensor) -> str:
    """The same in words."""
    first, last = int(before.argmax()), int(after.argmax())
    return (
        f"Before: {classes[first]} {float(before[first]):.0%}. After: {classes[last]} "
        f"{float(after[last]):.0%}, {classes[first]} {float(after[first]):.0%}."
    )
