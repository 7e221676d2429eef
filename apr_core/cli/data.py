"""`data`: fetch and verify data sets."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from apr_core.base.paths import check_checkout
from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.cli.common import DATA_HELP, Subparsers
from apr_core.data.dataset import DataSet
from apr_core.data.folder import spread
from apr_core.data.registry import DATASETS, find_dataset, names_dataset
from apr_core.data.sample import PER_CLASS, make_grid_sample
from apr_core.data.variogram import make_variogram, mean_and_std, variogram_file

MEASURED = 2**29
"""Pixel values that `--statistics` measures: all of a small data set, a part of ImageNet."""


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("data", help="list data sets, or fetch one, verified by hash")
    parser.add_argument(
        "dataset", nargs="?", type=_named, help=f"{DATA_HELP}; by default, list those known"
    )
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


def _named(name: str) -> str:
    """A known name or a path, as the parser takes it."""
    if not names_dataset(name):
        raise argparse.ArgumentTypeError(unknown_name("data set", name, DATASETS.names))
    return name


def run(args: argparse.Namespace) -> int:
    """Fetch, or list."""
    if args.dataset is None:
        print("\n".join(map(_line, DATASETS)))
        return 0
    if args.sample is not None or args.variogram:
        check_checkout("--sample or --variogram")
    find_dataset(args.dataset).fetch(args.source, print)
    data = find_dataset(args.dataset)
    origin = f"{data.title}, {data.citation}; {data.source}; licence: {data.licence}"
    if args.sample is not None:
        _write_sample(data, origin, args.sample)
    if args.variogram:
        _write_variogram(data, origin)
    if args.statistics:
        images = _measured(data)
        for name, values in zip(("mean", "std"), mean_and_std(images), strict=True):
            print(f"{name}: {', '.join(f'{value:.8f}' for value in values)} (n = {len(images):,})")
    return 0


def _line(name: str) -> str:
    """A data set in a line: size, classes, test pictures, licence, and whether it is here."""
    data = find_dataset(name)
    height, width = data.size
    return (
        f"{name:14} {width} x {height}, {'grey' if data.channels == 1 else 'colour'}, "
        f"{len(data.classes):,} classes, {data.tested:,} test pictures; licence: {data.licence}; "
        f"{'here' if data.here() else 'not here'}"
    )


def _write_sample(data: DataSet, origin: str, count: int) -> None:
    """The first `count` test pictures as the shipped sample, or for 0 as many of each class.

    Raises:
        InputError: the data set comes without a sample, or there are not so many pictures.
    """
    if data.sample is None or data.sample().picked:
        raise InputError(
            f"No grid of pictures is shipped of {data.title} (licence: {data.licence}); leave "
            "--sample out."
        )
    if not 0 <= count <= data.tested:
        raise InputError(f"--sample is {count}, but must lie between 1 and {data.tested:,}.")
    test = data.load("test")
    end = count or data.tested
    path = make_grid_sample(
        data.name, origin, data.classes, test.images[:end], test.labels[:end], count or PER_CLASS
    )
    print(f"The sample is at {path}.")


def _write_variogram(data: DataSet, origin: str) -> None:
    """The shipped variogram, of the training pictures where there are any.

    Raises:
        InputError: none is shipped of this data set.
    """
    if data.name not in DATASETS or not variogram_file(data.name).exists():
        raise InputError(
            f"No variogram of {data.title} is shipped: it is measured when needed, or is another "
            "data set's; leave --variogram out."
        )
    split = data.load("train" if data.trains else "test")
    make_variogram(data.name, origin, split.images, split.sha256)
    print(f"The variogram is at {variogram_file(data.name)}.")


def _measured(data: DataSet) -> Tensor:
    """The training pictures where there are any: all, or as many as there is memory for."""
    split = data.load("train" if data.trains else "test")
    most = MEASURED // (data.channels * data.size[0] * data.size[1])
    return split.take(torch.tensor(spread(len(split), max(1, most))))
