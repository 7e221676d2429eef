"""Registry: named entries, such as attacks and defences; an unknown name lists the known ones."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Generic, TypeVar

from apr_core.base.types import InputError, shown

T = TypeVar("T")
MOST_LISTED = 50
"""Names that a sentence lists; a data set may have a thousand classes."""


class Registry(Generic[T]):
    """Names to things; an unknown name is answered with the known ones.

    Args:
        kind: what is registered, in the singular, for error messages ("architecture").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`, once."""
        if name in self._entries:
            raise ValueError(f"The {self.kind} '{name}' is registered twice.")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry called `name`.

        Raises:
            InputError: no such name; the message lists the known ones and the nearest.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise InputError(unknown_name(self.kind, name, self.names)) from None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries


def unknown_name(kind: str, name: str, known: tuple[str, ...]) -> str:
    """The sentence for a name that is not among `known`."""
    near = get_close_matches(shown(name), known, n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    listing = ", ".join(known[:MOST_LISTED]) if known else "none so far"
    listing += f" and {len(known) - MOST_LISTED:,} more" if len(known) > MOST_LISTED else ""
    return f"There is no {kind} '{shown(name)}'{hint}; the known ones are: {listing}."
