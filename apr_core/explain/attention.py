"""Attention maps: the gate of APR or APR+, read by a hook in a forward pass.

What is returned is not computed beside the forward but taken out of it, by a hook on the gate.
Hooks belong to an instance, and others may be using that instance; so whoever wants a map gets it
from a copy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.models.clamp_front import NeighbourhoodFront
from apr_core.models.inference import (
    Function,
    Model,
    as_module,
    default_chunk,
    device_of,
    set_evaluating,
)
from apr_core.models.inputs import COLOURED, as_floats
from apr_core.models.outputs import query_model, reason_of
from apr_core.models.pixel_attention import PixelAttention

ATTENTION = "attention"
"""What the gate is called among the methods of attribution."""
NO_ATTENTION = (
    "This model has no attention to show; choose one with a gate, such as cifar10-resnet20-apr, or "
    "an attribution method."
)


def has_attention(model: nn.Module) -> bool:
    """Whether the model has a gate to look at: that of APR, or of APR+."""
    return _gate(model) is not None


def attention_of(model: nn.Module, images: object) -> Tensor:
    """How open the gate is at every pixel, in a forward pass of a copy of the model.

    Args:
        model: with `PixelAttention` or a gated `NeighbourhoodFront` before it; left alone.
        images: (B, C, H, W), uint8 or float in [0, 1].

    Returns:
        (B, H, W) float32 in (0, 1), on the CPU.

    Raises:
        InputError: the model has no attention, or the images are no such images.
    """
    pictures = as_floats(images, *COLOURED)
    watched = own_copy(model)
    device = device_of(watched)
    with torch.inference_mode(False), torch.no_grad(), watching_attention(watched) as seen:
        for part in torch.split(pictures, default_chunk(device, *pictures.shape[2:])):
            query_model(watched, part.to(device).float())
    return torch.cat(seen)[:, 0].float().cpu()


@torch.no_grad()
def gate_of(model: nn.Module, images: Tensor) -> Tensor:
    """The same as `attention_of`, of the gate alone, without the rest of the pass: for many images.

    The gate keeps no state, and nothing is hooked: the model may be in use elsewhere.

    Raises:
        InputError: the model has no attention.
    """
    if _gate(model) is None:
        raise InputError(NO_ATTENTION)
    front = model.front
    assert isinstance(front, NeighbourhoodFront | PixelAttention)
    device = device_of(model)
    parts = torch.split(images, default_chunk(device, *images.shape[2:]))
    return torch.cat([front.attention(part.to(device))[:, 0].cpu() for part in parts])


@contextmanager
def watching_attention(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list to which each forward pass of this instance adds its gate, (B, 1, H, W), detached.

    The hook is gone when the block ends, however it ends. It sees every thread's passes: give it
    an instance that is the caller's own.

    Raises:
        InputError: the model has no attention.
    """
    gate = _gate(model)
    if gate is None:
        raise InputError(NO_ATTENTION)
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.detach())

    handle = gate.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def own_copy(model: Model) -> nn.Module:
    """A copy in evaluation mode, its weights frozen, that may be hooked; the model is left alone.

    Raises:
        InputError: the model cannot be copied.
    """
    try:
        # in inference mode the copy's weights could have no part in a gradient
        with torch.inference_mode(False), torch.no_grad():
            own = set_evaluating(copy.deepcopy(as_module(model)))
            for weight in own.parameters():
                weight.requires_grad_(False)
            return Function(own) if isinstance(own, torch.jit.ScriptModule) else own
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"The model cannot be copied ({reason_of(error)}), and only a copy is ever explained; "
            "choose a PyTorch model that `copy.deepcopy` takes."
        ) from None


def _gate(model: nn.Module) -> nn.Module | None:
    """The module whose output is the gate; None where there is none."""
    front = getattr(model, "front", None)
    if isinstance(front, NeighbourhoodFront) and front.conv is None:
        return None
    return front.sigmoid if isinstance(front, NeighbourhoodFront | PixelAttention) else None
