"""The attacks that the ladder can climb: each finds edits of images that still stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.enumeration import corner_sweep, refine_colours, top_gradient
from apr_core.attacks.found import Found, margins_of
from apr_core.attacks.gradient import fgsm, pgd
from apr_core.attacks.pixels import apply_edits
from apr_core.attacks.scoring import Scorer, as_input
from apr_core.attacks.search import Search
from apr_core.attacks.sparse_rs import sparse_rs
from apr_core.base import random
from apr_core.base.registry import Registry
from apr_core.base.types import Fitness
from apr_core.models.inference import Model, evaluating


@dataclass(frozen=True)
class Scene:
    """What a stage is given: images that still stand, and the best edits so far.

    Attributes:
        images: uint8 (B, C, H, W), as they were.
        base: edits of k - 1 pixels that the ladder builds on.
        corner_margins: (B, 8 H W), of the corner sweep for k pixels, if it came before.
    """

    scorer: Scorer
    images: Tensor
    labels: Tensor
    indices: Tensor
    pixels: int
    seed: int
    base: Found
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
        few: whether it changes k pixels, and not all of them a little.
        afresh: whether it finds edits that do not depend on what was found before.
    """

    attack: Callable[[Scene], Found]
    extends: bool = False
    gradient: bool = False
    few: bool = True
    afresh: bool = False


def _corners(scene: Scene) -> Found:
    return corner_sweep(scene.scorer, scene.one_more(), scene.labels, scene.seed)


def _refine(scene: Scene) -> Found:
    images = scene.one_more()
    if scene.corner_margins is not None:
        return refine_colours(scene.scorer, images, scene.labels, scene.corner_margins)
    swept = corner_sweep(scene.scorer, images, scene.labels, scene.seed, leave=False)
    assert swept.margins is not None
    found = refine_colours(scene.scorer, images, scene.labels, swept.margins)
    every = swept.margins.shape[1]  # all were tried, also after a flip
    return replace(found, queries=found.queries + every)


def _top_gradient(scene: Scene) -> Found:
    return top_gradient(scene.scorer, scene.one_more(), scene.labels)


def _sparse_rs(scene: Scene) -> Found:
    start = scene.base if scene.base.positions.shape[1] else None
    where = (scene.scorer, scene.images, scene.labels, scene.indices)
    return sparse_rs(*where, scene.pixels, scene.seed, start=start)


def _differential_evolution(scene: Scene, fitness: Fitness) -> Found:
    """Su et al.'s attack with k pixels from the start."""
    config = OnePixelConfig(pixels=scene.pixels, fitness=fitness, seed=scene.seed)
    search = Search(config, scene.scorer, scene.images, scene.labels, indices=scene.indices)
    while search.live:
        search.advance(scene.scorer.score(search.propose()))
    outcomes, device = search.outcomes(), scene.scorer.device
    edits = [outcome.edits for outcome in outcomes]
    positions = torch.tensor([[(one.x, one.y) for one in several] for several in edits])
    colours = torch.tensor([[one.rgb for one in several] for several in edits])
    edited = apply_edits(scene.images, positions.to(device), colours.to(device))
    return Found(
        positions.to(device),
        colours.to(device),
        margins_of(scene.scorer.confirm(edited), scene.labels),
        torch.tensor([outcome.success for outcome in outcomes], device=device),
        torch.tensor([outcome.queries for outcome in outcomes], device=device),
    )


def _fgsm(scene: Scene) -> Found:
    return _shift(scene, fgsm)


def _pgd(scene: Scene) -> Found:
    keys = random.keys_for(scene.seed, scene.indices)
    start = random.uniform(keys, 0, tuple(scene.images.shape[1:]))
    return _shift(scene, partial(pgd, start=start))


def _shift(scene: Scene, attack: Callable[[Model, Tensor, Tensor], Tensor]) -> Found:
    """An attack on every pixel at once, off the uint8 grid: whether it flips, and no edits."""
    scorer = scene.scorer
    with torch.enable_grad(), evaluating(scorer.model):
        shifted = attack(scorer.answer, as_input(scene.images), scene.labels)
        with torch.no_grad():
            logits = scorer.answer(shifted)
    found = Found.nothing(len(scene.images), scene.scorer.device)
    return replace(
        found,
        margin=margins_of(logits, scene.labels),
        flipped=logits.argmax(1) != scene.labels,
        queries=found.queries + 1,
    )


STAGES: Registry[Stage] = Registry("attack")
STAGES.add("top-gradient", Stage(_top_gradient, extends=True, gradient=True))
STAGES.add("corners", Stage(_corners, extends=True))
STAGES.add("refine", Stage(_refine, extends=True))
STAGES.add("sparse-rs", Stage(_sparse_rs))
STAGES.add(
    "de-margin", Stage(partial(_differential_evolution, fitness=Fitness.MARGIN), afresh=True)
)
STAGES.add("de", Stage(partial(_differential_evolution, fitness=Fitness.PROBABILITY), afresh=True))
STAGES.add("fgsm", Stage(_fgsm, gradient=True, few=False))
STAGES.add("pgd", Stage(_pgd, gradient=True, few=False))
