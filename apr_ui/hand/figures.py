"""A person's tries beside a search's: words, a curve and pictures. No streamlit here."""

from __future__ import annotations

from collections.abc import Iterable

import plotly.graph_objects as go
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from apr_core.attacks.result import PixelEdit, to_edits
from apr_core.by_hand.game import Game
from apr_core.data.cifar10 import CLASSES
from apr_core.serving.requests import RunView
from apr_ui.charts import AFTER
from apr_ui.pictures import RING, enlarge
from apr_ui.results.charts import COLOURS
from apr_ui.words import percent, plain

DIM = 0.55
LINEAR_UP_TO = 200
"""Queries: where there are more, the axis is logarithmic."""


def duel_words(game: Game, view: RunView) -> str:
    """Who flipped it, and after how many queries."""
    if view.outcome is None:
        return plain(view.error)
    mine, theirs = game.first_flip, view.outcome.queries if view.outcome.success else None
    name = CLASSES[game.label]
    if mine and theirs:
        who = "You were faster" if mine < theirs else "The search was faster"
        who = "A draw" if mine == theirs else who
        return f"**{who}**: you flipped it after {_queries(mine)}, the search after {theirs:,}."
    if mine:
        return (
            f"**You flipped it** after {_queries(mine)}; the search did not with "
            f"{view.outcome.queries:,}: its closest left {percent(view.outcome.true_after)} {name}."
        )
    if theirs:
        return (
            f"**The search flipped it** after {_queries(theirs)}; you have not with "
            f"{game.queries:,}: your closest left {percent(game.closest)} {name}."
        )
    return (
        f"**Neither flipped it.** Your closest left {percent(game.closest)} {name}, after "
        f"{_queries(game.queries)}; the search's {percent(view.outcome.true_after)}, after "
        f"{view.outcome.queries:,}."
    )


def _queries(count: int) -> str:
    return f"{count:,} {'query' if count == 1 else 'queries'}"


def duel(game: Game, view: RunView) -> go.Figure:
    """How sure the model was of the true class, against queries.

    A mark is one of the person's tries; the lines are the least so far, and the search's is known
    once a generation.
    """
    figure = go.Figure()
    tries = [game.true(tried) for tried in game.tries]
    numbers = list(range(1, len(tries) + 1))
    least = torch.tensor(tries).cummin(0).values.tolist()
    figure.add_scatter(
        x=numbers, y=least, name="you, the closest so far", mode="lines",
        line={"color": AFTER, "shape": "hv"}, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=numbers,
        y=tries,
        name="each of your tries",
        mode="markers",
        marker={
            "color": AFTER,
            "size": [12 if game.broke(tried) else 8 for tried in game.tries],
            "symbol": ["x" if game.broke(tried) else "circle" for tried in game.tries],
        },
        text=[_try_words(tried.edits[-1]) for tried in game.tries],
        hovertemplate="try %{x}, %{text}: %{y:.1%}<extra></extra>",
    )
    figure.add_scatter(
        x=[snapshot.queries for snapshot in view.snapshots],
        y=[snapshot.best_true for snapshot in view.snapshots],
        name="the search, the closest so far",
        mode="lines+markers",
        line={"color": COLOURS[1], "dash": "dash"},
        marker={
            "size": [13 if snapshot.flipped else 7 for snapshot in view.snapshots],
            "symbol": ["x" if snapshot.flipped else "diamond" for snapshot in view.snapshots],
        },
        hovertemplate="%{x:,} queries: %{y:.1%}<extra>the search</extra>",
    )
    return _laid_out(figure, max([*numbers, *(s.queries for s in view.snapshots)], default=1))


def _try_words(edit: PixelEdit) -> str:
    return f"({edit.x}, {edit.y}) rgb{edit.rgb}"


def _laid_out(figure: go.Figure, most: int) -> go.Figure:
    axis: dict[str, object] = {"title": "queries", "fixedrange": True, "tickformat": ","}
    if most > LINEAR_UP_TO:
        ticks = [first * 10**zeros for zeros in range(6) for first in (1, 2, 5)]
        axis |= {"type": "log", "tickvals": ticks}
    else:
        axis |= {"range": [0.5, most + 0.5]}
    figure.update_traces(cliponaxis=False)
    figure.update_layout(
        height=340,
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
        xaxis=axis,
        yaxis={
            "tickformat": ".0%",
            "range": [0, 1.03],
            "fixedrange": True,
            "title": "sure of the true class",
        },
        showlegend=True,
    )
    return figure


def looked_by_person(game: Game, scale: int) -> Image.Image:
    """Every pixel that was tried, in its colour; one that flipped the model is crossed."""
    picture = marked(game.image, (tried.edits[-1] for tried in game.tries), scale)
    draw = ImageDraw.Draw(picture)
    for tried in game.tries:
        if game.broke(tried):
            _cross(draw, tried.edits[-1], scale)
    return picture


def looked_by_search(view: RunView, scale: int) -> Image.Image:
    """Every candidate that stood in its population, in its colour; a flip is crossed."""
    candidates = {
        edit
        for snapshot in view.snapshots
        for edit in to_edits(snapshot.positions.flatten(0, 1), snapshot.colours.flatten(0, 1))
    }
    ordered = sorted(candidates, key=lambda edit: (edit.y, edit.x, edit.rgb))
    picture = marked(view.request.image, ordered, scale)
    if view.outcome is not None and view.outcome.success:
        draw = ImageDraw.Draw(picture)
        for edit in view.outcome.edits:
            _cross(draw, edit, scale)
    return picture


def marked(image: Tensor, edits: Iterable[PixelEdit], scale: int) -> Image.Image:
    """The picture, dim, with each edit's pixel in its colour."""
    picture = enlarge((image * DIM).to(torch.uint8), scale)
    draw = ImageDraw.Draw(picture)
    for edit in edits:
        left, top = edit.x * scale, edit.y * scale
        draw.rectangle(
            (left, top, left + scale - 1, top + scale - 1), fill=edit.rgb, outline=RING[0]
        )
    return picture


def _cross(draw: ImageDraw.ImageDraw, edit: PixelEdit, scale: int) -> None:
    """A cross that is seen on any colour, over the pixel and what is around it."""
    left, top = (edit.x - 0.7) * scale, (edit.y - 0.7) * scale
    right, bottom = (edit.x + 1.7) * scale, (edit.y + 1.7) * scale
    for width, colour in ((5, RING[1]), (2, RING[0])):
        draw.line((left, top, right, bottom), fill=colour, width=width)
        draw.line((left, bottom, right, top), fill=colour, width=width)
