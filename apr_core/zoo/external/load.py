"""Loading: a person's own model from a Python factory, TorchScript, an exported program or ONNX.

Nothing is unpickled. A model is a program all the same (torch itself says so of TorchScript and of
exported programs), so load only what you trust.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.base.files import file_sha256
from apr_core.base.types import InputError, shown
from apr_core.models.outputs import check_logits, out_of_memory, reason_of
from apr_core.zoo.external.fingerprint import fingerprint
from apr_core.zoo.external.onnx_files import OnnxModel, fingerprint_onnx
from apr_core.zoo.library import is_library

TORCH_SUFFIXES = (".pt", ".pth", ".ts", ".torchscript", ".pt2")
SUFFIXES = (*TORCH_SUFFIXES, ".onnx")
SPECS = "package.module:factory, or a path ending in .pt2, .pt (TorchScript) or .onnx"
EXPORT_IT = "torch.export.save(torch.export.export(model, (images,)), 'model.pt2')"


class External(nn.Module):
    """A person's model as the engine calls it: images (B, C, H, W) -> logits (B, K).

    Images may be uint8, or float in [0, 1], in any memory layout and on any device; the model gets
    contiguous float32 on its own device, in batches of a size that it takes, padded with black.

    Args:
        model: what is called.
        name: what to call it in results.
        device: where it lives.
        differentiable: whether gradients can pass through it, as far as its kind tells.
        least, most: images that it takes at once.
        modeless: its mode was fixed when it was exported: train() and eval() pass it by.
        sha256: its fingerprint; "" where nothing tells whether it is still the same.
    """

    anchor: Tensor

    def __init__(
        self,
        model: Callable[[Tensor], Any],
        name: str,
        device: torch.device,
        *,
        differentiable: bool = True,
        least: int = 1,
        most: int | None = None,
        modeless: bool = False,
        sha256: str = "",
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.differentiable = differentiable
        self.least, self.most = least, most
        self.modeless = modeless
        self.sha256 = sha256
        self.register_buffer("anchor", torch.empty(0, device=device), persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> External:
        """Training or evaluation mode, where the model has modes."""
        if not self.modeless:
            return super().train(mode)
        for module in self.modules():
            module.training = False
        return self

    def forward(self, images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            images = images.to(torch.float32).div(255)
        images = images.to(self.anchor.device, torch.float32).contiguous()
        if self.least == 1 and self.most is None:
            return self._together(images)
        parts = torch.split(images, self.most or max(len(images), 1))
        return torch.cat([self._padded(part) for part in parts])

    def _together(self, images: Tensor) -> Tensor:
        """All at once; or, where the model fails on them but not on the first, one by one."""
        try:
            logits: Tensor = self.model(images)
            if len(images) < 2 or _rows(logits) == len(images):
                return logits
        except Exception as error:
            if len(images) < 2 or out_of_memory(error) or not self._takes(images[:1]):
                raise
        else:
            if not self._takes(images[:1]):
                return logits
        self.most = 1
        return self.forward(images)

    def _takes(self, image: Tensor) -> bool:
        """Whether an answer comes to one image."""
        with suppress(Exception), torch.no_grad():
            return _rows(self.model(image)) == 1
        return False

    def _padded(self, images: Tensor) -> Tensor:
        count, missing = len(images), max(self.least - len(images), 0)
        if missing:
            images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        return check_logits(self.model(images), len(images))[:count]


def _rows(logits: object) -> int:
    """For how many images these are logits; 0 where they are none."""
    return len(logits) if isinstance(logits, Tensor) and logits.ndim == 2 else 0


def is_external(spec: str) -> bool:
    """Whether `spec` means a person's own model (see `load_external`) and no name in the zoo.

    It is code, or a file that can be read or not: checkpoints' names have no colon and no dot, and
    those of libraries' models begin with the library.
    """
    return not is_library(spec) and (":" in spec or Path(spec).suffix != "")


def load_external(spec: str, device: str | torch.device = "cpu") -> External:
    """A person's own model, in evaluation mode.

    Args:
        spec: `package.module:factory`, called without arguments, or a module in place of the
            factory; the current folder is put on the path, as `python -m` does. Or a file:
            TorchScript (.pt, .pth, .ts, .torchscript), a program that torch.export saved (.pt2),
            or ONNX (.onnx), which runs on the CPU where onnxruntime has no CUDA.
        device: where it will live.

    Raises:
        InputError: it cannot be found, read or made, or its file is a pickle.
    """
    device = torch.device(device)
    suffix = Path(spec).suffix.lower()
    if suffix in SUFFIXES:
        path = Path(spec).expanduser()
        if not path.is_file():
            raise InputError(f"There is no file {spec}; check the path.")
        return _load_onnx(path, device) if suffix == ".onnx" else _load_torch(path, device)
    if ":" in spec:
        return _load_factory(spec, device)
    if suffix:
        raise InputError(
            f"{shown(spec, 200)} cannot be read, for it is a {shown(suffix)} file; the kinds that "
            f"can are {', '.join(SUFFIXES)}, so export the model as one of them, Keras or "
            "TensorFlow Lite with tf2onnx, or give package.module:factory."
        )
    raise InputError(f"'{shown(spec, 200)}' is no model that can be loaded; give {SPECS}.")


def _load_factory(spec: str, device: torch.device) -> External:
    target = _find(spec)
    with blaming(f"{spec} cannot be made into a model", "correct the code or its inputs"):
        made = target if isinstance(target, nn.Module) or not callable(target) else target()
        if isinstance(made, nn.Module):
            made = made.to(device)
        elif isinstance(made, type) or not callable(made):
            raise InputError(
                f"{spec} gives {_kind(made)}, not a model; it must be a function without arguments "
                "that returns a torch.nn.Module or something else to call with images."
            )
        return External(made, spec, device, sha256=fingerprint(made, target))


def _find(spec: str) -> Any:
    """What `package.module:name` stands for."""
    module_name, _, name = spec.partition(":")
    parts = [*module_name.split("."), *name.split(".")]
    if not all(part.isidentifier() for part in parts):
        raise InputError(f"'{spec}' is no model that can be loaded; give {SPECS}.")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    with blaming(f"{module_name} cannot be imported", "correct it"):
        try:
            found = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if f"{module_name}.".startswith(f"{error.name}."):
                raise InputError(
                    f"There is no module '{error.name}', which {spec} needs; go to the folder that "
                    "holds it, or install it."
                ) from None
            raise
    for part in name.split("."):
        if not hasattr(found, part):
            raise InputError(f"{module_name} has no '{name}'; check what follows the colon.")
        found = getattr(found, part)
    return found


def _load_torch(path: Path, device: torch.device) -> External:
    """What torch saved, by what the file holds; suffixes are often wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        records = []
    names = {record.partition("/")[2] for record in records}
    if "constants.pkl" in names:
        return _load_torchscript(path, device)
    if "version" in records:  # how torch 2.7 exported; torch.export.load would unpickle it
        raise InputError(f"{path.name} was exported by an old torch; export it again: {EXPORT_IT}.")
    if "archive_format" in names:
        return _load_exported(path, device)
    raise InputError(
        f"{path.name} is neither TorchScript nor an exported program but pickled, and pickled "
        f"files are not opened because they can run anything; export the model: {EXPORT_IT}."
    )


