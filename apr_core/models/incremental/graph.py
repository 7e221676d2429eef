"""Graphs: a network as a list of ATen operations, traced once, batch norm and ReLU folded in."""

from __future__ import annotations

import logging
import operator
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from apr_core.models.inference import device_of, prepare

INPUT = "images"
BATCH = 2
"""Images of the example that is traced; the graph takes any number."""
CONV, NORM = "conv2d", "_native_batch_norm_legit_no_training"
ACTIVATIONS = ("relu", "hardtanh")
"""Operations that a step of `FRESH` before them does in passing."""
FRESH = (CONV, NORM, "add")
_EXPORTING = threading.Lock()
"""`torch.export` replaces parts of PyTorch while it traces: two at a time both fail."""


class UntraceableError(Exception):
    """A network that is no fixed list of operations on its images."""


@dataclass(frozen=True)
class Ref:
    """An earlier step's value, where a step's argument is one."""

    name: str


@dataclass(frozen=True)
class Step:
    """One operation on values that depend on the images.

    Attributes:
        name: of its value.
        kind: ATen's name of it, "front" for a module that is called as it is.
        call: does it.
        args, kwargs: numbers, weights, and `Ref`s to earlier values.
        shape: of its value, without the batch.
        after: the activation that follows it in the same step, with its own numbers.
    """

    name: str
    kind: str
    call: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    after: tuple[str, tuple[Any, ...]] | None = None

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that it takes, in order."""
        found: list[str] = []

        def see(part: Any) -> None:
            if isinstance(part, Ref):
                found.append(part.name)

        map_aggregate((self.args, self.kwargs), see)
        return tuple(found)


@dataclass(frozen=True)
class Graph:
    """A network's steps in order, each after those it takes values of.

    Attributes:
        shape: of an image, (C, H, W).
        output: the value that is the logits.
        device: where its weights lie.
    """

    shape: tuple[int, ...]
    steps: tuple[Step, ...]
    output: str
    device: torch.device

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every value, without the batch."""
        return {INPUT: self.shape} | {step.name: step.shape for step in self.steps}


def trace(model: nn.Module, shape: tuple[int, ...]) -> Graph:
    """The graph of a model in evaluation mode, for images (C, H, W).

    A first part of the model, `front`, that says how far it reaches (`reach`, in pixels) is one
    step; the rest is traced by `torch.export`.

    Raises:
        UntraceableError: the model decides by its images what to do, or is no PyTorch network.
    """
    frozen = prepare(model)
    front = getattr(frozen, "front", None)
    reach = getattr(front, "reach", None)
    if reach is None:
        return _folded(_exported(frozen, shape))
    rest = nn.Sequential(*[part for part in frozen.children() if part is not front])
    behind = _folded(_exported(rest, shape))
    first = Step("front", "front", front, (Ref(INPUT),), {"reach": reach}, shape)
    steps = tuple(_renamed(step, {INPUT: first.name}) for step in behind.steps)
    return replace(behind, steps=(first, *steps))


def _exported(model: nn.Module, shape: tuple[int, ...]) -> Graph:
    device = device_of(model)
    images = torch.zeros(BATCH, *shape, device=device)
    any_batch = ({0: torch.export.Dim.AUTO},)
    try:
        with _EXPORTING, _libraries_left_on(), _notes_of_this_thread(), torch.no_grad(), _quiet():
            program = torch.export.export(
                model, (images,), strict=False, dynamic_shapes=any_batch
            ).run_decompositions({})
        return _read(program, shape, device)
    except UntraceableError:
        raise
    except Exception as error:
        raise UntraceableError(f"{type(error).__name__}: {str(error).splitlines()[:1]}") from error


def _libraries_left_on() -> AbstractContextManager[object]:
    """Without torch's own switching off of oneDNN and cuDNN, in all threads, while it traces.

    What other threads compute meanwhile would be slower, and rounded otherwise. Left on, torch asks
    of the number of images which library it would take: a graph for any number has to allow for
    that (`Dim.AUTO`), and is the same.
    """
    from torch.export import _trace  # noqa: PLC0415 - slow, and only tracing needs it

    switch = "_ignore_backend_decomps"
    return patch.object(_trace, switch, nullcontext) if hasattr(_trace, switch) else nullcontext()


def _notes_of_this_thread() -> AbstractContextManager[object]:
    """Without torch's own notes, while it traces, on what other threads do.

    Each such function as `torch.manual_seed` notes its name in a dictionary that all threads share
    and that tracing replaces: it would end in a KeyError.
    """
    here, annotate = threading.get_ident(), fx.traceback.annotate

    def annotate_here(notes: dict[str, Any]) -> AbstractContextManager[None]:
        return annotate(notes) if threading.get_ident() == here else nullcontext()

    return patch.object(fx.traceback, "annotate", annotate_here)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's own report of an operation that it cannot trace: the exception says it."""
    loud = logging.getLogger("torch._subclasses.fake_tensor")
    before, loud.disabled = loud.disabled, True
    try:
        yield
    finally:
        loud.disabled = before


