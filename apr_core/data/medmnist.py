"""MedMNIST: breast ultrasound and fundus pictures of 28 x 28 pixels, from MedMNIST's own files.

Yang et al., MedMNIST v2 (2023). Training pictures are `train_images` alone: the validation
pictures are kept out. What comes is verified by the SHA-256 of each array, so that a file that was
packed anew is taken too; those below are of MedMNIST's files of MD5
750601b1f35ba3300ea97c75c52ff8f6 (BreastMNIST) and bd4c0672f1bba3e3a89f0e4e876791e4 (RetinaMNIST).
"""

from __future__ import annotations

import tempfile
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data import arrays
from apr_core.data.dataset import DataSet, Say, Split
from apr_core.data.sample import load_grid_sample
from apr_core.data.variogram import load_variogram

RECORD = "https://zenodo.org/records/10519652"
MAX_DOWNLOAD = 25 * 2**20
TIMEOUT = 60.0
"""Seconds without an answer."""
CITATION = "Yang et al., MedMNIST v2, Scientific Data 10:41, 2023"
CAUTION = (
    "{title} at 28 x 28 pixels is a benchmark for comparing methods and no medical device: nothing "
    "measured on it says how a diagnosis would be."
)


def _read(name: str, path: Path) -> dict[str, Tensor]:
    """The four arrays of MedMNIST's file, images uint8 (N, C, 28, 28) and labels uint8 (N,)."""
    found = arrays.read_npz(path)
    missing = [one for one in arrays.NAMES if one not in found]
    if missing:
        raise InputError(f"{path.name} has no {missing[0]}; take MedMNIST's own {name}.npz.")
    try:
        images = {f"{split}_images": arrays.as_images(found[f"{split}_images"])
                  for split in ("train", "test")}  # fmt: skip
    except ValueError as error:
        raise InputError(f"{path.name} has {error}; take MedMNIST's own {name}.npz.") from None
    labels = {f"{split}_labels": torch.from_numpy(found[f"{split}_labels"].flatten())
              for split in ("train", "test")}  # fmt: skip
    return images | labels


def _download(name: str, title: str, folder: str) -> Path:
    address = f"{RECORD}/files/{name}.npz?download=1"
    try:
        with urlopen(address, timeout=TIMEOUT) as answer:
            content = answer.read(MAX_DOWNLOAD)
    except (OSError, ValueError, HTTPException) as error:
        raise InputError(
            f"{title} could not be fetched from {address} ({error}); check the network "
            f"connection, or give the file: `python -m apr_core data {name} --source {name}.npz`."
        ) from None
    path = Path(folder) / f"{name}.npz"
    path.write_bytes(content)
    return path


def _fetch(name: str, title: str, hashes: dict[str, str], source: str, say: Say) -> None:
    if arrays.is_kept(name, title, say):
        return
    with tempfile.TemporaryDirectory() as folder:
        if source in ("auto", "medmnist"):
            say(f"Fetching {title} from MedMNIST's record at {RECORD} ...")
            path = _download(name, title, folder)
        else:
            path = Path(source)
        found = _read(name, path)
    arrays.check_hashes(title, found, hashes)
    arrays.keep(name, found, f"MedMNIST's {name}.npz")
    say(f"{title} is at {arrays.kept_file(name)}, verified.")


def _load(name: str, title: str, hashes: dict[str, str], split: str) -> Split:
    arrays.check_hashes(title, arrays.kept(name, title), hashes)
    return arrays.kept_split(name, title, split)


def _data_set(name: str, title: str, classes: tuple[str, ...], tested: int,
              mean: tuple[float, ...], std: tuple[float, ...], hashes: dict[str, str],
              ) -> DataSet:  # fmt: skip
    return DataSet(
        name=name,
        title=title,
        classes=classes,
        nouns=False,
        size=(28, 28),
        channels=len(mean),
        mean=mean,
        std=std,
        source=RECORD,
        licence="CC BY 4.0",
        citation=CITATION,
        caution=CAUTION.format(title=title),
        mirrored=True,
        tested=tested,
        load=partial(_load, name, title, hashes),
        here=lambda: arrays.kept_file(name).exists(),
        fetch=partial(_fetch, name, title, hashes),
        variogram=lambda: load_variogram(name),
        sample=lambda: load_grid_sample(name),
        hashes=hashes,
    )


# Means and standard deviations: `python -m apr_core data NAME --statistics`.
BREASTMNIST = _data_set(
    "breastmnist", "BreastMNIST", ("malignant", "normal or benign"), 156,
    mean=(0.3275805,), std=(0.20573015,),
    hashes={
        "train_images": "b7511ebbf38d87d368c627fd84ff9f1c45da221343c86b626e171acefe96599b",
        "train_labels": "98ca09c4e180f38d064445760e3f2e8582900aba77fdbf930d0f076b8b5d5c7b",
        "test_images": "594391315c545f7a88e77d99e930ed12087e459282280e03fa0a86c6c3df9544",
        "test_labels": "90d79ec9db398303df18dc70f85ff566642d6813c45b5c66cb91be00ddc907b2",
    },
)  # fmt: skip
RETINAMNIST = _data_set(
    "retinamnist", "RetinaMNIST", tuple(f"grade {grade}" for grade in range(5)), 400,
    mean=(0.39838942, 0.24472671, 0.15575321), std=(0.29828646, 0.20048242, 0.15065953),
    hashes={
        "train_images": "e61ec18a61a904fb5fa789af8533db89bed794eca56b79e4e7be215b91a6be2e",
        "train_labels": "2c8e6f04a98b07d197e4c7d49de37e2f8ed3e9be97479db1ecdf2e461fa05fdc",
        "test_images": "3fde0a23e7e2556482fced3bc2f0d81812ea43ed2d766d50fa3b7e17d99092b3",
        "test_labels": "7350de0c465b8dd63e0c0149bd913961dad62bdbd56eeb60d736651dcd893d8b",
    },
)  # fmt: skip
