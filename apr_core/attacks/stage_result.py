"""What one stage of an evaluation found for each image of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apr_core.attacks.pixels import apply_edits


@dataclass(frozen=True)
class StageResult:
    """The best edit of each image: the first that flips it, else the one that came closest.

    Attributes:
        positions: (B, k, 2) int64 as x, y; k is 0 where a stage changes more than pixels.
        colours: (B, k, 3) int64.
        margin: logit of the true class minus the best other after the edit, (B,) float32.
        flipped: whether the model itself, in float32, gives the edited image another class, (B,).
        queries: candidates scored up to the flip, or in all, (B,) int64.
        margins: of every candidate, (B, N), where somebody asked for them.
    """

    positions: Tensor
    colours: Tensor
    margin: Tensor
    flipped: Tensor
    queries: Tensor
    margins: Tensor | None = None

    @classmethod
    def nothing(cls, count: int, device: torch.device) -> StageResult:
        """No edit has been tried on any of `count` images."""
        return cls(
            positions=torch.zeros(count, 0, 2, dtype=torch.int64, device=device),
            colours=torch.zeros(count, 0, 3, dtype=torch.int64, device=device),
            margin=torch.full((count,), float("inf"), device=device),
            flipped=torch.zeros(count, dtype=torch.bool, device=device),
            queries=torch.zeros(count, dtype=torch.int64, device=device),
        )

    def __len__(self) -> int:
        return len(self.margin)

    def edited(self, images: Tensor) -> Tensor:
        """The images, uint8 (B, C, H, W), with these edits."""
        return apply_edits(images, self.positions, self.colours)

    def at(self, rows: Tensor) -> StageResult:
        """The part at `rows` (R,), without the margins."""
        return StageResult(
            self.positions[rows],
            self.colours[rows],
            self.margin[rows],
            self.flipped[rows],
            self.queries[rows],
        )

    def after(self, first: StageResult) -> StageResult:
        """These edits on top of those of `first`, which were made before."""
        return StageResult(
            torch.cat([first.positions, self.positions], dim=1),
            torch.cat([first.colours, self.colours], dim=1),
            self.margin,
            self.flipped,
            self.queries,
            self.margins,
        )


def stretch(edits: Tensor, most: int) -> Tensor:
    """Edits (B, k, D) as (B, most, D): the last one again and again, which changes nothing."""
    return torch.cat([edits, edits[:, -1:].expand(-1, most - edits.shape[1], -1)], dim=1)
