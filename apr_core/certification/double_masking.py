"""Double-masking: a classifier of masked images, with a theorem of what an edit cannot change.

A set of masks covers a threat: wherever the edit lies, some mask of the set covers all of it. Each
mask, and each two, leave an image without what they cover. A masked image does not depend on the
pixels that it masks: masking comes before anything that mixes pixels, and what is filled in reads
unmasked pixels only. There are two sets: lattices cover every pixel (`lattice_masking`), squares
every square patch (`patch_masking`).

Prediction. Take the one-mask predictions. If all agree, that is the answer. If not, take each mask
that dissents from the majority and predict with it and every other mask: if all of these agree with
the dissenter, its label is the answer. If none passes, the majority is.

Theorem (PatchCleanser's, of Xiang, Mahloujifar and Mittal, 2022). If all one-mask and two-mask
predictions of an image are y, then whatever an edit of the threat makes of it, the prediction is y.

Proof. Let mask g cover the edited pixels. Every masked image in which g is masked is the same as
without the edit, and so is its prediction: (1) the one-mask prediction of g is y; (2) every
two-mask prediction with g in it is y. Let h be a dissenter with a label other than y. Among its
two-mask predictions is that of h and g, which is y by (2); so h does not pass: whoever passes says
y. If all agree, they agree on y by (1). If the majority is y, the answer is y, whether someone
passes or not. If the majority is not y, then g dissents by (1), and passes by (2); so someone
passes, and says y. In every case the answer is y.

Of one mask alone: if the one-mask prediction of g, and every two-mask prediction with g in it, are
y, then no edit of pixels that g covers turns the prediction from y: the proof asks for nothing
more.

The theorem is of a function. Computed in floating point, a prediction may depend on its company in
the batch in the last digits of its logits; a certificate therefore asks for a margin, and refuses a
model that takes more than half of it away (`lattice_masking.certify`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import combinations

import torch
from torch import Tensor, nn

from apr_core.models import Classifier
from apr_core.models.inference import Model, as_module, prepare, scale_chunk
from apr_core.models.outputs import in_chunks, query_model
from apr_core.models.switches import FULL_PRECISION

CERTIFIED_MARGIN = 1e-3
"""By how much the first logit of a certified prediction leads the second, at least."""
CHUNK = {"cpu": 100, "cuda": 4096}
"""Masked images of 32 x 32 that are classified together."""


class DoubleMasking(nn.Module, ABC):
    """A classifier that predicts by double-masking with G masks; itself a model.

    Args:
        model: images (B, C, H, W) in [0, 1] -> logits (B, K).
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = as_module(model)
        self._chunks: dict[tuple[int, int], int] = {}

    @property
    @abstractmethod
    def groups(self) -> int:
        """G: how many masks there are."""

    @abstractmethod
    def masked(self, images: Tensor, groups: Tensor) -> Tensor:
        """Images (B, C, H, W) with the masks (B, 1) or (B, 2), by number, laid over them.

        Raises:
            InputError: the masks do not fit images of that size.
        """

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Every two masks: what a second is added to a first for."""
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
        """Logits with each mask: (B, C, H, W) -> (B, G, K)."""
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
        """The answers (B,), given the one-mask predictions (B, G)."""
        answers = votes.mode(1).values
        for row in (votes != answers[:, None]).any(1).nonzero()[:, 0].tolist():
            answers[row] = self._settle(images[row : row + 1], votes[row], int(answers[row]))
        return answers

    def _settle(self, image: Tensor, votes: Tensor, majority: int) -> int:
        """The answer where the one-mask predictions (G,) of an image (1, C, H, W) differ."""
        for mask in (votes != majority).nonzero()[:, 0].tolist():
            others = [other for other in range(self.groups) if other != mask]
            pairs = torch.tensor([(mask, other) for other in others], device=image.device)
            second = self.masked_logits(image, pairs)[0].argmax(1)
            if bool((second == votes[mask]).all()):
                return int(votes[mask])
        return majority


def folded(model: Model) -> Model:
    """A model as it is asked for predictions alone: this package's own in a faster form."""
    return prepare(model) if isinstance(model, Classifier) else model
