"""What one-pixel edits were scored, so that none is scored twice.

As differential evolution closes in on a place it proposes the same edits again: over 100
generations, about every second one. Edits of several pixels hardly ever recur, and are not
remembered.
"""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.attacks.edits import Edits

SIDE, COLOURS = 2**12, 2**24
"""Bounds of a coordinate, and how many colours there are: with an image's row, 63 bits hold all."""


class Memo:
    """Logits by edit. Ask `fresh` which edits are new, then `complete` their logits to all."""

    def __init__(self) -> None:
        self._keys: Tensor | None = None
        self._logits: Tensor | None = None
        self._places: Tensor | None = None

    def fresh(self, edits: Edits, rows: Tensor) -> Edits:
        """Those of the edits (N) that were not scored yet, each once.

        There is always one at least: where all are known, the first is scored again.

        Args:
            rows: (A,), which image of the search each of the edits' images is.
        """
        keys, self._places = torch.unique(_key(edits, rows), return_inverse=True)
        order = torch.arange(len(edits), device=keys.device)
        first = torch.full_like(keys, len(edits)).scatter_reduce(0, self._places, order, "amin")
        known = self._known(keys)
        known[0] &= not bool(known.all())
        self._asked, self._unknown = keys, ~known
        return edits.take(first[~known])

    def complete(self, logits: Tensor) -> Tensor:
        """Logits (n, K) of the fresh edits -> of all of them (N, K)."""
        keys, unknown = self._asked, self._unknown
        every = logits.new_empty(len(keys), logits.shape[1])
        every[unknown] = logits
        if self._keys is None or self._logits is None:
            self._keys, self._logits = keys, every
        else:
            every[~unknown] = self._logits[torch.searchsorted(self._keys, keys[~unknown])]
            merged = torch.cat([self._keys, keys[unknown]])
            self._keys, order = merged.sort(stable=True)
            self._logits = torch.cat([self._logits, logits])[order]
        assert self._places is not None, "ask for the fresh ones first"
        return every[self._places]

    def _known(self, keys: Tensor) -> Tensor:
        if self._keys is None:
            return torch.zeros_like(keys, dtype=torch.bool)
        place = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
        return self._keys[place] == keys


def _key(edits: Edits, rows: Tensor) -> Tensor:
    """A number for each one-pixel edit (N, 1, ...) of each image, (N,) int64."""
    x, y = edits.positions[:, 0].unbind(1)
    red, green, blue = edits.colours[:, 0].unbind(1)
    place = (rows[edits.owner] * SIDE + y) * SIDE + x
    return place * COLOURS + (red * 256 + green) * 256 + blue
