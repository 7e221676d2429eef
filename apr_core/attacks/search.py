"""The one-pixel attack on a batch of images, a generation at a time, against an oracle.

Whoever runs it asks for perturbations, has them scored in whatever company, and tells the logits:
`OnePixelAttack` for a batch, the attack service for many callers at once.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from apr_core.attacks import one_pixel
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.genomes import decode
from apr_core.attacks.one_pixel import AttackState, Candidates, Predictions, Scores
from apr_core.attacks.oracle import QueryOracle
from apr_core.attacks.perturbation import Perturbations, apply_edits
from apr_core.attacks.query_cache import QueryCache
from apr_core.attacks.result import MutationTrace, Outcome, Snapshot, as_rgb, to_edits
from apr_core.base.types import InputError, Status
from apr_core.models.inputs import check_classes

UNTARGETED = -1
FOLLOWED = 3
"""Candidates of a generation whose children are followed for slow motion."""
FOLLOWED_PIXELS = 12
"""Most pixels that they have together, beyond one candidate: a snapshot stays small."""


class Search:
    """`one_pixel` with what it needs of an oracle: clean predictions, a query cache, verification.

    Args:
        config: how to attack.
        oracle: of the model under attack.
        images: uint8 (B, C, H, W).
        labels: (B,) int64.
        targets: (B,) int64 or None; overrides the config's one target.
        indices: (B,) int64 or None for 0, 1, ...; with the seed they fix each image's draws.
        start: genomes (B, D) to begin with, or None for random ones.

    Raises:
        InputError: a label or a target is no class of the model, or every target is the label; or
            Sparse-RS is asked for more pixels than the images have.
    """

    def __init__(
        self,
        config: OnePixelConfig,
        oracle: QueryOracle,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None = None,
        indices: Tensor | None = None,
        start: Tensor | None = None,
    ) -> None:
        self.config, self.oracle, device = config, oracle, oracle.device
        self._decode = partial(decode, channels=images.shape[1])
        images, labels = images.to(device), labels.to(device)
        if targets is None:
            targets = torch.full_like(
                labels, UNTARGETED if config.target is None else config.target
            )
        targets = targets.to(device)
        self.indices = (torch.arange(len(images)) if indices is None else indices).to(device)
        clean = oracle.verify_float32(images)
        check_classes("label", labels, clean.shape[1])
        check_classes("target", targets[targets != UNTARGETED], clean.shape[1])
        self.skipped = labels == targets
        if len(labels) and bool(self.skipped.all()):
            raise InputError(
                f"The target {int(labels[0])} is already the image's class; choose another target."
            )
        self._before = Predictions.of(clean, labels)
        self.misclassified = self._before.leading != labels
        state = one_pixel.init(config, images, labels, targets, self.indices, start)
        self.state = one_pixel.finish(state, self.misclassified | self.skipped)
        self._cut = torch.zeros_like(self.misclassified)
        self._candidates: Candidates | None = None
        self._last: tuple[AttackState, Candidates, Scores] | None = None
        self._cache = QueryCache() if config.pixels == 1 and oracle.repeatable else None

    @property
    def live(self) -> bool:
        """Whether any image is still searched."""
        return not bool(self.state.done.all())

    @property
    def step(self) -> int:
        """Generations told so far; the initial population is the first."""
        return self.state.search.generation

    @property
    def steps(self) -> int:
        """As many as the budget has."""
        return self.config.generations + 1

    def ask(self) -> Perturbations:
        """What to score next and `tell` the logits of: all that the query cache does not know."""
        self._candidates = asked = one_pixel.ask(self.config, self.state)
        images = self.state.images[asked.rows]
        edits = Perturbations.of_each(images, asked.positions, asked.colours)
        edits = self._cache.fresh(edits, asked.rows) if self._cache else edits
        self._owner = asked.rows[edits.owner]
        return edits

    def tell(self, logits: Tensor) -> None:
        """Take the logits (N, K) of what `ask` gave."""
        candidates = self._candidates
        assert candidates is not None, "ask first"
        labels, targets = self.state.labels[self._owner], self.state.targets[self._owner]
        values = Scores.of(logits, labels, targets).packed()
        if self._cache:
            values = self._cache.complete(values)
        scores = Scores.unpacked(values.view(len(candidates.rows), -1, values.shape[1]))
        verify = None if self.oracle.exact else self.oracle.verify_float32
        self._last = (self.state, candidates, scores)
        self.state = one_pixel.tell(self.config, self.state, candidates, scores, verify)

    def cancel(self) -> None:
        """End every image's search where it is."""
        self._cut |= ~self.state.done
        self.state = one_pixel.finish(self.state, torch.ones_like(self.state.done))

    def outcomes(self) -> tuple[Outcome, ...]:
        """How each image ended, in order; also of a search that was cut short."""
        state, before = self.state, self._before
        genomes, after = state.best()
        positions, colours = self._decode(genomes)
        tried, success = state.queries > 0, state.flipped
        rows = (tried & ~success).nonzero()[:, 0]
        if len(rows) and not self.oracle.exact:  # a flip was verified when it was found
            edited = apply_edits(state.images[rows], positions[rows], colours[rows])
            verified = self.oracle.verify_float32(edited)
            after = after.put(Predictions.of(verified, state.labels[rows]), rows)
        after = after.where(tried, before)
        return tuple(
            Outcome(
                index=int(self.indices[row]),
                status=self._status(row),
                queries=int(state.queries[row]),
                generations=max(0, int(state.queries[row]) // self.config.population - 1),
                flip_generation=int(state.flip_generation[row]) if success[row] else None,
                edits=to_edits(positions[row], colours[row]) if tried[row] else (),
                label=int(state.labels[row]),
                target=None if state.targets[row] < 0 else int(state.targets[row]),
                label_before=int(before.leading[row]),
                label_after=int(after.leading[row]),
                confidence_before=float(before.confidence[row]),
                confidence_after=float(after.confidence[row]),
                true_before=float(before.true[row]),
                true_after=float(after.true[row]),
            )
            for row in range(len(state.images))
        )

    def _status(self, row: int) -> Status:
        if self.skipped[row]:
            return Status.SKIPPED
        if self.misclassified[row]:
            return Status.MISCLASSIFIED
        if self.state.flipped[row]:
            return Status.FLIPPED
        ended = self.state.done[row] & ~self._cut[row]
        return Status.SURVIVED if ended else Status.CANCELLED

    def result(self) -> Outcome:
        """How the first image ended."""
        return self.outcomes()[0]

    def snapshot(self) -> Snapshot:
        """The first image's search as it stands after a generation."""
        state = self.state
        positions, colours = self._decode(state.search.genomes[0])
        walks, slot = self._traces(), int(state.best_slots[0])
        genomes, best = state.best()
        positions[slot], colours[slot] = self._decode(genomes[0])
        return Snapshot(
            generation=state.search.generation - 1,
            queries=int(state.queries[0]),
            positions=positions.to("cpu", torch.int16),
            colours=as_rgb(colours).to("cpu", torch.uint8),
            fitness=state.search.fitness[0].cpu(),
            true=state.predictions.true[0].cpu(),
            moved=state.search.moved[0].cpu(),
            best=slot,
            best_true=float(best.true[0]),
            best_label=int(best.leading[0]),
            best_confidence=float(best.confidence[0]),
            flipped=bool(state.flipped[0]),
            done=bool(state.done[0]),
            walk=walks[0] if walks else None,
            other_walks=walks[1:],
        )

    def _traces(self) -> tuple[MutationTrace, ...]:
        """Children of the last generation, kept or not: the one that gained most on its parent
        first, then others spread evenly over the ranks, down to the one that lost most."""
        if self._last is None or self._last[1].proposal.donors is None:
            return ()
        parents, candidates, scores = self._last
        proposal, genomes = candidates.proposal, parents.search.genomes[0]
        assert proposal.donors is not None
        assert proposal.weight is not None
        child_true, parent_true = scores.predictions.true[0], parents.predictions.true[0]
        ranked = (parent_true - child_true).argsort(descending=True, stable=True)
        count = max(1, min(FOLLOWED, FOLLOWED_PIXELS // self.config.pixels))
        slots = ranked[torch.linspace(0, len(ranked) - 1, count).round().long()]
        made_of = torch.cat([slots[:, None], proposal.donors[0, slots]], dim=1)  # (count, 4)
        positions, colours = (part.cpu() for part in self._decode(genomes[made_of]))
        children = (part[0, slots].cpu() for part in (candidates.positions, candidates.colours))
        of_each = zip(slots.tolist(), positions, colours, *children, strict=True)
        return tuple(
            MutationTrace(
                slot=slot,
                parent=to_edits(places[0], shades[0]),
                child=to_edits(place, shade),
                donors=tuple(map(to_edits, places[1:], shades[1:])),
                weight=float(proposal.weight[0]),
                parent_true=float(parent_true[slot]),
                child_true=float(child_true[slot]),
                kept=bool(self.state.search.moved[0, slot]),
            )
            for slot, places, shades, place, shade in of_each
        )
