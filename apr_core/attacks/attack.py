"""`OnePixelAttack`: the attack as a researcher calls it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.result import AttackResult, Snapshot
from apr_core.attacks.scoring import Scorer, as_input
from apr_core.attacks.search import Search
from apr_core.models.inference import evaluating
from apr_core.types import InputError
from apr_core.version import versions


class OnePixelAttack:
    """Differential evolution for the pixel that flips a model's answer.

    Args:
        model: any module from images (B, C, H, W) float in [0, 1] to logits (B, K).
        config: how to attack.
        name: what to call the model in results.
        chunk: images in one call of the model; by default what suits its device.

    Images may be uint8, or float in [0, 1], which is rounded to the uint8 grid first: what is
    attacked is what a PNG would hold.
    """

    def __init__(
        self,
        model: nn.Module,
        config: OnePixelConfig | None = None,
        *,
        name: str = "",
        chunk: int | None = None,
    ) -> None:
        self.model = model
        self.config = config or OnePixelConfig()
        self.name = name
        self.scorer = Scorer(model, chunk)

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Adversarial images, as float in [0, 1]; where none was found, the image itself.

        Args:
            images: (B, C, H, W), uint8 or float in [0, 1].
            labels: true classes, (B,).

        Returns:
            (B, C, H, W), on the images' device.

        Raises:
            InputError: images or labels that the model cannot be attacked on.
        """
        adversarial = self.run(images, labels).adversarial(as_uint8(images))
        return as_input(adversarial).contiguous().to(images.device)

    def run(
        self,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None = None,
        indices: Tensor | None = None,
        report: Callable[[Search], None] = lambda search: None,
    ) -> AttackResult:
        """Attack every image that the model classifies correctly.

        Args:
            images: (B, C, H, W), uint8 or float in [0, 1].
            labels: true classes, (B,).
            targets: classes to reach, (B,); None for the config's target, or untargeted.
            indices: (B,), by default 0, 1, ...: with the seed they fix each image's draws, so
                that an image attacked alone under its index goes as it does in the batch.
            report: called after every generation.

        Raises:
            InputError: images, labels or targets that the model cannot be attacked on.
        """
        began = time.monotonic()
        with evaluating(self.model):
            search = Search(
                self.config,
                self.scorer,
                _as_pictures(images),
                _as_labels(labels, images),
                None if targets is None else _as_labels(targets, images),
                indices,
            )
            while search.live:
                search.advance(self.scorer.score(search.propose()))
                report(search)
            outcomes = search.outcomes()
        seconds = time.monotonic() - began
        return AttackResult(self.name, self.config, outcomes, seconds, versions())

    def stream(self, image: Tensor, label: int, index: int = 0) -> Iterator[Snapshot]:
        """One snapshot a generation, the initial population first.

        Args:
            image: (C, H, W), uint8 or float in [0, 1].
            label: its true class. Nothing is yielded if the model gets it wrong.
            index: with the seed it fixes the image's draws.

        Raises:
            InputError: an image or a label that the model cannot be attacked on.
        """
        labels, indices = torch.tensor([label]), torch.tensor([index])
        with evaluating(self.model):
            search = Search(
                self.config, self.scorer, _as_pictures(image[None]), labels, indices=indices
            )
        while search.live:
            with evaluating(self.model):
                search.advance(self.scorer.score(search.propose()))
            yield search.snapshot()


def as_uint8(images: Tensor) -> Tensor:
    """Images (B, C, H, W) on the uint8 grid.

    Raises:
        InputError: not a batch of images, or floats outside [0, 1].
    """
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"Images must have shape (B, C, H, W), not {tuple(images.shape)}; "
            "add the batch dimension with image[None]."
        )
    if images.dtype == torch.uint8:
        return images
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"Images must lie in [0, 1], but these span {low:.3g} to {high:.3g}; divide by 255, "
            "and leave normalisation to the model."
        )
    return images.detach().mul(255).round().to(torch.uint8)


def _as_pictures(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) on the uint8 grid."""
    pictures = as_uint8(images)
    if pictures.shape[1] != 3:
        raise InputError(
            f"A pixel has three channels, but these images have {pictures.shape[1]}; repeat a grey "
            "one with images.expand(-1, 3, -1, -1)."
        )
    return pictures


def _as_labels(labels: Tensor, images: Tensor) -> Tensor:
    labels = torch.as_tensor(labels)
    if labels.shape != images.shape[:1] or labels.is_floating_point():
        raise InputError(
            f"Labels must be {len(images)} whole numbers, one an image, "
            f"not {labels.dtype} of shape {tuple(labels.shape)}."
        )
    return labels.long()
