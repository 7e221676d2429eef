"""What commands share."""

from __future__ import annotations

import argparse
import json
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apr_core.base.hardware import default_device
from apr_core.base.types import InputError, shown
from apr_core.data.dataset import DataSet
from apr_core.data.images import OWN_PICTURE, read_picture_file
from apr_core.data.registry import DATASETS
from apr_core.evaluation.metrics import Rate
from apr_core.models.incremental import DENSE
from apr_core.serving.ray.start import LOCAL
from apr_core.zoo.target import TargetModel, load_target

Subparsers = Any  # argparse has no public name for it
DELAY = 0.5
"""Seconds before a progress bar shows, so that none stands above the sentence of a refusal."""
DATA_HELP = (
    f"a data set ({', '.join(DATASETS)}), or your own: a folder with one folder a class, or an .npz"
)


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`."""
    parser.add_argument("--device", default="", help="cpu or cuda; by default the GPU if any")


def add_dense(parser: argparse.ArgumentParser) -> None:
    """`--dense`, which holds for the process and those that it starts."""
    parser.add_argument(
        "--dense",
        action=_Dense,
        nargs=0,
        help="compute whole images for every query, also where computing what the edits change is "
        "faster",
    )


class _Dense(argparse.Action):
    def __call__(self, *_: object) -> None:
        os.environ[DENSE] = "1"


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


def add_model(
    parser: argparse.ArgumentParser, required: bool = True, default: str | None = None
) -> None:
    """`--model`."""
    parser.add_argument(
        "--model",
        required=required and default is None,
        default=default,
        help="a name that `models` lists or explains; or your own, as package.module:factory or a "
        "file (TorchScript, .pt2, .onnx), which must take images in [0, 1] and return logits",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data`."""
    parser.add_argument("--data", default="", help=f"{DATA_HELP}; by default the model's own")


def add_picture(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """`--index` or `--image`."""
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument("--index", type=int, help="of a test image")
    source.add_argument("--image", type=Path, help="a PNG, JPEG, WebP, AVIF or BMP file")


def add_label(parser: argparse.ArgumentParser) -> None:
    """`--label`."""
    parser.add_argument("--label", help="true class of --image; by default what the model says")


def chosen_picture(args: argparse.Namespace, data: DataSet) -> tuple[Tensor, int | None, int]:
    """The picture that was asked for, uint8 (C, H, W), its label if it is known, and its index.

    What was done to a person's own picture goes to stderr.

    Raises:
        InputError: there is no such picture or label, or a test image was given a label.
    """
    given = getattr(args, "label", None)  # of `add_label`
    label = None if given is None else data.class_number(given)
    if args.index is not None:
        if label is not None:
            raise InputError("--label goes with --image; a test image has its own label.")
        image, label = data.test_image(args.index)
        return image, label, args.index
    picture = read_picture_file(args.image, data)
    for warning in picture.warnings:
        print(warning, file=sys.stderr)
    return picture.image, label, OWN_PICTURE


def chosen_target(args: argparse.Namespace) -> TargetModel:
    """As `load_target`, on the device that was asked for; what the check says goes to stderr."""
    target, notes = load_target(args.model, chosen_device(args), data=args.data)
    for note in notes:
        print(note, file=sys.stderr)
    return target


def check_gradient(target: TargetModel, what: str) -> None:
    """Raise InputError if a model gives no gradient, which what is asked of it needs."""
    if not getattr(target.model, "differentiable", True):
        raise InputError(
            f"{target.name} gives no gradient, and {what} needs one; choose another model."
        )


def epsilon_of(text: str | None) -> float | None:
    """The number in "8/255" or "0.03"; None where nothing was given.

    Raises:
        InputError: the text is no number.
    """
    if text is None:
        return None
    try:
        return float(Fraction(text))
    except (ValueError, ArithmeticError):
        raise InputError(f"--epsilon is '{text[:40]}'; write it as in 8/255 or 0.03.") from None


def not_attacked(data: DataSet, label: int, answer: int) -> str:
    """That a model has a picture of a class wrong already, in a sentence."""
    taken = f"The model takes {data.this_one(label)} for {data.one_of(answer)} already"
    return f"{taken}, so it was not attacked."


def add_ray(parser: argparse.ArgumentParser, what: str) -> None:
    """`--ray`.

    Args:
        what: is spread over the cluster.
    """
    parser.add_argument(
        "--ray",
        nargs="?",
        const=LOCAL,
        default="",
        metavar="ADDRESS",
        help=f"spread {what} over the Ray cluster at this address, or without one over a cluster "
        "started on this machine (the extra [cluster])",
    )


def check_out(path: Path | None) -> None:
    """Raise InputError if `--out` names no place for a file."""
    if path is None:
        return
    try:
        fit = path.parent.is_dir() and not path.is_dir()
    except OSError:  # a name too long, a folder that may not be looked into
        fit = False
    if not fit:
        raise InputError(
            f"{shown(str(path), 200)} is no place for a file; give --out another place."
        )


def write_out(path: Path, data: bytes) -> None:
    """Write what `--out` asked for.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); give --out another place."
        ) from None


def rate_words(rate: Rate) -> str:
    """A share with its interval and what it is of."""
    if rate.rate is None:
        return "no rate of 0"
    return f"{rate.rate:.1%} ({rate.low:.1%} to {rate.high:.1%}) of {rate.total:,}"


def print_json(entry: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(entry, indent=1))
