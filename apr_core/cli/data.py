"""`data`: fetch and verify data sets."""

from __future__ import annotations

import argparse

from apr_core.base.paths import check_checkout
from apr_core.base.types import InputError
from apr_core.cli.common import Subparsers
from apr_core.data.dataset import DataSet
from apr_core.data.registry import DATASETS, find_dataset
from apr_core.data.sample import PER_CLASS, make_grid_sample
from apr_core.data.variogram import make_variogram, mean_and_std, variogram_file


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
        "--sample",
        nargs="?",
        type=int,
        const=0,
        metavar="COUNT",
        help="also write the shipped sample anew: the first COUNT test images; by default the "
        f"first {PER_CLASS} of each class",
    )
    parser.add_argument(
        "--variogram", action="store_true", help="also measure the shipped variogram anew"
    )
    parser.add_argument(
        "--statistics",
        action="store_true",
        help="also print the training images' mean and standard deviation by channel",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch."""
    if args.sample is not None or args.variogram:
        check_checkout("--sample or --variogram")
    find_dataset(args.dataset).fetch(args.source, print)
    data = find_dataset(args.dataset)
    origin = f"{data.title}, {data.citation}; {data.source}; licence: {data.licence}"
    if args.sample is not None:
        _write_sample(data, origin, args.sample)
    if args.variogram:
        train = data.load("train")
        make_variogram(data.name, origin, train.images, train.sha256)
        print(f"The variogram is at {variogram_file(data.name)}.")
    if args.statistics:
        train = data.load("train")
        for name, values in zip(("mean", "std"), mean_and_std(train.images), strict=True):
            print(f"{name}: {', '.join(f'{value:.8f}' for value in values)} (n = {len(train):,})")
    return 0


def _write_sample(data: DataSet, origin: str, count: int) -> None:
    """The first `count` test pictures as the shipped sample, or for 0 as many of each class.

    Raises:
        InputError: the data set comes without a sample, or there are not so many pictures.
    """
    if data.sample is None:
        raise InputError(
            f"No pictures of {data.title} may be shipped (licence: {data.licence}); leave --sample "
            "out."
        )
    if not 0 <= count <= data.tested:
        raise InputError(f"--sample is {count}, but must lie between 1 and {data.tested:,}.")
    test = data.load("test")
    end = count or data.tested
    path = make_grid_sample(
        data.name, origin, data.classes, test.images[:end], test.labels[:end], count or PER_CLASS
    )
    print(f"The sample is at {path}.")
