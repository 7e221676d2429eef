"""Data augmentation: batched random crops and flips of a training set kept on the device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.training.workers import ALONE, Workers

PADDING = 4
"""Pixels of reflection around an image before the random crop."""


class AugmentedBatches:
    """Shuffled mini-batches of randomly cropped and flipped images, made on the device.

    What an epoch yields depends on (seed, epoch) alone, so a resumed run sees what an
    uninterrupted one would have seen.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        batch_size: images in a batch; a last, smaller batch is dropped.
        seed: of the shuffling and the augmentation.
        device: where the batches are made.
        workers: among whom each batch is shared; together they see what one would have seen.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        seed: int,
        device: torch.device,
        workers: Workers = ALONE,
    ) -> None:
        edges = (PADDING,) * 4
        self._padded = F.pad(images.to(device).float(), edges, mode="reflect").to(torch.uint8)
        self._labels = labels.to(device)
        self._size = (images.shape[2], images.shape[3])
        self.batch_size = min(batch_size, len(images))
        self.seed = seed
        self.device = device
        self._workers = workers

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._labels) // self.batch_size

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, C, H, W) float in [0, 1], channels last, and labels (B,)."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + number)
        order = torch.randperm(len(self._labels), generator=generator)
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            shift = torch.randint(0, 2 * PADDING + 1, (self.batch_size, 2), generator=generator)
            flip = torch.rand(self.batch_size, generator=generator) < 0.5
            whole = (order[first : first + self.batch_size], shift, flip)
            chosen, shift, flip = map(self._workers.part, whole)
            chosen = chosen.to(self.device)
            yield self._augmented(chosen, shift, flip), self._labels[chosen]

    def _augmented(self, chosen: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
        height, width = self._size
        rows = shift[:, :1] + torch.arange(height)  # dim -> (B, H)
        columns = torch.arange(width).expand(len(flip), -1)
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
        columns = shift[:, 1:] + columns  # dim -> (B, W)
        pixels = self._padded[
            chosen[:, None, None],
            :,
            rows.to(self.device)[:, :, None],
            columns.to(self.device)[:, None, :],
        ]  # dim -> (B, H, W, C)
        return (pixels.float() / 255).permute(0, 3, 1, 2)
