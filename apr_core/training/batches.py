"""Data augmentation: batched random crops and flips of a training set.

A set that is small enough is kept on the device; of a larger one, each batch is decoded while the
one before it is trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor

from apr_core.data.dataset import Split
from apr_core.training.workers import ALONE, Workers

PADDING = 4
"""Pixels of reflection around an image before the random crop, or an eighth of a side of a larger
one."""
MOST_KEPT = 8 * 2**30
"""Bytes of pixels that are kept on the device; more is decoded batch by batch."""


class AugmentedBatches:
    """Shuffled mini-batches of randomly cropped and flipped images, made on the device.

    What an epoch yields depends on (seed, epoch) alone, so a resumed run sees what an
    uninterrupted one would have seen.

    Args:
        split: the training set.
        batch_size: images in a batch; a last, smaller batch is dropped.
        seed: of the shuffling and the augmentation.
        device: where the batches are made.
        workers: among whom each batch is shared; together they see what one would have seen.
        mirrored: whether images are flipped, half of them.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        device: torch.device,
        workers: Workers = ALONE,
        mirrored: bool = True,
    ) -> None:
        first = split.take(torch.zeros(1, dtype=torch.int64))
        self._size = (first.shape[2], first.shape[3])
        self._padding = max(PADDING, min(self._size) // 8)
        self._split, self._labels = split, split.labels.to(device)
        kept = first.numel() * len(split) <= MOST_KEPT
        self._padded = self._pad(split.images.to(device)) if kept else None
        self.batch_size = min(batch_size, len(split))
        self.seed = seed
        self.device = device
        self._workers = workers
        self._mirrored = mirrored

    def _pad(self, images: Tensor) -> Tensor:
        return F.pad(images.float(), (self._padding,) * 4, mode="reflect").to(torch.uint8)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._labels) // self.batch_size

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, C, H, W) float in [0, 1], channels last, and labels (B,)."""
        drawn = self._draws(number)
        if self._padded is not None:
            for chosen, shift, flip in drawn:
                rows = chosen.to(self.device)
                yield self._augmented(self._padded, rows, shift, flip), self._labels[rows]
            return
        with ThreadPoolExecutor(1) as ahead:  # decodes the next batch meanwhile
            waiting = next(drawn, None)
            coming = ahead.submit(self._split.take, waiting[0]) if waiting else None
            while waiting and coming:
                (chosen, shift, flip), images = waiting, coming.result()
                waiting = next(drawn, None)
                coming = ahead.submit(self._split.take, waiting[0]) if waiting else None
                every = torch.arange(len(chosen), device=self.device)
                padded = self._pad(images.to(self.device))
                labels = self._labels[chosen.to(self.device)]
                yield self._augmented(padded, every, shift, flip), labels

    def _draws(self, number: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Of each batch: the images (B,), how far each is shifted (B, 2), and whether flipped."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + number)
        order = torch.randperm(len(self._labels), generator=generator)
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            reach = 2 * self._padding + 1
            shift = torch.randint(0, reach, (self.batch_size, 2), generator=generator)
            flip = torch.rand(self.batch_size, generator=generator) < 0.5
            whole = (order[first : first + self.batch_size], shift, flip & self._mirrored)
            chosen, shift, flip = map(self._workers.part, whole)
            yield chosen, shift, flip

    def _augmented(self, padded: Tensor, chosen: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
        height, width = self._size
        rows = shift[:, :1] + torch.arange(height)  # dim -> (B, H)
        columns = torch.arange(width).expand(len(flip), -1)
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
        columns = shift[:, 1:] + columns  # dim -> (B, W)
        pixels = padded[
            chosen[:, None, None],
            :,
            rows.to(self.device)[:, :, None],
            columns.to(self.device)[:, None, :],
        ]  # dim -> (B, H, W, C)
        return (pixels.float() / 255).permute(0, 3, 1, 2)
