"""Whether a person's own model is still the one that it was: work on it is taken up only then."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def fingerprint(made: object, code: object) -> str:
    """SHA-256 of a module's weights and buffers and of the file that its factory stands in.

    Args:
        made: the model.
        code: what made it.

    Returns:
        "" where these do not tell what the model answers: it is no module, or its weights are no
        tensors.
    """
    if not isinstance(made, nn.Module):
        return ""
    digest = hashlib.sha256(_source(code))
    for name, value in made.state_dict().items():
        if not isinstance(value, Tensor):
            return ""
        plain = value.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _source(code: Any) -> bytes:
    """The file that a function, a class or a module's class is written in; none, of none."""
    owner = type(code) if isinstance(code, nn.Module) else code
    try:
        return Path(inspect.getfile(owner)).read_bytes()
    except (TypeError, OSError):
        return b""
