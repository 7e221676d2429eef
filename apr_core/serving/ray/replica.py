"""Replica: a process of the cluster that answers queries, scaled by Ray Serve."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

import torch
from ray import serve

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.base.hardware import default_device
from apr_core.serving.model_loader import load_oracle
from apr_core.serving.ray.wire import Array, Packed, tensor_of, unpack

MOST_TOGETHER = 32
"""Requests that are scored in one batch."""
WAIT_SECONDS = 0.002
"""How long a request waits for company."""
CHUNKS_A_PIECE = 4
"""Chunks of the model that are asked for at once: enough to outweigh the way there and back."""


@dataclass(frozen=True)
class About:
    """What a caller must know of a model; see `apr_core.attacks.oracle.ModelOracle`.

    Attributes:
        piece: edits that are best asked for in one request.
    """

    exact: bool
    repeatable: bool
    piece: int


class Replica:
    """Any model of the zoo, loaded when it is first asked for.

    Args:
        threads: of torch, on a CPU.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._scorers: dict[str, ModelOracle] = {}
        self._loading = threading.Lock()

    async def about(self, model: str) -> About:
        """What to know before asking; InputError if there is no such model."""
        scorer = await asyncio.to_thread(self._scorer, model)
        return About(scorer.exact, scorer.repeatable, scorer.chunk * CHUNKS_A_PIECE)

    async def query(self, model: str, packed: Packed) -> Array:
        """Logits (N, K) of the edits, in the company of what others ask meanwhile."""
        answer = await self._score_together((model, packed))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def verify_float32(self, model: str, images: Array) -> Array:
        """The model's own logits (N, K) of uint8 images (N, C, H, W)."""

        def answer() -> Array:
            scorer = self._scorer(model)
            return scorer.verify_float32(tensor_of(images).to(scorer.device)).cpu().numpy()

        return await asyncio.to_thread(answer)

    async def certified_pixels(self, model: str, images: Array, labels: Array) -> Array | None:
        """See `apr_core.attacks.oracle.QueryOracle`."""

        def answer() -> Array | None:
            scorer = self._scorer(model)
            asked = (tensor_of(array).to(scorer.device) for array in (images, labels))
            found = scorer.certified_pixels(*asked)
            return None if found is None else found.cpu().numpy()

        return await asyncio.to_thread(answer)

    @serve.batch(max_batch_size=MOST_TOGETHER, batch_wait_timeout_s=WAIT_SECONDS)
    async def _score_together(self, asked: list[tuple[str, Packed]]) -> list[Array | Exception]:
        return await asyncio.to_thread(self._answers, asked)

    def _answers(self, asked: list[tuple[str, Packed]]) -> list[Array | Exception]:
        """An answer to each request; those for one model are one batch."""
        answers: dict[int, Array | Exception] = {}
        for model in dict.fromkeys(model for model, _ in asked):
            places = [place for place, (other, _) in enumerate(asked) if other == model]
            parts = [unpack(asked[place][1]) for place in places]
            answers |= zip(places, self._of_model(model, parts), strict=True)
        return [answers[place] for place in range(len(asked))]

    def _of_model(self, model: str, parts: list[Perturbations]) -> list[Array | Exception]:
        """Should scoring them together fail, each is scored alone: others are not to suffer."""
        try:
            scorer = self._scorer(model)
            logits = scorer.query(Perturbations.merge(parts).to(scorer.device)).cpu()
        except Exception as error:
            if len(parts) == 1:
                return [error]
            return [answer for part in parts for answer in self._of_model(model, [part])]
        return [part.numpy() for part in torch.split(logits, [len(part) for part in parts])]

    def _scorer(self, model: str) -> ModelOracle:
        with self._loading:
            if model not in self._scorers:
                self._scorers[model] = load_oracle(model, default_device())
            return self._scorers[model]
