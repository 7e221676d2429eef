"""A picture's certificate, and what the model says of each masked picture. No streamlit here."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.certification.inpainting import mask_groups
from apr_core.certification.lattice_masking import (
    Certificate,
    LatticeMasking,
    are_sure,
    behind_lattice,
    weigh,
)
from apr_core.models.inputs import as_input
from apr_ui.prediction_thread import on_prediction_thread
from apr_ui.resources import scorer

LIGHT = 1_000_000
"""Parameters below which a processor makes a certificate in a fraction of a second."""
MOST_DOUBTS = 8
"""Pictures with two parts masked that are kept, of those that are not for sure the class."""
KEPT = 64
"""Proofs, of some 60 kB each."""


@dataclass(frozen=True, eq=False)
class Vote:
    """What the model says of one masked picture.

    Attributes:
        picture: what it sees, uint8 (3, H, W).
        parts: that are masked, from 1.
        answer, confidence: its class, and how sure it is, in [0, 1].
        sure: whether that is the true class, by a lead that counts.
    """

    picture: Tensor
    parts: tuple[int, ...]
    answer: int
    confidence: float
    sure: bool


@dataclass(frozen=True, eq=False)
class Proof:
    """What was found of one picture.

    Attributes:
        votes: with each part masked, in order.
        doubts: with two parts masked, the first of those where that is not for sure the true class;
            none was looked at unless all votes are sure.
        doubtful: how many of those there are.
    """

    found: Certificate
    votes: tuple[Vote, ...]
    doubts: tuple[Vote, ...]
    doubtful: int


def is_light(model: str) -> bool:
    """Whether a certificate of this model is a matter of a fraction of a second.

    Raises:
        InputError: there is no such model.
    """
    asked = scorer(model)
    count = sum(parameter.numel() for parameter in asked.model.parameters())
    return count < LIGHT or asked.device.type != "cpu"


def find_proof(model: str, image: Tensor, label: int) -> Proof:
    """A picture's certificate, with what it rests on; not found again while it is kept.

    Args:
        model: its bare name.
        image: uint8 (3, 32, 32).
        label: its true class.

    Raises:
        InputError: there is no such model, or it cannot be certified.
    """
    return _kept(model, image.numpy().tobytes(), label)


@functools.cache
def wrapper(model: str) -> LatticeMasking:
    """A model behind lattice masking, made once."""
    return behind_lattice(scorer(model).model)


@functools.lru_cache(maxsize=KEPT)
def _kept(model: str, picture: bytes, label: int) -> Proof:
    image = torch.frombuffer(bytearray(picture), dtype=torch.uint8).view(1, 3, 32, 32)
    behind, seen = wrapper(model), as_input(image.to(scorer(model).device))
    return (
        on_prediction_thread(_prove, behind, seen, label)
        if is_light(model)
        else _prove(behind, seen, label)
    )


@torch.no_grad()
def _prove(behind: LatticeMasking, seen: Tensor, label: int) -> Proof:
    """Of one picture, (1, 3, H, W) float in [0, 1]."""
    labels = torch.tensor([label], device=seen.device)
    ((found, evidence),) = weigh(behind, seen, labels)
    singles = [(group,) for group in range(behind.groups)]
    votes = _votes(behind, seen, label, evidence.first, singles)
    if evidence.second is None:
        return Proof(found, votes, (), 0)
    doubtful = (~are_sure(evidence.second[None], labels)[0]).nonzero()[:, 0].tolist()
    first = doubtful[:MOST_DOUBTS]
    pairs = [behind.pairs[place] for place in first]
    doubts = _votes(behind, seen, label, evidence.second[first], pairs) if first else ()
    return Proof(found, votes, doubts, len(doubtful))


def _votes(
    behind: LatticeMasking,
    seen: Tensor,
    label: int,
    logits: Tensor,
    sets: Sequence[tuple[int, ...]],
) -> tuple[Vote, ...]:
    """What the model said, logits (S, K), with each of some sets of groups masked."""
    groups = torch.tensor(sets, device=seen.device)
    masked = mask_groups(seen.expand(len(sets), -1, -1, -1), groups, behind.spacing)
    pictures = (masked * 255).round().to(torch.uint8).cpu()
    sure = are_sure(logits[None], torch.tensor([label], device=seen.device))[0].tolist()
    confidences, answers = logits.softmax(1).max(1)
    return tuple(
        Vote(picture, tuple(group + 1 for group in chosen), answer, confidence, certain)
        for picture, chosen, answer, confidence, certain in zip(
            pictures, sets, answers.tolist(), confidences.tolist(), sure, strict=True
        )
    )