def _load_torchscript(path: Path, device: torch.device) -> External:
    # torch deprecates TorchScript, with a warning at each load; people's files stay
    with (
        blaming(f"{path.name} cannot be read", "save the model again"),
        warnings.catch_warnings(action="ignore", category=FutureWarning),
    ):
        model = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
        return External(model, path.name, device, sha256=file_sha256(path))


def _load_exported(path: Path, device: torch.device) -> External:
    from torch.export.passes import move_to_device_pass  # noqa: PLC0415 - slow, and rarely needed

    data = path.read_bytes()
    with blaming(f"{path.name} cannot be read", "export the model again, on the CPU"):
        _refuse_pickles(path.name, data)
        program = move_to_device_pass(torch.export.load(io.BytesIO(data)), device)
        least, most = _batch_range(path.name, program)
        model = program.module()
        return External(
            model, path.name, device, least=least, most=most, modeless=True,
            sha256=file_sha256(path),
        )  # fmt: skip


def _refuse_pickles(name: str, data: bytes) -> None:
    """Raise InputError where torch.export.load would unpickle more than tensors, or run a binary.

    It unpickles the sample inputs, weights and constants of unusual types, and what older versions
    saved; where unpickling tensors only fails, it goes on to unpickle whatever is there.
    """
    from torch.export.pt2_archive import PT2ArchiveReader  # noqa: PLC0415
    from torch.export.pt2_archive import constants as parts  # noqa: PLC0415

    reader = PT2ArchiveReader(io.BytesIO(data))
    plain = (parts.WEIGHT_FILENAME_PREFIX, parts.TENSOR_CONSTANT_FILENAME_PREFIX)
    for record in reader.get_file_names():
        fine = not record.startswith(parts.AOTINDUCTOR_DIR)
        if record.startswith(parts.SAMPLE_INPUTS_DIR):
            fine = _holds_tensors(reader.read_bytes(record))
        elif record.endswith("_config.json"):
            entries = json.loads(reader.read_bytes(record))["config"].values()
            fine = not any(e["use_pickle"] or not e["path_name"].startswith(plain) for e in entries)
        elif record.endswith(".pt"):
            fine = False
        if not fine:
            raise InputError(
                f"{name} holds pickled objects or compiled code ({record}), which are not opened "
                "because they can run anything; export the model from plain tensors."
            )


def _holds_tensors(data: bytes) -> bool:
    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except Exception:
        return False
    return True


def _batch_range(name: str, program: torch.export.ExportedProgram) -> tuple[int, int | None]:
    """The fewest and the most images that an exported program takes at once."""
    inputs = program.graph_signature.user_inputs
    if len(inputs) != 1:
        raise InputError(f"{name} takes {len(inputs)} inputs; export a model that takes images.")
    node = next(node for node in program.graph.nodes if node.name == inputs[0])
    size = node.meta["val"].shape[0]
    if isinstance(size, int):
        return size, size
    allowed = program.range_constraints.get(size.node.expr)
    if allowed is None:
        return 1, None
    return max(int(allowed.lower), 1), int(allowed.upper) if allowed.upper.is_Integer else None


def _load_onnx(path: Path, device: torch.device) -> External:
    with blaming(f"{path.name} cannot be read", "export the model again"):
        model = OnnxModel(path, device)
        return External(
            model, path.name, device, differentiable=False, least=model.batch or 1,
            most=model.batch, sha256=fingerprint_onnx(path),
        )  # fmt: skip


@contextmanager
def blaming(what: str, remedy: str) -> Iterator[None]:
    """Turn what a person's own code or file raises into one sentence."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} ({reason_of(error)}); {remedy}.") from error


def _kind(thing: object) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    return f"{thing!r:.40} of type {type(thing).__name__}"
