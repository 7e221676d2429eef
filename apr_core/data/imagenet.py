"""ImageNet, and 600 pictures of the NIPS 2017 competition with ImageNet's classes.

Neither is copied: `data/imagenet.json` and `data/nips2017.json` say in which folder the pictures
lie, and what their hash is.

ImageNet (Russakovsky et al., 2015) is laid out as torchvision lays it out: `val/WORDNET-ID/*.JPEG`,
or those folders themselves, and `train/` beside `val/` for training. The shorter side is brought to
256 pixels (bilinear, with antialiasing) and the central 224 x 224 are taken. A folder with an
`images.csv` (file, label) is taken too: its pictures are brought to 224 x 224 whole, bicubically,
unless they are of this size. Pictures are turned upright and brought to sRGB first, which
torchvision leaves out; few of ImageNet's need either.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from PIL import Image
from torch import Tensor

from apr_core.base.files import write_whole
from apr_core.base.paths import written
from apr_core.base.types import InputError, shown
from apr_core.data.dataset import DataSet, Say, Split
from apr_core.data.folder import (
    TABLE,
    Listing,
    Prepare,
    class_folders,
    lazy_split,
    list_classes,
    read_table,
)
from apr_core.data.imagenet_sample import (
    SIZE,
    class_list,
    picked_elsewhere,
    picked_sample,
    whole,
)
from apr_core.data.variogram import load_variogram

SHORTER_SIDE = 256
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
NIPS_SHA256 = "b3eff6e14fffb6c642664d9f7bb79b8512c2f6e82bbec148ae5b320622a1eb90"
"""Of the 600 pictures, their names and labels; see `apr_core.data.folder.listing_sha256`."""
NIPS_TABLE_SHA256 = "f85534bb0220c47abda27e45fefd00fa19bf42622a8b3673ca4f6b097178b192"


CLASSES = tuple(name for _, name in class_list())


def centre_crop(picture: Image.Image) -> Image.Image:
    """The shorter side to 256 pixels, and the central 224 x 224 of it."""
    shorter = min(picture.size)
    width, height = (side * SHORTER_SIDE // shorter for side in picture.size)
    resized = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    return resized.crop((left, top, left + SIZE, top + SIZE))


def _listing(folder: Path, split: str) -> tuple[Listing, Prepare]:
    """The pictures of a split.

    Raises:
        InputError: there are none, or they have other classes than ImageNet's.
    """
    if (folder / TABLE).is_file() and split == "test":
        listing, prepare = read_table(folder)[0], whole
    else:
        listing, prepare = _official(folder, split), centre_crop
    if not listing.files:
        raise InputError(f"There are no pictures in {listing.folder}; give ImageNet's folder.")
    if max(listing.labels) >= len(CLASSES):
        raise InputError(
            f"{folder / TABLE} has the label {max(listing.labels)}; ImageNet's go to "
            f"{len(CLASSES) - 1}."
        )
    return listing, prepare


def _official(folder: Path, split: str) -> Listing:
    inner = folder / ("val" if split == "test" else "train")
    if inner.is_dir() or split == "train":
        folder = inner
    try:
        names = class_folders(folder)
    except OSError:
        names = []
    labels = {wordnet: label for label, (wordnet, _) in enumerate(class_list())}
    strange = [name for name in names if name not in labels]
    if strange or not names:
        found = f"the folder {shown(strange[0], 40)}" if strange else "no folder of a class"
        raise InputError(
            f"There is {found} in {folder}, where ImageNet has one folder a class, such as "
            f"n01440764; give the folder that holds val/, or one with an {TABLE}."
        )
    return list_classes(folder, {name: labels[name] for name in names})


def _note(name: str) -> Path:
    """The file that says where a data set's folder is."""
    return written("data") / f"{name}.json"


