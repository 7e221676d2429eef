"""`bench`: how fast the attack runs on this machine."""

from __future__ import annotations

import argparse

from apr_core.cli.common import Subparsers, add_device, add_json, chosen_device, print_json


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("bench", help="measure attack queries per second")
    parser.add_argument("--model", default="cifar10-resnet20-vanilla")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    print_json(str(chosen_device(args)))
    return 0
