"""One search under way: what stands between the algorithm and whoever runs it.

A runner asks for edits, has them scored in whatever company it likes, and advances the search
with the logits. `OnePixelAttack` does so for a batch, `service` for many callers at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.attacks import one_pixel
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.one_pixel import AttackState, Candidates, Predictions
from apr_core.attacks.oracle import QueryOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.attacks.pixels import apply_edits, decode
from apr_core.attacks.query_cache import QueryCache
from apr_core.attacks.result import MutationTrace, Outcome, Snapshot, to_edits
from apr_core.base.types import InputError, Status, check_class

UNTARGETED = -1


class Search:
    """The attack on a batch of images, a generation at a time.

    Args:
        config: how to attack.
        oracle: of the model under attack.
        images: uint8 (B, C, H, W).
        labels: (B,) int64.
        targets: (B,) int64 or None; overrides the config's one target.
        indices: (B,) int64 or None for 0, 1, ...; with the seed they fix each image's draws.

    Raises:
        InputError: a label or a target is no class of the model, or every target is the label.
    """

    def __init__(
        self,
        config: OnePixelConfig,
        oracle: QueryOracle,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None = None,
        indices: Tensor | None = None,
    ) -> None:
        self.config = config
        self.oracle = oracle
        device = oracle.device
        images, labels = images.to(device), labels.to(device)
        if targets is None:
            target = UNTARGETED if config.target is None else config.target
            targets = torch.full_like(labels, target)
        if indices is None:
            indices = torch.arange(len(images))
        self.indices = indices.to(device)
        clean = oracle.verify_float32(images)
        _check_classes(labels, targets.to(device), clean.shape[1])
        self._before = Predictions.of(clean[:, None], labels).first()
        state = one_pixel.init(config, images, labels, targets.to(device), self.indices)
        self.misclassified = self._before.leading != labels
        self.skipped = labels == targets.to(device)
        self.state: AttackState = one_pixel.finish(state, self.misclassified | self.skipped)
        self._cut = torch.zeros_like(self.misclassified)
        self._candidates: Candidates | None = None
        self._parents: AttackState = self.state
        self._said: Predictions | None = None
        self._memo = QueryCache() if config.pixels == 1 and oracle.repeatable else None

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
        """The edits to score next, but for those that were scored before.

        Call `tell` with their logits.
        """
        self._candidates = one_pixel.ask(self.config, self.state)
        rows = self._candidates.rows
        edits = Perturbations.of(self.state.images[rows], self._candidates)
        return self._memo.fresh(edits, rows) if self._memo else edits

    def tell(self, logits: Tensor) -> None:
        """Take the logits (N, K) of the edits that `ask` gave."""
        candidates = self._candidates
        assert candidates is not None, "propose first"
        if self._memo:
            logits = self._memo.complete(logits)
        logits = logits.view(len(candidates.rows), -1, logits.shape[1])
        self._parents = self.state
        self._said = Predictions.of(logits, self.state.labels[candidates.rows])
        confirm = None if self.oracle.exact else self.oracle.verify_float32
        self.state = one_pixel.tell(self.config, self.state, candidates, logits, confirm)

    def cancel(self) -> None:
        """End every image's search where it is."""
        self._cut |= ~self.state.done
        self.state = one_pixel.finish(self.state, torch.ones_like(self.state.done))

    def outcomes(self) -> tuple[Outcome, ...]:
        """How each image ended, in order; also of a search that was cut short."""
        state = self.state
        genomes, after = state.best()
        positions, colours = decode(genomes)
        tried, success = state.queries > 0, state.flipped.tolist()
        rows = (tried & ~state.flipped).nonzero()[:, 0]
        if len(rows) and not self.oracle.exact:  # a flip was confirmed when it was found
            edited = apply_edits(state.images[rows], positions[rows], colours[rows])
            logits = self.oracle.verify_float32(edited)[:, None]
            after = after.put(Predictions.of(logits, state.labels[rows]).first(), rows)
        after = Predictions.where(tried, after, self._before)
        return tuple(
            Outcome(
                index=int(self.indices[row]),
                status=self._status(row, success[row]),
                queries=int(state.queries[row]),
                generations=max(0, int(state.queries[row]) // self.config.population - 1),
                flip_generation=int(state.flip_generation[row]) if success[row] else None,
                edits=to_edits(positions[row], colours[row]) if tried[row] else (),
                label=int(state.labels[row]),
                target=None if state.targets[row] < 0 else int(state.targets[row]),
                label_before=int(self._before.leading[row]),
                label_after=int(after.leading[row]),
                confidence_before=float(self._before.confidence[row]),
                confidence_after=float(after.confidence[row]),
                true_before=float(self._before.true[row]),
                true_after=float(after.true[row]),
            )
            for row in range(len(state.images))
        )

    def _status(self, row: int, success: bool) -> Status:
        if self.skipped[row]:
            return Status.SKIPPED
        if self.misclassified[row]:
            return Status.MISCLASSIFIED
        if success:
            return Status.FLIPPED
        ended = bool(self.state.done[row] & ~self._cut[row])
        return Status.SURVIVED if ended else Status.CANCELLED

    def result(self) -> Outcome:
        """How the first image ended."""
        return self.outcomes()[0]

    def snapshot(self) -> Snapshot:
        """The first image's search as it stands after a generation."""
        state = self.state
        positions, colours = decode(state.search.genomes[0])
        slot = int(state.best_slots[0])
        genomes, readings = state.best()
        positions[slot], colours[slot] = decode(genomes[0])
        return Snapshot(
            generation=state.search.generation - 1,
            queries=int(state.queries[0]),
            positions=positions.to("cpu", torch.int16),
            colours=colours.to("cpu", torch.uint8),
            fitness=state.search.fitness[0].cpu(),
            true=state.readings.true[0].cpu(),
            moved=state.search.moved[0].cpu(),
            best=slot,
            best_true=float(readings.true[0]),
            best_label=int(readings.leading[0]),
            best_confidence=float(readings.confidence[0]),
            flipped=bool(state.flipped[0]),
            done=bool(state.done[0]),
            walk=self._walk(),
        )

    def _walk(self) -> MutationTrace | None:
        """The child that gained most on its parent in the last generation, kept or not."""
        candidates, said = self._candidates, self._said
        if candidates is None or said is None or candidates.proposal.donors is None:
            return None
        parents = self._parents
        gain = parents.readings.true[0] - said.true[0]
        slot = int(gain.argmax())
        donors = candidates.proposal.donors[0, slot].tolist()
        weight = candidates.proposal.weight
        return MutationTrace(
            slot=slot,
            parent=to_edits(*decode(parents.search.genomes[0, slot])),
            child=to_edits(candidates.positions[0, slot], candidates.colours[0, slot]),
            donors=tuple(to_edits(*decode(parents.search.genomes[0, donor])) for donor in donors),
            weight=float(weight[0]) if weight is not None else self.config.weight,
            parent_true=float(parents.readings.true[0, slot]),
            child_true=float(said.true[0, slot]),
            kept=bool(self.state.search.moved[0, slot]),
        )


def _check_classes(labels: Tensor, targets: Tensor, classes: int) -> None:
    for name, values in (("label", labels), ("target", targets[targets != UNTARGETED])):
        for value in sorted(set(values.tolist())):
            check_class(name, value, classes)
    if len(labels) and bool((labels == targets).all()):
        raise InputError(
            f"The target {int(labels[0])} is already the image's class; choose another target."
        )
