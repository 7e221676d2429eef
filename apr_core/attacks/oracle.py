"""Candidates to logits: edits drawn and classified in chunks, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from apr_core.attacks.perturbation import Perturbations
from apr_core.base.types import InputError
from apr_core.models import Classifier
from apr_core.models.inference import (
    Model,
    as_module,
    compile_for,
    device_of,
    keep_memory,
    prepare,
)
from apr_core.models.inputs import as_input
from apr_core.models.outputs import FEW, check_briefly, out_of_memory, query_model
from apr_core.models.switches import FULL_PRECISION

CPU_CHUNK, CUDA_CHUNK = 50, 4096
"""Images in a chunk: for each thread of a CPU what its cache holds, on a GPU what fills it."""
FEW_CHUNK = {"cpu": 8, "cuda": 256}
"""Images in a chunk where few are looked at: they too are padded to one shape."""
CONFIRMING = 10
"""How many times as many answers of a random model decide whether a candidate flips it."""


class QueryOracle(Protocol):
    """The black box that a search queries: `ModelOracle` in this process, or
    `apr_core.serving.ray.scorer.ClusterScorer` on a cluster's machines.

    Attributes:
        device: where what is asked and what is answered lie.
        exact: whether `query` says what the model itself does, so that nothing need be confirmed.
        repeatable: whether a candidate's logits depend on the candidate alone, to the bit.
    """

    device: torch.device
    exact: bool
    repeatable: bool

    def query(self, edits: Perturbations) -> Tensor:
        """Logits of every edit, (N, K) float32."""

    def verify_float32(self, images: Tensor) -> Tensor:
        """The model's own logits, in float32: uint8 (N, C, H, W) -> (N, K)."""

    def certified_pixels(self, images: Tensor, labels: Tensor) -> Tensor | None:
        """Where it is proven that no colour turns the answer; None of a model that proves nothing.

        Args:
            images: uint8 (B, C, H, W).
            labels: (B,).

        Returns:
            (B, H, W) bool.
        """


