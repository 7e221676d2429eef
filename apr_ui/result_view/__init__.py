"""The result view: a picture before and after an edit, and what the model says of both.

It stands in one place from before a run to after it, so that nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor

from apr_core.attacks.result import PixelEdit, as_rgb, square_of
from apr_core.serving.frame import packed
from apr_ui.component import Component

Tone = Literal["plain", "live", "fooled", "held"]
"""Before a run, during it, and its end: the model was fooled, or was not."""


class Bar(TypedDict):
    """How sure the model is of a class, in [0, 1]: now, and before the edit if that is known."""

    name: str
    value: float
    before: float | None
    rival: bool  # it is not the true class


class Result(NamedTuple):
    """What the result view shows.

    Attributes:
        image: before the edit, uint8 (C, H, W); None for the words and bars alone.
        captions: below the picture before, and after.
        verdict, detail: a few words, and a sentence; plain text.
        bars: of two classes.
        changed: the picture after, uint8 (C, H, W), where edits do not say it.
    """

    image: Tensor | None
    edits: Sequence[PixelEdit]
    captions: tuple[str, str]
    verdict: str
    detail: str
    bars: Sequence[Bar]
    tone: Tone = "plain"
    changed: Tensor | None = None


_mount = Component("apr_result", Path(__file__).parent)


def result_view(key: str, result: Result, marked: bool = True, picture: bool = True) -> None:
    """Draw a result, under a key that stays the same as long as it stands.

    Args:
        marked: with the tone's mark before the verdict; not where a mark stands beside it already.
        picture: whether to send the picture; else the browser takes the last one under this key.
    """
    image, edits, captions, verdict, detail, bars, tone, changed = result
    height, width = (0, 0) if image is None else image.shape[1:]
    _mount(
        key,
        {
            "key": key,
            "width": width,
            "height": height,
            "image": _packed(image) if image is not None and picture else "",
            "changed": "" if changed is None else _packed(changed),
            "square": square_of(edits),
            "edits": [{"x": edit.x, "y": edit.y, "rgb": edit.rgb} for edit in edits],
            "captions": captions,
            "verdict": verdict,
            "detail": detail,
            "bars": list(bars),
            "tone": tone,
            "marked": marked,
        },
    )


def _packed(image: Tensor) -> str:
    return packed(as_rgb(image.permute(1, 2, 0)), torch.uint8)
