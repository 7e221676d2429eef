"""A race in figures: its curves, and which edit breaks which model. No streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from apr_core.attacks.transfer import Cell, Effect
from apr_core.data.cifar10 import CLASSES
from apr_ui.race.words import Runner
from apr_ui.results.charts import COLOURS, DASHES

_MARKS = {"flipped": "x", "survived": "circle"}


def race_curves(runners: Sequence[Runner]) -> go.Figure:
    """How sure each model still is of the true class, for the best edit so far, against queries."""
    figure = go.Figure()
    for number, runner in enumerate(runners):
        snapshots = runner.view.snapshots
        if not snapshots:
            continue
        last = len(snapshots) - 1
        figure.add_scatter(
            x=[snapshot.queries for snapshot in snapshots],
            y=[snapshot.best_true for snapshot in snapshots],
            name=f"{runner.name}: {runner.ended}",
            mode="lines+markers",
            line={
                "color": COLOURS[number % len(COLOURS)],
                "dash": DASHES[number % len(DASHES)],
            },
            marker={
                "symbol": _MARKS.get(runner.ended, "line-ns-open"),
                "color": COLOURS[number % len(COLOURS)],
                "size": [0] * last + [11],
                "opacity": 1,
            },
            hovertemplate="%{x:,} queries: %{y:.1%}<extra>" + runner.name + "</extra>",
        )
    figure.update_layout(
        height=380,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
        xaxis={
            "type": "log",
            "title": "queries",
            "tickvals": [first * 10**zeros for zeros in range(7) for first in (1, 2, 5)],
            "tickformat": ",",
            "fixedrange": True,
        },
        yaxis={"tickformat": ".0%", "range": [0, 1.03], "fixedrange": True},
        showlegend=True,
    )
    return figure


def transfer_words(runners: Sequence[Runner], matrix: Sequence[Sequence[Cell]]) -> list[str]:
    """A sentence a row whose attack found something: which others its edit breaks."""
    sentences = []
    for row, (runner, cells) in enumerate(zip(runners, matrix, strict=True)):
        if not runner.fell:
            continue
        others = [
            (other.name, cell.effect)
            for column, (other, cell) in enumerate(zip(runners, cells, strict=True))
            if column != row and cell.effect is not Effect.MISREAD
        ]
        broken = [name for name, effect in others if effect is Effect.BREAKS]
        what = f": {', '.join(broken)}" if broken else ""
        sentences.append(
            f"The edit that broke **{runner.name}** breaks {len(broken)} of {len(others)} others"
            f"{what}."
        )
    return sentences


def cell_words(cell: Cell) -> str:
    """What a model reads after an edit, for a table: with a cross where that breaks it."""
    read = f"{CLASSES[cell.label]} {cell.confidence:.0%}"
    return {
        Effect.BREAKS: f"✗ {read}",
        Effect.HOLDS: read,
        Effect.MISREAD: f"({read})",
        Effect.NO_EDIT: "no edit",
    }[cell.effect]


def transfer_table(runners: Sequence[Runner], matrix: Sequence[Sequence[Cell]]) -> pd.DataFrame:
    """The matrix in words: an edit a row, a model a column."""
    rows = [
        {"Edit found on": runner.name, "Ended": runner.ended}
        | {other.name: cell_words(cell) for other, cell in zip(runners, cells, strict=True)}
        for runner, cells in zip(runners, matrix, strict=True)
    ]
    return pd.DataFrame(rows)


def transfer_chart(runners: Sequence[Runner], matrix: Sequence[Sequence[Cell]]) -> go.Figure:
    """The matrix as a heatmap: how sure each model still is of the true class; hover for more."""
    columns = [_wrapped(runner.name) for runner in runners]
    rows = [_wrapped(f"{run.name} ({run.ended})" if not run.fell else run.name) for run in runners]
    figure = go.Figure()
    figure.add_heatmap(
        z=[[cell.true for cell in cells] for cells in matrix],
        x=columns,
        y=rows,
        zmin=0,
        zmax=1,
        colorscale="Cividis",
        reversescale=True,
        xgap=2,
        ygap=2,
        text=[[_in_a_square(cell) for cell in cells] for cells in matrix],
        texttemplate="%{text}",
        textfont={"size": 12},  # without a size, Plotly shrinks it to nothing on a phone
        customdata=[
            [
                f"{_of_row(runner)}, shown to {other.name}:<br>{cell.effect}; read as "
                f"{CLASSES[cell.label]}, {cell.confidence:.1%} sure;<br>{cell.true:.1%} left to "
                "the true class"
                for other, cell in zip(runners, cells, strict=True)
            ]
            for runner, cells in zip(runners, matrix, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
        colorbar={
            "title": {"text": "left to the true class", "side": "bottom"},
            "orientation": "h",
            "thickness": 10,
            "tickformat": ".0%",
            "y": -0.05,
            "yanchor": "top",
        },
    )
    figure.update_layout(
        height=170 + 64 * len(runners),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        xaxis={"side": "top", "fixedrange": True, "showgrid": False, "title": "shown to"},
        yaxis={"autorange": "reversed", "fixedrange": True, "showgrid": False},
    )
    return figure


def _of_row(runner: Runner) -> str:
    kind = "The edit that broke" if runner.fell else "The closest edit on"
    return f"{kind} {runner.name}"


def _in_a_square(cell: Cell) -> str:
    """What is left to the true class: few letters, which a phone has room for."""
    left = f"{cell.true:.0%}"
    return {
        Effect.BREAKS: f"<b>✗ {left}</b>",
        Effect.HOLDS: left,
        Effect.MISREAD: f"({left})",
        Effect.NO_EDIT: "no edit",
    }[cell.effect]


def _wrapped(words: str) -> str:
    return words.replace(" ", "<br>")
