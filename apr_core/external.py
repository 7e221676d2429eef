"""Models of a person's own: loaded from code or from a file, and checked before they are attacked.

Nothing is unpickled. A model is a program all the same (torch itself says so of TorchScript and of
exported programs), so load only what you trust.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from apr_core.attacks.attack import as_uint8
from apr_core.attacks.scoring import as_input, check_logits
from apr_core.data.cifar10 import CLASSES, MEAN, STD
from apr_core.data.sample import load_sample
from apr_core.models.inference import device_of
from apr_core.types import InputError

TORCH_SUFFIXES = (".pt", ".pth", ".ts", ".torchscript", ".pt2")
SUFFIXES = (*TORCH_SUFFIXES, ".onnx")
SPECS = "package.module:factory, or a path ending in .pt2, .pt (TorchScript) or .onnx"
EXPORT_IT = "torch.export.save(torch.export.export(model, (images,)), 'model.pt2')"

CHECK_IMAGES = 64
BETTER, SLIGHTLY_BETTER = 0.2, 0.1
"""How much more of the images another scaling must get right before it is taken for the right one
(of 64 images, over three standard errors at chance level), and before it is worth a note."""
TOLERANCE = {"cpu": 1e-3, "cuda": 1e-2}
"""How far a logit may move when nothing should move it, as a share of how far the logits spread.
A GPU picks its kernels, and so its rounding (TF32), by the size of the batch."""
BYTES, NORMALISED = "expect images in [0, 255]", "expect images normalised by "
TWICE = "normalise twice by "
REMEDIES = {
    BYTES: "wrap it in a module that multiplies them by 255, or leave out its division by 255",
    NORMALISED: "wrap it in a module that normalises them first",
    TWICE: "leave out one of the two, its own or its wrapper's",
}
CLOSE = 3
"""Images by which two normalisations may differ before one is taken to be the model's."""
NORMALISATIONS = {
    "CIFAR-10's mean and standard deviation": (MEAN, STD),
    "ImageNet's mean and standard deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean 0.5 and standard deviation 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


# Loading


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
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.differentiable = differentiable
        self.least, self.most = least, most
        self.modeless = modeless
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
            logits: Tensor = self.model(images)
            return logits
        parts = torch.split(images, self.most or max(len(images), 1))
        return torch.cat([self._padded(part) for part in parts])

    def _padded(self, images: Tensor) -> Tensor:
        count, missing = len(images), max(self.least - len(images), 0)
        if missing:
            images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        return check_logits(self.model(images), len(images))[:count]


def is_external(spec: str) -> bool:
    """Whether `spec` means a person's own model (see `load_external`) and no name in the zoo."""
    return ":" in spec or Path(spec).suffix.lower() in SUFFIXES


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
    raise InputError(f"'{spec}' is no model that can be loaded; give {SPECS}.")


def _load_factory(spec: str, device: torch.device) -> External:
    target = _find(spec)
    with _blaming(f"{spec} cannot be made into a model", "correct the code or its inputs"):
        made = target if isinstance(target, nn.Module) or not callable(target) else target()
        if isinstance(made, nn.Module):
            made = made.to(device)
        elif isinstance(made, type) or not callable(made):
            raise InputError(
                f"{spec} gives {_kind(made)}, not a model; it must be a function without arguments "
                "that returns a torch.nn.Module or something else to call with images."
            )
        return External(made, spec, device)


def _find(spec: str) -> Any:
    """What `package.module:name` stands for."""
    module_name, _, name = spec.partition(":")
    parts = [*module_name.split("."), *name.split(".")]
    if not all(part.isidentifier() for part in parts):
        raise InputError(f"'{spec}' is no model that can be loaded; give {SPECS}.")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    with _blaming(f"{module_name} cannot be imported", "correct it"):
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
        _blaming(f"{path.name} cannot be read", "save the model again"),
        warnings.catch_warnings(action="ignore", category=FutureWarning),
    ):
        model = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
        return External(model, path.name, device)


def _load_exported(path: Path, device: torch.device) -> External:
    from torch.export.passes import move_to_device_pass  # noqa: PLC0415 - slow, and rarely needed

    data = path.read_bytes()
    with _blaming(f"{path.name} cannot be read", "export the model again, on the CPU"):
        _refuse_pickles(path.name, data)
        program = move_to_device_pass(torch.export.load(io.BytesIO(data)), device)
        least, most = _batch_range(path.name, program)
        model = program.module()
        return External(model, path.name, device, least=least, most=most, modeless=True)


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
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        raise InputError(
            f"{path.name} needs onnxruntime, which is not here; `pip install onnxruntime`."
        ) from None
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; they are raised too
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    with _blaming(f"{path.name} cannot be read", "export the model again"):
        session = runtime.InferenceSession(str(path), options, providers=providers)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(outputs) != 1:
        found = ", ".join(f"{entry.name} {entry.type}" for entry in inputs)
        raise InputError(
            f"{path.name} takes {found} and gives {len(outputs)} outputs; export a model that "
            "takes float32 images and gives logits."
        )
    shape = inputs[0].shape
    size = shape[0] if shape and isinstance(shape[0], int) else None
    model = _OnnxModel(session, inputs[0].name)
    name, least = path.name, size or 1
    return External(model, name, device, differentiable=False, least=least, most=size)


