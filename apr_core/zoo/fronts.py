"""Defences without training: what stands before a model whose weights stay as they are.

`NAME+it` is a model behind an input transform (bit depth, then JPEG), and `NAME+clamp` one behind
the clamp of APR+, which needs no weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from torch import Tensor, nn

from apr_core.base.registry import Registry
from apr_core.defences.input_transform import InputTransform
from apr_core.models import Classifier
from apr_core.models.clamp_front import NeighbourhoodFront

FRONTS: Registry[Callable[[], nn.Module]] = Registry("front")
FRONTS.add("it", InputTransform)
FRONTS.add("clamp", lambda: NeighbourhoodFront(attention=False))


class Fronted(nn.Module):
    """A model behind a front: images (B, C, H, W) in [0, 1] -> logits (B, K).

    Attributes:
        sha256: of the model's weights and of the front; "" where the model has none.
        differentiable: whether a gradient comes back to the images.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.front, self.model = FRONTS.get(name)(), model
        self.differentiable = getattr(model, "differentiable", True)
        beneath = getattr(model, "sha256", "") or _own_sha256(model)
        self.sha256 = fronted_sha256(beneath, name) if beneath else ""
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(self.front(images))
        return logits


def fronted_sha256(beneath: str, name: str) -> str:
    """Of a model of a SHA-256 behind the front of a name."""
    return hashlib.sha256(f"{beneath} {name} {FRONTS.get(name)()!r}".encode()).hexdigest()


def _own_sha256(model: nn.Module) -> str:
    """Of the weights of one of this project's own classifiers, which has no note of it."""
    if not isinstance(model, Classifier):
        return ""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def split_front(name: str) -> tuple[str, str]:
    """A model's name, and that of the front that it stands behind; "" for none.

    A path may have a plus sign of its own: what follows the last one is a front only if it is the
    name of one.
    """
    base, plus, front = name.rpartition("+")
    return (base, front) if plus and front in FRONTS else (name, "")
