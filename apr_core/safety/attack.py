"""The adaptive attack: one pixel against the whole pipeline, by one who knows all of it.

It succeeds where the pipeline gives a wrong answer and does not withhold it. Its budget, an image
(`Budget` has the numbers):

1. The edit that the attack ladder found on the bare model, shown to the pipeline.
2. Of every pixel in every corner colour, those that raise the models' losses most to first order
   (`screened`) are scored on the models, the ensemble's too; the pipeline is shown those that come
   nearest to fooling all of them (`shown`).
3. Differential evolution (best1bin), begun with the best so far: `population` edits of any place
   and colour for `generations`. Its fitness is the sum of the logit margins by which models are
   not fooled, while the model itself is not or the ensemble withholds the answer, and the
   pipeline's largest excess besides, which a success has at 0 or under.

An image is done with at its first success. The whole pipeline is asked about edits that fool the
bare model alone, as no other can succeed. Random views are averaged over their draws in the search,
and over ten times as many others before a success counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.attacks import differential_evolution as de
from apr_core.attacks.enumeration import corner_scores, corners_of, input_gradient
from apr_core.attacks.genomes import box, decode, encode
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.base import random
from apr_core.base.types import Strategy, check_ranges
from apr_core.models.inputs import as_input
from apr_core.models.outputs import logit_margin
from apr_core.safety.pipeline import Pipeline

BLOCK = 50
"""Edits of an image that the pipeline is shown at once."""
FAR = 2.0
"""Fitness of an edit that leaves the model right, besides the margins: over any excess."""
DOUBTFUL = 1e-3
"""Fitness of an edit that succeeded on the search's own draws alone."""
CONFIRMED = 5
"""Edits of a block that are held against other draws, at most."""


@dataclass(frozen=True)
class Budget:
    """Of the adaptive attack, an image; the module says what each number is of."""

    screened: int = 500
    shown: int = 200
    population: int = 24
    generations: int = 10

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {
                "screened": (1, 10**6),
                "shown": (1, 10**6),
                "population": (4, 10_000),
                "generations": (0, 10_000),
            },
        )


@dataclass(frozen=True, eq=False)
class Found:
    """What the attack found: the edit that succeeded, or the one with the best fitness.

    Attributes:
        positions: (B, 1, 2) int64 as x, y.
        colours: (B, 1, C) int64.
        fitness: (B,).
        success: whether the pipeline answers wrongly, (B,) bool.
        queries: edits that the bare model was asked about, (B,).
        shown: of these, how many the whole pipeline was asked about, (B,).
    """

    positions: Tensor
    colours: Tensor
    fitness: Tensor
    success: Tensor
    queries: Tensor
    shown: Tensor


def attack_pipeline(
    pipeline: Pipeline,
    images: Tensor,
    labels: Tensor,
    indices: Tensor,
    known: tuple[Tensor, Tensor],
    budget: Budget,
    seed: int = 0,
    report: Callable[[Found], None] = lambda found: None,
) -> Found:
    """Attack pictures that the model labels rightly.

    Args:
        images: uint8 (B, C, H, W).
        labels, indices: (B,); with the seed, an index fixes an image's random numbers.
        known: an edit of each that was found before: positions (B, 1, 2), colours (B, 1, C).
        report: is told what is best so far, before and after the pipeline is shown the edits of a
            block or a generation; what it raises ends the attack.
    """
    search = _Search(pipeline, images, labels, report)
    everyone = torch.arange(len(images), device=images.device)
    fitness = [search.attempt(everyone, known[0][:, None], known[1][:, None])]
    if bool(search.success.all()):
        return search.found
    positions, colours = _screen(search, budget)
    for first in range(0, positions.shape[1], BLOCK):
        rows = (~search.success).nonzero()[:, 0]
        block = slice(first, first + BLOCK)
        shape = positions[:, block].shape[:2]
        fitness.append(torch.full(shape, torch.inf, device=images.device))
        if len(rows):
            tried = positions[rows, block], colours[rows, block]
            fitness[-1][rows] = search.attempt(rows, *tried)
    positions = torch.cat([known[0][:, None], positions], 1)
    colours = torch.cat([known[1][:, None], colours], 1)
    _evolve(search, indices, positions, colours, torch.cat(fitness, 1), budget, seed)
    return search.found