class _OnnxModel:
    """An onnxruntime session: images (B, C, H, W) -> its output, on the images' device."""

    def __init__(self, session: Any, name: str) -> None:
        self.session = session
        self.name = name

    def __call__(self, images: Tensor) -> Tensor:
        (answer,) = self.session.run(None, {self.name: images.detach().cpu().numpy()})
        return torch.as_tensor(answer, device=images.device)


@contextmanager
def _blaming(what: str, remedy: str) -> Iterator[None]:
    """Turn what a person's own code or file raises into one sentence."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} ({_reason(error)}); {remedy}.") from error


def _reason(error: BaseException) -> str:
    """An exception in a few words: its type and its first sentence, without line breaks."""
    name = type(error).__name__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return name
    line = lines[0]
    if "TorchScript" in line:  # a traceback; the reason comes last
        line = lines[-1].removeprefix(f"{name}: ")
    sentence = re.split(r"(?<=[.!?])\s", line)[0].rstrip(".!?")
    return f"{name}: {sentence[:200]}"


def _kind(thing: object) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    return f"{thing!r:.40} of type {type(thing).__name__}"


# Checking


@dataclass(frozen=True)
class ModelCheck:
    """What a model that passed said of itself.

    Attributes:
        classes: K.
        correct, tested: images that it labels right, of how many.
        differentiable: whether a gradient that is not all zero came back to the images.
        notes: sentences for a person; nothing in them forbids an evaluation.
    """

    classes: int
    correct: int
    tested: int
    differentiable: bool
    notes: tuple[str, ...]


def check_images(count: int = CHECK_IMAGES) -> tuple[Tensor, Tensor]:
    """Images of the shipped sample, uint8 (count, 3, 32, 32), and labels, each class in turn."""
    sample = load_sample()
    classes = [(sample.labels == label).nonzero()[:, 0] for label in range(len(CLASSES))]
    rows = torch.stack(classes, dim=1).flatten()[:count]
    return sample.images[rows], sample.labels[rows]


def check_model(
    model: nn.Module, images: Tensor, labels: Tensor, *, randomised: bool = False
) -> ModelCheck:
    """Ask a model a few questions whose answers would spoil an evaluation, before there is one.

    In this order, so that each may rely on those before:

    1. Mode: no submodule is in training mode (dropout, and batch norm of the batch). It is looked
       up before the model is called, which in that mode could change it.
    2. Call: the images, float in [0, 1], go in as attacks send them (channels last, on the
       model's device), and finite logits (N, K), with a class for each label, come out.
    3. Probabilities: not every row lies in [0, 1] and sums to 1. Log-probabilities are logits.
    4. Repeat: the same batch again gives the same logits. Rounding is forgiven (`TOLERANCE`).
    5. Company: so do the batch in reverse, an image alone and three images, whose batch
       statistics would differ; and a model that cannot take such batches says so here.
    6. Scaling: unless nearly all labels are right, the images go in otherwise scaled: in [0, 255],
       normalised as is usual for CIFAR-10, for ImageNet and to [-1, 1], and with each of these
       undone, which is right for a model that normalises twice. If one of them gets a fifth of the
       images more right, it is what the model expects; a tenth is worth a note.
    7. Gradient: whether one comes back from two logits to the images. It is told, not judged.

    Args:
        model: images (B, C, H, W) float in [0, 1] -> logits (B, K).
        images: uint8 (N, C, H, W), or float in [0, 1]; `check_images()` gives some.
        labels: their classes, (N,).
        randomised: the model is known to draw at random; 4 and 5 are left out.

    Raises:
        InputError: the first answer that is not as it should be, and what to do.
    """
    _check_mode(model)
    images = as_input(as_uint8(images).to(device_of(model)))
    labels = labels.to(images.device)
    logits = _call(model, images)
    _check_classes(logits, labels)
    _check_not_probabilities(logits)
    if not randomised:
        _check_repeats(model, images, logits)
        _check_company(model, images, logits)
    correct, classes = _correct(logits, labels), logits.shape[1]
    notes = _check_scaling(model, images, labels, correct)
    differentiable = _has_gradient(model, images[:2])
    if _by_chance(correct, len(images), classes):
        notes.append(
            f"The model labels {correct} of {len(images)} sample images right, no more than chance "
            "would; check its weights and the order of its classes."
        )
    if not differentiable:
        notes.append("No gradient comes back to the images, so gradient attacks cannot be used.")
    return ModelCheck(classes, correct, len(images), differentiable, tuple(notes))


def _check_mode(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if module.training:
            part = f"The model's part {name}" if name else "The model"
            raise InputError(f"{part} is in training mode; call model.eval() first.")


def _call(model: nn.Module, images: Tensor) -> Tensor:
    """Logits (B, K) in the model's own precision; the model may write into its input."""
    images = images.clone()
    remedy = "it must take float (B, C, H, W) in [0, 1], of any memory layout and any batch size"
    with torch.no_grad(), _blaming(f"The model fails on images {tuple(images.shape)}", remedy):
        logits: Tensor = model(images)
        checked = check_logits(logits, len(images))
    return logits if logits.is_floating_point() else checked


def _check_classes(logits: Tensor, labels: Tensor) -> None:
    classes, highest = logits.shape[1], int(labels.max())
    if classes < 2 or highest >= classes:
        raise InputError(
            f"The model returns {classes} logits an image, but labels go up to {highest}; return "
            "one for each class."
        )


def _check_not_probabilities(logits: Tensor) -> None:
    rows = logits.float()
    unit = bool(((rows >= 0) & (rows <= 1)).all())
    if unit and bool(((rows.sum(1) - 1).abs() < 1e-2).all()):
        raise InputError(
            "The model returns probabilities, not logits; return the layer before the softmax."
        )


def _check_repeats(model: nn.Module, images: Tensor, logits: Tensor) -> None:
    gap = _gap(_call(model, images), logits)
    if gap > 1:
        raise InputError(
            "The model answers the same images differently when asked twice; if it is meant to "
            "draw at random give --draws, and if not look for dropout that was left on."
        )


def _check_company(model: nn.Module, images: Tensor, logits: Tensor) -> None:
    everyone = torch.arange(len(images), device=images.device)
    for rows in (everyone.flip(0), everyone[:1], everyone[1:4]):
        if len(rows) and _gap(_call(model, images[rows]), logits[rows], logits) > 1:
            raise InputError(
                "The model's answer to an image depends on the other images in its batch; use "
                "stored statistics (model.eval(), track_running_stats) in place of the batch's."
            )


def _gap(logits: Tensor, same: Tensor, everyone: Tensor | None = None) -> float:
    """The largest difference between logits, in units of what is forgiven.

    Args:
        everyone: the logits whose spread is the measure; by default `same`.
    """
    share = max(TOLERANCE.get(same.device.type, 1e-2), 8 * torch.finfo(same.dtype).eps)
    every = (same if everyone is None else everyone).double()
    spread = (every - every.mean(1, keepdim=True)).abs().max()
    forgiven = share * spread + 1e-5 * every.abs().max() + 1e-12
    return float((logits.double() - same.double()).abs().max() / forgiven)


def _correct(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(1) == labels).sum())


