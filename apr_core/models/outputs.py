"""A model's outputs: logits that are checked, or one sentence that says what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.models import Classifier
from apr_core.models.inference import Model, in_training

_NO_MEMORY = (
    "out of memory", "allocate memory", "not enough memory", "alloc_failed", "bad allocation",
)  # fmt: skip
"""Words of out-of-memory errors in PyTorch, CUDA's libraries and onnxruntime."""
FEW = 2
"""Pictures at hand that are looked at, each as it is, mirrored, and in negative."""
TOLERANCE = {"cpu": 1e-3, "cuda": 1e-2}
"""How far a logit may move when nothing should move it, as a share of how far the logits spread.
A GPU picks its kernels, and so its rounding, by the size of the batch."""
TAKES = (
    "it must take float32 (B, C, H, W) in [0, 1], of any memory layout and any batch size, and of "
    "the height and width that it was made for"
)


class ModelError(InputError):
    """A model failed on images; its own exception is the cause."""


def query_model(model: Model, images: Tensor) -> Tensor:
    """A model's logits (B, K) of images (B, C, H, W), in its own precision.

    Raises:
        InputError: the model fails on the images, or answers with no logits.
    """
    with blaming_model(model, images):
        answer = model(images)
    return check_logits(answer, len(images))


def check_logits(answer: object, count: int) -> Tensor:
    """The logits in what a model answered, floating point (count, K).

    Logits under a name are found: in an attribute `logits`, or under that key.

    Raises:
        InputError: there are none, or not of two classes at least, or not finite ones.
    """
    logits = logits_of(answer)
    if not isinstance(logits, Tensor):
        raise InputError(
            f"The model returned {_described(answer)} for {count} images; return its logits alone, "
            f"of shape ({count}, classes){_which(answer)}."
        )
    if logits.ndim != 2 or len(logits) != count:
        raise InputError(
            f"The model returned {tuple(logits.shape)} for {count} images; it must return logits "
            f"of shape ({count}, classes)."
        )
    if logits.shape[1] < 2:
        raise InputError(
            f"The model returns {logits.shape[1]} logits an image, and no edit can turn a single "
            "class into another; return one for each class, as torch.cat([0 * z, z], 1) does of "
            "the logit z of the second of two."
        )
    logits = logits if logits.is_floating_point() else logits.float()
    if not bool(logits.isfinite().all()):
        raise InputError(
            "The model returned a logit that is not a finite number; check its weights, and that "
            "it takes images in [0, 1]."
        )
    return logits


def logits_of(answer: object) -> object:
    """What a model answered, or the logits that stand in it under that name."""
    if isinstance(answer, Tensor):
        return answer
    named = answer.get("logits") if isinstance(answer, Mapping) else None
    named = getattr(answer, "logits", None) if named is None else named
    return answer if named is None else named


def logit_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of a class minus the best other: (..., K) and classes that expand to (...) -> (...)."""
    label = labels.expand(logits.shape[:-1])[..., None]
    others = logits.scatter(-1, label, float("-inf")).amax(-1)
    return logits.gather(-1, label)[..., 0] - others


class Logits(nn.Module):
    """A model whose answer is nothing but its logits, for what takes tensors alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def forward(self, images: Tensor) -> object:
        return logits_of(self.model(images))


@contextmanager
def blaming_model(model: object, images: Tensor) -> Iterator[None]:
    """Turn what a model raises on images (B, C, H, W) into one sentence with its cause.

    Lack of memory is let through: a smaller chunk may do.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise ModelError(
            f"The model fails on images {tuple(images.shape)} ({reason_of(error)}); "
            f"{_remedy(model, images, str(error))}."
        ) from error


def reason_of(error: BaseException) -> str:
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


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, the system's or a device's."""
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)
    )


def in_chunks(answer: Callable[[int, int], Tensor], count: int, chunk: int) -> tuple[Tensor, int]:
    """Answers to `count` pictures, a chunk at a time; one that memory lacks for is halved for good.

    Args:
        answer: first and last -> what is said of these pictures, (n, ...); the last may lie beyond
            the count.
        count: at 0, it is asked of none all the same, which gives the answers' shape.

    Returns:
        The answers (count, ...), and the chunk that memory sufficed for.

    Raises:
        InputError: memory lacks for a single picture.
    """
    parts: list[Tensor] = []
    first = 0
    while not parts or first < count:
        part = _unless_full(answer, first, first + chunk)
        if part is not None:
            parts.append(part)
            first += chunk
        elif chunk > 1:
            chunk //= 2
        else:
            raise InputError(
                "The model ran out of memory with a single picture; close what else uses the "
                "device, or choose a smaller model."
            )
    return torch.cat(parts), chunk


def _unless_full(answer: Callable[[int, int], Tensor], first: int, last: int) -> Tensor | None:
    """One chunk's answers; None where memory does not suffice for it."""
    try:
        return answer(first, last)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    torch.cuda.empty_cache()  # by now the attempt's own tensors are gone
    return None


