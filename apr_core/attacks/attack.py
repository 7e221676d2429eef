"""`OnePixelAttack`: the one-pixel attack under torchattacks' call convention, and more."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import AttackResult, Snapshot
from apr_core.attacks.search import Search
from apr_core.base.types import InputError, NotAttacked, Status
from apr_core.base.version import versions
from apr_core.models.inference import Model, evaluating
from apr_core.models.inputs import COLOURED, as_floats, as_labels, as_pictures, as_uint8

LONG = 10_000
"""Queries of an image from which on it is found out how to answer them fastest."""


class OnePixelAttack:
    """One-pixel attack by differential evolution (Su, Vargas and Sakurai, 2019).

    Images are uint8, or float in [0, 1], which is rounded to the uint8 grid first; tensors, numpy
    arrays, Pillow pictures or lists of these (`models.inputs`), of three channels or of one. A
    warning tells when nothing could be attacked.

    Args:
        model: any module, or other function, from images (B, C, H, W) float in [0, 1] to logits
            (B, K).
        config: how to attack.
        name: what to call the model in results.
        chunk: images in one call of the model; by default what suits its device.
    """

    def __init__(
        self,
        model: Model,
        config: OnePixelConfig | None = None,
        *,
        name: str = "",
        chunk: int | None = None,
    ) -> None:
        self.config = OnePixelConfig() if config is None else config
        if not isinstance(self.config, OnePixelConfig):
            raise InputError(
                f"config is a {type(config).__name__}; give OnePixelConfig(population=...)."
            )
        self.name = name
        budget = self.config.population * (self.config.generations + 1)
        self.oracle = ModelOracle(model, chunk, incremental=budget >= LONG)
        self.model = self.oracle.model

    def __call__(self, images: object, labels: object) -> Tensor:
        """Adversarial images, as float in [0, 1]; where none was found, the image itself.

        Args:
            images: (B, C, H, W), uint8 or float in [0, 1].
            labels: true classes, (B,).

        Returns:
            (B, C, H, W), on the images' device, float32 unless the images have another float type.

        Raises:
            InputError: images or labels that the model cannot be attacked on.
        """
        pictures = as_pictures(images, *COLOURED)
        adversarial = self.run(pictures, labels).adversarial(pictures)
        return as_floats(adversarial).contiguous().to(pictures.device)

    def run(
        self,
        images: object,
        labels: object,
        targets: object = None,
        indices: Tensor | None = None,
        report: Callable[[Search], None] = lambda search: None,
    ) -> AttackResult:
        """Attack every image that the model classifies correctly.

        Args:
            images: (B, C, H, W), uint8 or float in [0, 1].
            labels: true classes, (B,).
            targets: classes to reach, (B,); None for the config's target, or untargeted. Images
                whose target is their label are skipped, unless that is all of them.
            indices: (B,), by default 0, 1, ...: with the seed they fix each image's draws, so
                that an image attacked alone under its index goes as it does in the batch.
            report: called after every generation.

        Raises:
            InputError: images, labels or targets that the model cannot be attacked on.
        """
        began = time.monotonic()
        pictures = as_uint8(images, *COLOURED)
        truth = as_labels("label", labels, len(pictures))
        wanted = None if targets is None else as_labels("target", targets, len(pictures))
        with evaluating(self.model):
            self.oracle.fit(pictures)
            search = Search(self.config, self.oracle, pictures, truth, wanted, indices)
            while search.live:
                search.tell(self.oracle.query(search.ask()))
                report(search)
            outcomes = search.outcomes()
        seconds = time.monotonic() - began
        result = AttackResult(self.name, self.config, outcomes, seconds, versions())
        _warn_of_skipped(result)
        return result

    def stream(self, image: object, label: object, index: int = 0) -> Iterator[Snapshot]:
        """One snapshot a generation, the initial population first.

        Args:
            image: (C, H, W), uint8 or float in [0, 1].
            label: its true class. If the model gets it wrong, there is a warning and no snapshot.
            index: with the seed it fixes the image's draws.

        Raises:
            InputError: an image or a label that the model cannot be attacked on.
        """
        shape = tuple(getattr(image, "shape", ()))
        if len(shape) > len("CHW"):
            raise InputError(f"stream takes one image (C, H, W), not {shape}; run takes several.")
        pictures = as_uint8([image], *COLOURED)
        labels, indices = as_labels("label", [label], 1), torch.tensor([index])
        with evaluating(self.model):
            search = Search(self.config, self.oracle, pictures, labels, indices=indices)
        if not search.live:
            warnings.warn(_nothing(1), NotAttacked, stacklevel=2)
        while search.live:
            with evaluating(self.model):
                search.tell(self.oracle.query(search.ask()))
            yield search.snapshot()


def _warn_of_skipped(result: AttackResult) -> None:
    total = len(result.outcomes)
    skipped = sum(outcome.status is Status.SKIPPED for outcome in result.outcomes)
    if skipped:
        warnings.warn(
            f"{skipped} of {total} images were not attacked, for the target is their own "
            "class; leave them out, or choose another target.",
            NotAttacked,
            stacklevel=3,
        )
    if not result.attacked and skipped < total:
        warnings.warn(_nothing(total - skipped), NotAttacked, stacklevel=3)


def _nothing(total: int) -> str:
    return (
        f"The model labels 0 of {total} images as their labels say (clean accuracy 0%), and none "
        "could be attacked; check the order of its classes, and how it wants images scaled."
    )
