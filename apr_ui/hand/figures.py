"""A person's tries beside a search's: words, a curve and pictures."""

from __future__ import annotations

import plotly.graph_objects as go
import torch
from PIL import Image

from apr_core.attacks.result import to_edits
from apr_core.base.words import percent
from apr_core.by_hand.game import Game
from apr_core.serving.requests import RunView
from apr_ui.charts import AFTER, COLOURS, LOG_QUERIES, QUERIES, SHARE_TO_ONE, lay_out
from apr_ui.dataset import class_name
from apr_ui.pictures import tried
from apr_ui.words import count_text, edit_text, plain

LINEAR_UP_TO = 200
"""Queries: beyond them, the axis is logarithmic."""


def duel_words(game: Game, view: RunView) -> str:
    """Who flipped the prediction, and after how many queries."""
    outcome = view.outcome
    if outcome is None:
        return plain(view.error)
    mine, theirs = game.first_flip, outcome.queries if outcome.success else None
    name, asked = class_name(game.label), f"{outcome.queries:,} queries"
    my_closest = f"closest edit left {percent(game.closest)} {name}"
    its_closest = f"closest edit left {percent(outcome.true_after)} {name}"
    if mine and theirs:
        who = "You were faster" if mine < theirs else "The search was faster"
        who = "A draw" if mine == theirs else who
        return f"**{who}**: you flipped it after {_queries(mine)}, the search after {theirs:,}."
    if mine:
        return (
            f"**You flipped it** after {_queries(mine)}. The search did not, with {asked}: its "
            f"{its_closest}."
        )
    if theirs:
        return (
            f"**The search flipped it** after {_queries(theirs)}. You have not yet, with "
            f"{_queries(game.queries)}: your {my_closest}."
        )
    return (
        f"**Neither flipped it.** After {_queries(game.queries)}, your {my_closest}; after "
        f"{asked}, the search's {its_closest}."
    )


def _queries(count: int) -> str:
    return count_text(count, "query", "queries")


def duel(game: Game, view: RunView) -> go.Figure:
    """The true class's probability against queries, for the person and for the search.

    A mark is one of the person's tries; the lines are the least so far, and the search's has a
    point a generation.
    """
    tries = [game.true(one) for one in game.tries]
    broke = [game.broke(one) for one in game.tries]
    numbers = list(range(1, len(tries) + 1))
    queries = [snapshot.queries for snapshot in view.snapshots]
    flipped = [snapshot.flipped for snapshot in view.snapshots]
    figure = go.Figure()
    figure.add_scatter(
        x=numbers,
        y=torch.tensor(tries).cummin(0).values.tolist(),
        name="you, the closest so far",
        mode="lines",
        line={"color": AFTER, "shape": "hv"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=numbers,
        y=tries,
        name="each of your queries",
        mode="markers",
        marker={
            "color": AFTER,
            "size": [12 if won else 8 for won in broke],
            "symbol": ["x" if won else "circle" for won in broke],
        },
        text=[edit_text(one.edits[-1]) for one in game.tries],
        hovertemplate="query %{x}, %{text}: %{y:.1%}<extra></extra>",
    )
    figure.add_scatter(
        x=queries,
        y=[snapshot.best_true for snapshot in view.snapshots],
        name="the search, the closest so far",
        mode="lines+markers",
        line={"color": COLOURS[1], "dash": "dash"},
        marker={
            "size": [13 if won else 7 for won in flipped],
            "symbol": ["x" if won else "diamond" for won in flipped],
        },
        hovertemplate="%{x:,} queries: %{y:.1%}<extra>the search</extra>",
    )
    figure.update_traces(cliponaxis=False)
    most = max([*numbers, *queries], default=1)
    xaxis = LOG_QUERIES if most > LINEAR_UP_TO else {**QUERIES, "range": [0.5, most + 0.5]}
    yaxis = {**SHARE_TO_ONE, "title": "probability of the true class"}
    return lay_out(figure, 340, "below", xaxis=xaxis, yaxis=yaxis)


def tried_by_person(game: Game, scale: int) -> Image.Image:
    """Every pixel that was tried, in its colour; one that flipped the model is crossed."""
    edits = [one.edits[-1] for one in game.tries]
    winners = [one.edits[-1] for one in game.tries if game.broke(one)]
    return tried(game.image, edits, winners, scale)


def tried_by_search(view: RunView, scale: int) -> Image.Image:
    """Every candidate that was in the population, in its colour; a flip is crossed."""
    candidates = {
        edit
        for snapshot in view.snapshots
        for edit in to_edits(snapshot.positions.flatten(0, 1), snapshot.colours.flatten(0, 1))
    }
    ordered = sorted(candidates, key=lambda edit: (edit.y, edit.x, edit.rgb))
    winners = view.outcome.edits if view.outcome and view.outcome.success else ()
    return tried(view.request.image, ordered, winners, scale)