def _noted(name: str, title: str) -> tuple[Path, dict[str, int], str]:
    """The folder of a data set, how many pictures a split has, and the hash of the test pictures.

    Raises:
        InputError: nobody has said where it is.
    """
    path = _note(name)
    if not path.exists():
        raise InputError(
            f"{title} is not here; say where it is with `python -m apr_core data {name} --source "
            "FOLDER`."
        )
    try:
        entry = json.loads(path.read_text())
        counts = {str(split): int(count) for split, count in entry["pictures"].items()}
        return Path(entry["folder"]), counts, str(entry["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it, and fetch again.") from None


def _here(name: str) -> bool:
    try:
        return _noted(name, name)[0].is_dir()
    except InputError:
        return False


def _fetch(name: str, title: str, known: str, source: str, say: Say) -> None:
    if source == "auto":
        folder, counts, _ = _noted(name, title)
        say(f"{title} is in {folder}: {counts['test']:,} test pictures.")
        return
    folder = Path(source).absolute()
    if not folder.is_dir():
        raise InputError(f"There is no folder {source}; give the one that holds {title}.")
    say(f"Reading and hashing the pictures of {folder} ...")
    listing, prepare = _listing(folder, "test")
    found = lazy_split(listing, prepare, 3).sha256
    if known and found != known:
        raise InputError(
            f"The pictures of {folder} have SHA-256 {found[:12]}, and those of {title} "
            f"{known[:12]}; take the original folder."
        )
    counts = {"test": len(listing.files)}
    if name == "imagenet" and (folder / "train").is_dir():
        counts["train"] = len(_listing(folder, "train")[0].files)
    entry = {"folder": str(folder), "pictures": counts, "sha256": found}
    write_whole(_note(name), json.dumps(entry) + "\n")
    say(f"{title} is in {folder}: {counts['test']:,} test pictures.")


def _load(name: str, title: str, split: str) -> Split:
    folder, counts, sha256 = _noted(name, title)
    if split not in counts and name == "nips2017":
        raise InputError(f"{title} has no training pictures; choose another data set to train on.")
    if split not in counts:
        raise InputError(
            f"{folder} has no training pictures of {title}; give a folder with train/ and val/ to "
            f"`python -m apr_core data {name} --source FOLDER`."
        )
    return _split(folder, split, sha256, _note(name).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _split(folder: Path, split: str, sha256: str, changed: int) -> Split:
    """A split; `changed` is there for the cache. Training pictures are hashed by size alone."""
    found = lazy_split(*_listing(folder, split), 3, contents=split == "test")
    if split == "test" and found.sha256 != sha256:
        raise InputError(
            f"The pictures of {folder} have changed since they were hashed; give the folder anew "
            "with --source."
        )
    return found


def _current() -> DataSet:
    """ImageNet with as many pictures as the folder has that is here."""
    if not _here("imagenet"):
        return IMAGENET
    _, counts, _ = _noted("imagenet", "ImageNet")
    return _of_copy(counts["test"], "train" in counts)


@lru_cache(maxsize=4)
def _of_copy(tested: int, trains: bool) -> DataSet:
    return replace(IMAGENET, tested=tested, trains=trains)


def _variogram() -> Tensor:
    """Measured on the 600 pictures."""
    return load_variogram("nips2017")


IMAGENET = DataSet(
    name="imagenet",
    title="ImageNet",
    classes=CLASSES,
    size=(SIZE, SIZE),
    channels=3,
    mean=MEAN,
    std=STD,
    source="https://www.image-net.org",
    licence="for non-commercial research and education, by ImageNet's terms of access",
    citation="Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015",
    tested=50_000,
    load=partial(_load, "imagenet", "ImageNet"),
    here=partial(_here, "imagenet"),
    fetch=partial(_fetch, "imagenet", "ImageNet", ""),
    variogram=_variogram,
    sample=picked_elsewhere,
    mirrored=True,
    ids=tuple(number for number, _ in class_list()),
    current=_current,
)
NIPS2017 = DataSet(
    name="nips2017",
    title="NIPS 2017",
    classes=CLASSES,
    size=(SIZE, SIZE),
    channels=3,
    mean=MEAN,
    std=STD,
    source="https://github.com/yuyang-long/SSA at c955cf0, the first 600 of at most three a class, "
    "in an order drawn once, scaled to 224 x 224",
    licence="CC BY 2.0, each picture by its own author",
    citation="Kurakin et al., Adversarial Attacks and Defences Competition, 2018",
    caution="These pictures are easier than ImageNet's validation set: of the 1,000 that they are "
    "from, EfficientNet-Lite0 gets 91.9 % right and a quantised ResNet-50 (Martinez et al., 2020, "
    "Uber Non-Commercial License) 87.2 %; these are no ImageNet accuracies.",
    tested=600,
    load=partial(_load, "nips2017", "NIPS 2017"),
    here=partial(_here, "nips2017"),
    fetch=partial(_fetch, "nips2017", "NIPS 2017", NIPS_SHA256),
    variogram=_variogram,
    sample=picked_sample,
    hashes={TABLE: NIPS_TABLE_SHA256, "test": NIPS_SHA256},
    trains=False,
)
