"""Query cache: scores of one-pixel edits, so that none is queried twice.

As differential evolution converges it proposes the same edits again: over 100 generations, about
every second one. Edits of several pixels hardly ever recur, and are not cached.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.attacks.perturbation import Perturbations

SIDE, COLOURS = 2**12, 2**24
"""Bounds of a coordinate, and how many colours there are: with an image's row, 63 bits hold all."""
MOST_BYTES = 128 * 2**20
"""Of a search's cache; beyond it, the oldest page goes."""
PARTS = 4
"""No page grows beyond this part of the bound, for the oldest goes whole."""


@dataclass(frozen=True)
class _Page:
    """Some edits: their keys (n,) int64 in order, and their values (n, V)."""

    keys: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Where each key (N,) stands if it does, and whether it does, (N,) bool."""
        place = torch.searchsorted(self.keys, keys).clamp(max=len(self) - 1)
        return place, self.keys[place] == keys

    def merge(self, other: _Page) -> _Page:
        keys, order = torch.cat([self.keys, other.keys]).sort()
        return _Page(keys, torch.cat([self.values, other.values])[order])

    def of(self, rows: Tensor) -> _Page:
        """The part on the images at `rows` (A,)."""
        kept = torch.isin(self.keys // (SIDE * SIDE * COLOURS), rows)
        return _Page(self.keys[kept], self.values[kept])


class QueryCache:
    """Values by edit: what a search takes from its logits, a few numbers however many classes there
    are. Ask `fresh` which edits are new, then `complete` their values to all.

    Pages are merged until each is twice as long as the next newer one: a lookup reads few pages,
    and an edit is sorted only as often as its page is merged.

    Args:
        most_bytes: of all pages; beyond it the oldest goes.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._pages: list[_Page] = []
        self._images = 0

    @property
    def size(self) -> int:
        """Bytes in use."""
        return sum(page.size for page in self._pages)

    def fresh(self, edits: Perturbations, rows: Tensor) -> Perturbations:
        """Those of the edits (N) that are not cached, each once; the first one where all are.

        Args:
            rows: (A,), which image of the search each of the edits' images is; the cache forgets
                an image that is no longer among them.
        """
        if len(rows) < self._images:
            self._pages = [page for page in (page.of(rows) for page in self._pages) if len(page)]
        self._images = len(rows)
        keys, self._places = torch.unique(_key(edits, rows), return_inverse=True)
        order = torch.arange(len(edits), device=keys.device)
        first = torch.full_like(keys, len(edits)).scatter_reduce(0, self._places, order, "amin")
        self._found = [(page.values, *page.find(keys)) for page in self._pages]
        known = torch.zeros_like(keys, dtype=torch.bool)
        for _, _, here in self._found:
            known |= here
        known[0] &= not bool(known.all())
        self._asked, self._unknown = keys, ~known
        return edits.take(first[~known])

    def complete(self, values: Tensor) -> Tensor:
        """Values (n, V) of the fresh edits -> of all of them (N, V)."""
        every = values.new_empty(len(self._asked), values.shape[1])
        for said, place, here in self._found:
            every[here] = said[place[here]]
        every[self._unknown] = values
        self._store(_Page(self._asked[self._unknown], every[self._unknown]))  # copies
        return every[self._places]

    def _store(self, page: _Page) -> None:
        pages = [*self._pages, page]
        while (
            len(pages) > 1
            and len(pages[-2]) < 2 * len(pages[-1])
            and PARTS * (pages[-2].size + pages[-1].size) <= self._most_bytes
        ):
            newest = pages.pop()
            pages[-1] = pages[-1].merge(newest)
        while pages and sum(page.size for page in pages) > self._most_bytes:
            del pages[0]
        self._pages = pages


def _key(edits: Perturbations, rows: Tensor) -> Tensor:
    """A number for each one-pixel edit (N, 1, ...) of each image, (N,) int64."""
    x, y = edits.positions[:, 0].unbind(1)
    colour = torch.zeros_like(x)
    for value in edits.colours[:, 0].unbind(1):
        colour = colour * 256 + value
    return ((rows[edits.owner] * SIDE + y) * SIDE + x) * COLOURS + colour
