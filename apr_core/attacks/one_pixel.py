"""The one-pixel attack (Su, Vargas and Sakurai, 2019) as `init`, `ask` and `tell`.

Each image is searched by its own differential evolution, or, for many pixels and for a
patch, by its own Sparse-RS, which proposes otherwise and is told alike; all searches of a batch
live in one immutable state. `Search` runs them against an oracle.
Dimensions: B images, A of them still searched, P population, k pixels, C channels,
D = (2 + C) k genome, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apr_core.attacks import differential_evolution as de
from apr_core.attacks import genomes, sparse_rs, sparse_rs_patch
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.confirmation import confirm_flips
from apr_core.attacks.perturbation import apply_edits, edit_norms
from apr_core.base import random
from apr_core.base.batch import Batch
from apr_core.base.types import Fitness, Method, Stop
from apr_core.models.outputs import logit_margin

PROPOSERS = {Method.SPARSE_RS: sparse_rs, Method.PATCH: sparse_rs_patch}
"""What proposes in place of differential evolution."""
Verify = Callable[[Tensor], Tensor]
"""The model's own logits in float32: uint8 images (n, C, H, W) -> (n, K)."""


@dataclass(frozen=True)
class Predictions(Batch):
    """What a model says of candidates; all tensors have one shape.

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
        """From logits (..., K) of images with `labels`, which expand to (...)."""
        probabilities, leading = logits.softmax(dim=-1), logits.argmax(dim=-1)
        return cls(_at(probabilities, labels), leading, _at(probabilities, leading))

    @classmethod
    def blank(cls, shape: tuple[int, ...], device: torch.device) -> Predictions:
        zeros = torch.zeros(shape, device=device)
        return cls(zeros, zeros.long(), zeros)


@dataclass(frozen=True)
class Scores(Batch):
    """What a search takes from candidates' logits, however many classes they have.

    Attributes:
        predictions: of the candidates.
        sought: probability of the class to leave, or of the target to reach, float32.
        margin: its logit minus the best other, float32.
    """

    predictions: Predictions
    sought: Tensor
    margin: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor, targets: Tensor) -> Scores:
        """From logits (..., K) of images with `labels` and `targets`, which expand to (...)."""
        sought = torch.where(targets < 0, labels, targets)
        probability = _at(logits.softmax(dim=-1), sought)
        return cls(Predictions.of(logits, labels), probability, logit_margin(logits, sought))

    def packed(self) -> Tensor:
        """As one float32 tensor (..., 5); a class is below 2^24, and whole."""
        said = self.predictions
        parts = (said.true, said.leading.float(), said.confidence, self.sought, self.margin)
        return torch.stack(parts, dim=-1)

    @classmethod
    def unpacked(cls, values: Tensor) -> Scores:
        """Undo `packed`."""
        true, leading, confidence, sought, margin = values.unbind(-1)
        return cls(Predictions(true, leading.long(), confidence), sought, margin)


@dataclass(frozen=True)
class Winners(Batch):
    """The fittest flip of each search: its genome (B, D), its fitness (B,), infinite where there is
    none, and what the model says of it."""

    genomes: Tensor
    fitness: Tensor
    predictions: Predictions


@dataclass(frozen=True)
class AttackState(Batch):
    """B searches between generations.

    Attributes:
        images: what is attacked, uint8 (B, C, H, W).
        labels: true classes, (B,).
        targets: classes to reach, (B,); -1 for an untargeted search.
        search: the population, of differential evolution or of Sparse-RS.
        done: searches that have ended, (B,) bool.
        queries: candidates scored, (B,) int64.
        flip_generation: generation of the first flip, (B,); -1 while there is none.
        predictions: what the model says of each member of the population, (B, P).
        winners: where flips are verified, each of these is, with the model's own predictions.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor
    search: de.DEState
    done: Tensor
    queries: Tensor
    flip_generation: Tensor
    predictions: Predictions
    winners: Winners

    @property
    def flipped(self) -> Tensor:
        return self.flip_generation >= 0

    @property
    def best_slots(self) -> Tensor:
        """Slot of the fittest member of each population, (B,)."""
        return self.search.fitness.argmin(dim=1)

    def best(self) -> tuple[Tensor, Predictions]:
        """Genomes (B, D) and predictions (B,) of the winners, else of the fittest members."""
        rows, slots = torch.arange(len(self.images), device=self.images.device), self.best_slots
        fittest = self.search.genomes[rows, slots]
        genomes = torch.where(self.flipped[:, None], self.winners.genomes, fittest)
        predictions = self.winners.predictions.where(self.flipped, self.predictions.at(rows, slots))
        return genomes, predictions


