"""Provenance: what a record says of how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from apr_core.base.hardware import describe_hardware
from apr_core.base.version import find_commit, versions


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where and with what a measurement was made.

    Attributes:
        commit: of the working tree, "-dirty" if tracked files differ, "" where it is unknown.
        date: in UTC, ISO 8601.
    """

    hardware: str
    versions: dict[str, str]
    commit: str
    date: str


@dataclass(frozen=True, kw_only=True)
class Provenance(Environment):
    """What every record of a command holds besides its findings.

    Attributes:
        command: that makes the record.
        seconds: of measuring, over all sittings and workers.
    """

    command: str
    seconds: float


def environment(device: torch.device, **packages: str) -> dict[str, Any]:
    """The fields of `Environment`, of this machine now.

    Args:
        packages: versions of further packages that took part.
    """
    return {
        "hardware": describe_hardware(device),
        "versions": versions() | packages,
        "commit": find_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def provenance(device: torch.device, command: str, seconds: float) -> dict[str, Any]:
    """The fields of `Provenance`, of this machine now."""
    return {**environment(device), "command": command, "seconds": round(seconds, 1)}
