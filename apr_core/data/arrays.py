"""Arrays: a data set kept as one file in `data/`, and `.npz` files read with limits."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from apr_core.base.files import write_whole
from apr_core.base.paths import written
from apr_core.base.types import InputError, shown
from apr_core.data.dataset import Say, Split, tensor_sha256

NAMES = ("train_images", "train_labels", "test_images", "test_labels")
MAX_UNPACKED = 4 * 2**30
"""Bytes of all arrays of an `.npz`: a small file may say that it holds far more."""
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def kept_file(name: str) -> Path:
    """Where a data set lies once it was fetched."""
    return written("data") / f"{name}.safetensors"


def keep(name: str, arrays: dict[str, Tensor], origin: str) -> None:
    """Write a data set's four arrays as one file, with their hashes.

    Args:
        arrays: `NAMES` to images uint8 (N, C, H, W) or labels uint8 (N,).
        origin: where they came from.
    """
    hashes = {key: tensor_sha256(array) for key, array in arrays.items()}
    about = {"origin": origin, "sha256": json.dumps(hashes)}
    write_whole(kept_file(name), save(arrays, about))


def kept(name: str, title: str) -> dict[str, Tensor]:
    """The arrays of a kept data set, verified.

    Raises:
        InputError: it has not been fetched, or the file is damaged.
    """
    path = kept_file(name)
    try:
        status = path.stat()
    except OSError:
        raise InputError(
            f"{title} is not at {path}; fetch it with `python -m apr_core data {name}`."
        ) from None
    return _read(path, status.st_mtime_ns, status.st_size)


def kept_split(name: str, title: str, split: str) -> Split:
    """A split of a kept data set, verified; it is hashed once while the file stays as it is.

    Raises:
        InputError: as `kept`.
    """
    kept(name, title)  # which says what is wrong with it
    status = kept_file(name).stat()
    return _split(kept_file(name), status.st_mtime_ns, status.st_size, split)


@lru_cache(maxsize=4)
def _split(path: Path, changed: int, size: int, split: str) -> Split:
    found = _read(path, changed, size)
    return Split.in_memory(found[f"{split}_images"], found[f"{split}_labels"])


def is_kept(name: str, title: str, say: Say) -> bool:
    """Whether a data set was fetched before, which is then said.

    Raises:
        InputError: its file is damaged.
    """
    if not kept_file(name).exists():
        return False
    kept(name, title)
    say(f"{title} is already at {kept_file(name)}.")
    return True


def kept_copy(name: str) -> tuple[int, str]:
    """How many test pictures the file of a kept data set has, and where they came from.

    Raises:
        InputError: it is damaged.
    """
    with _opened(kept_file(name)) as file:
        return file.get_slice("test_labels").get_shape()[0], str(file.metadata()["origin"])


@lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> dict[str, Tensor]:
    """The arrays of a file; its time and size are there for the cache."""
    with _opened(path) as file:
        hashes = json.loads(file.metadata()["sha256"])
        arrays = {name: file.get_tensor(name) for name in NAMES}
        changed_ones = [name for name in NAMES if tensor_sha256(arrays[name]) != hashes[name]]
        if changed_ones:
            raise ValueError(f"{changed_ones[0]} has another SHA-256 than when it was written")
    return arrays


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A kept file; what is wrong with it becomes an InputError."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path.name} is damaged ({error}); delete {path} and fetch it again."
        ) from None


def check_hashes(title: str, arrays: dict[str, Tensor], hashes: dict[str, str]) -> None:
    """Raise InputError unless each array has its known SHA-256."""
    for name, expected in hashes.items():
        found = tensor_sha256(arrays[name]) if name in arrays else "missing"
        if found != expected:
            raise InputError(
                f"{title}'s {name} has SHA-256 {found[:12]}, not {expected[:12]}; take the "
                "original file."
            )


def read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of an `.npz` by name; nothing in it is executed.

    Raises:
        InputError: there is no such file, it is none, it is damaged, it holds Python objects or
            more bytes than `MAX_UNPACKED`.
    """
    name = shown(path.name, 80)
    try:
        if path.exists() and not path.is_file():  # a folder, or a pipe, which would be waited for
            raise InputError(f"{shown(str(path), 200)} is no file; give an .npz file.")
        with zipfile.ZipFile(path) as archive:
            _check_unpacked(archive, name)
            return dict(_members(archive, name))
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"The file {path} cannot be read ({error.strerror or error}); check its path."
        ) from None
    except Exception as error:  # what zipfile and NumPy raise on damaged files is nearly anything
        raise InputError(
            f"{name} cannot be read as an .npz file ({shown(str(error), 80)}); write it with "
            "numpy.savez."
        ) from None


def _check_unpacked(archive: zipfile.ZipFile, name: str) -> None:
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > MAX_UNPACKED:
        raise InputError(
            f"The arrays of {name} take {unpacked:,} bytes, over the limit of {MAX_UNPACKED:,}; "
            "leave out some of the pictures, or save them as uint8."
        )


def _members(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Each array with its name, which its own header must not describe as larger than it is."""
    for member in archive.infolist():
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            shape, _, dtype = _HEADERS[version](file)
            head = file.tell()
        if dtype.hasobject:
            raise InputError(
                f"{name} holds Python objects ({shown(member.filename, 40)}), which are never "
                "loaded; save plain arrays of numbers."
            )
        count = int(np.prod(shape, dtype=object)) if shape else 1
        if head + count * dtype.itemsize != member.file_size:
            raise ValueError(f"{shown(member.filename, 40)} is cut short")
        with archive.open(member) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        yield member.filename.removesuffix(".npy"), array


def as_images(pixels: NDArray[np.generic]) -> Tensor:
    """Grey (N, H, W), or (N, H, W, C), or (N, C, H, W) -> (N, C, H, W), C 1 or 3.

    Raises:
        ValueError: the shape is none of these.
    """
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape:
        raise ValueError(f"pictures of shape {tuple(pixels.shape)}")
    return torch.from_numpy(np.ascontiguousarray(pixels))