@dataclass(frozen=True)
class Candidates:
    """What to score next.

    Attributes:
        rows: which images, (A,) int64.
        proposal: the genomes, (A, P, D), and what they were made of.
        positions: (A, P, k, 2) int64 as x, y.
        colours: (A, P, k, C) int64 in 0 to 255.
    """

    rows: Tensor
    proposal: de.Proposal
    positions: Tensor
    colours: Tensor


def init(
    config: OnePixelConfig,
    images: Tensor,
    labels: Tensor,
    targets: Tensor,
    indices: Tensor,
    start: Tensor | None = None,
) -> AttackState:
    """Searches at their start.

    Args:
        images: uint8 (B, C, H, W).
        labels: (B,) int64.
        targets: (B,) int64, -1 for untargeted.
        indices: (B,) int64; with the seed they fix the random numbers of each search.
        start: genomes (B, D) that every member begins with; by default random ones.

    Raises:
        InputError: Sparse-RS is asked for more pixels, or a larger patch, than the images have.
    """
    count, channels, height, width = images.shape
    keys = random.keys_for(config.seed, indices)
    if start is None:
        proposer = PROPOSERS.get(config.method, genomes)
        shape = (config.population, config.pixels, height, width, channels)
        first = proposer.initial_genomes(keys, *shape)
    else:
        first = start[:, None].repeat(1, config.population, 1)
    infinite = torch.full((count,), float("inf"), device=images.device)
    return AttackState(
        images=images,
        labels=labels,
        targets=targets,
        search=de.init(keys, first),
        done=torch.zeros_like(labels, dtype=torch.bool),
        queries=torch.zeros_like(labels),
        flip_generation=torch.full_like(labels, -1),
        predictions=Predictions.blank((count, config.population), images.device),
        winners=Winners(first[:, 0], infinite, Predictions.blank((count,), images.device)),
    )


def ask(config: OnePixelConfig, state: AttackState) -> Candidates:
    """The next generation of every search that has not ended."""
    rows = (~state.done).nonzero()[:, 0]
    _, channels, height, width = state.images.shape
    search = state.search.at(rows)
    if config.method in PROPOSERS:
        progress = search.generation / (config.generations + 1)
        proposal = PROPOSERS[config.method].ask(search, progress, height, width, channels)
    else:
        low, high = genomes.box(config.pixels, height, width, channels, state.images.device)
        evolution = de.DEConfig(config.strategy, config.weight, config.recombination, low, high)
        proposal = de.ask(evolution, search)
    return Candidates(rows, proposal, *genomes.decode(proposal.genomes, channels))


def tell(
    config: OnePixelConfig,
    state: AttackState,
    candidates: Candidates,
    scores: Scores,
    verify: Verify | None = None,
) -> AttackState:
    """The state after the candidates' `scores` (A, P) are known.

    Args:
        verify: the model itself, where the scores come from a faster copy: only a flip that it
            confirms counts. By default the scores are the model's own.
    """
    rows = candidates.rows
    return state.put(_tell_live(config, state.at(rows), candidates, scores, verify), rows)


