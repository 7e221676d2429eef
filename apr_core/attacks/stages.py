"""The attacks that the ladder can climb: each finds edits of images that still stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.enumeration import corner_sweep, refine_colours, top_gradient
from apr_core.attacks.found import Found, margins_of
from apr_core.attacks.gradient import fgsm, pgd
from apr_core.attacks.pixels import apply_edits
from apr_core.attacks.scoring import Scorer, as_input, check_logits
from apr_core.attacks.search import Search
from apr_core.attacks.sparse_rs import sparse_rs
from apr_core.models.inference import evaluating
from apr_core.registry import Registry
from apr_core.types import Fitness


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
        afresh: whether it finds edits that do not depend on what was found before.
    """

    attack: Callable[[Scene], Found]
    extends: bool = False
    gradient: bool = False
    afresh: bool = False


def _corners(scene: Scene) -> Found:
    return corner_sweep(scene.scorer, scene.one_more(), scene.labels, scene.seed)


def _refine(scene: Scene) -> Found:
    images = scene.one_more()
    margins = scene.corner_margins
    if margins is None:
        margins = corner_sweep(scene.scorer, images, scene.labels, scene.seed, leave=False).margins
    assert margins is not None
    return refine_colours(scene.scorer, images, scene.labels, margins)


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
    generator = torch.Generator().manual_seed(scene.seed)
    return _shift(scene, partial(pgd, generator=generator))


def _shift(scene: Scene, attack: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Found:
    """An attack on every pixel at once, off the uint8 grid: whether it flips, and no edits."""
    model = scene.scorer.model
    with torch.enable_grad(), evaluating(model):
        shifted = attack(model, as_input(scene.images), scene.labels)
        with torch.no_grad():
            logits = check_logits(model(shifted), len(shifted))
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
STAGES.add("fgsm", Stage(_fgsm, gradient=True))
STAGES.add("pgd", Stage(_pgd, gradient=True))
