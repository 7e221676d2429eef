"""Operations: what a step does to tensors, a convolution with its activation in one call."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.node import map_aggregate

from apr_core.models.incremental.graph import CONV, Ref, Step

Pads = tuple[int, int]
AFTER: dict[str, Callable[..., Tensor]] = {"relu": torch.relu_, "hardtanh": F.hardtanh_}
"""Activations, in place."""
LINEAR = "linear"


def pair(value: Any) -> Pads:
    """A number for rows and one for columns, of one or two."""
    both = tuple(value) if isinstance(value, Sequence) else (value,)
    return both[0], both[-1]


class Convolution:
    """A convolution and the activation after it.

    On a CPU with oneDNN both are one call, on weights in the order that it likes best.

    Args:
        step: of kind `CONV`.
        dtype: of the weights, and so of the answer.
    """

    def __init__(self, step: Step, dtype: torch.dtype) -> None:
        _, weight, bias, stride, padding, dilation, groups = _filled(
            step.args, (None, None, None, 1, 0, 1, 1)
        )
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.to(dtype)
        self.stride, self.padding, self.dilation = pair(stride), pair(padding), pair(dilation)
        self.groups, self.after = groups, step.after
        self.kernel: Pads = (weight.shape[2], weight.shape[3])
        self._packed: dict[Pads, Tensor] = {}

    def on_patches(self, stride: Pads) -> Convolution:
        """The same without padding, which patches have already, at another stride."""
        other = copy.copy(self)
        other.stride, other.padding, other._packed = stride, (0, 0), {}
        return other

    def __call__(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H', W')."""
        features = features.to(self.weight.dtype)
        if _has_onednn(features):
            return self._at_once(features)
        answer = F.conv2d(
            features,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )
        return activated(answer, self.after)

    def _at_once(self, features: Tensor) -> Tensor:
        size = (features.shape[2], features.shape[3])
        if size not in self._packed:
            self._packed[size] = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, self.padding, self.stride, self.dilation, self.groups, features.shape
            )
        name, numbers = self.after or ("none", ())
        answer: Tensor = torch.ops.mkldnn._convolution_pointwise(
            features,
            self._packed[size],
            self.bias,
            self.padding,
            self.stride,
            self.dilation,
            self.groups,
            name,
            list(numbers),
            "",
        )
        return answer


def _has_onednn(features: Tensor) -> bool:
    return (
        features.device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and features.numel() > 0
    )


def activated(answer: Tensor, after: tuple[str, tuple[Any, ...]] | None) -> Tensor:
    """A step's answer after its activation, in place."""
    if after is None:
        return answer
    name, numbers = after
    return AFTER[name](answer, *numbers)


class Call:
    """Any other step, as ATen does it.

    Args:
        step: the step.
        dtype: of a linear layer's weights.
    """

    def __init__(self, step: Step, dtype: torch.dtype) -> None:
        self.step, self.args, self.kwargs = step, step.args, step.kwargs
        self.dtype = dtype if step.kind == LINEAR else None
        if self.dtype is not None:
            self.args = map_aggregate(self.args, self._cast)

    def _cast(self, part: Any) -> Any:
        return part.to(self.dtype) if isinstance(part, Tensor) else part

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The step's value of its inputs' values, in order."""
        values = iter(inputs)

        def given(part: Any) -> Any:
            return next(values) if isinstance(part, Ref) else part

        args, kwargs = map_aggregate((self.args, self.kwargs), given)
        if self.dtype is not None:
            args = map_aggregate(args, self._cast)
        return activated(self.step.call(*args, **kwargs), self.step.after)


class Front:
    """A module that is called as it is, on images."""

    def __init__(self, step: Step) -> None:
        self.module, self.reach = step.call, int(step.kwargs["reach"])

    def __call__(self, images: Tensor) -> Tensor:
        answer: Tensor = self.module(images)
        return answer


Operation = Convolution | Call | Front


def operation(step: Step, dtype: torch.dtype) -> Operation:
    """What a step does."""
    if step.kind == CONV:
        return Convolution(step, dtype)
    return Front(step) if step.kind == "front" else Call(step, dtype)


def _filled(args: tuple[Any, ...], defaults: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*args, *defaults[len(args) :])
