"""The attacks that the ladder can climb: each finds edits of images that still stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.enumeration import corner_sweep, refine_colours, top_gradient
from apr_core.attacks.gradient import fgsm, pgd
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.pixels import apply_edits
from apr_core.attacks.search import Search
from apr_core.attacks.sparse_rs import sparse_rs
from apr_core.attacks.stage_result import StageResult
from apr_core.base import random
from apr_core.base.registry import Registry
from apr_core.base.types import Fitness
from apr_core.models.inference import Model, evaluating
from apr_core.models.inputs import as_input
from apr_core.models.outputs import logit_margin


@dataclass(frozen=True)
class Scene:
    """What a stage is given: images that still stand, and the best edits so far.

    Attributes:
        images: uint8 (B, C, H, W), as they were.
        base: edits of k - 1 pixels that the ladder builds on.
        corner_margins: (B, 8 H W), of the corner sweep for k pixels, if it came before.
    """

    oracle: ModelOracle
    images: Tensor
    labels: Tensor
    indices: Tensor
    pixels: int
    seed: int
    base: StageResult
    corner_margins: Tensor | None

    def one_more(self) -> Tensor:
        """The images with the base's edits: one more pixel makes k."""
        return self.base.edited(self.images)


@dataclass(frozen=True)
class Stage:
    """One attack of the ladder.

    Attributes:
        attack: finds edits of k pixels; or of none, if it changes more than pixels.
        extends: whether it finds one pixel more than the base, and is run for every k on the way.
        gradient: whether it needs one.
        sparse: whether it changes k pixels, and not all of them a little.
        cold_start: whether it finds edits that do not depend on what was found before.
    """

    attack: Callable[[Scene], StageResult]
    extends: bool = False
    gradient: bool = False
    sparse: bool = True
    cold_start: bool = False


def _corners(scene: Scene) -> StageResult:
    return corner_sweep(scene.oracle, scene.one_more(), scene.labels, scene.seed)


def _refine(scene: Scene) -> StageResult:
    images = scene.one_more()
    if scene.corner_margins is not None:
        return refine_colours(scene.oracle, images, scene.labels, scene.corner_margins)
    swept = corner_sweep(scene.oracle, images, scene.labels, scene.seed, stop_on_success=False)
    assert swept.margins is not None
    found = refine_colours(scene.oracle, images, scene.labels, swept.margins)
    every = swept.margins.shape[1]  # all were tried, also after a flip
    return replace(found, queries=found.queries + every)


def _top_gradient(scene: Scene) -> StageResult:
    return top_gradient(scene.oracle, scene.one_more(), scene.labels)


def _sparse_rs(scene: Scene) -> StageResult:
    start = scene.base if scene.base.positions.shape[1] else None
    where = (scene.oracle, scene.images, scene.labels, scene.indices)
    return sparse_rs(*where, scene.pixels, scene.seed, start=start)


def _differential_evolution(scene: Scene, fitness: Fitness) -> StageResult:
    """Su et al.'s attack with k pixels from the start."""
    config = OnePixelConfig(pixels=scene.pixels, fitness=fitness, seed=scene.seed)
    search = Search(config, scene.oracle, scene.images, scene.labels, indices=scene.indices)
    while search.live:
        search.tell(scene.oracle.query(search.ask()))
    outcomes, device = search.outcomes(), scene.oracle.device
    edits = [outcome.edits for outcome in outcomes]
    positions = torch.tensor([[(one.x, one.y) for one in several] for several in edits])
    colours = torch.tensor([[one.rgb for one in several] for several in edits])
    edited = apply_edits(scene.images, positions.to(device), colours.to(device))
    return StageResult(
        positions.to(device),
        colours.to(device),
        logit_margin(scene.oracle.verify_float32(edited), scene.labels),
        torch.tensor([outcome.success for outcome in outcomes], device=device),
        torch.tensor([outcome.queries for outcome in outcomes], device=device),
    )


def _fgsm(scene: Scene) -> StageResult:
    return _shift(scene, fgsm)


def _pgd(scene: Scene) -> StageResult:
    keys = random.keys_for(scene.seed, scene.indices)
    start = random.uniform(keys, 0, tuple(scene.images.shape[1:]))
    return _shift(scene, partial(pgd, start=start))


def _shift(scene: Scene, attack: Callable[[Model, Tensor, Tensor], Tensor]) -> StageResult:
    """An attack on every pixel at once, off the uint8 grid: whether it flips, and no edits."""
    oracle = scene.oracle
    with torch.enable_grad(), evaluating(oracle.model):
        shifted = attack(oracle.answer, as_input(scene.images), scene.labels)
        with torch.no_grad():
            logits = oracle.answer(shifted)
    found = StageResult.nothing(len(scene.images), scene.oracle.device)
    return replace(
        found,
        margin=logit_margin(logits, scene.labels),
        flipped=logits.argmax(1) != scene.labels,
        queries=found.queries + 1,
    )


STAGES: Registry[Stage] = Registry("attack")
STAGES.add("top-gradient", Stage(_top_gradient, extends=True, gradient=True))
STAGES.add("corners", Stage(_corners, extends=True))
STAGES.add("refine", Stage(_refine, extends=True))
STAGES.add("sparse-rs", Stage(_sparse_rs))
STAGES.add(
    "de-margin", Stage(partial(_differential_evolution, fitness=Fitness.MARGIN), cold_start=True)
)
STAGES.add(
    "de", Stage(partial(_differential_evolution, fitness=Fitness.PROBABILITY), cold_start=True)
)
STAGES.add("fgsm", Stage(_fgsm, gradient=True, sparse=False))
STAGES.add("pgd", Stage(_pgd, gradient=True, sparse=False))
