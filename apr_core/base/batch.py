"""Batched state: a struct of tensors with one row a search, indexed and replaced as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Base of dataclasses of tensors (B, ...) and other batches; the rest is common to all rows."""

    def at(self, *index: Tensor) -> Self:
        """The part at `index`, which may reach over several leading dimensions."""
        return self._map(lambda own: own[index])

    def put(self, part: Self, *index: Tensor) -> Self:
        """A copy with `part` at `index`."""
        return self._map(lambda own, other: own.index_put(index, other), part)

    def where(self, chosen: Tensor, other: Self) -> Self:
        """This where `chosen`, bool over the leading dimensions, and `other` elsewhere."""

        def pick(own: Tensor, their: Tensor) -> Tensor:
            mask = chosen.view(*chosen.shape, *[1] * (own.ndim - chosen.ndim))
            return torch.where(mask, own, their)

        return self._map(pick, other)

    def _map(self, function: Callable[..., Tensor], *others: Self) -> Self:
        def each(own: Any, *theirs: Any) -> Any:
            if isinstance(own, Batch):
                return own._map(function, *theirs)
            return function(own, *theirs) if isinstance(own, Tensor) else [own, *theirs][-1]

        names = [field.name for field in fields(self)]
        return replace(
            self,
            **{name: each(*(getattr(one, name) for one in (self, *others))) for name in names},
        )
