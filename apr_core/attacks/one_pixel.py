"""The one-pixel attack (Su, Vargas and Sakurai, 2019) as init, ask and tell.

Each image is searched by its own differential evolution; all searches of a batch live in one
state. Running them, counting chunks and reporting are someone else's work (`search`, `service`).
Dimensions: B images, A of them still searched, P population, k pixels, D = 5 k, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apr_core.attacks import differential_evolution as de
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.confirmation import confirm_flips
from apr_core.attacks.pixels import apply_edits, box, decode, edit_norms, initial_genomes
from apr_core.base import random
from apr_core.base.types import Fitness, Stop


@dataclass(frozen=True)
class Predictions:
    """What the model said of some candidates; all three tensors have one shape.

    Attributes:
        true: probability of the true class, float32.
        leading: the most probable class, int64.
        confidence: its probability, float32.
    """

    true: Tensor
    leading: Tensor
    confidence: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Predictions:
        """Read logits (A, P, K) against labels (A,) -> (A, P) each."""
        probabilities = logits.softmax(dim=-1)
        sought = labels[:, None, None].expand(*logits.shape[:2], 1)
        leading = logits.argmax(dim=-1, keepdim=True)
        true, confidence = (probabilities.gather(-1, which)[..., 0] for which in (sought, leading))
        return cls(true, leading[..., 0], confidence)

    @classmethod
    def blank(cls, shape: tuple[int, ...], device: torch.device) -> Predictions:
        zeros = torch.zeros(shape, device=device)
        return cls(zeros, zeros.long(), zeros)

    @classmethod
    def where(cls, chosen: Tensor, these: Predictions, those: Predictions) -> Predictions:
        """`these` where `chosen`, `those` elsewhere."""
        return cls(
            torch.where(chosen, these.true, those.true),
            torch.where(chosen, these.leading, those.leading),
            torch.where(chosen, these.confidence, those.confidence),
        )

    def at(self, *index: Tensor) -> Predictions:
        return Predictions(self.true[index], self.leading[index], self.confidence[index])

    def first(self) -> Predictions:
        """Of (A, 1) readings, (A,)."""
        return Predictions(self.true[:, 0], self.leading[:, 0], self.confidence[:, 0])

    def put(self, part: Predictions, *index: Tensor) -> Predictions:
        """These with `part` in place of what stands at `index`."""
        return Predictions(
            self.true.index_put(index, part.true),
            self.leading.index_put(index, part.leading),
            self.confidence.index_put(index, part.confidence),
        )


@dataclass(frozen=True)
class AttackState:
    """B searches between generations.

    Attributes:
        images: what is attacked, uint8 (B, C, H, W).
        labels: true classes, (B,).
        targets: classes to reach, (B,); -1 for an untargeted search.
        search: the differential evolution of all.
        done: searches that have ended, (B,) bool.
        queries: candidates scored, (B,) int64.
        flip_generation: generation of the first flip, (B,); -1 while there is none.
        readings: what the model said of each member of the population.
        winners: fittest flipping genome so far, (B, D), its fitness (B,), infinite if there is
            none, and what the model said of it. Where flips are confirmed, each of them is, and
            what the model said is its own answer in float32.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor
    search: de.DEState
    done: Tensor
    queries: Tensor
    flip_generation: Tensor
    readings: Predictions
    winners: Tensor
    winner_fitness: Tensor
    winner_readings: Predictions

    @property
    def flipped(self) -> Tensor:
        return self.flip_generation >= 0

    @property
    def best_slots(self) -> Tensor:
        """Slot of the fittest member of each population, (B,)."""
        return self.search.fitness.argmin(dim=1)

    def best(self) -> tuple[Tensor, Predictions]:
        """What each search has to show: its winner, or the fittest that did not flip.

        Returns:
            Genomes (B, D) and the model's readings of them, (B,) each.
        """
        rows = torch.arange(len(self.images), device=self.images.device)
        fittest = self.search.genomes[rows, self.best_slots]
        readings = self.readings.at(rows, self.best_slots)
        genomes = torch.where(self.flipped[:, None], self.winners, fittest)
        return genomes, Predictions.where(self.flipped, self.winner_readings, readings)


