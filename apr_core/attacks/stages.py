"""The attacks of the ladder, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from apr_core.attacks.config import RANGES, OnePixelConfig
from apr_core.attacks.enumeration import (
    GRADIENT_CHUNK,
    corner_sweep,
    gradient_corners,
    refine_colours,
    top_gradient,
)
from apr_core.attacks.genomes import decode, encode
from apr_core.attacks.gradient import EPSILON, cross_entropy, fgsm, margin_loss, pgd
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.patch import check_side, gradient_patch
from apr_core.attacks.search import Search
from apr_core.attacks.stage_result import StageResult
from apr_core.base import random
from apr_core.base.registry import Registry
from apr_core.base.types import Fitness, Method, Threat
from apr_core.models.inference import evaluating, scale_chunk
from apr_core.models.inputs import as_input
from apr_core.models.outputs import in_chunks, logit_margin

QUERIES = 10_000
"""Croce et al.'s budget of Sparse-RS."""
PGD_STEPS = 20
PGD_REACH = 2.5
"""Madry et al.'s: the steps of PGD together are so many times as long as its reach."""


@dataclass(frozen=True)
class AttackContext:
    """What a stage attacks: images that survived so far, with the best edits so far.

    Attributes:
        images: uint8 (B, C, H, W), as they were.
        base: edits of k - 1 pixels that the ladder builds on.
        corner_margins: (B, 2^C H W), of the corner sweep for k pixels, if it came before.
        epsilon: how far every pixel may be changed, by attacks that change them all.
        side: of the square, for attacks that replace one.
        steps, restarts: of PGD.
    """

    oracle: ModelOracle
    images: Tensor
    labels: Tensor
    indices: Tensor
    pixels: int
    seed: int
    base: StageResult
    corner_margins: Tensor | None
    epsilon: float = EPSILON
    side: int = 0
    steps: int = PGD_STEPS
    restarts: int = 1

    @property
    def where(self) -> tuple[ModelOracle, Tensor, Tensor, Tensor]:
        """The oracle, images, labels and indices."""
        return self.oracle, self.images, self.labels, self.indices

    @property
    def edited(self) -> tuple[ModelOracle, Tensor, Tensor]:
        """For attacks of one pixel more: the oracle, the images with the base's edits, labels."""
        return self.oracle, self.base.edited(self.images), self.labels


@dataclass(frozen=True)
class Stage:
    """One attack of the ladder.

    Attributes:
        attack: finds edits: of k pixels, of all in a patch, or none, if it changes every pixel.
        adds_one_pixel: whether it finds one pixel more than the base; it is run for every k on the
            way.
        gradient: whether it needs one.
        threat: what it may change.
        cold_start: whether what it finds does not depend on what was found before.
        most_pixels: it is not tried with more.
    """

    attack: Callable[[AttackContext], StageResult]
    adds_one_pixel: bool = False
    gradient: bool = False
    threat: Threat = Threat.L0
    cold_start: bool = False
    most_pixels: int = int(RANGES["pixels"][1])


def _refine(context: AttackContext) -> StageResult:
    if context.corner_margins is not None:
        return refine_colours(*context.edited, context.corner_margins)
    swept = corner_sweep(*context.edited, context.seed, stop_on_success=False)
    assert swept.margins is not None
    found = refine_colours(*context.edited, swept.margins)
    every = swept.margins.shape[1]  # all were tried, also after a flip
    return replace(found, queries=found.queries + every)


def _sparse_rs(context: AttackContext, **budget: Any) -> StageResult:
    start = context.base if context.base.positions.shape[1] else None
    return sparse_rs(*context.where, context.pixels, context.seed, start=start, **budget)


def sparse_rs(
    oracle: ModelOracle,
    images: Tensor,
    labels: Tensor,
    indices: Tensor,
    pixels: int,
    seed: int = 0,
    queries: int = QUERIES,
    start: StageResult | None = None,
    method: Method = Method.SPARSE_RS,
) -> StageResult:
    """Sparse-RS as its authors run it, one proposal at a time.

    Args:
        images: uint8 (B, C, H, W).
        labels, indices: (B,); with the seed, an index fixes an image's random numbers.
        pixels: k; at most all of them.
        queries: candidates an image, at most.
        start: warm start: edits of at most k pixels to begin with; by default k at random.
        method: of pixels, or of a patch.
    """
    _, channels, height, width = images.shape
    pixels = min(pixels, height * width)
    first = start.padded(pixels) if start is not None and start.positions.shape[1] else None
    search = Search(
        OnePixelConfig(pixels, population=1, generations=queries - 1, seed=seed, method=method),
        oracle,
        images,
        labels,
        indices=indices,
        start=None if first is None else encode(first.positions, first.colours),
    )
    while search.live:
        search.tell(oracle.query_small(search.ask()))
    state = search.state
    positions, colours = decode(state.best()[0], channels)
    margin = torch.where(state.flipped, state.winners.fitness, state.search.fitness[:, 0])
    return StageResult(positions, colours, margin, state.flipped, state.queries)


def _sparse_rs_patch(context: AttackContext, **budget: Any) -> StageResult:
    check_side(context.side, *context.images.shape[2:])
    pixels = context.side**2
    return sparse_rs(*context.where, pixels, context.seed, method=Method.PATCH, **budget)


