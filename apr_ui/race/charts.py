"""A race as figures and tables: its curves, and the transfer matrix of its edits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from apr_core.attacks.transfer import Cell, Effect
from apr_ui.charts import COLOUR_BAR, LOG_QUERIES, SHARE_TO_ONE, lay_out, line_style
from apr_ui.dataset import class_name
from apr_ui.race.words import Runner

_MARKS = {"flipped": "x", "survived": "circle"}
Matrix = Sequence[Sequence[Cell]]
"""A row for each run with an outcome, in their order: what each model predicts after its edit."""


def race_curves(runners: Sequence[Runner]) -> go.Figure:
    """The true class's probability for the best edit so far, against queries; one line a model."""
    figure = go.Figure()
    for number, runner in enumerate(runners):
        snapshots = runner.view.snapshots
        if not snapshots:
            continue
        line = line_style(number)
        figure.add_scatter(
            x=[snapshot.queries for snapshot in snapshots],
            y=[snapshot.best_true for snapshot in snapshots],
            name=f"{runner.name}: {runner.ended}",
            mode="lines+markers",
            line=line,
            marker={
                "symbol": _MARKS.get(runner.ended, "line-ns-open"),
                "color": line["color"],
                "size": [0] * (len(snapshots) - 1) + [11],
                "opacity": 1,
            },
            hovertemplate="%{x:,} queries: %{y:.1%}<extra>" + runner.name + "</extra>",
        )
    return lay_out(figure, 380, "below", xaxis=LOG_QUERIES, yaxis=SHARE_TO_ONE)


def transfer_words(runners: Sequence[Runner], matrix: Matrix) -> list[str]:
    """A sentence for each edit that broke its model: which other models it breaks."""
    sentences = []
    for row, (runner, cells) in enumerate(zip(runners, matrix, strict=True)):
        if not runner.fell:
            continue
        others = [
            (other.name, cell.effect)
            for column, (other, cell) in enumerate(zip(runners, cells, strict=True))
            if column != row and cell.effect is not Effect.MISREAD
        ]
        if not others:
            continue
        broken = [name for name, effect in others if effect is Effect.BREAKS]
        what = f": {', '.join(broken)}" if broken else ""
        sentences.append(
            f"The edit that fooled **{runner.name}** fools {len(broken)} of {len(others)} others"
            f"{what}."
        )
    return sentences


def _marked(cell: Cell, words: str) -> str:
    """Words about a model's prediction: ✗ where the edit breaks it, brackets where none did."""
    marks = {Effect.BREAKS: f"✗ {words}", Effect.MISREAD: f"({words})", Effect.NO_EDIT: "no edit"}
    return marks.get(cell.effect, words)


def transfer_table(runners: Sequence[Runner], matrix: Matrix) -> pd.DataFrame:
    """The matrix as a table: an edit a row, a model's prediction a column."""
    rows = [
        {"Edit found on": runner.name, "Ended": runner.ended}
        | {
            other.name: _marked(cell, f"{class_name(cell.label)} {cell.confidence:.0%}")
            for other, cell in zip(runners, cells, strict=True)
        }
        for runner, cells in zip(runners, matrix, strict=True)
    ]
    return pd.DataFrame(rows)


def transfer_chart(runners: Sequence[Runner], matrix: Matrix) -> go.Figure:
    """The matrix as a heatmap of the true class's probability; hover for more."""
    figure = go.Figure()
    rows = [run.name if run.fell else f"{run.name} ({run.ended})" for run in runners]
    figure.add_heatmap(
        z=[[cell.true for cell in cells] for cells in matrix],
        x=[runner.name.replace(" ", "<br>") for runner in runners],
        y=[row.replace(" ", "<br>") for row in rows],
        zmin=0,
        zmax=1,
        colorscale="Cividis",
        reversescale=True,
        xgap=2,
        ygap=2,
        text=[[_short(cell) for cell in cells] for cells in matrix],
        texttemplate="%{text}",
        textfont={"size": 12},  # without a size, Plotly shrinks it to nothing on a phone
        customdata=[
            [_hover_text(runner, other, cell) for other, cell in zip(runners, cells, strict=True)]
            for runner, cells in zip(runners, matrix, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
        colorbar={
            **COLOUR_BAR,
            "title": {"text": "probability of the true class", "side": "bottom"},
            "tickformat": ".0%",
            "y": -0.05,
        },
    )
    xaxis = {"side": "top", "showgrid": False, "title": "shown to"}
    yaxis = {"autorange": "reversed", "showgrid": False}
    return lay_out(figure, 170 + 64 * len(runners), margin={"b": 10}, xaxis=xaxis, yaxis=yaxis)


def _short(cell: Cell) -> str:
    """The true class's probability: short enough for a phone."""
    words = _marked(cell, f"{cell.true:.0%}")
    return f"<b>{words}</b>" if cell.effect is Effect.BREAKS else words


def _hover_text(runner: Runner, other: Runner, cell: Cell) -> str:
    kind = "The edit that fooled" if runner.fell else "The closest edit on"
    return (
        f"{kind} {runner.name}, shown to {other.name}:<br>{cell.effect}; predicted "
        f"{class_name(cell.label)}, {cell.confidence:.1%} sure;<br>the true class has "
        f"{cell.true:.1%}"
    )
