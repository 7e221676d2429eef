"""GTSRB: traffic signs of 43 classes, each whole picture resized to 32 x 32 pixels.

Stallkamp et al. (2012). Either all of it, 39,209 and 12,630 pictures by torchvision's own download
of the official archives, resized bicubically by Pillow, or an `.npz` with the arrays
`train_images`, `train_labels`, `test_images` and `test_labels`. The copies differ, so a record of
this data set names the SHA-256 of the pictures that it was measured on. No licence is stated, so
none of the pictures comes with the project: signs that were drawn for it do.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import lru_cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data import arrays
from apr_core.data.dataset import DataSet, Say, tensor_sha256
from apr_core.data.sample import load_grid_sample
from apr_core.data.variogram import load_variogram

CLASSES = (
    *(f"speed limit {limit} km/h" for limit in (20, 30, 50, 60, 70, 80)),
    "end of speed limit 80 km/h", "speed limit 100 km/h", "speed limit 120 km/h",
    "no overtaking", "no overtaking by lorries", "priority at the next crossing", "priority road",
    "give way", "stop", "no vehicles", "no lorries", "no entry", "danger", "bend to the left",
    "bend to the right", "double bend", "uneven road", "slippery road",
    "road narrows on the right", "road works", "traffic lights", "pedestrians", "children",
    "cyclists", "ice or snow", "wild animals", "end of all limits", "turn right ahead",
    "turn left ahead", "ahead only", "ahead or right", "ahead or left", "keep right", "keep left",
    "roundabout", "end of no overtaking", "end of no overtaking by lorries",
)  # fmt: skip
"""In the official order of the class numbers."""
SIZE = 32
TESTED = 12_630
OFFICIAL = "https://benchmark.ini.rub.de/gtsrb_dataset.html"
TWO_THIRDS = (
    "two thirds of the official files (train 13,036, test 3,000), as they lie in the GitHub "
    "repository Zascosium/XAI at 8c77a7e"
)
"""Where the copy comes from on which the shipped mean, deviation and variogram were measured."""
TWO_THIRDS_SHA256 = {
    "train_images": "75547f888d397cd792a2fc371a70e149046f250fc75650a24f3e9a0c25793b68",
    "train_labels": "126345b9f503e74d21895a9ccb7771fbea8d4eddd0909521b8d933ffe66cf7f8",
    "test_images": "2bb268d2bf0f0f99874e04518ba9a23fbc7f7493b89f717d7c4f7d00afa82bde",
    "test_labels": "e44b79304e004b87c33eb3dc90658215424ddeba5a194917c4ef422d88e900d4",
}
FAULTS = (OSError, RuntimeError, ValueError, HTTPException)
"""What a download that fails raises."""


def from_torchvision(say: Say) -> dict[str, Tensor]:
    """All four arrays by torchvision's download, whose archives it verifies by MD5."""
    from torchvision import datasets  # noqa: PLC0415  slow to import, seldom needed

    found: dict[str, Tensor] = {}
    with tempfile.TemporaryDirectory() as folder:
        for split in ("train", "test"):
            say(f"Fetching GTSRB's {split} pictures by torchvision ...")
            official = datasets.GTSRB(folder, split=split, download=True)
            images, labels = _resized(official)
            found |= {f"{split}_images": images, f"{split}_labels": labels}
    return found


def _resized(official: Any) -> tuple[Tensor, Tensor]:
    """Pictures of any size -> uint8 (N, 3, 32, 32), each whole, and labels uint8 (N,)."""
    pixels = np.empty((len(official), SIZE, SIZE, 3), np.uint8)
    labels = torch.empty(len(official), dtype=torch.uint8)
    for place in range(len(official)):
        picture, label = official[place]
        pixels[place] = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        labels[place] = label
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels


def from_npz(path: Path) -> dict[str, Tensor]:
    """The four arrays of a file, checked.

    Raises:
        InputError: one is missing, or has another shape or values than GTSRB's.
    """
    found = arrays.read_npz(path)
    read: dict[str, Tensor] = {}
    for split in ("train", "test"):
        try:
            images = arrays.as_images(found[f"{split}_images"])
            labels = torch.from_numpy(found[f"{split}_labels"].flatten())
        except KeyError as error:
            raise InputError(f"{path.name} has no array {error}; save all four.") from None
        except (ValueError, TypeError) as error:
            raise InputError(f"{path.name} has {error}; resize GTSRB's to 32 x 32.") from None
        fit = images.shape[1:] == (3, SIZE, SIZE) and images.dtype == torch.uint8
        if not fit or len(labels) != len(images) or labels.dtype.is_floating_point:
            raise InputError(
                f"{path.name} has {split} pictures of shape {tuple(images.shape)} and "
                f"{images.dtype} with {len(labels)} labels; give uint8 (N, 3, 32, 32) and N labels."
            )
        if not 0 <= int(labels.min()) <= int(labels.max()) < len(CLASSES):
            raise InputError(
                f"{path.name} has labels from {labels.min()} to {labels.max()}; GTSRB's go from 0 "
                f"to {len(CLASSES) - 1}."
            )
        read |= {f"{split}_images": images, f"{split}_labels": labels.to(torch.uint8)}
    return read


def _fetch(source: str, say: Say) -> None:
    # A copy may be of fewer pictures: only where no source is named, it is as good as any.
    if source == "auto" and arrays.is_kept("gtsrb", "GTSRB", say):
        return
    if source in ("auto", "torchvision"):
        origin = "all official files, by torchvision"
        try:
            found = from_torchvision(say)
        except FAULTS as error:
            raise InputError(
                f"GTSRB could not be fetched by torchvision ({error}); check the network "
                "connection, or give a file: `python -m apr_core data gtsrb --source FILE.npz`."
            ) from None
    else:
        found = from_npz(Path(source))
        known = all(tensor_sha256(found[key]) == one for key, one in TWO_THIRDS_SHA256.items())
        origin = TWO_THIRDS if known else f"{Path(source).name}, a copy that is not known here"
    arrays.keep("gtsrb", found, origin)
    count = f"{len(found['train_labels']):,} and {len(found['test_labels']):,} pictures"
    say(f"GTSRB is at {arrays.kept_file('gtsrb')}: {count}, {origin}.")


def _current() -> DataSet:
    """GTSRB with the count and the source of the copy that is here."""
    if not arrays.kept_file("gtsrb").exists():
        return GTSRB
    return _of_copy(*arrays.kept_copy("gtsrb"))


@lru_cache(maxsize=4)
def _of_copy(tested: int, origin: str) -> DataSet:
    return replace(GTSRB, tested=tested, source=f"{OFFICIAL}; {origin}")


# Mean and deviation of the 13,036 training pictures of `TWO_THIRDS`:
# `python -m apr_core data gtsrb --source FILE.npz --statistics`.
GTSRB = DataSet(
    name="gtsrb",
    title="GTSRB",
    classes=CLASSES,
    size=(SIZE, SIZE),
    channels=3,
    mean=(0.34028655, 0.31556582, 0.32817777),
    std=(0.27638853, 0.26793717, 0.27570087),
    source=OFFICIAL,
    licence="none stated by its authors",
    citation="Stallkamp et al., Man vs. computer, Neural Networks 32, 2012",
    tested=TESTED,
    load=partial(arrays.kept_split, "gtsrb", "GTSRB"),
    here=lambda: arrays.kept_file("gtsrb").exists(),
    fetch=_fetch,
    variogram=lambda: load_variogram("gtsrb"),
    sample=lambda: load_grid_sample("gtsrb"),
    nouns=False,
    current=_current,
)
