"""Remote oracle: queries answered by a cluster's replicas."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from ray.exceptions import RayActorError, RayError, RayTaskError, WorkerCrashedError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse
from torch import Tensor

from apr_core.attacks.perturbation import Perturbations
from apr_core.base.types import InputError
from apr_core.serving.ray.replica import About
from apr_core.serving.ray.wire import pack, tensor_of

PATIENCE = 120.0
"""Seconds that an answer may take, a replica's restart included."""
PAUSE = 0.2
"""Seconds before what a lost replica was asked is asked again."""
_LOST = (RayActorError, WorkerCrashedError, RayServeException)
"""What is raised where a replica is gone, and not the model at fault."""


class ClusterOracle:
    """A model on a cluster, as a search sees it; see `apr_core.attacks.oracle.QueryOracle`.

    What is to be scored is dealt out in pieces over the replicas. What a replica was asked that
    died meanwhile is asked of another, so nothing is lost; since a candidate's logits depend on the
    candidate alone, the answer is what it would have been.

    Args:
        name: of the model.
        handle: of the deployment of `Replica`.

    Raises:
        InputError: there is no such model.
    """

    def __init__(self, name: str, handle: DeploymentHandle[Any]) -> None:
        self._name, self._handle = name, handle
        about: About = self._ask("about", [()])[0]
        self.device = torch.device("cpu")
        self.exact, self.repeatable, self._piece = about.exact, about.repeatable, about.piece

    def query(self, edits: Perturbations) -> Tensor:
        """See `QueryOracle`."""
        firsts = range(0, max(1, len(edits)), self._piece)
        pieces = [(pack(edits, first, first + self._piece),) for first in firsts]
        return torch.cat([tensor_of(answer) for answer in self._ask("query", pieces)])

    def verify_float32(self, images: Tensor) -> Tensor:
        """See `QueryOracle`."""
        pieces = [(piece.numpy(),) for piece in torch.split(images, self._piece)]
        return torch.cat([tensor_of(answer) for answer in self._ask("verify_float32", pieces)])

    def certified_pixels(self, images: Tensor, labels: Tensor) -> Tensor | None:
        """See `QueryOracle`."""
        found = self._ask("certified_pixels", [(images.numpy(), labels.numpy())])[0]
        return None if found is None else tensor_of(found)

    def _ask(self, method: str, asked: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to several requests, which the replicas work on at once."""
        deadline = time.monotonic() + PATIENCE
        sent = [self._send(method, words) for words in asked]
        return [
            self._receive(response, method, words, deadline)
            for response, words in zip(sent, asked, strict=True)
        ]

    def _send(self, method: str, words: tuple[Any, ...]) -> DeploymentResponse[Any]:
        asked = self._handle.options(method_name=method)
        sent: DeploymentResponse[Any] = asked.remote(self._name, *words)  # type: ignore[assignment]
        return sent

    def _receive(
        self,
        response: DeploymentResponse[Any],
        method: str,
        words: tuple[Any, ...],
        deadline: float,
    ) -> Any:
        while True:
            try:
                return response.result(timeout_s=max(0.0, deadline - time.monotonic()))
            except RayTaskError as error:
                raise _plain(error) from None
            except TimeoutError:
                raise InputError(
                    f"The cluster did not answer within {PATIENCE:.0f} s; see that it runs, and "
                    "start this again."
                ) from None
            except _LOST as error:
                if time.monotonic() > deadline:
                    raise _plain(error) from None
            time.sleep(PAUSE)
            response = self._send(method, words)


def _plain(error: RayError | RayServeException) -> Exception:
    """What the model raised over there; or, of the cluster's own trouble, a sentence."""
    cause = getattr(error, "cause", None)
    if isinstance(error, RayTaskError) and isinstance(cause, Exception):
        return cause
    kind = type(error).__name__
    return InputError(f"The cluster failed ({kind}); see that it runs, and start this again.")
