"""The run that the Start page shows: its recording, its pictures and its numbers in words."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import Outcome, PixelEdit
from apr_core.data.images import to_pil
from apr_core.serving.requests import AttackRequest
from apr_core.serving.run_export import START_RUN, load_recording
from apr_ui.dataset import class_name, one_of, shown_data
from apr_ui.model_names import model_title
from apr_ui.pictures import RING
from apr_ui.words import count_text

SIDE = 480
"""Screen pixels of a picture's side: a multiple of 32."""


@dataclass(frozen=True)
class StartRun:
    """A recorded run that flipped its picture.

    Attributes:
        recording: what the player draws.
        request: the same attack, to be run live.
        outcome: how it ended.
    """

    recording: dict[str, Any]
    request: AttackRequest
    outcome: Outcome

    @property
    def before(self) -> Image.Image:
        """The picture, enlarged and smoothed so that a person recognises it."""
        return _smoothed(self.request.image)

    @property
    def after(self) -> Image.Image:
        """The same with the changed pixels sharp, each in a ring."""
        picture = self.before
        for edit in self.outcome.edits:
            _mark(picture, edit)
        return picture

    @property
    def label_before(self) -> str:
        return f"**Before:** {_answer(self.outcome.label_before, self.outcome.confidence_before)}"

    @property
    def label_after(self) -> str:
        changed = count_text(len(self.outcome.edits), "pixel", "pixels")
        answer = _answer(self.outcome.label_after, self.outcome.confidence_after)
        return f"**After {changed}:** {answer}"

    @property
    def story(self) -> str:
        """The model, the pixel and the cost, with what a query is."""
        places = " and ".join(f"({edit.x}, {edit.y})" for edit in self.outcome.edits)
        spent = count_text(self.outcome.queries, "query", "queries")
        return (
            f"Model: {model_title(self.request.model)}. The changed pixel, at {places}, is in the "
            f"ring. The search found it after {spent} (in a query, the model is shown one picture "
            "and gives one answer)."
        )

    @property
    def alts(self) -> tuple[str, str]:
        """The two pictures in words, for screen readers."""
        true = one_of(self.outcome.label)
        return f"The picture of {true}", f"The picture of {true} with the changed pixel in a ring"


@functools.cache
def start_run() -> StartRun:
    """The recording that the package ships.

    Raises:
        InputError: it is missing or damaged.
    """
    recording = load_recording(START_RUN)
    image, label = shown_data().test_image(recording["index"])
    config = OnePixelConfig(**recording["config"])
    request = AttackRequest(recording["model"], image, label, recording["index"], config)
    return StartRun(recording, request, Outcome.from_dict(recording["outcome"]))


def _answer(label: int, confidence: float) -> str:
    return f"{class_name(label)}, {confidence:.0%} sure"


def _smoothed(image: Tensor) -> Image.Image:
    return to_pil(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _mark(picture: Image.Image, edit: PixelEdit) -> None:
    draw, cell = ImageDraw.Draw(picture), SIDE // shown_data().size[0]
    left, top = edit.x * cell, edit.y * cell
    draw.rectangle((left, top, left + cell - 1, top + cell - 1), fill=edit.rgb)
    for radius, colour in ((2.0 * cell, RING[1]), (1.9 * cell, RING[0])):
        draw.circle((left + cell / 2, top + cell / 2), radius, outline=colour, width=cell // 3)
