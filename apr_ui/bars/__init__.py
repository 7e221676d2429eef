"""The bars: a model's answer, class by class, which move at once when it changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from apr_ui.component import Component


class BarsData(TypedDict):
    """Probabilities in [0, 1], a class each; `label` and `leading` are places among `classes`."""

    classes: Sequence[str]
    values: Sequence[float]
    clean: Sequence[float] | None  # what they were before any edit; None where there was none
    label: int  # the class that counts: the true one, or the target
    leading: int  # the one that the model names
    striped: bool  # whether its bar is: the model was fooled
    left_out: int  # how many classes have no bar
    words: Sequence[str]  # what that class is, and what `clean` is without
    number: int  # of the answer: it changes with it
    said: str  # the answer in a sentence, for screen readers


ALL_BARS, FEW_BARS = 10, 6
"""Classes up to which each has a bar, and how many have one where there are more."""

_mount = Component("apr_bars", Path(__file__).parent)


def bars(data: BarsData, key: str) -> None:
    """Draw the bars under a key that stays the same for as long as they stand."""
    _mount(key, data)


def bar_classes(clean: Sequence[float], now: Sequence[float], label: int) -> list[int]:
    """The classes that have a bar: all, or of many the true one and the likeliest now and before.

    They are in the order that they had before any edit, so that few change their places.
    """
    if len(now) <= ALL_BARS:
        return list(range(len(now)))
    usual, leading = (
        sorted(range(len(each)), key=each.__getitem__, reverse=True)[:FEW_BARS]
        for each in (clean, now)
    )
    shown = list(dict.fromkeys([label, *leading[: FEW_BARS // 2], *usual]))[:FEW_BARS]
    return sorted(shown, key=clean.__getitem__, reverse=True)
