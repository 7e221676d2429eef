"""Folders of pictures: listed with their labels, hashed, and decoded as they are taken.

Either one folder a class, or a table `images.csv` with the columns `file` and `label`, and where
wanted `class_name`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor
from tqdm import tqdm

from apr_core.base.files import file_sha256, write_whole
from apr_core.base.paths import written
from apr_core.base.types import InputError, shown
from apr_core.data.dataset import Split
from apr_core.data.decode import check_bytes, decode
from apr_core.data.picture_file import READ

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp")
TABLE = "images.csv"
COLUMNS = ("file", "label")
MAX_TABLE = 2**28
"""Bytes of a table."""
MAX_LABEL = 100_000
MANY = 2000
"""Files from which a bar shows that they are being read."""
THREADS = min(8, os.cpu_count() or 1)

_TURNED = (5, 6, 7, 8)
"""EXIF's orientations that exchange width and height."""

Prepare = Callable[[Image.Image], Image.Image]
"""An upright RGB picture of any size to the data set's size."""


@dataclass(frozen=True)
class Listing:
    """Pictures by name, with their labels: `files` lie below `folder`, parts joined by "/"."""

    folder: Path
    files: tuple[str, ...]
    labels: tuple[int, ...]


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, but for hidden ones."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return sorted(name for name in names if not name.startswith((".", "__")))


def list_classes(folder: Path, labels: dict[str, int]) -> Listing:
    """The pictures in a folder's folders, by class and name.

    Args:
        labels: of each folder that is there.
    """
    found: list[tuple[str, int]] = []
    for name, label in labels.items():
        with os.scandir(folder / name) as entries:
            files = sorted(entry.name for entry in entries if is_picture(entry.name))
        found += [(f"{name}/{file}", label) for file in files]
    return Listing(folder, tuple(file for file, _ in found), tuple(label for _, label in found))


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its name."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def read_table(folder: Path) -> tuple[Listing, dict[int, str]]:
    """The pictures that a folder's `images.csv` lists, and the classes' names that it tells.

    Raises:
        InputError: it cannot be read, lacks a column, or has a label that is none or a file
            outside the folder.
    """
    path = folder / TABLE
    try:
        if path.stat().st_size > MAX_TABLE:
            raise InputError(f"{path} has over {MAX_TABLE:,} bytes; split it.")
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            table.fieldnames = [name.strip() for name in table.fieldnames or ()]
            rows = list(table)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read as a table ({error}); save it as UTF-8, comma-separated."
        ) from None
    missing = [name for name in COLUMNS if name not in table.fieldnames]
    if missing and table.fieldnames:
        raise InputError(
            f"{path} has no column {missing[0]} but {shown(', '.join(table.fieldnames), 80)}; its "
            "first line must be file,label or file,label,class_name."
        )
    files, labels, names = [], [], {}
    for line, row in enumerate(rows, start=2):
        name, label = row.get("file"), row.get("label")
        if name is None or label is None:
            raise InputError(f"{path} lacks a file or a label in line {line}; it needs both.")
        files.append(_inside(name, path, line))
        labels.append(_label(label, path, line))
        if row.get("class_name"):
            names[labels[-1]] = str(row["class_name"])
    return Listing(folder, tuple(files), tuple(labels)), names


def _inside(name: str, path: Path, line: int) -> str:
    parts = PurePosixPath(name.replace("\\", "/"))
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        raise InputError(
            f"Line {line} of {path} names {shown(name, 80)}, which is not below its folder; give "
            "paths that begin there."
        )
    return str(parts)


def _label(text: str, path: Path, line: int) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) < MAX_LABEL):
        raise InputError(
            f"Line {line} of {path} has the label {shown(text, 20)}; labels are whole numbers from "
            "0."
        )
    return int(text)


def check_labels(name: str, count: int, named: int) -> None:
    """Raise InputError where the labels of `count` classes have names of fewer."""
    if count > named:
        raise InputError(
            f"{name} has the label {count - 1}, and {named} classes are named; correct one of them."
        )