def _read(
    program: torch.export.ExportedProgram, shape: tuple[int, ...], device: torch.device
) -> Graph:
    """A program's operations on the images, its weights in place of their names."""
    values: dict[str, Any] = dict(_weights_of(program))
    steps: list[Step] = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            values.setdefault(node.name, Ref(INPUT))
        elif node.op == "output":
            (output,) = (values[each.name] for each in node.args[0])
            return Graph(shape, tuple(steps), output.name, device)
        elif node.target is operator.getitem and node.args[1] == 0:
            values[node.name] = values[node.args[0].name]  # what a batch norm answers first
        elif isinstance(node.meta["val"], Tensor | tuple):
            steps.append(_step(node, values))
            values[node.name] = Ref(node.name)
        else:
            values[node.name] = -1  # the number of images, which alone is not known
    raise UntraceableError("it answers nothing")


def _weights_of(program: torch.export.ExportedProgram) -> dict[str, Tensor]:
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    constants = signature.inputs_to_lifted_tensor_constants
    held = {**program.state_dict, **program.constants}
    if signature.buffers_to_mutate or len(signature.user_inputs) != 1:
        raise UntraceableError("it changes itself as it answers, or takes more than images")
    return {name: held[key].detach() for name, key in {**names, **constants}.items()}


def _step(node: fx.Node, values: dict[str, Any]) -> Step:
    kind = _kind(node.target)

    def known(argument: fx.Node) -> Any:
        value = values[argument.name]
        if isinstance(value, int) and not kind.endswith("view"):
            raise UntraceableError(f"{kind} depends on the number of images")
        return value

    args, kwargs = fx.map_arg(node.args, known), fx.map_arg(node.kwargs, known)
    made = node.meta["val"]
    shape = tuple((made[0] if isinstance(made, tuple) else made).shape[1:])
    if not all(isinstance(size, int) for size in shape):
        raise UntraceableError(f"{kind} mixes images")
    return Step(node.name, kind, CALLS.get(kind, node.target), args, kwargs, shape)


def _kind(target: Any) -> str:
    """ATen's name of an operation, with the overload's where that takes other arguments."""
    name = str(getattr(target, "__name__", target))
    return name.removesuffix(".default").removesuffix(".Tensor").removesuffix(".dim")


def _normalise(features: Tensor, *args: Any) -> Tensor:
    """A batch norm that takes its statistics as it has them."""
    weight, bias, mean, variance, momentum, epsilon = args
    return F.batch_norm(features, mean, variance, weight, bias, False, momentum, epsilon)


CALLS = {NORM: _normalise}
"""Instead of ATen's operation, which answers more than the step's value."""


def _folded(graph: Graph) -> Graph:
    """Batch norm and activations in the steps before them, where nothing else follows those."""
    uses = Counter([graph.output, *(name for step in graph.steps for name in step.inputs)])
    steps: dict[str, Step] = {}
    names: dict[str, str] = {}
    for one in graph.steps:
        step = _renamed(one, names)
        before = steps.get(step.inputs[0]) if len(step.inputs) == 1 else None
        joined = _absorbed(before, step) if before and uses[before.name] == 1 else None
        if before is None or joined is None:
            steps[step.name] = step
            continue
        steps[before.name] = joined
        names[step.name] = before.name
        uses[before.name] = uses[step.name]
    return replace(graph, steps=tuple(steps.values()), output=names.get(graph.output, graph.output))


def _absorbed(before: Step, step: Step) -> Step | None:
    """A step that does the one after it as well; None where it cannot."""
    if before.after is not None:
        return None
    if step.kind == NORM and before.kind == CONV:
        return _normed(before, step)
    if step.kind in ACTIVATIONS and before.kind in FRESH:
        return replace(before, after=(step.kind, step.args[1:]))
    return None


def _normed(conv: Step, norm: Step) -> Step:
    images, weight, bias, *rest = (*conv.args, None)[: max(3, len(conv.args))]
    _, scale, shift, mean, variance, _, epsilon = norm.args
    factor = (variance + epsilon).rsqrt() * (1 if scale is None else scale)
    bias = ((0 if bias is None else bias) - mean) * factor + (0 if shift is None else shift)
    weight = weight * factor.view(-1, 1, 1, 1)
    return replace(conv, args=(images, weight, bias, *rest))


def _renamed(step: Step, names: dict[str, str]) -> Step:
    def renamed(part: Any) -> Any:
        return Ref(names.get(part.name, part.name)) if isinstance(part, Ref) else part

    args, kwargs = map_aggregate((step.args, step.kwargs), renamed)
    return replace(step, args=args, kwargs=kwargs)
