"""Lattice double-masking: a certificate against every edit of one pixel, by any colour.

The pixels of an image fall into n^2 groups, (row mod n) n + (column mod n): lattices of spacing n.
To mask a group is to fill its pixels in from unmasked ones (`inpainting`). Every pixel is in
exactly one group, and a masked image does not depend on the pixels that it masks: masking comes
before anything that mixes pixels, and what is filled in reads unmasked pixels only.

Prediction. Take the n^2 one-mask predictions. If all agree, that is the answer. If not, take each
mask that dissents from the majority and predict with it and every other mask: if all of these agree
with the dissenter, its label is the answer. If none passes, the majority is.

Theorem (PatchCleanser's of Xiang, Mahloujifar and Mittal, 2022, with a lattice in place of a
patch). If all one-mask and two-mask predictions of an image are y, then whatever one pixel of it is
set to, the prediction is y.

Proof. Let the edited pixel be in group g. Every masked image in which g is masked is the same as
without the edit, and so is its prediction: (1) the one-mask prediction of g is y; (2) every
two-mask prediction with g in it is y. Let h be a dissenter with a label other than y. Among its
two-mask predictions is that of h and g, which is y by (2); so h does not pass: whoever passes says
y. If all agree, they agree on y by (1). If the majority is y, the answer is y, whether someone
passes or not. If the majority is not y, then g dissents by (1), and passes by (2); so someone
passes, and says y. In every case the answer is y.

Of one group alone: if the one-mask prediction of g, and every two-mask prediction with g in it, are
y, then no edit of a pixel in g turns the prediction from y: the proof asks for nothing more.

The theorem is of a function. Computed in floating point, a prediction may depend on its company in
the batch in the last digits of its logits; a certificate therefore asks for a margin of
`CERTIFIED_MARGIN`, and of `ULPS` of the largest logit where that is more, and refuses a model that
takes more than half of that margin away (`check_company`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.certification.inpainting import group_of, mask_groups
from apr_core.data.dataset import DataSet
from apr_core.models import Classifier
from apr_core.models.inference import Model, as_module, in_training, prepare, scale_chunk
from apr_core.models.inputs import as_floats, as_labels, check_classes
from apr_core.models.outputs import (
    check_mode,
    check_not_probabilities,
    in_chunks,
    logit_margin,
    query_model,
)
from apr_core.models.switches import FULL_PRECISION

SPACING = 4
SPACINGS = (2, 16)
CERTIFIED_MARGIN = 1e-3
"""By how much the first logit of a certified prediction leads the second, at least."""
ULPS = 16
"""The same, in units of the last place of the largest logit; it is more from some 520 up."""
CHUNK = {"cpu": 100, "cuda": 4096}
"""Masked images of 32 x 32 that are classified together."""


class LatticeMasking(nn.Module):
    """A classifier that predicts by lattice double-masking; itself a model.

    Args:
        model: images (B, C, H, W) in [0, 1] -> logits (B, K).
        spacing: n; spacing^2 predictions where they agree, at most about spacing^4 / 2.
        data: whose variogram the inpainting goes by; by default the model's own, or CIFAR-10's.

    Raises:
        InputError: the spacing is out of range.
    """

    def __init__(self, model: Model, spacing: int = SPACING, data: DataSet | None = None) -> None:
        super().__init__()
        low, high = SPACINGS
        if not low <= spacing <= high:
            raise InputError(f"spacing is {spacing}, but must lie between {low} and {high}.")
        self.model, self.spacing = as_module(model), spacing
        self.data: DataSet | None = data or getattr(model, "data", None)
        self._chunks: dict[tuple[int, int], int] = {}

    def masked(self, images: Tensor, groups: Tensor) -> Tensor:
        """Images (B, C, H, W) with groups (B, 1) or (B, 2) masked; see `mask_groups`."""
        return mask_groups(images, groups, self.spacing, self.data)

    @property
    def groups(self) -> int:
        return self.spacing**2

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every two groups: what a second mask is added to a first for."""
        return list(combinations(range(self.groups), 2))

    def forward(self, images: Tensor) -> Tensor:
        """Mean one-mask logits (B, K), the answer's raised just above the others."""
        first = self.one_mask_logits(images)
        first = first.to(torch.promote_types(first.dtype, torch.float32))  # room for the lead
        answers = self.decide(images, first.argmax(2))
        logits = first.mean(1)
        top = logits.max(1).values
        above = torch.maximum(top + CERTIFIED_MARGIN, top.nextafter(torch.full_like(top, math.inf)))
        raised = torch.where(logits.argmax(1) == answers, top, above)
        return logits.scatter(1, answers[:, None], raised[:, None])

    def one_mask_logits(self, images: Tensor) -> Tensor:
        """Logits with each group masked: (B, C, H, W) -> (B, n^2, K)."""
        every = torch.arange(self.groups, device=images.device)[:, None]
        return self.masked_logits(images, every)

    def masked_logits(self, images: Tensor, sets: Tensor) -> Tensor:
        """Logits of every image under every set of masks: sets (S, m) -> (B, S, K).

        Raises:
            InputError: the model fails, answers with no logits, or not with finite ones.
        """
        owner = torch.arange(len(images), device=images.device).repeat_interleave(len(sets))
        chosen = sets.repeat(len(images), 1)

        def answer(first: int, last: int) -> Tensor:
            rows, groups = owner[first:last], chosen[first:last]
            return query_model(self.model, self.masked(images[rows], groups))

        size = (images.shape[2], images.shape[3])
        chunk = scale_chunk(CHUNK.get(images.device.type, 100), images.device, *size)
        chunk = self._chunks.get(size, chunk)  # memory may have lacked for more
        with FULL_PRECISION.held():
            every, self._chunks[size] = in_chunks(answer, len(owner), chunk)
        return every.view(len(images), len(sets), every.shape[1])

    def decide(self, images: Tensor, votes: Tensor) -> Tensor:
        """The answers (B,), given the one-mask predictions (B, n^2)."""
        answers = votes.mode(1).values
        for row in (votes != answers[:, None]).any(1).nonzero()[:, 0].tolist():
            answers[row] = self._settle(images[row : row + 1], votes[row], int(answers[row]))
        return answers

    def _settle(self, image: Tensor, votes: Tensor, majority: int) -> int:
        """The answer where the one-mask predictions (n^2,) of an image (1, C, H, W) differ."""
        for mask in (votes != majority).nonzero()[:, 0].tolist():
            others = [other for other in range(self.groups) if other != mask]
            pairs = torch.tensor([(mask, other) for other in others], device=image.device)
            second = self.masked_logits(image, pairs)[0].argmax(1)
            if bool((second == votes[mask]).all()):
                return int(votes[mask])
        return majority

    def certified_pixels(self, images: Tensor, labels: Tensor) -> Tensor:
        """Where no edit of one pixel can turn the answer, (B, H, W); see `certified_groups`."""
        height, width = images.shape[2:]
        return certified_groups(self, images, labels)[:, group_of(height, width, self.spacing)]

    def extra_repr(self) -> str:
        return f"spacing={self.spacing}"