def read_image(folder: Path, file: str) -> Image.Image:
    """A listed picture, upright, RGB in sRGB.

    Raises:
        InputError: it is missing, too big, damaged or of another format.
    """
    path = folder / file
    try:
        if not path.is_file():
            raise InputError(f"There is no picture {file} in {folder}; restore it or unlist it.")
        check_bytes(path.stat().st_size, file)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    return decode(data, file).rgb


def picture_size(folder: Path, file: str) -> tuple[int, int]:
    """Width and height of a listed picture by its header, upright.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if not (folder / file).is_file():  # a pipe would be waited for
            return read_image(folder, file).size
        with Image.open(folder / file, formats=READ) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation) in _TURNED
            return picture.size[::-1] if turned else picture.size
    except Exception:  # Pillow's readers raise nearly anything: let the decoder say what it is
        return read_image(folder, file).size


def lazy_split(listing: Listing, prepare: Prepare, channels: int, contents: bool = True) -> Split:
    """Listed pictures as a split whose pictures are decoded when they are taken.

    Args:
        prepare: brings a picture to the data set's size.
        channels: 3, or 1 for grey.
        contents: whether the hash is of every file's bytes, or else of its size alone.
    """
    return Split(
        torch.tensor(listing.labels, dtype=torch.int64),
        partial(take_listed, listing, prepare, channels),
        listing_sha256(listing, contents),
    )


def take_listed(listing: Listing, prepare: Prepare, channels: int, places: Tensor) -> Tensor:
    """The pictures at some places, (n,), decoded: uint8 (n, C, H, W)."""
    read = partial(_decoded, listing.folder, prepare, channels)
    files = [listing.files[place] for place in places.tolist()]
    with ThreadPoolExecutor(THREADS) as pool:
        return torch.stack(list(pool.map(read, files)))


def _decoded(folder: Path, prepare: Prepare, channels: int, file: str) -> Tensor:
    picture = prepare(read_image(folder, file))
    if channels == 1:
        picture = picture.convert("L")
    pixels = torch.from_numpy(np.array(picture))
    return pixels.view(picture.height, picture.width, channels).permute(2, 0, 1).contiguous()


def listing_sha256(listing: Listing, contents: bool = True) -> str:
    """SHA-256 of all names, labels and files.

    Args:
        contents: as for `lazy_split`. A file's hash is kept in `data/file-hashes`, and used again
            while its size and time stay.

    Raises:
        InputError: a file is missing.
    """
    digest = hashlib.sha256()
    marks = _file_hashes(listing) if contents else _sizes(listing)
    for file, label, mark in zip(listing.files, listing.labels, marks, strict=True):
        digest.update(f"{file}\t{label}\t{mark}\n".encode())
    return digest.hexdigest()


def _sizes(listing: Listing) -> list[str]:
    return [str(_stat(listing.folder, file).st_size) for file in listing.files]


def _file_hashes(listing: Listing) -> list[str]:
    key = hashlib.sha256(str(listing.folder.resolve()).encode()).hexdigest()[:16]
    path = written("data") / "file-hashes" / f"{key}.json"
    known: dict[str, list[object]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text())
    found: dict[str, list[object]] = {}
    many = len(listing.files) >= MANY
    for file in tqdm(listing.files, desc="hashing pictures", disable=not many, leave=False):
        status = _stat(listing.folder, file)
        mark: list[object] = [status.st_size, status.st_mtime_ns]
        kept = known.get(file)
        same = isinstance(kept, list) and kept[:2] == mark
        found[file] = kept if same and kept else [*mark, file_sha256(listing.folder / file)]
    if any(known.get(file) != entry for file, entry in found.items()):
        with suppress(OSError):  # it saves time, and nothing else
            write_whole(path, json.dumps(found))
    return [str(found[file][2]) for file in listing.files]


def _stat(folder: Path, file: str) -> os.stat_result:
    try:
        return (folder / file).stat()
    except OSError as error:
        raise InputError(
            f"The picture {file} in {folder} cannot be read ({error.strerror}); restore or unlist "
            "it."
        ) from None


def spread(count: int, most: int) -> Sequence[int]:
    """At most so many places of `count`, evenly spread."""
    return sorted({place * count // min(count, most) for place in range(min(count, most))})