@dataclass(frozen=True)
class Candidates:
    """What to score next.

    Attributes:
        rows: which images, (A,) int64.
        proposal: the genomes, (A, P, D), and what they were made of.
        positions: (A, P, k, 2) int64 as x, y.
        colours: (A, P, k, 3) int64 in 0 to 255.
    """

    rows: Tensor
    proposal: de.Proposal
    positions: Tensor
    colours: Tensor


def init(
    config: OnePixelConfig, images: Tensor, labels: Tensor, targets: Tensor, indices: Tensor
) -> AttackState:
    """Searches at their start.

    Args:
        images: uint8 (B, C, H, W).
        labels: (B,) int64.
        targets: (B,) int64, -1 for untargeted.
        indices: (B,) int64; with the seed they fix the random numbers of each search.
    """
    count, _, height, width = images.shape
    keys = random.keys_for(config.seed, indices)
    genomes = initial_genomes(keys, config.population, config.pixels, height, width)
    return AttackState(
        images=images,
        labels=labels,
        targets=targets,
        search=de.init(keys, genomes),
        done=torch.zeros_like(labels, dtype=torch.bool),
        queries=torch.zeros_like(labels),
        flip_generation=torch.full_like(labels, -1),
        readings=Predictions.blank((count, config.population), images.device),
        winners=genomes[:, 0],
        winner_fitness=torch.full((count,), float("inf"), device=images.device),
        winner_readings=Predictions.blank((count,), images.device),
    )


def ask(config: OnePixelConfig, state: AttackState) -> Candidates:
    """The next generation of every search that has not ended."""
    rows = (~state.done).nonzero()[:, 0]
    _, _, height, width = state.images.shape
    low, high = box(config.pixels, height, width, state.images.device)
    evolution = de.DEConfig(config.strategy, config.weight, config.recombination, low, high)
    proposal = de.ask(evolution, state.search.select(rows))
    return Candidates(rows, proposal, *decode(proposal.genomes))


Confirm = Callable[[Tensor], Tensor]
"""The model's own logits in float32: uint8 images (n, C, H, W) -> (n, K)."""


def tell(
    config: OnePixelConfig,
    state: AttackState,
    candidates: Candidates,
    logits: Tensor,
    confirm: Confirm | None = None,
) -> AttackState:
    """The state after the candidates' `logits` (A, P, K) are known.

    Args:
        confirm: the model itself, where the logits are only near to what it says: then a flip
            counts that it upholds. By default the logits are the model's own.
    """
    rows = candidates.rows
    labels, targets = state.labels[rows], state.targets[rows]
    fitness = _fitness(config, logits, labels, targets)
    if config.l2_penalty:
        norms = edit_norms(state.images[rows], candidates.positions, candidates.colours)
        fitness = fitness + config.l2_penalty * norms
    generation = state.search.generation
    readings = Predictions.of(logits, labels)
    search = de.tell(state.search.select(rows), candidates.proposal, fitness)
    survivors = Predictions.where(
        search.moved | (generation == 0), readings, state.readings.at(rows)
    )
    state = replace(
        state,
        search=state.search.put(rows, search),
        queries=state.queries.index_add(0, rows, torch.full_like(rows, config.population)),
        readings=state.readings.put(survivors, rows),
    )
    flipped = flips(logits, labels, targets)
    if confirm:
        flipped, readings = _confirmed(state, candidates, fitness, flipped, readings, confirm)
    state = _note_flips(state, candidates, fitness, flipped, readings, generation)
    ended = _early(config, state, logits, flipped, rows) | (generation >= config.generations)
    return replace(state, done=state.done.index_copy(0, rows, ended))


