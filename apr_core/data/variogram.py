"""Variogram: spatial statistics of CIFAR-10 for kriging, measured once and shipped.

gamma(d) is half the mean squared difference of two pixels of an image that lie d apart, over all
channels. `assets/variogram.json` holds it for every d of up to `REACH` rows and columns.
"""

from __future__ import annotations

import json
from functools import cache

import torch
from torch import Tensor

from apr_core.data.cifar10 import SHA256, Cifar10
from apr_core.data.sample import ASSETS

JSON = ASSETS / "variogram.json"
REACH = 6
CHUNK = 5000


def measure_variogram(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) -> (2 REACH + 1, 2 REACH + 1) float64, by rows and columns from -REACH."""
    _, _, height, width = images.shape
    table = torch.zeros(2 * REACH + 1, 2 * REACH + 1, dtype=torch.float64)
    for rows in range(REACH + 1):
        for columns in range(-REACH, REACH + 1):
            left, right = max(columns, 0), max(-columns, 0)
            ahead = images[:, :, rows:, left : width - right]
            behind = images[:, :, : height - rows, right : width - left]
            pairs = zip(torch.split(ahead, CHUNK), torch.split(behind, CHUNK), strict=True)
            total = sum(
                float((one.float() - other.float()).square().sum(dtype=torch.float64))
                for one, other in pairs
            )
            gamma = total / ahead.numel() / 2 / 255**2
            table[REACH + rows, REACH + columns] = table[REACH - rows, REACH - columns] = gamma
    return table


def make_variogram(data: Cifar10) -> None:
    """Measure it on the 50,000 training images, and write it."""
    entry = {
        "source": "CIFAR-10 training set (Krizhevsky, 2009), "
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "images": len(data.train_images),
        "images_sha256": SHA256["train_images"],
        "command": "python -m apr_core data cifar10 --variogram",
        "gamma": [
            [float(f"{value:.8g}") for value in row]
            for row in measure_variogram(data.train_images).tolist()
        ],
    }
    JSON.write_text(json.dumps(entry) + "\n")


@cache
def load_variogram() -> Tensor:
    """The shipped table, as `measure_variogram` returns it."""
    return torch.tensor(json.loads(JSON.read_text())["gamma"], dtype=torch.float64)
