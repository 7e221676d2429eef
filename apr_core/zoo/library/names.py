"""Names of library models: `LIBRARY:NAME`, or with a third part for the weights."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from apr_core.base.types import InputError, shown


def split_name(name: str) -> tuple[str, str]:
    """What follows the library: the model, and the weights or their file ("" if not given)."""
    _, model, weights = (*name.split(":", 2), "")[:3]
    return model, weights


def is_file(weights: str) -> bool:
    """Whether weights are given as a file rather than by their name."""
    return bool(Path(weights).suffix) or os.sep in weights


def unknown_near(what: str, name: str, known: Iterable[str]) -> InputError:
    """An error that lists the known names nearest to an unknown one.

    Args:
        what: how the sentence begins, up to the unknown name.
    """
    names = sorted(known)
    near = get_close_matches(shown(name), names, n=5, cutoff=0.5) or names[:5]
    return InputError(f"{what} '{shown(name)}'; the nearest that it has are {', '.join(near)}.")
