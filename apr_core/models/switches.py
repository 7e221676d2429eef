"""Process-wide settings, as float32 precision, held for the length of a call.

Calls of several threads overlap: the first to come sets, the last to leave restores.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product

import torch

Restore = Callable[[], None]

_ROOMS = ("generic", "cuda", "mkldnn")
"""What a kind of operation inherits its precision from: its backend's, and that the general one."""
_OPERATIONS = [*product(("cuda", "mkldnn"), ("matmul", "conv", "rnn"))]


class Switch:
    """A setting that calls hold while they run.

    Args:
        change: makes the change, and returns what undoes it.
    """

    def __init__(self, change: Callable[[], Restore]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._holders = 0
        self._restore: Restore = lambda: None

    @contextmanager
    def held(self) -> Iterator[None]:
        """The change, until the last of those who hold it leaves."""
        with self._lock:
            if not self._holders:
                self._restore = self._change()
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._restore()


def _read(backend: str, operation: str) -> str:
    return torch._C._get_fp32_precision_getter(backend, operation)


def _write(backend: str, operation: str, precision: str) -> None:
    torch._C._set_fp32_precision_setter(backend, operation, precision)


def _use_full_precision() -> Restore:
    """Have float32 computed in float32, and in nothing coarser (TF32, or bfloat16 on a CPU).

    PyTorch has older switches beside the newer ones, and refuses to read those that disagree; so
    both are set. What a newer one reads is inherited where it was not set itself: each is read
    after those that it would inherit from were cleared, or restoring would fix what was open.
    """
    older = _older_switches()
    saved: list[tuple[str, str, str]] = []
    for room in _ROOMS:
        saved.append((room, "all", _read(room, "all")))
        _write(room, "all", "none")
    saved += [(*operation, _read(*operation)) for operation in _OPERATIONS]
    for put_back, value in older:
        put_back("highest" if isinstance(value, str) else False)
    for operation in _OPERATIONS:
        _write(*operation, "ieee")

    def restore() -> None:
        for put_back, value in older:
            put_back(value)
        for backend, operation, precision in reversed(saved):
            _write(backend, operation, precision)

    return restore


def _older_switches() -> list[tuple[Callable[[str | bool], None], str | bool]]:
    """The older switches that can be read: how to set each, and what it is."""
    found: list[tuple[Callable[[str | bool], None], str | bool]] = []
    with suppress(RuntimeError):  # they were mixed with the newer ones: PyTorch goes by those
        found.append((torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()))  # type: ignore[arg-type]
    with suppress(RuntimeError):
        found.append((torch._C._set_cudnn_allow_tf32, torch._C._get_cudnn_allow_tf32()))  # type: ignore[arg-type]
    return found


def _ignore_hooks() -> Restore:
    """Leave out what Captum announces whenever DeepLift hooks a copy of a model."""
    before = list(warnings.filters)
    warnings.filterwarnings("ignore", "Setting forward, backward hooks", UserWarning)
    ours = warnings.filters[0]

    def restore() -> None:
        if ours not in before:  # a person may have the same
            with suppress(ValueError):
                warnings.filters.remove(ours)  # type: ignore[attr-defined]

    return restore


FULL_PRECISION = Switch(_use_full_precision)
QUIET_HOOKS = Switch(_ignore_hooks)