def _differential_evolution(context: AttackContext, **settings: Any) -> StageResult:
    """Su et al.'s attack with k pixels from the start.

    Args:
        settings: of `OnePixelConfig`, where they are not its defaults.
    """
    config = OnePixelConfig(pixels=context.pixels, seed=context.seed, **settings)
    search = Search(config, context.oracle, context.images, context.labels, indices=context.indices)
    while search.live:
        search.tell(context.oracle.query(search.ask()))
    state = search.state
    positions, colours = decode(state.best()[0], context.images.shape[1])
    blank = StageResult.blank(context.images, context.oracle.device)
    found = replace(blank, positions=positions, colours=colours)
    logits = context.oracle.verify_float32(found.edited(context.images))
    margin = logit_margin(logits, context.labels)
    return replace(found, margin=margin, flipped=state.flipped, queries=state.queries)


def _pgd(context: AttackContext) -> StageResult:
    keys = random.keys_for(context.seed, context.indices)
    step = PGD_REACH * context.epsilon / context.steps
    attack = partial(pgd, step=step, steps=context.steps)
    starts = (
        random.uniform(keys, restart, tuple(context.images.shape[1:]))
        for restart in range(context.restarts)
    )
    return _shift(context, attack, ((start,) for start in starts))


def _shift(
    context: AttackContext,
    attack: Callable[..., Tensor],
    tries: Iterable[tuple[Tensor, ...]] = ((),),
) -> StageResult:
    """An attack on every pixel at once: whether it flips, and no edits.

    What it finds is rounded to the uint8 grid, and the model itself is asked about that. It raises
    the cross-entropy, and for the images that this leaves, the logit margin: of a model that is
    very sure, such as a distilled one, the first has no gradient in floats.

    Args:
        attack: the model, images (n, C, H, W) in [0, 1], labels (n,), more, the reach `epsilon`
            and the `loss` -> images.
        tries: what it takes more of each image, (B, ...), once for each time that it is to be
            tried on the images that are left.
    """
    oracle, labels = context.oracle, context.labels
    margin = torch.full((len(labels),), torch.inf, device=oracle.device)
    flipped, queries = torch.zeros_like(labels, dtype=torch.bool), torch.zeros_like(labels)
    for more, loss in ((one, loss) for one in tries for loss in (cross_entropy, margin_loss)):
        rows = (~flipped).nonzero()[:, 0]
        if not len(rows):
            break
        parts = [part[rows] for part in (context.images, labels, *more)]
        found = partial(attack, oracle.answer, epsilon=context.epsilon, loss=loss)
        logits = oracle.verify_float32(_shifted(oracle, found, parts, context.epsilon))
        margin[rows] = torch.minimum(margin[rows], logit_margin(logits, labels[rows]))
        flipped[rows] = logits.argmax(1) != labels[rows]
        queries[rows] += 1
    blank = StageResult.blank(context.images, oracle.device)
    return replace(blank, margin=margin, flipped=flipped, queries=queries)


def _shifted(
    oracle: ModelOracle, attack: Callable[..., Tensor], parts: Sequence[Tensor], epsilon: float
) -> Tensor:
    """Images after an attack on every pixel, uint8 and within reach of what they were.

    Args:
        parts: what the attack takes, (n, ...) each, uint8 images first.
    """
    reach = int(255 * epsilon + 1e-6)  # 8/255 times 255 may be a little under 8

    def some(first: int, last: int) -> Tensor:
        whole, *asked = (part[first:last] for part in parts)
        found = (255 * attack(as_input(whole), *asked)).round().int()
        return found.clamp(whole.int() - reach, whole.int() + reach).to(torch.uint8)

    chunk = scale_chunk(GRADIENT_CHUNK, oracle.device, *parts[0].shape[2:])
    with torch.enable_grad(), evaluating(oracle.model):
        return in_chunks(some, len(parts[0]), chunk)[0]


STAGES: Registry[Stage] = Registry("attack")
STAGES.add(
    "top-gradient",
    Stage(lambda context: top_gradient(*context.edited), adds_one_pixel=True, gradient=True),
)
STAGES.add(
    "corners",
    Stage(lambda context: corner_sweep(*context.edited, context.seed), adds_one_pixel=True),
)
STAGES.add("refine", Stage(_refine, adds_one_pixel=True))
STAGES.add("sparse-rs", Stage(_sparse_rs))
for _name, _fitness in (("de-margin", Fitness.MARGIN), ("de", Fitness.PROBABILITY)):
    _attack = partial(_differential_evolution, fitness=_fitness)
    STAGES.add(_name, Stage(_attack, cold_start=True))
# For large images; the name says the budget: of the last, candidates by generations.
STAGES.add(
    "top-gradient-1000",
    Stage(
        lambda context: gradient_corners(*context.edited, 1000),
        adds_one_pixel=True,
        gradient=True,
        most_pixels=3,
    ),
)
STAGES.add("sparse-rs-2000", Stage(partial(_sparse_rs, queries=2000)))
STAGES.add(
    "de-margin-100x20",
    Stage(
        partial(_differential_evolution, fitness=Fitness.MARGIN, population=100, generations=20),
        cold_start=True,
    ),
)
STAGES.add("fgsm", Stage(lambda context: _shift(context, fgsm), gradient=True, threat=Threat.LINF))
STAGES.add("pgd", Stage(_pgd, gradient=True, threat=Threat.LINF))
STAGES.add(
    "patch",
    Stage(
        lambda context: gradient_patch(
            context.oracle, context.images, context.labels, context.side
        ),
        gradient=True,
        threat=Threat.PATCH,
    ),
)
STAGES.add("sparse-rs-patch", Stage(_sparse_rs_patch, threat=Threat.PATCH))
STAGES.add(
    "sparse-rs-patch-1000",
    Stage(partial(_sparse_rs_patch, queries=1000), threat=Threat.PATCH),
)
