"""A picture's certificate, and what the model says of each masked picture. No streamlit here."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.certification.inpainting import group_of, mask_groups
from apr_core.certification.lattice_masking import (
    Certificate,
    LatticeMasking,
    are_sure,
    behind_lattice,
    weigh,
)
from apr_core.models.inputs import as_input
from apr_core.models.outputs import logit_margin
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
        rival, rival_confidence: the class that comes next.
        sure: whether the answer is the true class, by a lead that counts.
    """

    picture: Tensor
    parts: tuple[int, ...]
    answer: int
    confidence: float
    rival: int
    rival_confidence: float
    sure: bool

    @property
    def where(self) -> str:
        """The masked parts, in words."""
        named = " and ".join(map(str, self.parts))
        return f"{'part' if len(self.parts) == 1 else 'parts'} {named}"


@dataclass(frozen=True, eq=False)
class Proof:
    """What was found of one picture.

    Attributes:
        votes: with each part masked, in order.
        doubts: with two parts masked, the first of those where that is not for sure the true class;
            none was looked at unless all votes are sure.
        doubtful: how many of those there are.
        closest: of all that were looked at, the one in which the true class leads by least.
        shares: how sure the model is of the true class with two parts masked, (G, G) in [0, 1], the
            first part in the row; on the diagonal, with one. NaN where it was not looked at.
        sure: whether it is sure of it by a lead that counts, (G, G) bool.
        groups: the group of each pixel, (H, W).
    """

    found: Certificate
    votes: tuple[Vote, ...]
    doubts: tuple[Vote, ...]
    doubtful: int
    closest: Vote
    shares: Tensor
    sure: Tensor
    groups: Tensor

    @property
    def looked_at_pairs(self) -> bool:
        """Whether the predictions with two parts masked were looked at."""
        return self.found.predictions > len(self.votes)

    def hidden(self, vote: Vote) -> Tensor:
        """The pixels that are masked in a vote, (H, W) bool."""
        return torch.isin(self.groups, torch.tensor(vote.parts) - 1)


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
    sets = singles if evidence.second is None else [*singles, *behind.pairs]
    logits = evidence.first
    if evidence.second is not None:
        logits = torch.cat([logits, evidence.second])
    votes = functools.partial(_votes, behind, seen, label)
    certain = are_sure(logits[None], labels)[0].cpu()
    doubtful = [one for one in range(len(singles), len(sets)) if not certain[one]]
    first = doubtful[:MOST_DOUBTS]
    least = int(logit_margin(logits, labels).argmin())
    shares = logits.softmax(1)[:, label].cpu()
    return Proof(
        found=found,
        votes=votes(evidence.first, singles),
        doubts=votes(logits[first], [sets[one] for one in first]) if first else (),
        doubtful=len(doubtful),
        closest=votes(logits[[least]], [sets[least]])[0],
        shares=_by_part(shares, sets, behind.groups, torch.nan),
        sure=_by_part(certain, sets, behind.groups, False),
        groups=group_of(seen.shape[2], seen.shape[3], behind.spacing),
    )


def _by_part(
    values: Tensor, sets: Sequence[tuple[int, ...]], groups: int, missing: float
) -> Tensor:
    """Values (S,) of sets of one and of two groups, (G, G): see `Proof.shares`."""
    square = torch.full((groups, groups), missing, dtype=values.dtype)
    ends = torch.tensor([(chosen[0], chosen[-1]) for chosen in sets])
    square[ends[:, 0], ends[:, 1]] = values
    return square


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
    shares, classes = (part.tolist() for part in logits.softmax(1).topk(2))
    return tuple(
        Vote(
            picture=picture,
            parts=tuple(group + 1 for group in chosen),
            answer=answer,
            confidence=confidence,
            rival=rival,
            rival_confidence=rival_confidence,
            sure=certain,
        )
        for picture, chosen, (answer, rival), (confidence, rival_confidence), certain in zip(
            pictures, sets, classes, shares, sure, strict=True
        )
    )
