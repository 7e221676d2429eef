"""Inference: a model with batch norm folded and channels last, and its modes, device and chunks."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from apr_core.base.types import InputError

Model = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) in [0, 1] -> logits (B, K)."""
CPU_CHUNK, CUDA_CHUNK = 50, 4096
"""Images of `AREA` in a chunk: for each thread of a CPU what its cache holds, on a GPU what fills
it."""
AREA = 32 * 32
LEAST = {"cpu": 4, "cuda": 16}
"""Images in a chunk, however large they are: with fewer, threads and kernels idle."""


def prepare(model: nn.Module) -> nn.Module:
    """A frozen copy in evaluation mode with batch norm folded into the convolutions before it.

    Its logits differ from the model's by float32 rounding only (about 1e-6). The model itself is
    left alone. A batch norm is folded where it is defined right after its convolution, as in every
    architecture of this package. (torch.fx would patch `nn.Module` for all threads as it traces.)
    One that does more, such as timm's with an activation inside, is left as it is.
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in list(frozen.modules()):
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and type(norm) is nn.BatchNorm2d:
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, after, nn.Identity())
    for module in frozen.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True  # its input, a convolution's or a sum's output, has no other use
    return frozen.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def compile_for(model: nn.Module) -> nn.Module:
    """A prepared model as machine code of its own, where one call does what several did.

    It takes half a minute when a shape is first seen, and answers alike but for rounding: for long
    searches, not for a person who waits.

    Raises:
        InputError: this machine has no C++ compiler.
    """
    compilers = (os.environ.get("CXX", "g++"), "c++", "clang++")
    if not any(map(shutil.which, compilers)):
        raise InputError(
            f"Found no C++ compiler ({', '.join(compilers)}), and compiling a model needs one; "
            "install one, or leave --compile out."
        )
    return torch.compile(model, dynamic=False, options={"freezing": True})  # type: ignore[return-value]


def keep_memory() -> None:
    """Let the C library keep what activations free, for the next chunk to use.

    glibc gives blocks above a threshold back to the kernel when they are freed, and the next chunk
    pays for them again, page by page: half of the time of a small network. The threshold rises to
    the largest such block that was ever freed, up to 32 MiB; so one is taken and freed.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every submodule's own mode is restored afterwards."""
    modes = {module: module.training for module in model.modules() if hasattr(module, "training")}
    set_evaluating(model)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def set_evaluating(model: nn.Module) -> nn.Module:
    """The model itself in evaluation mode, as far as it has modes."""
    try:
        model.eval()
    except NotImplementedError:  # an exported program: its mode was fixed when it was exported
        for module in model.modules():
            module.training = False
    return model


def in_training(model: nn.Module) -> list[str]:
    """The names of the parts that are in training mode; that of the model itself is "".

    An exported program, which has a method in place of its class's `eval`, has no modes.
    """
    programs = (part for part in model.modules() if "eval" in vars(part))
    fixed = {part for program in programs for part in program.modules()}
    return [
        name
        for name, part in model.named_modules()
        if getattr(part, "training", False) and part not in fixed
    ]


class Function(nn.Module):
    """Something else to call with images, as a module; the weights that it uses stay unknown."""

    def __init__(self, call: Model) -> None:
        super().__init__()
        self.call = call
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.call(images)


def as_module(model: Model) -> nn.Module:
    """A model as a module: itself, or around a plain function.

    Raises:
        InputError: it cannot be called.
    """
    if isinstance(model, nn.Module):
        return model
    if not callable(model) or isinstance(model, type):
        raise InputError(
            f"The model is {model!r:.60}, which cannot be called with images; give a "
            "torch.nn.Module, or a function from images to logits."
        )
    return Function(model)


def device_of(model: object) -> torch.device:
    """Where a model's parameters (or, failing those, its buffers) live; the CPU if it has none."""
    if isinstance(model, nn.Module):
        for tensor in (*model.parameters(), *model.buffers()):
            return tensor.device
    return torch.device("cpu")


def default_chunk(device: torch.device, height: int = 32, width: int = 32) -> int:
    """Images (H, W) in one call of a model where nobody said otherwise; `bench` tries others."""
    if device.type == "cpu":
        return scale_chunk(CPU_CHUNK, device, height, width) * torch.get_num_threads()
    return scale_chunk(CUDA_CHUNK, device, height, width)


def scale_chunk(
    most: int, device: torch.device, height: int, width: int, least: int | None = None
) -> int:
    """How many images of (H, W) take as much memory as `most` of 32 x 32, and `most` of smaller.

    Args:
        least: for how many of any size there is memory; by default `LEAST`.
    """
    least = LEAST.get(device.type, 1) if least is None else least
    return max(min(least, most), most * AREA // max(AREA, height * width))
