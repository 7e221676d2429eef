"""Differential evolution in a box, as `init`, `ask` and `tell` on immutable state.

It knows no images: a genome is a vector, a fitness is a number to lower. Dimensions: B independent
searches, P population, D genome.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apr_core.base import random
from apr_core.base.batch import Batch
from apr_core.base.types import Strategy

STREAMS = 8
"""Random streams that a generation may use; the first is 0 for the initial population."""


@dataclass(frozen=True)
class DEConfig:
    """How children are made.

    Attributes:
        strategy: see `apr_core.base.types.Strategy`.
        weight: F, for su2019; best1bin draws its own from [0.5, 1) each generation.
        recombination: chance that a gene comes from the mutant; 1 means no crossover.
        low: lower corner of the box, (D,).
        high: upper corner, (D,).
    """

    strategy: Strategy
    weight: float
    recombination: float
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class DEState(Batch):
    """B searches between generations.

    Attributes:
        keys: random key of each search, (B,) int64.
        genomes: the population, (B, P, D) float32.
        fitness: of each genome, lower is better, (B, P) float32; infinite before it is known.
        moved: whether the last generation's child replaced its parent, (B, P) bool.
        generation: how many generations were told, the initial population being the first.
    """

    keys: Tensor
    genomes: Tensor
    fitness: Tensor
    moved: Tensor
    generation: int


@dataclass(frozen=True)
class Proposal:
    """Genomes to score, (B, P, D), and the population slots they were made of, (B, P, 3).

    The donors are r1, r2, r3, with r1 the best for best1bin; None for the initial population.
    """

    genomes: Tensor
    donors: Tensor | None = None
    weight: Tensor | None = None


def init(keys: Tensor, genomes: Tensor) -> DEState:
    """A state whose first `ask` proposes `genomes` (B, P, D) themselves."""
    shape = genomes.shape[:2]
    fitness = torch.full(shape, float("inf"), device=genomes.device)
    moved = torch.zeros(shape, dtype=torch.bool, device=genomes.device)
    return DEState(keys, genomes, fitness, moved, generation=0)


def ask(config: DEConfig, state: DEState) -> Proposal:
    """A child for every member of the population (or, at first, the population)."""
    if state.generation == 0:
        return Proposal(state.genomes)
    donors = _draw_donors(config, state)
    weight = _draw_weight(config, state)
    rows = torch.arange(len(donors), device=donors.device)[:, None]
    r1, r2, r3 = (state.genomes[rows, slots] for slots in donors.unbind(-1))
    mutants = r1 + weight[:, None, None] * (r2 - r3)
    children = _crossover(config, state, mutants)
    return Proposal(_into_box(config, state, children), donors, weight)


def tell(state: DEState, proposal: Proposal, fitness: Tensor) -> DEState:
    """Each child against its own parent; a tie goes to the child, so that plateaus are crossed.

    Args:
        fitness: of the proposal, (B, P).
    """
    kept = fitness <= state.fitness
    return replace(
        state,
        genomes=torch.where(kept[..., None], proposal.genomes, state.genomes),
        fitness=torch.where(kept, fitness, state.fitness),
        moved=kept if state.generation > 0 else torch.zeros_like(kept),
        generation=state.generation + 1,
    )


def _stream(state: DEState, number: int) -> int:
    return state.generation * STREAMS + number


def _draw_donors(config: DEConfig, state: DEState) -> Tensor:
    """Three slots per child, different from one another and from the child's own: (B, P, 3)."""
    searches, population = state.fitness.shape
    own = torch.arange(population, device=state.keys.device).expand(searches, -1)
    taken = [own]
    for number in range(3):
        free = population - len(taken)
        draw = random.integers(state.keys, _stream(state, number), (population,), free)
        taken.append(_skip(draw, taken))
    donors = torch.stack(taken[1:], dim=-1)
    if config.strategy is Strategy.BEST1BIN:
        best = state.fitness.argmin(dim=1)
        donors[..., 0] = best[:, None]
    return donors


def _skip(draw: Tensor, taken: list[Tensor]) -> Tensor:
    """The `draw`-th slot that is not among `taken`: walk up past each taken slot in order."""
    for slot in torch.stack(taken, dim=-1).sort(dim=-1).values.unbind(dim=-1):
        draw = draw + (draw >= slot)
    return draw


def _draw_weight(config: DEConfig, state: DEState) -> Tensor:
    """F for each search, (B,)."""
    if config.strategy is Strategy.BEST1BIN:
        return 0.5 + 0.5 * random.uniform(state.keys, _stream(state, 3), (1,))[:, 0]
    return torch.full_like(state.keys, config.weight, dtype=torch.float32)


def _crossover(config: DEConfig, state: DEState, mutants: Tensor) -> Tensor:
    if config.recombination >= 1:
        return mutants
    _, population, genes = mutants.shape
    chance = random.uniform(state.keys, _stream(state, 4), (population, genes))
    always = random.integers(state.keys, _stream(state, 5), (population,), genes)
    own = torch.arange(genes, device=mutants.device) == always[..., None]
    return torch.where((chance < config.recombination) | own, mutants, state.genomes)


def _into_box(config: DEConfig, state: DEState, genomes: Tensor) -> Tensor:
    """su2019 clips to the box; best1bin draws a stray gene anew, as SciPy does."""
    clipped = torch.minimum(torch.maximum(genomes, config.low), config.high)
    if config.strategy is Strategy.SU2019:
        return clipped
    fresh = random.uniform(state.keys, _stream(state, 6), tuple(genomes.shape[1:]))
    return torch.where(genomes == clipped, genomes, config.low + fresh * (config.high - config.low))
