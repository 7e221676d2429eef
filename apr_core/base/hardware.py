"""Hardware: its description for cards and records, the default device, process priority."""

from __future__ import annotations

import os
import platform
import sys
import threading
from pathlib import Path

import torch


def describe_hardware(device: torch.device) -> str:
    """The accelerator, or the processor with the number of cores that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' * (threads > 1)} of {os.cpu_count()} cores"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


BACKGROUND = 15
"""Niceness of what nobody waits for, such as a training: below a run, which gives way to pages."""


def give_way(steps: int = 10, process: int = 0) -> None:
    """Lower a priority, under Linux.

    Args:
        steps: of niceness; at most 19.
        process: which process, by its number; by default this thread and those that it starts.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, process or threading.get_native_id(), steps)


def default_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
