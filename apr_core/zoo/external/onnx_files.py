"""ONNX: external weight files, and an onnxruntime session as a model."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apr_core.base.files import file_sha256
from apr_core.base.types import InputError

FATAL = 4
"""The runtime logs nothing less: what goes wrong it raises too."""
COLOURS = (1, 3)
"""How many channels a picture may have."""


class OnnxModel:
    """An onnxruntime session: images (B, C, H, W) float32 -> logits, on the images' device.

    Attributes:
        batch: images that it takes at once; None for any number.
        channels_last: whether it takes (B, H, W, C), to which images are turned.

    Raises:
        InputError: it takes or gives something else, a file of its weights is missing, or there is
            no onnxruntime.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.file = path.name
        self.session = _open(path, device)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            raise InputError(
                f"{self.file} takes {_listed(inputs)}; export a model that takes float32 images "
                "alone."
            )
        self.input, self.output = inputs[0].name, self._choose(outputs)
        self.shape: list[int | str | None] = inputs[0].shape
        self.channels_last = (
            len(self.shape) == 4 and self.shape[3] in COLOURS and self.shape[1] not in COLOURS
        )
        first = self.shape[0] if self.shape else None
        self.batch = first if isinstance(first, int) else None

    def _choose(self, outputs: Sequence[Any]) -> str:
        """The output that holds the logits: the only one, or the one of that name."""
        named = [entry for entry in outputs if entry.name == "logits"] or outputs
        if len(named) != 1 or not named[0].type.startswith("tensor("):
            raise InputError(
                f"{self.file} gives {_listed(outputs)}; export its logits alone, or call the "
                "output that holds them `logits`."
            )
        return str(named[0].name)

    def __call__(self, images: Tensor) -> Tensor:
        given = images.permute(0, 2, 3, 1) if self.channels_last else images
        self._check(images, given)
        array = given.detach().cpu().contiguous().numpy()
        (answer,) = self.session.run([self.output], {self.input: array})
        return torch.as_tensor(answer, device=images.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxModel:
        return self  # a session changes nothing, and cannot be copied

    def _check(self, images: Tensor, given: Tensor) -> None:
        """Raise InputError where the runtime would, in a sentence with both shapes."""
        fits = len(self.shape) in (0, given.ndim) and all(
            size == wanted
            for size, wanted in zip(given.shape, self.shape, strict=False)
            if isinstance(wanted, int)
        )
        if not fits:
            raise InputError(
                f"{self.file} fails on images {tuple(images.shape)}, for it takes images "
                f"{_shape(self.shape)}; give it such, or export it for these."
            )


def _open(path: Path, device: torch.device) -> Any:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        raise InputError(
            f"{path.name} needs onnxruntime, which is not here; `pip install onnxruntime`."
        ) from None
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = FATAL
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    for name in outside(path) or ():
        if not (path.parent / name).is_file():
            raise InputError(
                f"{path.name} keeps weights in {name}, which is not beside it; put that file "
                "there, or export the model into one file."
            )
    return runtime.InferenceSession(str(path), options, providers=providers)


def _listed(entries: Sequence[Any]) -> str:
    """Inputs or outputs as a person reads them: "images tensor(float) (N, 3, 32, 32)"."""
    named = [f"{entry.name} {entry.type} {_shape(entry.shape)}" for entry in entries]
    return " and ".join(named) or "nothing"


def _shape(shape: Sequence[int | str | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


# Files beside the file

Schema = dict[int, str]
MESSAGES: dict[str, Schema] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Where tensors are in an ONNX file: by message, the numbers of the fields that lead to them, from
onnx.proto. The onnx package, which could tell too, is not needed to run a model."""
LOCATION = b"location"


def fingerprint_onnx(path: Path) -> str:
    """SHA-256 of a file and of those that it keeps weights in; "" where that cannot be told."""
    names, own = outside(path), file_sha256(path)
    if not names:
        return own if names is not None else ""
    parts = [own, *(f"{name} {file_sha256(path.parent / name)}" for name in names)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def outside(path: Path) -> list[str] | None:
    """The names of the files that an ONNX file keeps weights in, relative to its folder.

    Returns:
        Sorted; None where the file is not to be understood.
    """
    try:
        return sorted(set(_locations(memoryview(path.read_bytes()), "model")))
    except (ValueError, IndexError, KeyError):
        return None


def _locations(message: memoryview, kind: str) -> Iterator[str]:
    for number, value in _fields(message):
        inner = MESSAGES[kind].get(number)
        if inner == "entry":
            entry = dict(_fields(value))
            if bytes(entry[1]) == LOCATION:
                yield str(bytes(entry[2]), "utf-8")
        elif inner:
            yield from _locations(value, inner)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """A protocol buffer's fields that have bytes, by number; the others are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            _, at = _varint(message, at)
            continue
        if wire == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}[wire]
        if at + size > len(message):
            raise ValueError("a field is longer than its message")
        if wire == 2:
            yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A whole number of any length, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
