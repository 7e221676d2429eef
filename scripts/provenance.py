"""Where and with what a script's record was made."""

from __future__ import annotations

from datetime import UTC, datetime

import torch

from apr_core.base.hardware import describe_hardware
from apr_core.base.version import find_commit, versions


def made_here() -> dict[str, object]:
    """Hardware, versions, commit and date, for a record of what a CPU was asked."""
    return {
        "hardware": describe_hardware(torch.device("cpu")),
        "versions": versions(),
        "commit": find_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