def behind_lattice(
    model: Model, spacing: int = SPACING, data: DataSet | None = None
) -> LatticeMasking:
    """A model behind lattice masking, in evaluation mode; this package's own is folded first.

    Raises:
        InputError: the spacing is out of range.
    """
    inner: Model = prepare(model) if isinstance(model, Classifier) else model
    return LatticeMasking(inner, spacing, data).eval()


class Verdict(StrEnum):
    """What is known of an image."""

    CERTIFIED = "certified"
    """No edit of one pixel changes the answer, which is right."""
    UNCERTIFIED = "not certified"
    """The answer is right, and some edit may change it."""
    WRONG = "wrong"


@dataclass(frozen=True)
class Certificate:
    """What was found of one image.

    Attributes:
        label: true class.
        answer: of the wrapper.
        predictions: one-mask and two-mask ones that were looked at.
        agreeing: how many of them are the true class, and lead.
    """

    verdict: Verdict
    label: int
    answer: int
    predictions: int
    agreeing: int


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the certificate of an image rests on.

    Attributes:
        first: logits with each group masked, (G, K).
        second: with each two of them, (P, K); None where one mask already leaves a doubt.
    """

    first: Tensor
    second: Tensor | None


def certify(model: Model, images: object, labels: object) -> list[Certificate]:
    """Which images no edit of one pixel can turn.

    Args:
        model: in evaluation mode, on the images' device: a `LatticeMasking`, or any classifier,
            which is put behind one of the usual spacing.
        images: (B, C, H, W), uint8 or float in [0, 1].
        labels: (B,).

    Raises:
        InputError: the model is in training mode, fails, is seen to answer otherwise in other
            company, or not with finite logits of two classes or more; or the images or labels are
            no such.
    """
    return [found for found, _ in weigh(model, images, labels)]


@torch.no_grad()
def weigh(model: Model, images: object, labels: object) -> list[tuple[Certificate, Evidence]]:
    """As `certify`, each certificate with what it rests on."""
    wrapper = model if isinstance(model, LatticeMasking) else _wrap(as_module(model))
    images, labels = _asked(images, labels)
    first = _first_logits(wrapper, images, labels)
    pairs = torch.tensor(wrapper.pairs, device=images.device)
    found = []
    answers = wrapper.decide(images, first.argmax(2))
    for row, label in enumerate(labels.tolist()):
        second = None
        agreeing = _agreeing(first[row], label)
        looked, whole = wrapper.groups, agreeing == wrapper.groups
        if whole:
            second = wrapper.masked_logits(images[row : row + 1], pairs)[0]
            more = _agreeing(second, label)
            looked, agreeing, whole = looked + len(pairs), agreeing + more, more == len(pairs)
        right = int(answers[row]) == label
        verdict = Verdict.UNCERTIFIED if right else Verdict.WRONG
        verdict = Verdict.CERTIFIED if whole else verdict
        certificate = Certificate(verdict, label, int(answers[row]), looked, agreeing)
        found.append((certificate, Evidence(first[row], second)))
    return found


@torch.no_grad()
def certified_groups(wrapper: LatticeMasking, images: object, labels: object) -> Tensor:
    """In which groups of an image no edit of one pixel can turn its answer.

    Args:
        wrapper, images, labels: as for `certify`.

    Returns:
        (B, spacing^2) bool.

    Raises:
        InputError: as `certify` does.
    """
    images, labels = _asked(images, labels)
    sure = are_sure(_first_logits(wrapper, images, labels), labels)  # (B, G)
    pairs = torch.tensor(wrapper.pairs, device=images.device)
    for row in range(len(images)):
        second = wrapper.masked_logits(images[row : row + 1], pairs)
        doubtful = pairs[~are_sure(second, labels[row : row + 1])[0]]
        sure[row, doubtful.flatten()] = False
    return sure


def _asked(images: object, labels: object) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) as floats, and labels (B,), on one device."""
    pictures = as_floats(images)
    return pictures, as_labels("label", labels, len(pictures)).to(pictures.device)