def _remedy(model: object, images: Tensor, said: str) -> str:
    """What to do about a model that failed, by what it said."""
    for kind in _kinds(model):
        if kind != images.dtype and ("dtype" in said or "type" in said):
            return f"its weights are {kind}, and it is given {images.dtype}: call model.float()"
    if "same device" in said:
        return f"move all of it to one device, as in model.to('{images.device}')"
    if "view size is not compatible" in said:
        return "use reshape or flatten(1) in its forward, in place of view"
    if images.shape[1] == 1:
        return f"{TAKES}; one of pictures in colour takes grey ones as images.repeat(1, 3, 1, 1)"
    return TAKES


def _kinds(model: object) -> list[torch.dtype]:
    """The floating-point types of a model's weights."""
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return sorted({one.dtype for one in weights if one.is_floating_point()}, key=str)


def _described(answer: object) -> str:
    name = type(answer).__name__
    if isinstance(answer, Mapping):
        return f"a {name} of {', '.join(str(key)[:20] for key in list(answer)[:5]) or 'nothing'}"
    if isinstance(answer, tuple | list):
        shapes = [
            str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__
            for part in answer[:5]
        ]
        return f"a {name} of {' and '.join(shapes) or 'nothing'}"
    return name


def _which(answer: object) -> str:
    """How to name the logits among several answers."""
    if isinstance(answer, Mapping) and answer:
        return f", as answer[{next(iter(answer))!r:.30}] if that holds them, or name them `logits`"
    if isinstance(answer, tuple | list) and answer:
        return ", as answer[0] if the first of these holds them"
    return ""


def check_briefly(model: nn.Module, images: Tensor, randomised: bool = False) -> None:
    """Check, in a few small batches, that a model returns logits of each picture alone.

    This package's own classifiers do so in evaluation mode; of them only the mode is looked at.
    Of others it is not: many have no part that it changes.

    Args:
        images: (B, C, H, W) floats in [0, 1], on the model's device; the first `FEW` are used.
        randomised: the model is known to draw at random: only its logits are looked at.

    Raises:
        InputError: the first answer that is not as it should be, and what to do.
    """
    if isinstance(model, Classifier):
        check_mode(model)
        return
    images = images[:FEW].detach()
    images = torch.cat([images, images.flip(3), 1 - images])
    with torch.no_grad():
        logits = query_model(model, images.clone())  # it may write into what it is given
        check_not_probabilities(logits)
        if not randomised:
            check_repeats(model, images, logits)
            check_company(model, images, logits)


def check_mode(model: nn.Module) -> None:
    """Raise InputError where a part of the model is in training mode."""
    for name in in_training(model):
        part = f"The model's part {name}" if name else "The model"
        raise InputError(f"{part} is in training mode; call model.eval() first.")


def check_not_probabilities(logits: Tensor) -> None:
    """Raise InputError where every row of (B, K) lies in [0, 1] and sums to 1.

    Log-probabilities are logits.
    """
    rows = logits.float()
    unit = bool(((rows >= 0) & (rows <= 1)).all())
    if unit and bool(((rows.sum(1) - 1).abs() < 1e-2).all()):
        raise InputError(
            "The model returns probabilities, not logits; return the layer before the softmax."
        )


def check_repeats(model: Model, images: Tensor, logits: Tensor) -> None:
    """Raise InputError where the same batch again gives other logits than (B, K)."""
    if gap(query_model(model, images.clone()), logits) > 1:
        raise InputError(
            "The model answers the same images differently when asked twice; if it is meant to "
            "draw at random give --draws to `evaluate`, which alone takes such models, and if not "
            "look for dropout that was left on."
        )


def check_company(model: Model, images: Tensor, logits: Tensor) -> None:
    """Raise InputError where logits (B, K) change in other company.

    The batch is asked in reverse, an image alone, and three, whose batch statistics differ.
    """
    everyone = torch.arange(len(images), device=images.device)
    for rows in (everyone.flip(0), everyone[:1], everyone[1:4]):
        if len(rows) and gap(query_model(model, images[rows]), logits[rows], logits) > 1:
            raise InputError(
                "The model's answer to an image depends on the other images in its batch; use "
                "stored statistics (model.eval(), track_running_stats) in place of the batch's."
            )


def gap(logits: Tensor, same: Tensor, everyone: Tensor | None = None) -> float:
    """The largest difference between logits, in units of the tolerance.

    Args:
        everyone: the logits whose spread is the measure; by default `same`.
    """
    share = max(TOLERANCE.get(same.device.type, 1e-2), 8 * torch.finfo(same.dtype).eps)
    every = (same if everyone is None else everyone).double()
    spread = (every - every.mean(1, keepdim=True)).abs().max()
    forgiven = share * spread + 1e-5 * every.abs().max() + 1e-12
    return float((logits.double() - same.double()).abs().max() / forgiven)
