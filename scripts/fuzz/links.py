"""Links: any words in any place, and pictures that a link carries."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from hypothesis import strategies as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.data.cifar10 import CLASSES
from apr_core.data.images import to_png
from apr_core.data.sample import load_test_image
from apr_core.serving.requests import AttackRequest
from apr_ui.permalink import from_params, to_params
from apr_ui.race.link import race_from_params, race_to_params, split_names
from apr_ui.words import plain
from scripts.fuzz.boundary import Attempt, Boundary, BoundError
from scripts.fuzz.hostile import TEXTS, spoiled_bytes
from scripts.nasty_pictures import corpus

_GOOD = {
    "model": ("cifar10-resnet20-vanilla", "cifar10-resnet20-apr+lattice"),
    "models": ("cifar10-resnet20-vanilla,cifar10-resnet20-apr", ",,", ",".join("abcdefgh")),
    "index": ("0", "9", "9999", "10000"),
    "label": CLASSES,
    "target": (*CLASSES, "9", "10"),
    "population": ("4", "400", "2000", "2001", "3"),
    "generations": ("0", "100", "1000", "1001"),
    "pixels": ("1", "16", "17"),
    "seed": ("0", "2147483647"),
    "strategy": ("su2019", "best1bin"),
    "fitness": ("probability", "margin"),
    "stop": ("first-flip", "budget"),
    "l2_penalty": ("0.5", "100"),
    "weight": ("0.5",),
    "recombination": ("0", "1"),
    "run": ("0" * 16,),
}
_LONG = 12_000


def _in_link(data: bytes) -> str:
    return base64.urlsafe_b64encode(data[:_LONG]).decode().rstrip("=")


_PICTURES = spoiled_bytes((to_png(load_test_image(0)[0]), *corpus().values())).map(_in_link)


@st.composite
def _links(draw: st.DrawFn) -> dict[str, str]:
    hostile = st.sampled_from(TEXTS) | st.text(max_size=20)
    names = draw(st.lists(st.sampled_from(list(_GOOD)), unique=True, max_size=6))
    params = {name: draw(st.sampled_from(_GOOD[name]) | hostile) for name in names}
    if draw(st.booleans()):
        params |= {"model": draw(st.sampled_from(_GOOD["model"])), "index": "9"}
    if draw(st.integers(0, 3)) == 0:
        params["picture"] = draw(_PICTURES | hostile)
        params.setdefault("label", "cat")
    return params


class _Flat(torch.nn.Module):
    """Ten equal logits: every request can begin on it, and none takes long."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), len(CLASSES))


@contextmanager
def _ready(folder: Path) -> Iterator[Attempt]:
    scorer = ModelOracle(_Flat(), chunk=8)

    def attempt(params: dict[str, str]) -> None:
        for text in params.values():
            plain(text)
        if "runs" in params:
            split_names(params["runs"])
        race = race_from_params(params)
        if race:
            again = race_from_params(race_to_params(race))
            if again is None or [one.run_id for one in again] != [one.run_id for one in race]:
                raise BoundError("The race's link makes another race.")
        request = from_params(params)
        if request is not None:
            _check(request)
            request.begin(scorer)

    yield attempt


def _check(request: AttackRequest) -> None:
    again = from_params(to_params(request))
    if again is None or again.run_id != request.run_id:
        raise BoundError("The link of the request makes another request.")
    if tuple(request.image.shape) != (3, 32, 32) or not isinstance(request.config, OnePixelConfig):
        raise BoundError("The request is of no picture.")


def boundaries() -> Iterator[Boundary]:
    """Links to a run and to a race."""
    yield Boundary("links", _links(), _ready)
