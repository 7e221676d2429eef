"""Weights of library models: fetched once, verified by hash and read without unpickling.

They lie in the folder `weights` (see `written`), each beside a note of its SHA-256.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from apr_core.base.files import file_sha256, write_whole
from apr_core.base.paths import written
from apr_core.base.types import InputError, shown
from apr_core.models.outputs import reason_of

NEEDS_NOTHING = "use efficientnet-lite0, which needs no download"
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
"""torch.hub's convention: the file's name ends with the first digits of its SHA-256."""
WRAPPERS = ("state_dict", "model")
"""Keys under which training code keeps the state dict in a checkpoint."""


def fetch_weights(
    model: str, url: str, file: str, ask_sha256: Callable[[], str] = str
) -> tuple[Path, str]:
    """A file of weights, fetched if it is not here yet, and its SHA-256, verified.

    Verified against what was found when it came here first, what its name says, or what its host
    declares. Of a file that none of these tells of, the SHA-256 is noted for the next time.

    Args:
        model: the name of the model, for error messages.
        file: its name here.
        ask_sha256: asks the host for the SHA-256, "" if it declares none; called before a download.

    Raises:
        InputError: it is not here and cannot be fetched, or it has another hash.
    """
    path = written("weights") / file
    note = path.with_name(f"{file}.sha256")
    in_name = HASH_IN_NAME.search(file)
    expected = in_name[1] if in_name else ""
    if not path.exists():
        expected = _download(model, url, path, expected, ask_sha256)
    elif note.exists():
        expected = note.read_text().strip()
    found = file_sha256(path)
    if not found.startswith(expected):
        raise InputError(
            f"The weights of {model} at {path} are damaged: their SHA-256 begins {found[:12]}, not "
            f"{expected[:12]}; delete that file, and it is fetched again."
        )
    if not note.exists():
        write_whole(note, f"{found}\n")
    return path, found


def _download(
    model: str, url: str, path: Path, expected: str, ask_sha256: Callable[[], str]
) -> str:
    """Fetch a file, with a progress bar; returns the SHA-256 or the first digits it was held to."""
    try:
        expected = ask_sha256() or expected
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)
        torch.hub.download_url_to_file(url, str(path), expected or None)
    except RuntimeError as error:  # the hash is not the expected one, and nothing was kept
        raise InputError(
            f"What came from {url} is not the weights of {model} ({reason_of(error)}); try again "
            f"later, or {NEEDS_NOTHING}."
        ) from None
    except Exception as error:  # each client of the network has errors of its own
        raise InputError(
            f"The weights of {model} cannot be fetched ({reason_of(error)}); get {url} on a "
            f"machine with a network and put it at {path}, or {NEEDS_NOTHING}."
        ) from None
    return expected


def own_weights(path: Path) -> tuple[Path, str]:
    """A person's own file of weights, and its SHA-256.

    Raises:
        InputError: there is no such file.
    """
    path = path.expanduser()
    if not path.is_file():
        raise InputError(f"There is no file {path}; check the path.")
    return path, file_sha256(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A state dict from a .safetensors file, or from one that torch.save wrote, in float32.

    Raises:
        InputError: it is neither, or holds more than tensors.
    """
    try:
        tensors: Any
        if path.suffix.lower() == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        for key in WRAPPERS:
            tensors = tensors[key] if isinstance(tensors.get(key), dict) else tensors
        return {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
    except Exception as error:  # whatever the readers raise, and what has no names or no tensors
        raise InputError(
            f"{path.name} cannot be read as weights ({reason_of(error)}); give a .safetensors "
            "file, or a .pth file of a state dict with nothing but tensors."
        ) from None


@contextmanager
def fitting(path: Path, model: str) -> Iterator[None]:
    """Turn what a strict load raises into one sentence."""
    try:
        yield
    except RuntimeError as error:
        reason = shown(" ".join(str(error).splitlines()[1:2]), 160).rstrip(".:, ")
        raise InputError(
            f"{path.name} does not fit {model} ({reason or reason_of(error)}); give weights of "
            "this architecture, with all its classes."
        ) from None
