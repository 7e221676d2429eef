"""What commands share."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from apr_core.evaluation.metrics import Rate
from apr_core.hardware import default_device
from apr_core.types import InputError

Subparsers = Any  # argparse has no public name for it


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`."""
    parser.add_argument("--device", default="", help="cpu or cuda; by default the GPU if any")


def chosen_device(args: argparse.Namespace) -> torch.device:
    """The device that was asked for.

    Raises:
        InputError: it is unknown or not there.
    """
    if not args.device:
        return default_device()
    try:
        device = torch.device(args.device)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError):
        raise InputError(
            f"There is no device '{args.device}' here; leave --device out, or use cpu."
        ) from None
    return device


def rate_words(rate: Rate) -> str:
    """A share with its interval and what it is of."""
    return f"{rate.rate:.1%} ({rate.low:.1%} to {rate.high:.1%}) of {rate.total:,}"


def print_json(entry: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(entry, indent=1))
