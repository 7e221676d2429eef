"""A person's own data: a folder with one folder a class, a folder with a table, or an `.npz`.

    FOLDER/train/CLASS/*.png, FOLDER/test/CLASS/*.png    or `val` for `test`
    FOLDER/CLASS/*.png                                   all of it to test on
    FOLDER/images.csv                                    file,label[,class_name]; likewise
    FILE.npz                                             images and labels, or train_images ...

Beside a table, `classes.txt` may name the classes, a line a class. Where nothing names them, they
are called by their numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, lru_cache, partial
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from apr_core.base.types import InputError, shown
from apr_core.data.dataset import DataSet, Say, Split, unnamed
from apr_core.data.folder import (
    TABLE,
    Listing,
    check_labels,
    class_folders,
    is_picture,
    lazy_split,
    list_classes,
    picture_size,
    read_table,
    spread,
)
from apr_core.data.own_npz import read_own_npz
from apr_core.data.variogram import mean_and_std, measured_variogram

LOOKED_AT = 1000
"""Pictures at most whose size, colours, mean and deviation are measured."""
FOR_VARIOGRAM = 200
VALUES = 200_000_000
"""Pixel values at most of the pictures that are measured."""
SMALL, LARGE, LIMIT = 32, 224, 96
"""Sides in pixels of what differs in size: the second where the shorter side is over the third."""
LARGEST = 512
"""Longer side of pictures that keep their size because all have it."""
SPLITS = ("train", "test", "val")
NAMES = "classes.txt"
LAYOUT = (
    "give a folder with one folder of pictures a class, one with an images.csv, or an .npz with "
    "images and labels"
)
Mark = tuple[tuple[str, int], ...]
Splits = dict[str, Callable[[], Split]]


def is_path(name: str) -> bool:
    """Whether a data set is meant by its path and not by a name."""
    if name.endswith(".npz") or "/" in name or os.sep in name:
        return True
    try:
        return bool(name) and Path(name).exists()
    except OSError:  # too long a name
        return False


def own_data(name: str, size: tuple[int, int] | None = None) -> DataSet:
    """The data at a path.

    Args:
        name: the path.
        size: height and width that pictures of different sizes, and photographs, are brought to.

    Raises:
        InputError: there is nothing there, or nothing that can be used.
    """
    place = Path(name)
    try:
        mark = _mark(place)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise InputError(f"{shown(name, 200)} cannot be read ({cause}); {LAYOUT}.") from None
    if place.is_dir():
        return _of_folder(name, size, mark)
    if place.suffix == ".npz":
        return _of_npz(name, mark)
    raise InputError(f"{shown(name, 200)} is no data set; {LAYOUT}.")


def _mark(place: Path) -> Mark:
    """Differs when a picture has come or gone, or when a table or an array file has changed."""
    looked = [place]
    if place.is_dir():
        inner = [place, *(place / split for split in SPLITS)]
        looked += [one / name for one in inner for name in (TABLE, NAMES)]
        for folder in filter(Path.is_dir, inner):
            looked += [folder / name for name in class_folders(folder)]
    return tuple(
        (str(one), one.stat().st_mtime_ns) for one in looked if one == place or one.exists()
    )


@lru_cache(maxsize=8)
def _of_folder(
    name: str, size: tuple[int, int] | None, mark: tuple[tuple[str, int], ...]
) -> DataSet:
    listings, classes = _list(Path(name))
    looked = listings.get("train", listings["test"])
    places = spread(len(looked.files), LOOKED_AT)
    height, width = _size([picture_size(looked.folder, looked.files[one]) for one in places], size)
    places = spread(len(looked.files), max(1, min(LOOKED_AT, VALUES // (3 * height * width))))
    fit = partial(_fit, size=(width, height))
    seen = lazy_split(looked, fit, 3).take(torch.tensor(places))
    channels = 1 if bool((seen == seen[:, :1]).all()) else 3
    splits: Splits = {
        split: cache(partial(lazy_split, listing, fit, channels))
        for split, listing in listings.items()
    }
    return _data_set(name, classes, splits, seen[:, :channels], len(listings["test"].files))


@lru_cache(maxsize=2)
def _of_npz(name: str, mark: Mark) -> DataSet:
    loaded, classes = read_own_npz(Path(name))
    seen = loaded.get("train", loaded["test"])[0]
    splits: Splits = {
        split: cache(partial(Split.in_memory, *both)) for split, both in loaded.items()
    }
    tested = len(loaded["test"][1])
    return _data_set(name, classes, splits, seen[list(spread(len(seen), LOOKED_AT))], tested)


def _data_set(name: str, classes: tuple[str, ...], splits: Splits,
              seen: Tensor, tested: int) -> DataSet:  # fmt: skip
    """The value; `seen` are the pictures to measure, uint8 (N, C, H, W)."""
    if len(classes) < 2:
        raise InputError(
            f"{shown(name, 200)} has one class only, {shown(classes[0], 40)}; a model needs two to "
            "tell apart."
        )
    mean, std = mean_and_std(seen)
    return DataSet(
        name=name,
        title=shown(Path(name).name or name, 80),
        classes=classes,
        size=(seen.shape[2], seen.shape[3]),
        channels=seen.shape[1],
        mean=mean,
        std=tuple(max(one, 1 / 255) for one in std),
        source=name,
        licence="not known here",
        citation="a person's own data",
        tested=tested,
        load=partial(_load, name, splits),
        here=lambda: True,
        fetch=partial(_fetch, name),
        variogram=partial(_variogram, splits),
        trains="train" in splits,
    )


def _load(name: str, splits: Splits, split: str) -> Split:
    if split not in splits:
        raise InputError(
            f"{shown(name, 200)} has no training pictures; put them into its sub-folder train and "
            "those to test on into test, or train_images and test_images into the .npz."
        )
    return splits[split]()


def _fetch(name: str, source: str, say: Say) -> None:
    if source != "auto":
        raise InputError(f"{shown(name, 200)} is read where it lies; leave --source out.")
    say(f"{name} is read where it lies.")


def _variogram(splits: Splits) -> Tensor:
    split = splits.get("train", splits["test"])()
    places = torch.tensor(spread(len(split), FOR_VARIOGRAM))
    shape = "x".join(map(str, split.take(places[:1]).shape[1:]))
    return measured_variogram(f"own-{split.sha256[:16]}-{shape}", lambda: split.take(places))


# Folders


def _list(folder: Path) -> tuple[dict[str, Listing], tuple[str, ...]]:
    """The pictures by split, and the classes' names by label.

    Raises:
        InputError: there are no pictures to test on.
    """
    inner = {"train": folder / "train", "test": folder / "test"}
    if not _holds_pictures(inner["test"]):
        inner["test"] = folder / "val"
    inner = {split: path for split, path in inner.items() if _holds_pictures(path)}
    if "train" in inner and "test" not in inner:
        raise InputError(
            f"{folder} has the folder train and no pictures to test on; put some into test."
        )
    inner = inner or {"test": folder}
    if any((path / TABLE).is_file() for path in inner.values()):
        listings, classes = _tables(folder, inner)
    else:
        names = sorted({name for path in inner.values() for name in class_folders(path)})
        label = {name: number for number, name in enumerate(names)}
        listings = {
            split: list_classes(path, {name: label[name] for name in class_folders(path)})
            for split, path in inner.items()
        }
        classes = tuple(names)
    for split, path in inner.items():
        if not listings[split].files:
            raise InputError(f"There are no pictures in {path}; {LAYOUT}.")
    return listings, classes


def _holds_pictures(folder: Path) -> bool:
    """Whether a folder called train, test or val is a split, and not a class of that name."""
    if not folder.is_dir():
        return False
    names = os.listdir(folder)
    return TABLE in names or (bool(class_folders(folder)) and not any(map(is_picture, names)))


def _tables(folder: Path, inner: dict[str, Path]) -> tuple[dict[str, Listing], tuple[str, ...]]:
    listings, names = {}, dict[int, str]()
    for split, path in inner.items():
        listings[split], named = read_table(path)
        names |= named
    most = 1 + max((max(one.labels, default=0) for one in listings.values()), default=0)
    listed = folder / NAMES
    if listed.is_file():
        classes = tuple(
            shown(line, 80) for line in listed.read_text("utf-8", "replace").split("\n")
        )
        classes = classes[:-1] if classes[-1] == "" else classes
        check_labels(str(folder / TABLE), most, len(classes))
        return listings, classes
    return listings, tuple(shown(names.get(label, unnamed(label)), 80) for label in range(most))


def _size(sizes: list[tuple[int, int]], wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width for pictures of some widths and heights.

    Those that all have one size keep it, unless they are photographs and another size is wanted.
    """
    width, height = sizes[0]
    shorter = sorted(min(one) for one in sizes)[len(sizes) // 2]
    if len(set(sizes)) == 1 and max(width, height) <= LARGEST and (shorter <= LIMIT or not wanted):
        return height, width
    side = LARGE if shorter > LIMIT else SMALL
    return wanted or (side, side)


def _fit(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The central part of a width and height, scaled as a picture of one's own is."""
    if picture.size == size:
        return picture
    shrinks = picture.width >= size[0] and picture.height >= size[1]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return ImageOps.fit(picture, size, method)