def _screen(search: _Search, budget: Budget) -> tuple[Tensor, Tensor]:
    """The `shown` edits that come nearest to fooling all models: (B, n, 1, 2), (B, n, 1, C)."""
    images = search.images
    palette, width = corners_of(images.shape[1]).to(images.device), images.shape[3]
    everyone = torch.arange(len(images), device=images.device)
    promise = _promise(search, search.pipeline.oracle)
    for other in search.pipeline.others.values():
        promise = promise + _promise(search, other)
    chosen = promise.topk(min(budget.screened, promise.shape[1])).indices  # (B, N)
    pixel = chosen // len(palette)
    positions = torch.stack([pixel % width, pixel // width], dim=-1)[:, :, None]
    colours = palette[chosen % len(palette)][:, :, None]
    blocks = zip(*(torch.split(part, BLOCK, 1) for part in (positions, colours)), strict=True)
    nearness = torch.cat([_nearness(search, *block) for block in blocks], 1)
    least = nearness.topk(min(budget.shown, chosen.shape[1]), largest=False).indices
    best = everyone[:, None], least
    return positions[best], colours[best]


def _nearness(search: _Search, positions: Tensor, colours: Tensor) -> Tensor:
    """How far edits (B, n, 1, 2) and (B, n, 1, C) are from fooling all models, (B, n)."""
    edits = Perturbations.of_each(search.images, positions, colours)
    labels = search.labels.repeat_interleave(positions.shape[1])
    own, held = search.margins(edits.draw(0, len(edits)), labels)
    search.queries[~search.success] += positions.shape[1]
    search.report(search.found)
    # bounded: no flip of the model makes up for another that holds
    return (own.tanh() + held).view(positions.shape[:2])


def _promise(search: _Search, oracle: ModelOracle) -> Tensor:
    """First-order rise of a model's loss from each corner colour at each pixel, in units of its
    spread, (B, H W 2^C); of a model without a gradient, numbers at random."""
    images = search.images
    if getattr(oracle.model, "differentiable", True):
        slope = input_gradient(oracle, images, search.labels)
        rise = corner_scores(as_input(images), slope).flatten(1)
        return rise / rise.std(1, keepdim=True).clamp(min=1e-12)
    keys = random.keys_for(0, torch.arange(len(images), device=images.device))
    return random.uniform(keys, 0, (images[0, 0].numel() * 2 ** images.shape[1],))


def _evolve(
    search: _Search,
    indices: Tensor,
    positions: Tensor,
    colours: Tensor,
    fitness: Tensor,
    budget: Budget,
    seed: int,
) -> None:
    """Differential evolution from the best edits so far, (B, n, 1, 2) and (B, n, 1, C)."""
    rows = (~search.success).nonzero()[:, 0]
    count = min(budget.population, fitness.shape[1])
    if not len(rows) or count < 4:
        return
    channels, height, width = search.images.shape[1:]
    best = fitness[rows].topk(count, largest=False)
    at = rows[:, None], best.indices
    genomes = encode(positions[at], colours[at])
    low, high = box(1, height, width, channels, genomes.device)
    config = de.DEConfig(Strategy.BEST1BIN, 0.5, 1.0, low, high)
    state = de.init(random.keys_for(seed, indices[rows]), genomes)
    state = de.tell(state, de.ask(config, state), best.values)
    for _ in range(budget.generations):
        left = (~search.success[rows]).nonzero()[:, 0]
        if not len(left):
            return
        rows, state = rows[left], state.at(left)
        proposal = de.ask(config, state)
        state = de.tell(state, proposal, search.attempt(rows, *decode(proposal.genomes, channels)))


class _Search:
    """The best edit of each image so far."""

    def __init__(
        self,
        pipeline: Pipeline,
        images: Tensor,
        labels: Tensor,
        report: Callable[[Found], None],
    ) -> None:
        self.pipeline, self.images, self.labels, self.report = pipeline, images, labels, report
        count, channels = images.shape[:2]
        self.positions = labels.new_zeros(count, 1, 2)
        self.colours = labels.new_zeros(count, 1, channels)
        self.fitness = torch.full((count,), torch.inf, device=images.device)
        self.success = torch.zeros_like(labels, dtype=torch.bool)
        self.queries, self.shown = torch.zeros_like(labels), torch.zeros_like(labels)

    @property
    def found(self) -> Found:
        """The result."""
        best = (self.positions, self.colours, self.fitness, self.success)
        return Found(*best, self.queries, self.shown)

    def attempt(self, rows: Tensor, positions: Tensor, colours: Tensor) -> Tensor:
        """Fitness (A, n) of n edits of each image at `rows` (A,), of which the best are kept.

        Args:
            positions, colours: (A, n, 1, 2) and (A, n, 1, C).
        """
        edits = Perturbations.of_each(self.images[rows], positions, colours)
        shape = positions.shape[:2]
        labels = self.labels[rows].repeat_interleave(shape[1])
        pictures = edits.draw(0, len(edits))
        margin, held = self.margins(pictures, labels)
        self.queries[rows] += shape[1]
        self.report(self.found)
        fitness, fooled = FAR + margin + held, margin < 0
        if bool(fooled.any()):
            seen = self.pipeline.see(pictures[fooled], lazy=True)
            split = seen.excess["ensemble"] > 0 if "ensemble" in seen.excess else False
            fitness[fooled] = seen.worst + held[fooled] * split
        fitness = fitness.view(shape)
        self.shown[rows] += fooled.view(shape).sum(1)
        self._confirm(rows, fitness, pictures.view(*shape, *pictures.shape[1:]))
        least, slot = fitness.min(1)
        here = torch.arange(len(rows), device=rows.device)
        better = least < self.fitness[rows]
        kept = rows[better]
        self.fitness[kept] = least[better]
        self.positions[kept] = positions[here, slot][better]
        self.colours[kept] = colours[here, slot][better]
        self.success[rows] = least <= 0
        self.report(self.found)
        return fitness

    def margins(self, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The model's logit margin on pictures (N, C, H, W), and the sum of those by which the
        ensemble's others are not fooled: (N,) each."""
        own = logit_margin(self.pipeline.oracle.query_images(pictures), labels)
        held = torch.zeros_like(own)
        for other in self.pipeline.others.values():
            held += logit_margin(other.query_images(pictures), labels).clamp(min=0)
        return own, held

    def _confirm(self, rows: Tensor, fitness: Tensor, pictures: Tensor) -> None:
        """Hold the fittest successes against the pipeline on one picture, and on other draws."""
        for place in (fitness <= 0).any(1).nonzero()[:, 0].tolist():
            order = fitness[place].argsort(stable=True)
            wins = order[fitness[place][order] <= 0]
            for number, slot in enumerate(wins.tolist()):
                if number < CONFIRMED and self._holds(pictures[place, slot], rows[place]):
                    break
                fitness[place, slot] = DOUBTFUL

    def _holds(self, picture: Tensor, row: Tensor) -> bool:
        seen = self.pipeline.see(picture[None], many=True)
        return bool((seen.labels[0] != self.labels[row]) & ~seen.withheld[0])
