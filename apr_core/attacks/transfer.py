"""Transferability: whether an edit that was found on one model flips the others.

Every edit is put on the image and shown to every model, in its own float32. The diagonal of the
matrix is what each attack found for its own model: the same question, optimised again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.base.types import check_class
from apr_core.models.inputs import COLOURED, as_uint8


class Effect(StrEnum):
    """What an edit does to a model."""

    BREAKS = "breaks"
    """The model was right about the clean image, and is wrong about the edited one."""
    HOLDS = "holds"
    MISREAD = "misread already"
    """The model is wrong about the clean image: there is nothing to break."""
    NO_EDIT = "no edit"
    """The row has no edit, so this is the answer to the clean image."""


@dataclass(frozen=True)
class Cell:
    """One model's answer to one edit.

    Attributes:
        label: class that the model reads in the edited image.
        confidence: its probability.
        true: probability of the true class.
        effect: what the edit did.
    """

    label: int
    confidence: float
    true: float
    effect: Effect


def transfer_matrix(
    oracles: Sequence[ModelOracle],
    image: Tensor,
    label: int,
    edits: Sequence[tuple[PixelEdit, ...]],
) -> list[list[Cell]]:
    """What each edit does to each model.

    Args:
        oracles: of the M models; the columns.
        image: (C, H, W), uint8 or float in [0, 1], which is rounded to the uint8 grid.
        label: its true class.
        edits: R of them, the rows; () where an attack found none.

    Returns:
        R rows of M cells.

    Raises:
        InputError: an edit lies outside the image or is no colour, the label is no class of a
            model, or a model is none to attack.
    """
    image = as_uint8([image], *COLOURED)[0]
    pictures = torch.stack([image, *(edit_image(image, edit) for edit in edits)])
    columns = [_column(oracle, pictures, label, edits) for oracle in oracles]
    return [[column[row] for column in columns] for row in range(len(edits))]


def _column(
    oracle: ModelOracle, pictures: Tensor, label: int, edits: Sequence[tuple[PixelEdit, ...]]
) -> list[Cell]:
    """A model's answers to the edited ones of `pictures` (1 + R, C, H, W); the first is clean."""
    answers = oracle.verify_float32(pictures.to(oracle.device)).softmax(dim=-1).cpu()
    check_class("label", label, answers.shape[1])
    confidences, leading = answers.max(dim=1)
    right = int(leading[0]) == label
    return [
        Cell(
            label=int(leading[row]),
            confidence=float(confidences[row]),
            true=float(answers[row, label]),
            effect=_effect(bool(edit), right, int(leading[row]) == label),
        )
        for row, edit in enumerate(edits, start=1)
    ]


def _effect(edited: bool, right_before: bool, right_after: bool) -> Effect:
    if not right_before:
        return Effect.MISREAD
    if not edited:
        return Effect.NO_EDIT
    return Effect.HOLDS if right_after else Effect.BREAKS