def flips(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Whether each candidate is labelled as the attacker wants: (A, P, K) -> (A, P) bool."""
    leading = logits.argmax(dim=-1)
    untargeted = (targets < 0)[:, None]
    return torch.where(untargeted, leading != labels[:, None], leading == targets[:, None])


def _confirmed(
    state: AttackState,
    candidates: Candidates,
    fitness: Tensor,
    flipped: Tensor,
    readings: Predictions,
    confirm: Confirm,
) -> tuple[Tensor, Predictions]:
    """Flips (A, P) without those that the model itself refutes, and readings with its own.

    Flips that would not replace a search's winner are not asked about.
    """
    owners = candidates.rows
    better = flipped & (fitness < state.winner_fitness[owners][:, None])

    def upheld(row: Tensor, slot: Tensor) -> Tensor:
        nonlocal readings
        owner = owners[row]
        edits = candidates.positions[row, slot], candidates.colours[row, slot]
        logits = confirm(apply_edits(state.images[owner], *edits))[:, None]
        readings = readings.put(Predictions.of(logits, state.labels[owner]).first(), row, slot)
        return flips(logits, state.labels[owner], state.targets[owner])[:, 0]

    kept = confirm_flips(better, fitness, upheld)
    return flipped & ~better | kept, readings


def _fitness(config: OnePixelConfig, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Lower is better for the attacker: (A, P, K) -> (A, P)."""
    targeted = targets >= 0
    sought = torch.where(targeted, targets, labels)[:, None, None].expand(*logits.shape[:2], 1)
    sign = torch.where(targeted, -1.0, 1.0)[:, None]
    if config.fitness is Fitness.PROBABILITY:
        return sign * logits.softmax(dim=-1).gather(-1, sought)[..., 0]
    others = logits.scatter(-1, sought, float("-inf")).amax(dim=-1)
    return sign * (logits.gather(-1, sought)[..., 0] - others)


def _note_flips(
    state: AttackState,
    candidates: Candidates,
    fitness: Tensor,
    flipped: Tensor,
    readings: Predictions,
    generation: int,
) -> AttackState:
    """Remember each search's first flip and its fittest flipping genome."""
    rows = candidates.rows
    lowest, slot = fitness.masked_fill(~flipped, float("inf")).min(dim=1)
    here = torch.arange(len(rows), device=rows.device)
    better = lowest < state.winner_fitness[rows]
    winners = torch.where(
        better[:, None], candidates.proposal.genomes[here, slot], state.winners[rows]
    )
    said = Predictions.where(better, readings.at(here, slot), state.winner_readings.at(rows))
    first = flipped.any(dim=1) & (state.flip_generation[rows] < 0)
    when = torch.where(first, generation, state.flip_generation[rows])
    return replace(
        state,
        winners=state.winners.index_copy(0, rows, winners),
        winner_fitness=state.winner_fitness.index_copy(
            0, rows, torch.where(better, lowest, state.winner_fitness[rows])
        ),
        winner_readings=state.winner_readings.put(said, rows),
        flip_generation=state.flip_generation.index_copy(0, rows, when),
    )


def _early(
    config: OnePixelConfig, state: AttackState, logits: Tensor, flipped: Tensor, rows: Tensor
) -> Tensor:
    """Which of the searches at `rows` (A,) may stop before their budget ends: (A,) bool.

    Of many classes, the true one may lead with less than Su et al.'s 5 %: without a flip the
    search goes on.
    """
    if config.stop is Stop.BUDGET:
        return torch.zeros_like(rows, dtype=torch.bool)
    if config.stop is Stop.FIRST_FLIP:
        return state.flipped[rows]
    targets = state.targets[rows]
    targeted = targets >= 0
    sought = torch.where(targeted, targets, state.labels[rows])
    probability = logits.softmax(-1).gather(-1, sought[:, None, None].expand(*logits.shape[:2], 1))[
        ..., 0
    ]
    reached = torch.where(targeted[:, None], probability > 0.9, probability < 0.05)
    return (reached & flipped).any(dim=1) & state.flipped[rows]


def finish(state: AttackState, rows: Tensor) -> AttackState:
    """End the searches where `rows` (B,) bool holds."""
    return replace(state, done=state.done | rows)
