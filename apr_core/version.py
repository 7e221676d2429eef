"""The package's version, and what a result says of the software that made it."""

from __future__ import annotations

import platform

import torch

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """What ran: for results, cards and records."""
    return {
        "apr_core": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
