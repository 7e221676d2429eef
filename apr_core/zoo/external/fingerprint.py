"""Fingerprints: a hash of a person's own model and its code; only work on the same one resumes."""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PLAIN = (
    type(None), bool, int, float, complex, str, bytes, np.generic, torch.Size, torch.dtype,
    torch.layout, torch.memory_format, slice, range, type(...),
)  # fmt: skip
DATA = (*PLAIN, Tensor, np.ndarray, nn.Module, list, tuple, dict)
"""What may stand in a module's globals and be of account to a model."""
LIBRARY = sysconfig.get_paths()["stdlib"]
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of code that is known by its version."""
PACKAGE = __name__.partition(".")[0]


def fingerprint(made: object, code: object) -> str:
    """SHA-256 of everything that a module holds and of the code that it and its factory come from.

    That is its tensors, registered or not, its settings, hooks and submodules; and the source files
    that are reached by imports from those of its factory and of its parts, with the tensors that
    they hold. Of what is installed, the version counts.

    Args:
        made: the model.
        code: what made it.

    Returns:
        "" where these do not tell what the model answers: it is no module, or it holds something
        whose contents are not to be seen.
    """
    if not isinstance(made, nn.Module):
        return ""
    print_ = _Fingerprint()
    try:
        print_.take(code)
        print_.take(made)
        print_.take_sources()
    except (TypeError, ValueError, SyntaxError, OSError, RuntimeError):  # it is not to be seen
        return ""
    return print_.digest.hexdigest()


class _Fingerprint:
    """A digest that values are added to; what cannot be is a TypeError."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._seen: dict[int, tuple[int, object]] = {}
        self._modules: set[str] = set()

    def take(self, value: Any) -> None:
        """Add a value, and all that it holds."""
        if isinstance(value, PLAIN):
            self._add(f"{type(value).__name__} {value!r}")
        elif isinstance(value, torch.device):
            self._add("device")  # the same model elsewhere
        elif id(value) in self._seen:
            self._add(f"seen {self._seen[id(value)][0]}")
        else:
            self._seen[id(value)] = len(self._seen), value
            self._take_new(value)

    def _take_new(self, value: Any) -> None:
        if isinstance(value, Tensor | np.ndarray):
            self._take_tensor(value)
        elif isinstance(value, dict):
            self._take_all("dict", [part for pair in value.items() for part in pair])
        elif isinstance(value, list | tuple):
            self._take_all(type(value).__name__, value)
        elif isinstance(value, set | frozenset):
            self._take_all("set", sorted(value, key=repr))
        elif isinstance(value, ModuleType):
            self._come_from(value.__name__)
        elif isinstance(value, type | BuiltinFunctionType):
            self._come_from(value.__module__, value.__qualname__)
        elif isinstance(value, FunctionType):
            self._come_from(value.__module__, value.__qualname__)
            closure = [cell.cell_contents for cell in value.__closure__ or ()]
            self._take_all("function", [value.__defaults__, value.__kwdefaults__, closure])
        elif isinstance(value, MethodType):
            self._take_all("method", [value.__self__, value.__func__])
        elif isinstance(value, functools.partial):
            self._take_all("partial", [value.func, value.args, value.keywords])
        elif isinstance(value, torch.jit.ScriptModule) or not hasattr(value, "__dict__"):
            raise TypeError(f"a {type(value).__name__} does not show what it holds")
        else:
            self.take(type(value))
            self._take_all("object", [_held(value)])

    def _take_all(self, kind: str, values: Any) -> None:
        self._add(f"{kind} {len(values)}")
        for value in values:
            self.take(value)

    def _take_tensor(self, given: Tensor | np.ndarray) -> None:
        tensor = given if isinstance(given, Tensor) else torch.as_tensor(given.copy())
        plain = tensor.detach().cpu().contiguous()
        self._add(f"tensor {plain.dtype} {tuple(plain.shape)}")
        self.digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())

    def _come_from(self, module: str | None, name: str = "") -> None:
        self._add(f"code {module} {name}")
        self._modules.add(module or "")

    def take_sources(self) -> None:
        """Add the files that the code so far stands in, those that they import, and so on."""
        done: set[str] = set()
        while waiting := sorted(self._modules - done):
            for name in waiting:
                done.add(name)
                self._take_source(name)

    def _take_source(self, name: str) -> None:
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if path is None or top == PACKAGE or _is_installed(path):
            self._add(f"installed {top} {getattr(sys.modules.get(top), '__version__', '')}")
            return
        source = Path(path).read_bytes()
        self._add(f"source {name} {len(source)}")
        self.digest.update(source)
        self._modules |= {found for found in imported(source, module) if found in sys.modules}
        for key, value in sorted(vars(module).items()):
            if isinstance(value, DATA) and not key.startswith("__"):
                self._add(key)
                self.take(value)

    def _add(self, text: str) -> None:
        self.digest.update(text.encode(errors="surrogatepass") + b"\0")


def _held(value: object) -> dict[str, Any]:
    """An object's attributes; of hooks, which are numbered through a process, no numbers."""
    held = vars(value)
    if not isinstance(value, nn.Module):
        return held
    return {
        name: list(kept.values()) if "_hooks" in name and isinstance(kept, dict) else kept
        for name, kept in held.items()
    }


def _is_installed(path: str) -> bool:
    return path.startswith(LIBRARY) or not INSTALLED.isdisjoint(Path(path).parts)


def imported(source: bytes, module: Any) -> Iterator[str]:
    """The names of what a module's source may import, anywhere in it, and of their packages."""
    package = getattr(module, "__package__", "") or ""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = resolve_name(base, package) if node.level else base
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))
