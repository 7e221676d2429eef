"""A person's own `.npz`: pictures, labels and names of classes, checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from apr_core.base.types import InputError, shown
from apr_core.data.arrays import as_images, read_npz
from apr_core.data.dataset import unnamed
from apr_core.data.folder import MAX_LABEL, check_labels

Arrays = dict[str, NDArray[np.generic]]


def read_own_npz(path: Path) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[str, ...]]:
    """The pictures uint8 (N, C, H, W) and labels int64 (N,) by split, and the classes' names.

    Raises:
        InputError: it cannot be read, or holds nothing to test on, or what is no pictures, labels
            or names.
    """
    found, name = read_npz(path), shown(path.name, 80)
    prefixes = {"train": "train_", "test": "test_" if "test_images" in found else ""}
    splits = {
        split: _labelled(name, found, prefix)
        for split, prefix in prefixes.items()
        if f"{prefix}images" in found
    }
    if "test" not in splits:
        raise InputError(
            f"{name} has no pictures to test on; save them as images and labels, or as test_images "
            "and test_labels beside train_images and train_labels."
        )
    shapes = sorted({tuple(images.shape[1:]) for images, _ in splits.values()})
    if len(shapes) > 1:
        raise InputError(
            f"The training and test pictures of {name} have the shapes {shapes[0]} and "
            f"{shapes[1]}; give both one size and as many channels."
        )
    count = 1 + max(int(labels.max()) for _, labels in splits.values())
    return splits, _class_names(name, found.get("classes"), count)


def _labelled(name: str, found: Arrays, prefix: str) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, C, H, W) and labels int64 (N,)."""
    if f"{prefix}labels" not in found:
        raise InputError(f"{name} has {prefix}images and no {prefix}labels; save both.")
    pixels = _pixels(name, found[f"{prefix}images"])
    try:
        images = as_images(pixels)
    except ValueError as error:
        raise InputError(
            f"{name} has {error}; give (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3."
        ) from None
    labels = found[f"{prefix}labels"]
    if labels.dtype.kind not in "iu" or labels.shape not in ((len(images),), (len(images), 1)):
        raise InputError(
            f"The labels of {name} are {labels.dtype} of shape {labels.shape}; give a whole number "
            f"for each of the {len(images):,} pictures."
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < MAX_LABEL:
        raise InputError(
            f"The labels of {name} go from {labels.min()} to {labels.max()}; they are counted from "
            f"0, to {MAX_LABEL - 1:,} at most."
        )
    return images, torch.from_numpy(labels.astype(np.int64).reshape(-1))


def _pixels(name: str, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Pixels as uint8: those in [0, 1] times 255."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f":
        raise InputError(
            f"The pictures of {name} are {pixels.dtype}; save uint8, or floats in [0, 1]."
        )
    if pixels.size and not (float(pixels.min()) >= 0 and float(pixels.max()) <= 1):  # or NaN
        raise InputError(
            f"The pictures of {name} go from {pixels.min():.6g} to {pixels.max():.6g}; floats must "
            "lie in [0, 1]."
        )
    return np.rint(np.asarray(pixels, np.float32) * 255).astype(np.uint8)


def _class_names(name: str, named: NDArray[np.generic] | None, count: int) -> tuple[str, ...]:
    if named is None:
        return tuple(map(unnamed, range(count)))
    if named.ndim != 1 or named.dtype.kind != "U":
        raise InputError(
            f"The classes of {name} are {named.dtype} of shape {named.shape}; save "
            "numpy.array([...]) of their names."
        )
    check_labels(name, count, len(named))
    return tuple(shown(str(one), 80) for one in named)