class ModelOracle:
    """A model as an attack sees it: uint8 images or edits in, float32 logits out.

    This package's own models are scored through a folded copy, in chunks padded to one shape, so
    that a candidate's logits do not depend on its company; what matters is then confirmed on the
    model itself (`exact` is False). A user's model is called as it is, on exactly the candidates;
    when it is first confirmed on, it is checked (see `models.outputs`).
    Where memory does not suffice for a chunk, it is halved for good, and the work goes on.

    Args:
        model: images (B, C, H, W) float in [0, 1] -> logits (B, K).
        chunk: images in one call of the model; by default what suits its device.
        eot_samples: expectation over transformation: how often a model that answers at random is
            queried; its answer is then the logarithm of its mean probabilities. What matters is
            confirmed by `CONFIRMING` times as many samples, or the luckiest of thousands of
            candidates would count as a flip.
        half: search in half precision (bfloat16 on a CPU). Then too, what matters is confirmed.
        compiled: search on machine code made of the model: see `compile_for`.
        checked: the model is known to be one to attack, and is not checked.

    Raises:
        InputError: the model is not this package's own, or the machine has no compiler, where it is
            to be compiled.

    Attributes:
        chunk: images in one call of the model, as it stands.
        repeatable: whether a candidate's logits depend on the candidate alone, to the bit.
    """

    def __init__(
        self,
        model: Model,
        chunk: int | None = None,
        eot_samples: int = 1,
        half: bool = False,
        compiled: bool = False,
        checked: bool = False,
    ) -> None:
        self.model = model = as_module(model)
        self.device = device_of(model)
        self.chunk = chunk or default_chunk(self.device)
        self._small = FEW_CHUNK.get(self.device.type, 64)
        own = isinstance(model, Classifier)
        self.exact = not (own or half or eot_samples > 1)
        self.repeatable = own
        self._checked = checked
        self._eot_samples, self._half = eot_samples, half
        self._search = prepare(model) if own else model
        if compiled and not own:
            raise InputError(
                f"A {type(model).__name__} is not compiled, only this package's own classifiers, "
                "bare; leave --compile out."
            )
        if compiled:
            self._search = compile_for(self._search)
        if self.device.type == "cpu":
            keep_memory()

    @torch.no_grad()
    def query(self, edits: Perturbations) -> Tensor:
        """Logits of every edit, (N, K) float32.

        Raises:
            InputError: the model answers with no logits, or memory lacks for a single image.
        """
        with self._precision(), FULL_PRECISION.held():
            return self._search_on(edits.draw, len(edits))

    @torch.no_grad()
    def query_small(self, edits: Perturbations) -> Tensor:
        """As `query`, for a search that never asks for many: padded to a smaller shape.

        A candidate's logits differ from those that `query` gives by rounding.
        """
        with self._precision(), FULL_PRECISION.held():
            return self._small_on(self._searched, edits.draw, len(edits))

    @torch.no_grad()
    def query_images(self, images: Tensor) -> Tensor:
        """Logits of many images as a search sees them, fast: uint8 (N, C, H, W) -> (N, K)."""
        with FULL_PRECISION.held():
            return self._search_on(_slices(images), len(images))

    @torch.no_grad()
    def verify_float32(self, images: Tensor) -> Tensor:
        """The model's own logits, in float32: uint8 (N, C, H, W) -> (N, K).

        Raises:
            InputError: the model answers with no logits, or, seen at the first call, otherwise
                than an attack can make use of; or memory lacks for a single image.
        """
        sure = partial(
            self.answer, eot_samples=self._eot_samples * CONFIRMING if self._eot_samples > 1 else 1
        )
        with FULL_PRECISION.held():
            self._check(images)
            return self._small_on(sure, _slices(images), len(images))

    def _check(self, images: Tensor) -> None:
        """Once: see that the model is one to attack, on the first pictures that come."""
        if self._checked or not len(images):
            return
        try:
            check_briefly(self.model, as_input(images[:FEW]), randomised=self._eot_samples > 1)
        except (RuntimeError, MemoryError) as error:
            if out_of_memory(error):
                return  # what is asked for goes in smaller chunks, and is checked next time
            raise
        self._checked = True

    def answer(self, images: Tensor, eot_samples: int = 0) -> Tensor:
        """The model's own logits (N, K) of floats in [0, 1], a gradient with them where it is on.

        Args:
            images: (N, C, H, W).
            eot_samples: answers to average; by default as many as in the search.
        """
        return _mean_answer(self.model, images, eot_samples or self._eot_samples)

    @torch.no_grad()
    def certified_pixels(self, images: Tensor, labels: Tensor) -> Tensor | None:
        """See `QueryOracle`; asked of a model that has a method of this name."""
        prove = getattr(self.model, "certified_pixels", None)
        return prove(as_input(images), labels) if prove else None

    def _searched(self, images: Tensor) -> Tensor:
        if self._search is self.model:
            return _mean_answer(self.model, images, self._eot_samples)
        # Faster than no_grad, but what a model keeps of it can have no part in a gradient: only for
        # the folded copy, which is nobody else's.
        with torch.inference_mode():
            return _mean_answer(self._search, images, self._eot_samples)

    def _precision(self) -> torch.autocast:
        kind = torch.bfloat16 if self.device.type == "cpu" else torch.float16
        return torch.autocast(self.device.type, kind, enabled=self._half)

    def _search_on(self, draw: Callable[[int, int], Tensor], count: int) -> Tensor:
        logits, chunk = self._in_chunks(self._searched, draw, count, self.chunk)
        self.chunk = min(chunk, self.chunk)
        return logits

    def _small_on(self, answer: Model, draw: Callable[[int, int], Tensor], count: int) -> Tensor:
        logits, few = self._in_chunks(answer, draw, count, self._small)
        self._small = min(few, self._small)
        return logits

    def _in_chunks(
        self, answer: Model, draw: Callable[[int, int], Tensor], count: int, chunk: int
    ) -> tuple[Tensor, int]:
        """Logits (count, K) of what `draw(first, last)` draws, and the chunk that memory bore."""
        parts: list[Tensor] = []
        first = 0
        while not parts or first < count:
            part = self._unless_full(answer, draw, first, chunk)
            if part is not None:
                parts.append(part)
                first += chunk
            elif chunk > 1:
                chunk //= 2
            else:
                raise InputError(
                    "The model ran out of memory with a single picture; close what else uses the "
                    "device, or choose a smaller model."
                )
        return torch.cat(parts), chunk

    def _unless_full(
        self, answer: Model, draw: Callable[[int, int], Tensor], first: int, chunk: int
    ) -> Tensor | None:
        """One chunk's logits; None where memory does not suffice for it."""
        try:
            return self._classify(answer, draw(first, first + chunk), chunk)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        if self.device.type == "cuda":  # by now the attempt's own tensors are gone
            torch.cuda.empty_cache()
        return None

    def _classify(self, answer: Model, images: Tensor, shape: int) -> Tensor:
        """Logits (n, K) of uint8 images (n, C, H, W), n at most `shape`, padded if need be."""
        count = len(images)
        if self.repeatable and count < shape:
            images = torch.cat([images, images.new_zeros(shape - count, *images.shape[1:])])
        return answer(as_input(images))[:count]


def _mean_answer(model: nn.Module, images: Tensor, eot_samples: int) -> Tensor:
    """Logits of images, or the logarithm of the mean probabilities of several draws: (N, K)."""
    answers = [query_model(model, images).float() for _ in range(eot_samples)]
    return answers[0] if eot_samples == 1 else torch.stack(answers).softmax(-1).mean(0).log()


def _slices(images: Tensor) -> Callable[[int, int], Tensor]:
    return lambda first, last: images[first:last]


def default_chunk(device: torch.device) -> int:
    """Images in one call of a model where nobody said otherwise; `bench` tries others."""
    return CPU_CHUNK * torch.get_num_threads() if device.type == "cpu" else CUDA_CHUNK
