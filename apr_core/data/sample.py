"""The shipped sample: 1,000 CIFAR-10 test images, 100 a class, so that nothing need be fetched.

`assets/cifar10-test-sample.png` holds them in a grid, 40 a row, without loss; the JSON beside it
holds their labels and their indices in the test set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from apr_core.base.paths import shipped
from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.data.cifar10 import CLASSES, Cifar10, cifar10_file, load_cifar10, sha256

ASSETS = shipped("assets")
PNG = ASSETS / "cifar10-test-sample.png"
INDEX = ASSETS / "cifar10-test-sample.json"
PER_CLASS = 100
COLUMNS = 40
SIDE = 32
DATASETS = ("cifar10",)
TEST_IMAGES = 10_000


@dataclass(frozen=True)
class Sample:
    """Images uint8 (1000, 3, 32, 32), labels and test-set indices int64 (1000,), by index."""

    images: Tensor
    labels: Tensor
    indices: Tensor

    def row(self, index: int) -> int | None:
        """Where test image `index` stands in the sample, None if it is not in it."""
        found = (self.indices == index).nonzero()
        return int(found[0, 0]) if len(found) else None


def make_sample(data: Cifar10) -> None:
    """Write the sample: the first `PER_CLASS` test images of each class."""
    firsts = [(data.test_labels == label).nonzero()[:PER_CLASS, 0] for label in range(len(CLASSES))]
    indices = torch.cat(firsts).sort().values
    images = data.test_images[indices]
    rows = len(images) // COLUMNS
    grid = images.view(rows, COLUMNS, 3, SIDE, SIDE).permute(0, 3, 1, 4, 2)
    picture = Image.fromarray(grid.reshape(rows * SIDE, COLUMNS * SIDE, 3).numpy())
    picture.save(PNG, optimize=True)
    entry = {
        "source": "CIFAR-10 test set (Krizhevsky, 2009), https://www.cs.toronto.edu/~kriz/cifar.html",
        "classes": list(CLASSES),
        "sha256": sha256(images),
        "indices": indices.tolist(),
        "labels": data.test_labels[indices].tolist(),
    }
    INDEX.write_text(json.dumps(entry) + "\n")


@cache
def load_sample() -> Sample:
    """The shipped sample, verified.

    Raises:
        InputError: its files are missing or damaged.
    """
    try:
        entry = json.loads(INDEX.read_text())
        with Image.open(PNG, formats=("PNG",)) as picture:
            grid = torch.from_numpy(np.asarray(picture.convert("RGB")).copy())
        tiles = grid.view(-1, SIDE, COLUMNS, SIDE, 3).permute(0, 2, 4, 1, 3)
        images = tiles.reshape(-1, 3, SIDE, SIDE).contiguous()
        labels, indices = torch.tensor(entry["labels"]), torch.tensor(entry["indices"])
        intact = sha256(images) == entry["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"The shipped sample cannot be read ({error}); restore assets/.") from None
    if not intact:
        raise InputError("The shipped sample's pixels are not what they were; restore assets/.")
    return Sample(images, labels, indices)


def load_images(dataset: str = "cifar10", count: int = 8) -> tuple[Tensor, Tensor]:
    """Shipped test images of a data set, as models and attacks take them.

    Args:
        dataset: "cifar10".
        count: how many; 1,000 test images come with the package, and these are the first of them.

    Returns:
        Images float32 (B, 3, 32, 32) in [0, 1] and their labels int64 (B,).

    Raises:
        InputError: no such data set, or not that many images.
    """
    if dataset not in DATASETS:
        raise InputError(unknown_name("data set", str(dataset), DATASETS))
    sample = load_sample()
    whole = isinstance(count, int) and not isinstance(count, bool)
    if not whole or not 1 <= count <= len(sample.images):
        raise InputError(
            f"count is {count!r:.40}, but must be a whole number from 1 to {len(sample.images):,}."
        )
    return sample.images[:count].float() / 255, sample.labels[:count].clone()


def load_test_image(index: int) -> tuple[Tensor, int]:
    """Test image `index` as uint8 (3, 32, 32), and its label.

    It comes from the shipped sample, or from the full data set where that was fetched.

    Raises:
        InputError: there is no such index, or it is in neither.
    """
    if not 0 <= index < TEST_IMAGES:
        raise InputError(f"There is no test image {index}; indices go from 0 to 9999.")
    sample = load_sample()
    row = sample.row(index)
    if row is not None:
        return sample.images[row], int(sample.labels[row])
    if cifar10_file().exists():
        data = load_cifar10()
        return data.test_images[index], int(data.test_labels[index])
    near = int(sample.indices[(sample.indices - index).abs().argmin()])
    raise InputError(
        f"Test image {index} is not in the shipped sample of 1,000; take {near}, which is, or "
        "fetch them all with `python -m apr_core data cifar10`."
    )
