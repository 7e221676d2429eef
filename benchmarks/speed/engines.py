"""Engines: whole images through a model, in all the ways that it is tried in."""

from __future__ import annotations

import copy
import importlib
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from apr_core.attacks.enumeration import is_large
from apr_core.models import Classifier
from apr_core.models.incremental import IncrementalNetwork, UntraceableError, trace
from apr_core.models.incremental.graph import INPUT
from apr_core.models.inference import compile_for, default_chunk, device_of, prepare
from apr_core.zoo.library import LibraryModel
from benchmarks.speed.case import Case, Work
from benchmarks.speed.turns import input_batch, passes_work

LOG = logging.getLogger(__name__)
BATCHES = {"cpu": (25, 50, 100, 200, 400), "cuda": (1024, 4096, 16384)}
"""Batch sizes that the bare forward is tried at."""
LARGE_BATCHES = {"cpu": (4, 16), "cuda": (16, 64, 256)}
"""The same for images of more than `LARGE` pixels."""
PLAIN, PREPARED = "plain", "prepared"
"""Eager PyTorch: the model as it was loaded, and with batch norm folded (`prepare`)."""
TRACED, ONNX, COMPILED = "traced", "onnxruntime", "compiled"
OTHERS = (TRACED, ONNX, COMPILED)

Call = Callable[[Tensor], object]
"""Images (B, C, H, W) in [0, 1] -> logits."""


@dataclass(frozen=True)
class Forward:
    """A bare forward: an engine, the layout of its images, and how many there are in a batch."""

    engine: str
    channels_last: bool
    batch: int

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "channels first"
        return f"{self.engine}, {layout}, batch {self.batch}"


def forward_works(case: Case) -> dict[object, Work]:
    """Every bare forward to try, by its `Forward`.

    Of a user's model, only the plain one and what could be traced or exported of it.
    """
    device = device_of(case.model)
    known = LARGE_BATCHES if is_large(*case.shape[1:]) else BATCHES
    batches = case.config.batches or known.get(device.type, (1024,))
    prepared = prepare(case.model) if isinstance(case.model, Classifier | LibraryModel) else None
    eager = {PLAIN: case.model} | ({PREPARED: prepared} if prepared else {})
    calls: list[tuple[str, bool, Call | None]] = [
        (engine, last, _in_layout(module, last))
        for engine, module in eager.items()
        for last in (False, True)
    ]
    if traced := _traced(case):
        calls += [(TRACED, True, traced), (ONNX, False, _exported(prepared or case.model, case))]
    works: dict[object, Work] = {}
    for engine, last, call in calls:
        if call is not None:
            works |= _works(engine, call, last, batches, case)
    if case.config.compiled:
        chunk = default_chunk(device, *case.shape[1:])  # each batch size takes half a minute
        works |= _works(COMPILED, compile_for(prepared or case.model), True, (chunk,), case)
    return works


def _works(
    engine: str, call: Call, last: bool, batches: tuple[int, ...], case: Case
) -> dict[object, Work]:
    device, layout = device_of(case.model), _layout(last)
    return {
        Forward(engine, last, batch): passes_work(
            call,
            input_batch(batch, device, case.images).contiguous(memory_format=layout),
            case.config.seconds,
        )
        for batch in batches
    }


def _layout(last: bool) -> torch.memory_format:
    return torch.channels_last if last else torch.contiguous_format


def _in_layout(module: nn.Module, last: bool) -> nn.Module:
    moved = copy.deepcopy(module).to(memory_format=_layout(last))  # type: ignore[call-overload]
    return moved  # type: ignore[no-any-return]


def _traced(case: Case) -> Call | None:
    """The incremental network's own operations on whole images; None where it is not traced."""
    try:
        graph = trace(case.model, case.shape)
    except UntraceableError as error:
        LOG.info("The traced network is not measured: %s", error)
        return None
    network = IncrementalNetwork(graph, device_of(case.model))
    return lambda images: network.finish({INPUT: images}, 0)


def _exported(model: nn.Module, case: Case) -> Call | None:
    """ONNX Runtime on a CPU; None where it is not installed, or the model cannot be exported."""
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing or device_of(model).type != "cpu":
        LOG.info("ONNX Runtime is not measured: it is for the CPU, and wants onnx and onnxruntime")
        return None
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch.export, for which a further package is needed
        path = str(Path(folder) / "model.onnx")
        try:
            torch.onnx.export(
                model,
                (input_batch(1, torch.device("cpu"), case.images),),
                path,
                dynamo=False,
                input_names=[INPUT],
                output_names=["logits"],
                dynamic_axes={INPUT: {0: "batch"}, "logits": {0: "batch"}},
            )
            session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except RuntimeError as error:
            LOG.info("ONNX Runtime is not measured: %s", error)
            return None
    return lambda images: session.run(None, {INPUT: images.numpy()})
