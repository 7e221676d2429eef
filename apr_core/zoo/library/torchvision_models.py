"""torchvision's classifiers: `torchvision:NAME`, `torchvision:NAME:WEIGHTS` or `:FILE`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from torch import nn

from apr_core.zoo.library.entry import LibraryEntry
from apr_core.zoo.library.names import is_file, split_name, unknown_near
from apr_core.zoo.library.weights import fetch_weights, fitting, own_weights, read_tensors

_READING = Lock()


def find_torchvision(name: str) -> LibraryEntry:
    """The entry of a torchvision model; its weights are `DEFAULT`, the best, unless named.

    With a file of a person's own weights, images are normalised as for the default ones.

    Raises:
        InputError: torchvision has no such classifier, or no such weights for it.
    """
    from torchvision import models  # noqa: PLC0415 - slow to import

    architecture, wanted = split_name(name)
    known = models.list_models(module=models)
    if architecture not in known:
        raise unknown_near("torchvision has no classifier", architecture, known)
    members = models.get_model_weights(architecture).__members__
    offered = {key: each for key, each in members.items() if each.meta.get("categories")}
    file = wanted if is_file(wanted) else ""
    chosen = "DEFAULT" if file or not wanted else wanted
    if chosen not in offered:
        what = f"torchvision has no weights of classes for {architecture} that are called"
        raise unknown_near(what, wanted, offered)
    weights = offered[chosen]

    def build() -> tuple[nn.Module, str]:
        url = weights.url
        path, sha256 = own_weights(Path(file)) if file else fetch_weights(name, url, Path(url).name)
        with _read_from(weights, path), fitting(path, name):
            return models.get_model(architecture, weights=weights), sha256

    view = weights.transforms()
    size = view.crop_size[0]
    classes = len(weights.meta["categories"])
    return LibraryEntry(name, (size, size), 3, classes, tuple(view.mean), tuple(view.std), build)


@contextmanager
def _read_from(weights: Any, path: Path) -> Iterator[None]:
    """Have torchvision's builders, which would unpickle weights, get them as tensors from a file.

    Only the builder knows what else its weights need: GoogLeNet and Inception scale images, and
    DenseNet renames layers.
    """
    tensors = read_tensors(path)
    with _READING:
        weights.get_state_dict = lambda **_: tensors
        try:
            yield
        finally:
            del weights.get_state_dict
