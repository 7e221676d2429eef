"""A real service to break, models that are in trouble, and what is held of both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.base.types import Stop
from apr_core.data.images import OWN_PICTURE
from apr_core.data.sample import load_test_image
from apr_core.serving.requests import AttackRequest, RunView
from apr_core.serving.service import AttackService
from apr_core.zoo.checkpoints import load_model

MODEL = "cifar10-resnet20-vanilla"
QUICK = OnePixelConfig(population=40, generations=3, stop=Stop.BUDGET)
ENDLESS = OnePixelConfig(population=40, generations=1000, stop=Stop.BUDGET)
MAGIC = (1, 254, 3)
"""The top left pixel of the picture that a model cannot bear."""
PATIENCE = 120.0


@dataclass(frozen=True)
class Borne:
    """A fault that was injected, and borne.

    Attributes:
        found: what the people concerned see.
        seconds: from the fault to its end, as far as that can be told.
    """

    fault: str
    found: str
    seconds: float


class UnborneError(Exception):
    """A fault had consequences that it should not have."""


def expect(held: bool, what: str) -> None:
    """Raise unless something held."""
    if not held:
        raise UnborneError(what)


class Touchy(nn.Module):
    """A model in trouble whenever the magic picture is among those it is shown.

    It looks at one picture after the other: what it says of one does not depend on the others.
    """

    def __init__(self, trouble: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.trouble = load_model(MODEL), trouble

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.cat([self.model(image[None]) for image in images])
        magic = torch.tensor(MAGIC, device=images.device) / 255
        touched = (images[:, :, 0, 0] == magic).all(1)
        return self.trouble(logits) if len(images) > 1 and bool(touched.any()) else logits


class Narrow(nn.Module):
    """A model on a device that holds so many pictures."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.model, self.room = load_model(MODEL), room

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        logits: Tensor = self.model(images)
        return logits


def request(index: int, config: OnePixelConfig = QUICK, model: str = MODEL) -> AttackRequest:
    """An attack on a test image that the model gets right."""
    image, label = load_test_image(index)
    return AttackRequest(model, image, label, index, config)


def magic_request(config: OnePixelConfig = QUICK) -> AttackRequest:
    """An attack on the picture that `Touchy` cannot bear."""
    usual = request(0, config)
    image = usual.image.clone()
    image[:, 0, 0] = torch.tensor(MAGIC, dtype=torch.uint8)
    return replace(usual, image=image, index=OWN_PICTURE)


@contextmanager
def serving(model: nn.Module | None = None, **settings: object) -> Iterator[AttackService]:
    """A service on a model, or on the zoo; closed at the end."""
    other = load_model(MODEL)
    load = (
        None
        if model is None
        else lambda name: ModelOracle(model if name == MODEL else other, checked=True)
    )
    service = AttackService(load, **settings)  # type: ignore[arg-type]
    try:
        yield service
    finally:
        service.close()


def end_of(service: AttackService, run_id: str) -> RunView:
    """Wait for a run's end."""
    deadline = time.monotonic() + PATIENCE
    while (view := service.view(run_id)) is not None and view.live:
        expect(time.monotonic() < deadline, f"run {run_id} never ended")
        time.sleep(0.01)
    expect(view is not None, f"run {run_id} was lost")
    assert view is not None
    return view
