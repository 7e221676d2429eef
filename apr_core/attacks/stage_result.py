"""The result of one attack of the ladder on a batch of images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apr_core.attacks.perturbation import apply_edits, repeat_last
from apr_core.base.batch import Batch


@dataclass(frozen=True)
class StageResult(Batch):
    """The best edit of each image: the first that flips it, else the one that came closest.

    Attributes:
        positions: (B, k, 2) int64 as x, y; k is 0 where a stage changes more than pixels.
        colours: (B, k, C) int64.
        margin: logit of the true class minus the best other after the edit, (B,) float32.
        flipped: whether the model itself, in float32, gives the edited image another class, (B,).
        queries: candidates scored up to the flip, or in all, (B,) int64.
        margins: of every candidate, (B, N), where they were asked for.
    """

    positions: Tensor
    colours: Tensor
    margin: Tensor
    flipped: Tensor
    queries: Tensor
    margins: Tensor | None = None

    @classmethod
    def blank(cls, images: Tensor, device: torch.device, pixels: int = 0) -> StageResult:
        """No edit has been tried on any of the images (B, C, H, W)."""
        count, channels = images.shape[:2]
        return cls(
            positions=torch.zeros(count, pixels, 2, dtype=torch.int64, device=device),
            colours=torch.zeros(count, pixels, channels, dtype=torch.int64, device=device),
            margin=torch.full((count,), float("inf"), device=device),
            flipped=torch.zeros(count, dtype=torch.bool, device=device),
            queries=torch.zeros(count, dtype=torch.int64, device=device),
        )

    def edited(self, images: Tensor) -> Tensor:
        """The images, uint8 (B, C, H, W), with these edits."""
        return apply_edits(images, self.positions, self.colours)

    def after(self, first: StageResult) -> StageResult:
        """These edits on top of those of `first`."""
        return replace(
            self,
            positions=torch.cat([first.positions, self.positions], dim=1),
            colours=torch.cat([first.colours, self.colours], dim=1),
        )

    def padded(self, pixels: int) -> StageResult:
        """The same with its last edit repeated up to as many pixels."""
        return replace(
            self,
            positions=repeat_last(self.positions, pixels),
            colours=repeat_last(self.colours, pixels),
        )

    def improved(self, other: StageResult) -> StageResult:
        """The better of two results without margins, where this one has no flip.

        Queries are counted as `other` says, up to the first flip.
        """
        stood = ~self.flipped
        better = other.where(stood & (other.flipped | (other.margin < self.margin)), self)
        queries = torch.where(stood, other.queries, self.queries)
        return replace(better, flipped=self.flipped | other.flipped, queries=queries)
