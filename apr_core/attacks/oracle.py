"""Oracles: the black box that an attack queries, perturbations in and logits out.

Perturbations are drawn and classified in chunks, so that memory stays flat.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from apr_core.attacks.perturbation import Perturbations
from apr_core.base.hardware import BACKGROUND, give_way
from apr_core.base.types import InputError
from apr_core.models import Classifier
from apr_core.models.incremental import EditEngine, choose_engine
from apr_core.models.inference import (
    Model,
    as_module,
    compile_for,
    default_chunk,
    device_of,
    in_training,
    keep_memory,
    prepare,
    scale_chunk,
)
from apr_core.models.inputs import as_input
from apr_core.models.outputs import (
    FEW,
    check_briefly,
    check_logits,
    in_chunks,
    out_of_memory,
    query_model,
)
from apr_core.models.precision import half_type
from apr_core.models.switches import FULL_PRECISION

FEW_CHUNK = {"cpu": 8, "cuda": 256}
"""Images of 32 x 32 in a chunk where a query is of few: they too are padded to one shape."""
SOON = 64
"""Pixels of a side of images for which an engine is chosen within about a second."""
CONFIRMING = 10
"""How many times as many samples of a random model decide whether a candidate flips it."""

Draw = Callable[[int, int], Tensor]
"""First and last -> uint8 images (last - first, C, H, W)."""


class QueryOracle(Protocol):
    """What a search queries: `ModelOracle` in this process, or
    `apr_core.serving.ray.oracle.ClusterOracle` on a cluster's machines.

    Attributes:
        device: where what is asked and what is answered lie.
        exact: whether `query` says what the model itself does, so that no flip need be verified.
        repeatable: whether a candidate's logits depend on the candidate alone, to the bit.
    """

    device: torch.device

    @property
    def exact(self) -> bool: ...

    @property
    def repeatable(self) -> bool: ...

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
    """A model in this process, as an attack queries it.

    This package's own models are queried through a folded copy, in chunks padded to one shape, so
    that a candidate's logits do not depend on its company; flips are then verified on the model
    itself (`exact` is False). A user's model is called as it is, on exactly the candidates; it is
    checked when it is first verified on (`outputs.check_briefly`). A chunk that memory does not
    suffice for is halved for good.

    Args:
        model: images (B, C, H, W) float in [0, 1] -> logits (B, K).
        chunk: images in one call of the model; by default what suits its device and their size.
        eot_samples: expectation over transformation: how often a model that answers at random is
            queried; its answer is then the logarithm of its mean probabilities. Flips are verified
            by `CONFIRMING` times as many samples, or the luckiest of thousands of candidates would
            count as one.
        half: search in half precision (bfloat16 on a CPU). Then too, flips are verified.
        compiled: search on machine code made of the model: see `compile_for`.
        checked: the model is known to be one to attack, and is not checked.
        incremental: for long searches: compute only what edits change, where that is found to be
            faster (`apr_core.models.incremental`). Found out for a size of images by `fit`: in a
            second for a small network, in ten or more for one of 224 x 224. Flips are then
            verified.
        background: for large images, find out in a thread; queries go dense meanwhile.

    Raises:
        InputError: the model is not this package's own, or the machine has no compiler, where it is
            to be compiled.
    """

    def __init__(
        self,
        model: Model,
        chunk: int | None = None,
        eot_samples: int = 1,
        half: bool = False,
        compiled: bool = False,
        checked: bool = False,
        incremental: bool = False,
        background: bool = False,
    ) -> None:
        self.model = model = as_module(model)
        self.device = device_of(model)
        self._chosen_chunk, self._size = chunk, (0, 0)
        own = isinstance(model, Classifier)
        self._own, self._incremental = own, incremental and eot_samples == 1
        self._undecided, self._choosing = self._incremental, threading.Lock()
        self._background = background
        self._checked, self._eot_samples, self._half = checked, eot_samples, half
        self._search = prepare(model) if own else model
        if compiled and not own:
            raise InputError(
                "Only this package's own classifiers are compiled, bare ones; leave --compile out."
            )
        if compiled:
            self._search = compile_for(self._search)
        self._engine: EditEngine | None = None
        self._fit_chunks(32, 32)
        if self.device.type == "cpu":
            keep_memory()

    @property
    def exact(self) -> bool:
        """See `QueryOracle`."""
        return not (self._own or self._half or self._eot_samples > 1 or self._engine)

    @property
    def repeatable(self) -> bool:
        """See `QueryOracle`."""
        return self._own or self._engine is not None

    @property
    def engine(self) -> EditEngine | None:
        """What answers edits on windows; None where the dense forward does, or none came yet."""
        return self._engine

    @torch.no_grad()
    def query(self, edits: Perturbations) -> Tensor:
        """Logits of every edit, (N, K) float32.

        Raises:
            InputError: the model answers with no logits, or memory lacks for a single image.
        """
        if self._background and max(edits.images.shape[2:]) > SOON:
            self._fit_later(edits.images)
        else:
            self.fit(edits.images)
        with FULL_PRECISION.held():
            return self._answered(edits, 0)

    @torch.no_grad()
    def query_small(self, edits: Perturbations) -> Tensor:
        """As `query`, for a search that never asks for many: padded to a smaller shape.

        A candidate's logits differ from those that `query` gives by rounding.
        """
        self._fit_size(edits.images)
        with FULL_PRECISION.held():
            return self._answered(edits, self._few)

    @torch.no_grad()
    def query_images(self, images: Tensor) -> Tensor:
        """Logits of many images as a search sees them, fast: uint8 (N, C, H, W) -> (N, K)."""
        self._fit_size(images)
        with self._precision(), FULL_PRECISION.held():
            return self._query(_slices(images), len(images))

    @torch.no_grad()
    def verify_float32(self, images: Tensor) -> Tensor:
        """The model's own logits, in float32: uint8 (N, C, H, W) -> (N, K).

        Raises:
            InputError: the model answers with no logits, or, seen at the first call, otherwise
                than an attack can make use of; or memory lacks for a single image.
        """
        self._fit_size(images)
        samples = self._eot_samples * CONFIRMING if self._eot_samples > 1 else 1
        with FULL_PRECISION.held():
            self._check(images)
            answer = partial(self.answer, eot_samples=samples)
            return self._query_few(answer, _slices(images), len(images))

    def fit(self, images: Tensor) -> None:
        """Choose how to go about images (N, C, H, W) of a size; what was halved for it stays so.

        `query` does it where nobody did before; a caller who knows what will come does it while
        nobody waits.
        """
        self._fit_size(images)
        with self._choosing:
            if self._undecided and len(images):
                self._undecided = False
                if not in_training(self.model):
                    self._choose_engine(tuple(images.shape[1:]))

    def _fit_later(self, images: Tensor) -> None:
        """Have a thread choose, unless one does so already."""
        self._fit_size(images)
        if self._undecided and len(images) and not self._choosing.locked():
            # Python waits for it at its end: inside torch, it would take the process with it.
            work, asked = self._fit_quietly, (images[:1],)
            threading.Thread(target=work, args=asked, name="choose-engine").start()

    def _fit_quietly(self, images: Tensor) -> None:
        give_way(BACKGROUND)  # the run that asked goes on meanwhile
        self.fit(images)

    def _fit_size(self, images: Tensor) -> None:
        height, width = images.shape[2:]
        if (height, width) != self._size:
            self._fit_chunks(height, width)
            self._engine, self._undecided = None, self._incremental

    def _choose_engine(self, shape: tuple[int, ...]) -> None:
        def dense(images: Tensor) -> Tensor:
            with self._precision():
                return self._searched(images)

        with FULL_PRECISION.held():
            self._engine = choose_engine(self.model, shape, dense, self.chunk, self._half)

    def _fit_chunks(self, height: int, width: int) -> None:
        self._size, few = (height, width), FEW_CHUNK.get(self.device.type, 64)
        self.chunk = self._chosen_chunk or default_chunk(self.device, height, width)
        least = 1 if self.repeatable else None  # each is padded to the whole chunk
        self._few = scale_chunk(few, self.device, height, width, least)

    def answer(self, images: Tensor, eot_samples: int = 0) -> Tensor:
        """The model's own logits (N, K) of floats in [0, 1], a gradient with them where it is on.

        Args:
            images: (N, C, H, W).
            eot_samples: by default as many as in the search.
        """
        return _mean_answer(self.model, images, eot_samples or self._eot_samples)

    @torch.no_grad()
    def certified_pixels(self, images: Tensor, labels: Tensor) -> Tensor | None:
        """See `QueryOracle`; of a model that has a method of this name."""
        prove = getattr(self.model, "certified_pixels", None)
        return prove(as_input(images), labels) if prove else None

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

    def _searched(self, images: Tensor) -> Tensor:
        if self._search is self.model:
            return _mean_answer(self.model, images, self._eot_samples)
        # Faster than no_grad, but what a model keeps of it can have no part in a gradient: only for
        # the folded copy, which is nobody else's.
        with torch.inference_mode():
            return _mean_answer(self._search, images, self._eot_samples)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, half_type(self.device), enabled=self._half)

    def _answered(self, edits: Perturbations, few: int) -> Tensor:
        """Logits of edits, those on windows that are faster there.

        Args:
            few: edits in a chunk, where only a few are asked for; else 0.
        """
        rows, logits = self._on_windows(edits, few)
        if logits is not None and len(rows) == len(edits):
            return logits[rows.argsort()]
        rest = torch.ones(len(edits), dtype=torch.bool, device=edits.owner.device)
        rest[rows] = False
        left = edits if logits is None else edits.take(rest.nonzero()[:, 0])
        with self._precision():
            if few:
                answer = self._query_few(self._searched, left.draw, len(left))
            else:
                answer = self._query(left.draw, len(left))
        if logits is None:
            return answer
        every = answer.new_empty(len(edits), answer.shape[1])
        every[rows], every[rest] = logits, answer
        return every

    def _on_windows(self, edits: Perturbations, few: int) -> tuple[Tensor, Tensor | None]:
        """The rows of the edits that the engine answers, and their logits, None for none."""
        nothing = edits.owner[:0]
        while self._engine is not None and len(edits) and self._engine.takes(edits.owner):
            asked = (edits.images, edits.owner, edits.positions, edits.colours)
            try:
                rows, logits = self._engine.answer(*asked, few)
                return rows, logits if logits is None else check_logits(logits, len(rows))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            if not self._engine.halve():
                self._engine = None
        return nothing, None

    def _query(self, draw: Draw, count: int) -> Tensor:
        work = partial(self._classify, self._searched, draw)
        logits, self.chunk = in_chunks(work, count, self.chunk)
        return logits

    def _query_few(self, answer: Model, draw: Draw, count: int) -> Tensor:
        logits, self._few = in_chunks(partial(self._classify, answer, draw), count, self._few)
        return logits

    def _classify(self, answer: Model, draw: Draw, first: int, last: int) -> Tensor:
        """Logits (n, K) of the images that `draw` draws, padded to last - first if need be."""
        images = draw(first, last)
        count, missing = len(images), last - first - len(images)
        if self.repeatable and missing:
            images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        return answer(as_input(images))[:count]


def _mean_answer(model: nn.Module, images: Tensor, samples: int) -> Tensor:
    """Logits of images, or the logarithm of the mean probabilities of several samples: (N, K)."""
    answers = [query_model(model, images).float() for _ in range(samples)]
    return answers[0] if samples == 1 else torch.stack(answers).softmax(-1).mean(0).log()


def _slices(images: Tensor) -> Draw:
    return lambda first, last: images[first:last]
