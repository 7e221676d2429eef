"""Hints: how close a pixel is to a flip, and a search with the same number of queries."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.truth_map import TruthMap
from apr_core.by_hand.game import Game, Heat, Hint

HOT, WARM = 0.05, 0.25
"""Shares of the pixels: those that the model withstands least are hot, the next ones warm."""
FEWEST_QUERIES, EVOLVES = 4, 8
"""The least that a search takes; from how many on it is given two generations at least."""


def with_hint(game: Game, found: TruthMap, x: int, y: int) -> Game:
    """Give a hint on a pixel.

    Args:
        found: truth map of the picture with the game's `base` edits.
    """
    heat, rank = heat_of(found, x, y)
    hint = Hint(x, y, heat, rank, found.margins.numel(), game.queries)
    return replace(game, hints=(*game.hints, hint))


def heat_of(found: TruthMap, x: int, y: int) -> tuple[Heat, int]:
    """How warm a pixel is, and its rank: one more than the pixels that the model withstands less.

    A pixel that was not tried, because it is proven harmless, is cold and has the rank 0.
    """
    margin = found.margins[y, x]
    if not bool(margin.isfinite()):
        return Heat.COLD, 0
    rank = 1 + int((found.margins < margin).sum())
    pixels = found.margins.numel()
    if bool(found.broken[y, x]) or rank <= HOT * pixels:
        return Heat.HOT, rank
    return (Heat.WARM if rank <= WARM * pixels else Heat.COLD), rank


def search_config(queries: int, pixels: int, seed: int = 0) -> OnePixelConfig:
    """The published search, cut down to a person's number of queries.

    The budget, population × (generations + 1), is as near to `queries` as can be and never above,
    but for a person who needed fewer than the 4 that a search takes at least. From 8 queries on
    there are two generations or more, since one alone does not evolve. Of the shapes that are
    equally near, the squarest is taken.
    """
    queries = max(queries, FEWEST_QUERIES)
    rounds = 2 if queries >= EVOLVES else 1
    shapes = [(size, queries // size) for size in range(FEWEST_QUERIES, queries // rounds + 1)]
    root = isqrt(queries)
    population, turns = max(
        shapes, key=lambda shape: (shape[0] * shape[1], -abs(shape[0] - root), -shape[0])
    )
    return OnePixelConfig(pixels=pixels, population=population, generations=turns - 1, seed=seed)
