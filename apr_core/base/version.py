"""The package's version, and what a result says of the software that made it."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import torch

from apr_core.base.paths import in_checkout

__version__ = "0.2.0"
ATTACK_VERSION = 2
"""Raised whenever an attack of the same settings may find otherwise; records keep it.

1: of the candidates that seem to flip, a few were confirmed. 2: they are, until one holds."""


def versions() -> dict[str, str]:
    """What ran: for results, cards and records."""
    return {
        "apr_core": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def find_commit() -> str:
    """The working tree's commit, "-dirty" after it if tracked files differ; "" outside one."""
    if not in_checkout():  # a virtual environment may lie in another project's working tree
        return ""
    command = ("git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    folder = Path(__file__).parent
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip()
