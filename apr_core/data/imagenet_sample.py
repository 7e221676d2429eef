"""ImageNet's classes, and some forty pictures of them that come with the project.

The pictures are from the 600 of the data set `nips2017`, CC BY 2.0; `assets/imagenet/sample.json`
names the author of each. EfficientNet-Lite0 gets all of them right.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import torch
from PIL import Image

from apr_core.base.paths import shipped
from apr_core.base.types import InputError
from apr_core.data.dataset import Credit, Sample, tensor_sha256
from apr_core.data.folder import Listing, take_listed

SIZE = 224
_ASSETS = shipped("assets") / "imagenet"


@cache
def class_list() -> tuple[tuple[str, str], ...]:
    """WordNet id and name of each of the 1,000 classes."""
    classes = json.loads((_ASSETS / "classes.json").read_text(encoding="utf-8"))["classes"]
    return tuple((wordnet, name) for wordnet, name in classes)


def whole(picture: Image.Image) -> Image.Image:
    """The whole picture at 224 x 224; one of this size keeps every pixel."""
    if picture.size == (SIZE, SIZE):
        return picture
    return picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


@cache
def picked_sample() -> Sample:
    """The shipped pictures, verified; their indices are among the 600.

    Raises:
        InputError: their files are missing or damaged.
    """
    try:
        entry = json.loads((_ASSETS / "sample.json").read_text(encoding="utf-8"))
        pictures = entry["pictures"]
        files = tuple(str(one["file"]) for one in pictures)
        labels = torch.tensor([int(one["label"]) for one in pictures])
        indices = torch.tensor([int(one["index"]) for one in pictures])
        owners = tuple(
            Credit(
                one["author"],
                one["original_url"],
                one["licence"],
                one["licence_url"],
                f"cropped and scaled to {SIZE} × {SIZE} pixels",
            )
            for one in pictures
        )
        expected = entry["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The shipped sample cannot be read ({error}); restore assets/.") from None
    listing = Listing(_ASSETS, files, tuple(labels.tolist()))
    images = take_listed(listing, whole, 3, torch.arange(len(files)))
    if tensor_sha256(images) != expected:
        raise InputError("The shipped sample's pixels are not what they were; restore assets/.")
    return Sample(images, labels, indices, owners, picked=True)


@cache
def picked_elsewhere() -> Sample:
    """The same pictures for ImageNet, in whose test set they are not."""
    return replace(picked_sample(), indices=torch.arange(0))