def _check_scaling(model: nn.Module, images: Tensor, labels: Tensor, correct: int) -> list[str]:
    """A note, if any, on a scaling that suits the model better, or InputError if by far."""
    tested = len(images)
    if correct > (1 - SLIGHTLY_BETTER) * tested:
        return []
    counts = {("", ""): correct}
    for way, scaled in _scalings(images):
        with suppress(InputError):  # a model may refuse what is not in [0, 1]
            counts[way] = _correct(_call(model, scaled), labels)
    kind, norm = max(counts, key=counts.__getitem__)
    best = counts[kind, norm]
    if best - correct < SLIGHTLY_BETTER * tested:
        return []
    sure = best - correct >= BETTER * tested
    # 64 images cannot tell one normalisation from another that is nearly the same
    norms = [n for (k, n), count in counts.items() if k == kind and best - count <= CLOSE]
    sentence = (
        f"The model {'seems to' if sure else 'may'} {kind}{' or '.join(norms)}: {best} of {tested} "
        f"sample images are right that way, {correct} as it is; {REMEDIES[kind]}."
    )
    if sure:
        raise InputError(sentence)
    return [sentence]


def _scalings(images: Tensor) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """What a model may do and with which constants, and images (B, C, H, W) that then suit it."""
    yield (BYTES, ""), images * 255
    if images.shape[1] != len(MEAN):
        return
    for name, constants in NORMALISATIONS.items():
        mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in constants)
        yield (NORMALISED, name), (images - mean) / std
        yield (TWICE, name), images * std + mean


def _by_chance(correct: int, tested: int, classes: int) -> bool:
    """Whether a guesser would do as well, within two standard errors."""
    chance = 1 / classes
    return correct / tested <= chance + 2 * math.sqrt(chance * (1 - chance) / tested)


def _has_gradient(model: nn.Module, images: Tensor) -> bool:
    images = images.clone().requires_grad_()
    try:
        with torch.enable_grad():
            logits = model(images)
            (gradient,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), images)
    except Exception:
        return False
    return bool(gradient.isfinite().all() and gradient.any())
