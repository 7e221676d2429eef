"""Confirmation: flips of a fast copy of a model, verified by the model itself in float32.

A search scores its candidates on a folded copy, in half precision, or by few samples of a random
model. A flip counts when the model itself gives the edited image another class, in float32; where
it does not, the next best flip is tried. Confirmations are no queries.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

GROWTH = 4
"""How many times as many candidates a row the next round confirms: 1, 4, 16, ... The first holds
nearly always."""
MOST_AT_ONCE = 256
"""Candidates of all rows in a round, but for one a row: they are drawn together."""

Upheld = Callable[[Tensor, Tensor], Tensor]
"""Rows (n,) and slots (n,) of candidates -> whether the model itself is flipped, (n,) bool."""


def confirm_flips(flipped: Tensor, cost: Tensor, upheld: Upheld) -> Tensor:
    """Flips without those that the model refuted before it confirmed one of their row.

    Args:
        flipped: which of P candidates in each of A rows flip the fast copy, (A, P) bool.
        cost: the lower, the sooner a flip is tried, (A, P); of equals, the first slot.
        upheld: asks the model itself.

    Returns:
        (A, P) bool. The cheapest flip left in a row is confirmed; dearer ones need not be.
    """
    left = flipped.clone()
    counts = flipped.sum(dim=1)
    open_rows = counts > 0
    if not bool(open_rows.any()):
        return left
    order = cost.masked_fill(~flipped, float("inf")).argsort(dim=1, stable=True)
    first, size = 0, 1
    while bool(open_rows.any()):
        rows = open_rows.nonzero()[:, 0]
        size = min(size, max(1, MOST_AT_ONCE // len(rows)))
        slots = order[rows, first : first + size]  # dim -> (rows, at most size)
        place, column = flipped[rows[:, None], slots].nonzero(as_tuple=True)
        row, slot = rows[place], slots[place, column]
        holds = upheld(row, slot)
        left[row[~holds], slot[~holds]] = False
        first += size
        open_rows &= counts > first
        open_rows[row[holds]] = False
        size *= GROWTH
    return left
