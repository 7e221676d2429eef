"""Variogram: spatial statistics of a data set for kriging, measured once.

gamma(d) is half the mean squared difference of two pixels of an image that lie d apart, over all
channels, for every d of up to `REACH` rows and columns. `assets/variograms/DATASET.json` holds it
where it is shipped, and `data/variograms/DATASET.json` where it was measured on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from apr_core.base.files import write_whole
from apr_core.base.paths import shipped, written

REACH = 6
VALUES = 5000 * 3 * 32 * 32
"""Pixel values that are looked at together, which bounds the memory."""


def measure_variogram(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) -> (2 REACH + 1, 2 REACH + 1) float64, by rows and columns from -REACH.

    Pixels of small images that cannot lie so far apart get the largest value that there is.
    """
    _, channels, height, width = images.shape
    chunk = max(1, VALUES // (channels * height * width))
    table = torch.full((2 * REACH + 1, 2 * REACH + 1), torch.nan, dtype=torch.float64)
    for rows in range(min(REACH + 1, height)):
        for columns in range(max(-REACH, 1 - width), min(REACH + 1, width)):
            left, right = max(columns, 0), max(-columns, 0)
            ahead = images[:, :, rows:, left : width - right]
            behind = images[:, :, : height - rows, right : width - left]
            pairs = zip(torch.split(ahead, chunk), torch.split(behind, chunk), strict=True)
            total = sum(
                float((one.float() - other.float()).square().sum(dtype=torch.float64))
                for one, other in pairs
            )
            gamma = total / ahead.numel() / 2 / 255**2
            table[REACH + rows, REACH + columns] = table[REACH - rows, REACH - columns] = gamma
    return table.nan_to_num(nan=float(table.nan_to_num().max()))


def mean_and_std(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of uint8 (N, C, H, W), by channel: mean and standard deviation of pixels in [0, 1]."""
    shades = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * shades).sum()
        means.append(float(mean))
        stds.append(float((share * (shades - mean).square()).sum().sqrt()))
    return tuple(means), tuple(stds)


def variogram_file(dataset: str) -> Path:
    """Where a data set's table is shipped."""
    return shipped("assets") / "variograms" / f"{dataset}.json"


def make_variogram(dataset: str, citation: str, images: Tensor, sha256: str) -> None:
    """Measure a data set's table on training pictures uint8 (N, C, H, W), and write it.

    Args:
        sha256: of the pictures.
    """
    entry = {
        "source": citation,
        "images": len(images),
        "images_sha256": sha256,
        "command": f"python -m apr_core data {dataset} --variogram",
        "gamma": [
            [float(f"{value:.8g}") for value in row] for row in measure_variogram(images).tolist()
        ],
    }
    variogram_file(dataset).write_text(json.dumps(entry) + "\n")


@cache
def load_variogram(dataset: str) -> Tensor:
    """A shipped table, as `measure_variogram` returns it."""
    gamma = json.loads(variogram_file(dataset).read_text())["gamma"]
    return torch.tensor(gamma, dtype=torch.float64)


def measured_variogram(name: str, images: Callable[[], Tensor]) -> Tensor:
    """A table that may not be shipped: from `data/variograms`, or measured and kept there.

    Args:
        name: of what was measured: another one for other pictures.
        images: those to measure, uint8 (N, C, H, W).
    """
    if variogram_file(name).exists():
        return load_variogram(name)
    path = written("data") / "variograms" / f"{name}.json"
    with suppress(OSError, ValueError, TypeError):
        kept = torch.tensor(json.loads(path.read_text()), dtype=torch.float64)
        if kept.shape == (2 * REACH + 1, 2 * REACH + 1):
            return kept
    table = measure_variogram(images())
    with suppress(OSError):  # it saves time, and nothing else
        write_whole(path, json.dumps(table.tolist()))
    return table