def _tell_live(
    config: OnePixelConfig,
    state: AttackState,
    candidates: Candidates,
    scores: Scores,
    verify: Verify | None,
) -> AttackState:
    """`tell` for a state of the candidates' searches alone."""
    generation = state.search.generation
    fitness, predictions = _fitness(config, state, candidates, scores), scores.predictions
    search = de.tell(state.search, candidates.proposal, fitness)
    survivors = predictions.where(search.moved | (generation == 0), state.predictions)
    flipped = _flips(predictions.leading, state.labels[:, None], state.targets[:, None])
    if verify:
        flipped, predictions = _verified(state, candidates, fitness, flipped, predictions, verify)
    first = flipped.any(dim=1) & ~state.flipped
    state = replace(
        state,
        search=search,
        queries=state.queries + config.population,
        flip_generation=torch.where(first, generation, state.flip_generation),
        predictions=survivors,
        winners=_fitter(state.winners, candidates, fitness, flipped, predictions),
    )
    ended = _ends_early(config, state, scores, flipped) | (generation >= config.generations)
    return replace(state, done=ended)


def _fitness(
    config: OnePixelConfig, state: AttackState, candidates: Candidates, scores: Scores
) -> Tensor:
    """Lower is better for the attacker, (A, P)."""
    probability = config.fitness is Fitness.PROBABILITY
    fitness = _sign(state) * (scores.sought if probability else scores.margin)
    if config.l2_penalty:
        norms = edit_norms(state.images, candidates.positions, candidates.colours)
        fitness = fitness + config.l2_penalty * norms
    return fitness


def _sign(state: AttackState) -> Tensor:
    """Of the sought class's fitness, (A, 1): it is to be left, or to be reached."""
    return torch.where(state.targets >= 0, -1.0, 1.0)[:, None]


def _at(values: Tensor, classes: Tensor) -> Tensor:
    """Values (..., K) at `classes`, which expand to (...) -> (...)."""
    return values.gather(-1, classes.expand(values.shape[:-1])[..., None])[..., 0]


def _flips(leading: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Whether each candidate's leading class is what the attacker wants, bool."""
    return torch.where(targets < 0, leading != labels, leading == targets)


def _verified(
    state: AttackState,
    candidates: Candidates,
    fitness: Tensor,
    flipped: Tensor,
    predictions: Predictions,
    verify: Verify,
) -> tuple[Tensor, Predictions]:
    """Flips (A, P) that the model itself does not refute, and predictions with its own.

    Flips that would not replace a search's winner are not asked about.
    """
    better = flipped & (fitness < state.winners.fitness[:, None])

    def upheld(row: Tensor, slot: Tensor) -> Tensor:
        nonlocal predictions
        edits = candidates.positions[row, slot], candidates.colours[row, slot]
        logits = verify(apply_edits(state.images[row], *edits))
        said = Predictions.of(logits, state.labels[row])
        predictions = predictions.put(said, row, slot)
        return _flips(said.leading, state.labels[row], state.targets[row])

    kept = confirm_flips(better, fitness, upheld)
    return flipped & ~better | kept, predictions


def _fitter(
    winners: Winners,
    candidates: Candidates,
    fitness: Tensor,
    flipped: Tensor,
    predictions: Predictions,
) -> Winners:
    """The winners, or the fittest of this generation's flips where that is fitter."""
    lowest, slots = fitness.masked_fill(~flipped, float("inf")).min(dim=1)
    rows = torch.arange(len(slots), device=slots.device)
    genomes = candidates.proposal.genomes[rows, slots]
    challengers = Winners(genomes, lowest, predictions.at(rows, slots))
    return challengers.where(lowest < winners.fitness, winners)


def _ends_early(
    config: OnePixelConfig, state: AttackState, scores: Scores, flipped: Tensor
) -> Tensor:
    """Early stopping: which searches end before their budget does, (A,) bool.

    Su et al.'s threshold counts for a flip alone: of many classes, the true one may lead with less
    than 5 %.
    """
    if config.stop is Stop.BUDGET:
        return torch.zeros_like(state.done)
    if config.stop is Stop.FIRST_FLIP:
        return state.flipped
    reached = torch.where(_sign(state) < 0, scores.sought > 0.9, scores.sought < 0.05)
    return (reached & flipped).any(dim=1) & state.flipped


def finish(state: AttackState, rows: Tensor) -> AttackState:
    """End the searches where `rows` (B,) bool holds."""
    return replace(state, done=state.done | rows)
