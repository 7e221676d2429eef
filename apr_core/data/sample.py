"""Samples: test pictures of a data set that come with the project, so that nothing need be fetched.

`assets/DATASET-test-sample.png` holds small pictures in a grid, `COLUMNS` a row, without loss; the
JSON beside it holds their labels and their indices in the test set. GTSRB's pictures may not be
passed on: signs drawn by `scripts/draw_signs.py` stand in for them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from apr_core.base.paths import shipped
from apr_core.base.types import InputError
from apr_core.data.dataset import Sample, tensor_sha256

PER_CLASS = 100
COLUMNS = 40


def sample_files(dataset: str) -> tuple[Path, Path]:
    """A sample's grid and its index."""
    folder = shipped("assets")
    return folder / f"{dataset}-test-sample.png", folder / f"{dataset}-test-sample.json"


def make_grid_sample(dataset: str, source: str, classes: tuple[str, ...], images: Tensor,
                     labels: Tensor, per_class: int = PER_CLASS) -> Path:  # fmt: skip
    """Write a sample: the first `per_class` test pictures of each class; returns where.

    Args:
        source: whose pictures they are, and on what terms.
        images: uint8 (N, C, H, W), of the whole test set.
        labels: (N,).
    """
    firsts = [(labels == label).nonzero()[:per_class, 0] for label in range(len(classes))]
    indices = torch.cat(firsts).sort().values
    sample = Sample(images[indices], labels[indices], indices)
    return write_grid(dataset, source, classes, sample)


def write_grid(dataset: str, source: str, classes: tuple[str, ...], sample: Sample) -> Path:
    """Write a sample; returns where its pictures are."""
    chosen = sample.images
    _, channels, height, width = chosen.shape
    short = -len(chosen) % COLUMNS
    padded = torch.cat([chosen, chosen.new_zeros(short, *chosen.shape[1:])])
    grid = padded.view(-1, COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = grid.reshape(-1, COLUMNS * width, channels).squeeze(2).numpy()
    png, index = sample_files(dataset)
    Image.fromarray(pixels).save(png, optimize=True)
    entry = {
        "source": source,
        "classes": list(classes),
        "size": [channels, height, width],
        "sha256": tensor_sha256(chosen),
        "drawn": sample.drawn,
        "indices": sample.indices.tolist(),
        "labels": sample.labels.tolist(),
    }
    index.write_text(json.dumps(entry) + "\n")
    return png


@cache
def load_grid_sample(dataset: str) -> Sample:
    """The shipped sample of a data set of small pictures, verified.

    Raises:
        InputError: its files are missing or damaged.
    """
    png, index = sample_files(dataset)
    try:
        entry = json.loads(index.read_text())
        channels, height, width = entry.get("size", (3, 32, 32))
        with Image.open(png, formats=("PNG",)) as picture:
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB")).copy()
        grid = torch.from_numpy(pixels)
        tiles = grid.view(-1, height, COLUMNS, width, channels).permute(0, 2, 4, 1, 3)
        labels, indices = torch.tensor(entry["labels"]), torch.tensor(entry["indices"])
        images = tiles.reshape(-1, channels, height, width)[: len(labels)].contiguous()
        drawn = bool(entry.get("drawn"))
        intact = tensor_sha256(images) == entry["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"The shipped sample cannot be read ({error}); restore assets/.") from None
    if not intact:
        raise InputError("The shipped sample's pixels are not what they were; restore assets/.")
    return Sample(images, labels, indices, picked=drawn, drawn=drawn)
