"""Fashion-MNIST: clothes in grey, 28 x 28 pixels, as a drop-in for MNIST.

Xiao et al. (2017). The four archives come by torchvision's download, or lie in a folder; either
way each must have the MD5 that torchvision knows.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from functools import partial
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data import arrays
from apr_core.data.dataset import DataSet, Say
from apr_core.data.variogram import measured_variogram

NAME = "fashion-mnist"
TITLE = "Fashion-MNIST"
CLASSES = (
    "T-shirt or top", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle boot",
)  # fmt: skip
FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}
HEADERS = {"images": 16, "labels": 8}
"""Bytes before the values of an IDX file."""


def read_folder(folder: Path) -> dict[str, Tensor]:
    """The four arrays from the folder of the four archives.

    Raises:
        InputError: one is missing, or has another MD5 than torchvision knows.
    """
    from torchvision.datasets import FashionMNIST  # noqa: PLC0415  slow to import, seldom needed

    known = dict(FashionMNIST.resources)
    found = {}
    for name, file in FILES.items():
        try:
            packed = (folder / file).read_bytes()
        except OSError as error:
            raise InputError(
                f"{folder / file} cannot be read ({error.strerror}); give the folder of "
                f"{TITLE}'s four archives."
            ) from None
        if hashlib.md5(packed, usedforsecurity=False).hexdigest() != known[file]:
            raise InputError(f"{folder / file} has another MD5 than {known[file]}; fetch it again.")
        kind = name.rpartition("_")[2]
        values = np.frombuffer(gzip.decompress(packed), np.uint8, offset=HEADERS[kind])
        array = torch.from_numpy(values.copy())
        found[name] = array.view(-1, 1, 28, 28) if kind == "images" else array
    return found


def from_torchvision() -> dict[str, Tensor]:
    """The four arrays by torchvision's download."""
    from torchvision.datasets import FashionMNIST  # noqa: PLC0415  slow to import, seldom needed

    with tempfile.TemporaryDirectory() as folder:
        official = FashionMNIST(folder, download=True)
        return read_folder(Path(official.raw_folder))


def _fetch(source: str, say: Say) -> None:
    if arrays.is_kept(NAME, TITLE, say):
        return
    if source in ("auto", "torchvision"):
        say(f"Fetching {TITLE} by torchvision ...")
        try:
            found = from_torchvision()
        except InputError:
            raise
        except (OSError, RuntimeError, ValueError, HTTPException) as error:
            cause = " ".join(str(error).split())[:200]
            raise InputError(
                f"{TITLE} could not be fetched by torchvision ({cause}); check the network "
                f"connection, or give the folder of its four archives: `python -m apr_core data "
                f"{NAME} --source FOLDER`."
            ) from None
    else:
        found = read_folder(Path(source))
    arrays.keep(NAME, found, "the official archives, verified by MD5")
    say(f"{TITLE} is at {arrays.kept_file(NAME)}, verified.")


_load = partial(arrays.kept_split, NAME, TITLE)
FASHION_MNIST = DataSet(
    name=NAME,
    title=TITLE,
    classes=CLASSES,
    size=(28, 28),
    channels=1,
    mean=(0.2860,),  # as published; `python -m apr_core data fashion-mnist --statistics` measures
    std=(0.3530,),
    source="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    citation="Xiao et al., Fashion-MNIST, arXiv:1708.07747, 2017",
    tested=10_000,
    load=_load,
    here=lambda: arrays.kept_file(NAME).exists(),
    fetch=_fetch,
    mirrored=True,
    variogram=lambda: measured_variogram(NAME, lambda: _load("train").images),
)
