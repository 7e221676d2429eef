"""A model as the search runs it: the same function, folded and laid out for speed."""

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

from apr_core.types import InputError

Model = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) in [0, 1] -> logits (B, K)."""


def prepare(model: nn.Module) -> nn.Module:
    """A frozen copy in evaluation mode with batch norm folded into the convolutions before it.

    Its logits differ from the model's by float32 rounding only (about 1e-6). The model itself is
    left alone. A batch norm is folded where it is defined right after its convolution, as in every
    architecture of this package. (torch.fx would patch `nn.Module` for all threads as it traces.)
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in list(frozen.modules()):
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
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


def keep_precision() -> None:
    """Have float32 mean float32 on a GPU, whose convolutions otherwise round their inputs to ten
    bits (TF32): that moves a logit by a hundred times what a certificate allows for."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every submodule's own mode is restored afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters (or, failing those, its buffers) live; the CPU if it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")
