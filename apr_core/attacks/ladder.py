"""The ladder: a cascade of attacks in order of cost, each on the images that survived the last.

For k pixels the ladder begins with the best edit that it found for k - 1, so that an image that
fell to fewer pixels has fallen to more: the share of broken images never falls with k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apr_core.attacks.config import RANGES
from apr_core.attacks.gradient import EPSILON
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.patch import SIDES, check_side
from apr_core.attacks.result import PixelEdit, from_rgb, to_edits
from apr_core.attacks.stage_result import StageResult
from apr_core.attacks.stages import PGD_STEPS, STAGES, AttackContext
from apr_core.base.types import InputError, Threat, check_ranges
from apr_core.models.inference import evaluating
from apr_core.models.inputs import COLOURED, as_labels, as_uint8, check_classes
from apr_core.models.outputs import logit_margin

MOST_PIXELS = int(RANGES["pixels"][1])
INFINITE = float("inf")
LADDER = ("top-gradient", "corners", "refine", "sparse-rs", "de")
"""Cheap ones first; the last is Su et al.'s own attack, which a record of it spares the ladder.
`de-margin`, whose fitness is never flat, is left out, for it costs as much again."""
LARGE_LADDER = ("top-gradient-1000", "sparse-rs-2000", "de-margin-100x20")
"""For images with more than `LARGE` pixels, of which a corner sweep alone would take hours: the
thousand corner colours that the gradient names first, a sample, and searches of small budgets."""
OTHER_RANGES: dict[str, tuple[float, float]] = {
    "seed": RANGES["seed"],
    "epsilon": (0.0, 1.0),
    "side": (0, SIDES[1]),
    "steps": (1, 10_000),
    "restarts": (1, 1000),
}
"""What the other numbers of a `LadderConfig` may be, ends included."""
PATCH_LADDER = ("patch", "sparse-rs-patch-1000")
"""For patches, of images of any size; the second name says the budget."""


@dataclass(frozen=True)
class LadderConfig:
    """What to climb, and how far.

    Attributes:
        stages: names of `STAGES`, in order.
        pixels: the k to report, in order.
        seed: with an image's index it fixes that image's random numbers.
        stop_on_success: early stopping: no stage tries an image that an earlier one broke; else
            every stage tries every image, and what each one alone would have caught is known.
        epsilon: how far every pixel may be changed, by attacks that change them all.
        side: of the square, for attacks that replace one; 0 for the others.
        steps, restarts: of PGD: each restart tries what is left, from another random start.
    """

    stages: tuple[str, ...] = LADDER
    pixels: tuple[int, ...] = (1,)
    seed: int = 0
    stop_on_success: bool = True
    epsilon: float = EPSILON
    side: int = 0
    steps: int = PGD_STEPS
    restarts: int = 1

    def __post_init__(self) -> None:
        threats = {STAGES.get(name).threat for name in self.stages}
        if not self.stages or list(self.pixels) != sorted(set(self.pixels)):
            raise InputError(
                f"The numbers of pixels {self.pixels} must rise; write them as in 1,3, and name "
                "one attack at least."
            )
        if not self.pixels or not 1 <= self.pixels[0] <= self.pixels[-1] <= MOST_PIXELS:
            raise InputError(f"pixels is {self.pixels}, but must lie between 1 and {MOST_PIXELS}.")
        check_ranges(self, OTHER_RANGES)
        named = ", ".join(self.stages)
        if Threat.PATCH in threats and (threats != {Threat.PATCH} or not self.side):
            raise InputError(
                f"{named}: a patch needs a side, and other attacks have none; give --side, from 1 "
                f"to {SIDES[1]}, to attacks with patches alone."
            )
        if self.side and threats != {Threat.PATCH}:
            raise InputError(
                f"side is {self.side}, but {named} replaces no square; leave --side out, or choose "
                "an attack with patches."
            )
        if self.pixels != (1,) and threats != {Threat.L0}:
            raise InputError(
                f"pixels is {', '.join(map(str, self.pixels))}, but {named} does not count pixels; "
                "leave --pixels out."
            )

    def edits(self, pixels: int) -> int:
        """Edits of an image where `pixels` is k: k, or as many as a patch has pixels."""
        return self.side**2 or pixels


@dataclass(frozen=True)
class SparsityLevelResult:
    """The result for one image at one number of pixels, k.

    Attributes:
        stage: what broke it, "" if nothing did.
        queries: candidates scored, by all stages and for all fewer pixels, up to the flip.
        edits: that flip it, or that came closest.
        margin: logit of the true class minus the best other, after them.
        caught: every stage that broke it by itself at this k, where all were tried.
    """

    pixels: int
    flipped: bool
    stage: str
    queries: int
    edits: tuple[PixelEdit, ...]
    margin: float
    caught: tuple[str, ...]


Precomputed = Mapping[str, Mapping[tuple[int, int], SparsityLevelResult]]
"""What cold-start stages found already: by stage, and by image index and pixels."""


@dataclass(frozen=True)
class Verdict:
    """The result for one image; one that the model gets wrong is not attacked and has no rungs."""

    index: int
    label: int
    label_before: int
    rungs: tuple[SparsityLevelResult, ...]

    @property
    def correct(self) -> bool:
        return self.label == self.label_before


def climb(
    config: LadderConfig,
    oracle: ModelOracle,
    images: Tensor,
    labels: Tensor,
    indices: Tensor,
    known: Precomputed | None = None,
) -> list[Verdict]:
    """Attack a batch of images with every stage of the ladder.

    Args:
        images: (B, C, H, W), uint8 or float in [0, 1], which is rounded to the uint8 grid.
        labels, indices: (B,).
        known: need not be searched again.

    Raises:
        InputError: images or labels that the model cannot be attacked on, or a stage needs a
            gradient, and the model has none.
    """
    device = oracle.device
    images = as_uint8(images, *COLOURED)
    check_side(config.side, *images.shape[2:])
    labels = as_labels("label", labels, len(images))
    images, labels, indices = images.to(device), labels.to(device), indices.to(device)
    with evaluating(oracle.model):
        clean = oracle.verify_float32(images)
        check_classes("label", labels, clean.shape[1])
        before = clean.argmax(1)
        right = (before == labels).nonzero()[:, 0]
        climber = _Climber(config, oracle, images[right], labels[right], indices[right], known)
        rungs = climber.climb(logit_margin(clean[right], labels[right])) if len(right) else []
    by_row = dict(zip(right.tolist(), rungs, strict=True))
    return [
        Verdict(int(indices[row]), int(labels[row]), int(before[row]), by_row.get(row, ()))
        for row in range(len(images))
    ]


class _Climber:
    """A batch of images on the ladder, all of them classified correctly."""

    def __init__(
        self,
        config: LadderConfig,
        oracle: ModelOracle,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        known: Precomputed | None,
    ) -> None:
        self.config, self.oracle, self.known = config, oracle, known or {}
        self.images, self.labels, self.indices = images, labels, indices
        self.stage = [""] * len(images)
        self.caught: list[list[str]] = [[] for _ in images]

    def climb(self, margin: Tensor) -> list[tuple[SparsityLevelResult, ...]]:
        """The rungs of every image; `margin` (B,) is that of the clean ones."""
        self.best = replace(StageResult.blank(self.images, self.oracle.device), margin=margin)
        levels = []
        for pixels in range(1, self.config.pixels[-1] + 1):
            if stages := self._stages(pixels):
                self._attempt(pixels, stages)
            if pixels in self.config.pixels:
                levels.append(self._level(pixels))
        return list(zip(*levels, strict=True))

    def _stages(self, pixels: int) -> list[str]:
        """What is tried with k pixels; with early stopping, Sparse-RS tries nothing at one pixel
        that the corners have not tried."""
        asked = pixels in self.config.pixels
        swept = self.config.stop_on_success and pixels == 1 and "corners" in self.config.stages
        idle = "sparse-rs" if swept else ""
        return [
            name
            for name in self.config.stages
            if name != idle
            and (asked or STAGES.get(name).adds_one_pixel)
            and pixels <= STAGES.get(name).most_pixels
        ]

    def _attempt(self, pixels: int, stages: list[str]) -> None:
        base, sweep = self.best, None
        self.best = self._with_idle_pixel(base).padded(self.config.edits(pixels))
        self.caught = [[] for _ in self.images]
        for name in stages:
            rows = (~(self.best if self.config.stop_on_success else base).flipped).nonzero()[:, 0]
            if not len(rows):
                return
            context = AttackContext(
                self.oracle,
                self.images[rows],
                self.labels[rows],
                self.indices[rows],
                pixels,
                self.config.seed,
                base.at(rows),
                sweep[rows] if sweep is not None else None,
                self.config.epsilon,
                self.config.side,
                self.config.steps,
                self.config.restarts,
            )
            stage = STAGES.get(name)
            found = self._remembered(name, context) or stage.attack(context)
            if name == "corners" and found.margins is not None:
                sweep = found.margins.new_full((len(self.images), found.margins.shape[1]), INFINITE)
                sweep[rows] = found.margins
            self._take(
                name, rows, found.after(context.base) if stage.adds_one_pixel else found, pixels
            )

    def _remembered(self, name: str, context: AttackContext) -> StageResult | None:
        """What the stage found of these images before; None if it has not seen them all."""
        known = self.known.get(name, {})
        places = [(index, context.pixels) for index in context.indices.tolist()]
        if not known.keys() >= set(places):
            return None
        rungs = [known[place] for place in places]
        columns = (
            [[(edit.x, edit.y) for edit in rung.edits] for rung in rungs],
            [[edit.rgb for edit in rung.edits] for rung in rungs],
            [rung.margin for rung in rungs],
            [rung.flipped for rung in rungs],
            [rung.queries for rung in rungs],
        )
        found = StageResult(*(torch.tensor(one, device=self.oracle.device) for one in columns))
        return replace(found, colours=from_rgb(found.colours, self.images.shape[1]))

    def _with_idle_pixel(self, base: StageResult) -> StageResult:
        """The base; where it has no edits, with one that changes nothing."""
        if base.positions.shape[1]:
            return base
        corner = self.images[:, :, 0, 0].long()[:, None]
        return replace(base, positions=corner.new_zeros(len(corner), 1, 2), colours=corner)

    def _take(self, name: str, rows: Tensor, found: StageResult, pixels: int) -> None:
        """Keep what is better than the best so far."""
        for row in rows[found.flipped].tolist():
            self.caught[row].append(name)
            self.stage[row] = self.stage[row] or name
        best = self.best.at(rows)
        queries = best.queries + found.queries
        if found.positions.shape[1]:
            found = replace(found.padded(self.config.edits(pixels)), queries=queries, margins=None)
        else:
            found = replace(best, flipped=found.flipped, queries=queries)
        self.best = self.best.put(best.improved(found), rows)

    def _level(self, pixels: int) -> list[SparsityLevelResult]:
        best = self.best
        return [
            SparsityLevelResult(
                pixels=pixels,
                flipped=bool(best.flipped[row]),
                stage=self.stage[row],
                queries=int(best.queries[row]),
                edits=to_edits(best.positions[row], best.colours[row]),
                margin=float(best.margin[row]),
                caught=tuple(self.caught[row]),
            )
            for row in range(len(self.images))
        ]
