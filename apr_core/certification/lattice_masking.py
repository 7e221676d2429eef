"""Lattice masks for double-masking: a certificate against every edit of one pixel, by any colour.

The pixels of an image fall into n^2 groups, (row mod n) n + (column mod n): lattices of spacing n.
To mask a group is to fill its pixels in from unmasked ones (`inpainting`). Every pixel is in
exactly one group, whose mask covers it: the theorem of `double_masking` holds for every edit of one
pixel.

A certificate asks every prediction for a margin of `CERTIFIED_MARGIN`, and of `ULPS` of the largest
logit where that is more, and refuses a model that takes more than half of that margin away
(`check_company`). `certify` and what belongs to it are of any set of masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.certification.double_masking import CERTIFIED_MARGIN, DoubleMasking, folded
from apr_core.certification.inpainting import group_of, mask_groups
from apr_core.data.dataset import DataSet
from apr_core.models.inference import Model, as_module, in_training
from apr_core.models.inputs import as_floats, as_labels, check_classes
from apr_core.models.outputs import (
    check_mode,
    check_not_probabilities,
    logit_margin,
    query_model,
)
from apr_core.models.switches import FULL_PRECISION

SPACING = 4
SPACINGS = (2, 16)
ULPS = 16
"""By how much the first logit of a certified prediction leads the second at least, in units of the
last place of the largest logit; it is more than `CERTIFIED_MARGIN` from some 520 up."""


class LatticeMasking(DoubleMasking):
    """A classifier that predicts by lattice double-masking; itself a model.

    Args:
        model: images (B, C, H, W) in [0, 1] -> logits (B, K).
        spacing: n; spacing^2 predictions where they agree, at most about spacing^4 / 2.
        data: whose variogram the inpainting goes by; by default the model's own, or CIFAR-10's.

    Raises:
        InputError: the spacing is out of range.
    """

    def __init__(self, model: Model, spacing: int = SPACING, data: DataSet | None = None) -> None:
        super().__init__(model)
        low, high = SPACINGS
        if not low <= spacing <= high:
            raise InputError(f"spacing is {spacing}, but must lie between {low} and {high}.")
        self.spacing = spacing
        self.data: DataSet | None = data or getattr(model, "data", None)

    def masked(self, images: Tensor, groups: Tensor) -> Tensor:
        """Images (B, C, H, W) with groups (B, 1) or (B, 2) masked; see `mask_groups`."""
        return mask_groups(images, groups, self.spacing, self.data)

    @property
    def groups(self) -> int:
        return self.spacing**2

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
    return LatticeMasking(folded(model), spacing, data).eval()


class Verdict(StrEnum):
    """What is known of an image."""

    CERTIFIED = "certified"
    """No edit that the masks cover changes the answer, which is right."""
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
        first: logits with each mask, (G, K).
        second: with each two of them, (P, K); None where one mask already leaves a doubt.
    """

    first: Tensor
    second: Tensor | None


def certify(model: Model, images: object, labels: object) -> list[Certificate]:
    """Which images no edit can turn: of one pixel, or of what else the masks cover.

    Args:
        model: in evaluation mode, on the images' device: a `DoubleMasking`, or any classifier,
            which is put behind a lattice of the usual spacing.
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
    wrapper = model if isinstance(model, DoubleMasking) else _wrap(as_module(model))
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
def certified_groups(wrapper: DoubleMasking, images: object, labels: object) -> Tensor:
    """By mask, whether no edit of an image that the mask covers can turn its answer.

    Args:
        wrapper, images, labels: as for `certify`.

    Returns:
        (B, G) bool; of a lattice, one edit is of one pixel of the group.

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


def _first_logits(wrapper: DoubleMasking, images: Tensor, labels: Tensor) -> Tensor:
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
