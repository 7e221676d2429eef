"""Provenance: what a record says of how it was made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from apr_core.base.hardware import describe_hardware
from apr_core.base.version import find_commit, versions


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What every record of a command holds besides its findings.

    Attributes:
        command: that makes the record.
        date: in UTC, ISO 8601.
        seconds: of measuring, over all sittings and workers.
    """

    hardware: str
    versions: dict[str, str]
    commit: str
    command: str
    date: str
    seconds: float


def provenance(device: torch.device, command: str, seconds: float) -> dict[str, Any]:
    """The fields of `Provenance`, of this machine now."""
    return {
        "hardware": describe_hardware(device),
        "versions": versions(),
        "commit": find_commit(),
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
    }
