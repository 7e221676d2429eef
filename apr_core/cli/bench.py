"""`bench`: how fast the attack runs on this machine."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from apr_core.benchmark.case import BenchConfig
from apr_core.benchmark.measure import BenchResult, measure
from apr_core.benchmark.peers import PEERS
from apr_core.cli.common import Subparsers, add_device, add_json, chosen_device, print_json
from apr_core.types import InputError
from apr_core.zoo import load_model


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("bench", help="measure attack queries per second")
    default = BenchConfig()
    parser.add_argument(
        "--model", default="cifar10-resnet20-vanilla", help="a name that `models` lists"
    )
    parser.add_argument("--images", type=int, default=default.images, help="attacked together")
    parser.add_argument("--generations", type=int, default=default.generations)
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--peers", action="store_true", help=f"{', '.join(PEERS)} too")
    parser.add_argument("--out", type=Path, help="write the record, as JSON, here")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    if args.out and not args.out.parent.is_dir():
        raise InputError(f"There is no folder {args.out.parent}; make it, or give --out another.")
    config = BenchConfig(args.images, args.generations, args.rounds)
    model = load_model(args.model, chosen_device(args))
    with tqdm(unit="measurement", leave=False, disable=None if args.json else False) as bar:
        result = measure(
            model,
            config,
            args.model,
            PEERS.names if args.peers else (),
            lambda done, total, what: _show(bar, done, total, what),
        )
    if args.out:
        _write(args.out, result)
    if args.json:
        print_json(asdict(result))
    else:
        print(in_words(result))
    return 0


def in_words(result: BenchResult) -> str:
    """The record as a few lines."""
    rate = result.forward_images_per_second
    best = next(row for row in result.forwards[::-1] if row["images_per_second"] == rate)
    layout = "channels last" if best["channels_last"] else "channels first"
    lines = [
        f"{result.model} on {result.hardware}; median of {result.rounds} rounds (least to most)",
        _line("attack", result.queries_per_second, result.spread["queries_per_second"], "queries"),
        _line(
            "forward",
            rate,
            result.spread["forward_images_per_second"],
            f"images; best: {best['model']}, {layout}, batch {best['batch']}",
        ),
        _line(
            "plain forward",
            result.plain_forward_images_per_second,
            result.spread["plain_forward_images_per_second"],
            "images",
        ),
        "ratio          {:9.3f}   ({:.3f} to {:.3f})".format(result.ratio, *result.spread["ratio"]),
    ]
    lines += [
        _line(name, peer["queries_per_second"], peer["spread"], "queries")
        + f"; ours is {peer['ratio_of_ours']:.2f} times that"
        for name, peer in result.peers.items()
    ]
    return "\n".join(lines)


def _line(name: str, rate: float, spread: tuple[float, float], unit: str) -> str:
    return f"{name:14} {rate:9,.0f}/s ({spread[0]:,.0f} to {spread[1]:,.0f}) {unit}"


def _write(path: Path, result: BenchResult) -> None:
    try:
        path.write_text(json.dumps(asdict(result), indent=1) + "\n")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); give --out another place."
        ) from None


def _show(bar: tqdm, done: int, total: int, what: str) -> None:  # type: ignore[type-arg]
    bar.total, bar.n = total, done
    bar.set_description(what)
