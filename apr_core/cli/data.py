"""`data`: fetch and verify data sets."""

from __future__ import annotations

import argparse

from apr_core.base.paths import check_checkout
from apr_core.cli.common import Subparsers
from apr_core.data.registry import DATASETS, find_dataset
from apr_core.data.sample import make_grid_sample
from apr_core.data.variogram import make_variogram, variogram_file


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("data", help="fetch a data set, verified by hash")
    parser.add_argument("dataset", choices=list(DATASETS), help="which data set")
    parser.add_argument(
        "--source",
        default="auto",
        help="auto, which tries all it knows; one of them, such as torchvision; or a folder or a "
        "file that has the data",
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
    data = find_dataset(args.dataset)
    data.fetch(args.source, print)
    origin = f"{data.title}, {data.citation}; {data.source}"
    if args.sample:
        test = data.load("test")
        path = make_grid_sample(data.name, origin, data.classes, test.images, test.labels)
        print(f"The sample is at {path}.")
    if args.variogram:
        train = data.load("train")
        make_variogram(data.name, origin, train.images, train.sha256)
        print(f"The variogram is at {variogram_file(data.name)}.")
    return 0