def _wrap(model: nn.Module) -> LatticeMasking:
    """A model behind the usual lattice, its mode left as it is."""
    wrapper = LatticeMasking(model)
    wrapper.training = "" in in_training(model)
    return wrapper


def _first_logits(wrapper: LatticeMasking, images: Tensor, labels: Tensor) -> Tensor:
    """The one-mask logits (B, G, K) of what may be certified.

    Raises:
        InputError: as `certify` does.
    """
    check_mode(wrapper)
    first = wrapper.one_mask_logits(images)
    check_not_probabilities(first.flatten(0, 1))
    masked = wrapper.masked(images[:1], images.new_zeros(1, 1, dtype=torch.int64))
    with FULL_PRECISION.held():
        check_company(wrapper.model, masked, first[0, 0], float(least_lead(first[0, 0])) / 2)
    check_classes("label", labels, first.shape[2])
    return first


def _agreeing(logits: Tensor, label: int) -> int:
    """How many of predictions (S, K) are the label, beyond what rounding could undo."""
    return int(are_sure(logits[None], torch.tensor([label], device=logits.device)).sum())


def are_sure(logits: Tensor, labels: Tensor) -> Tensor:
    """Which predictions (B, S, K) are the labels (B,), beyond what rounding could undo, (B, S)."""
    return logit_margin(logits, labels[:, None]) >= least_lead(logits)


def least_lead(logits: Tensor) -> Tensor:
    """By how much the first of logits (..., K) must lead, for rounding not to undo it, (...)."""
    least = ULPS * torch.finfo(logits.dtype).eps * logits.abs().amax(-1)
    return least.clamp(min=CERTIFIED_MARGIN)


def check_company(model: nn.Module, image: Tensor, logits: Tensor, forgiven: float) -> None:
    """Refuse a model that is no function of one picture, which the theorem takes for granted.

    It is asked once more: by itself, and beside a black and a white picture.

    Args:
        image: (1, C, H, W).
        logits: (K,), what the model said of it in other company.
        forgiven: by how much a logit may differ, for rounding.

    Raises:
        InputError: one differs by more.
    """
    ends = torch.cat([torch.zeros_like(image), torch.ones_like(image)])
    for company in (image[:0], ends):
        asked = torch.cat([image, company])
        again = query_model(model, asked)[0].float()
        moved = float((again - logits.float()).abs().max())
        if moved > forgiven:
            raise InputError(
                f"A logit of the same picture moved by {moved:.2g} in other company, over the "
                f"{forgiven:.2g} that a certificate allows for, so the model's answers depend on "
                "the batch or on chance; use stored statistics (model.eval(), "
                "track_running_stats), no dropout, and full precision."
            )
