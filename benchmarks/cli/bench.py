"""`bench`: how fast the attack runs on this machine, what a defence costs, the app under load."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from apr_core.base.files import write_whole
from apr_core.base.types import InputError
from apr_core.cli.common import (
    Subparsers,
    add_data,
    add_device,
    add_json,
    add_model,
    chosen_device,
    chosen_target,
    print_json,
)
from benchmarks.cli import load, overhead
from benchmarks.load.measure import measure_load
from benchmarks.load.record import LoadResult
from benchmarks.speed.case import BenchConfig
from benchmarks.speed.measure import BenchResult, measure
from benchmarks.speed.overhead import OverheadResult, measure_overhead
from benchmarks.speed.peers import PEERS
from benchmarks.speed.turns import Report

DEFAULT = BenchConfig()
MODEL = "cifar10-resnet20-vanilla"
ATTACK, OVERHEAD, LOAD = "attack", "overhead", "load"
OPTIONS: dict[str, tuple[object, tuple[str, ...]]] = {
    "model": (MODEL, (ATTACK, LOAD)),
    "data": ("", (ATTACK,)),
    "generations": (None, (ATTACK, LOAD)),
    "images": (DEFAULT.images, (ATTACK,)),
    "peers": (False, (ATTACK,)),
    "sweep": (False, (ATTACK,)),
    "device": ("", (ATTACK, OVERHEAD)),
    **{name: (default, (OVERHEAD,)) for name, default in overhead.OPTIONS.items()},
    **{name: (default, (LOAD,)) for name, default in load.OPTIONS.items()},
}
"""Options that do not go with everything that can be measured: their defaults, and what they go
with."""
ROUNDS = {
    ATTACK: DEFAULT.rounds,
    OVERHEAD: overhead.DEFAULT.rounds,
    LOAD: load.DEFAULT.rounds,
}


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "bench",
        help="measure attack queries per second, what a defence costs, or the app under load",
    )
    add_model(parser, required=False)
    add_data(parser)
    parser.add_argument("--images", type=int, help="attacked together")
    parser.add_argument("--generations", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--peers", action="store_true", help=f"{', '.join(PEERS)} too")
    parser.add_argument("--sweep", action="store_true", help="the corner sweep of one image too")
    parser.add_argument("--out", type=Path, help="write the record, as JSON, here")
    overhead.add_options(parser)
    load.add_options(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run, model=MODEL, images=DEFAULT.images, peers=False, sweep=False)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    what = _what(args)
    _check(args, what)
    if args.rounds is None:
        args.rounds = ROUNDS[what]
    with tqdm(unit="", leave=False, disable=None if args.json else False) as bar:
        result, words = MEASURE[what](args, partial(_show, bar))
    if args.out:
        _write(args.out, asdict(result))
    if args.json:
        print_json(asdict(result))
    else:
        print(words)
    return 0


def _what(args: argparse.Namespace) -> str:
    if args.overhead and args.load is not None:
        raise InputError("--overhead and --load measure different things; give one of them.")
    return OVERHEAD if args.overhead else LOAD if args.load is not None else ATTACK


def _check(args: argparse.Namespace, what: str) -> None:
    if args.out and not args.out.parent.is_dir():
        raise InputError(f"There is no folder {args.out.parent}; make it, or give --out another.")
    for name, (default, fitting) in OPTIONS.items():
        if getattr(args, name) != default and what not in fitting:
            option = f"--{name.replace('_', '-')}"
            how = f"without --{what}" if ATTACK in fitting else f"with --{fitting[0]}"
            raise InputError(f"{option} goes {how} only; leave {option} out.")


def _attack(args: argparse.Namespace, report: Report) -> tuple[BenchResult, str]:
    generations = DEFAULT.generations if args.generations is None else args.generations
    config = BenchConfig(args.images, generations, args.rounds, sweep=args.sweep)
    target, peers = chosen_target(args), PEERS.names if args.peers else ()
    result = measure(target.model, config, args.model, peers, report, target.data)
    return result, in_words(result)


def _overhead(args: argparse.Namespace, report: Report) -> tuple[OverheadResult, str]:
    result = measure_overhead(overhead.config_of(args), chosen_device(args), report)
    return result, overhead.in_words(result)


def _load(args: argparse.Namespace, report: Report) -> tuple[LoadResult, str]:
    result = measure_load(load.config_of(args), report)
    return result, load.in_words(result)


Measured = tuple[BenchResult | OverheadResult | LoadResult, str]
MEASURE: dict[str, Callable[[argparse.Namespace, Report], Measured]] = {
    ATTACK: _attack,
    OVERHEAD: _overhead,
    LOAD: _load,
}


def in_words(result: BenchResult) -> str:
    """The record as a few lines."""
    rate = result.forward_images_per_second
    attacked = result.forwards[-1]["model"]  # prepared ones come after plain ones
    tried = [row for row in result.forwards if row["model"] == attacked]
    best = max(tried, key=lambda row: float(row["images_per_second"]))
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
        f"memory         {result.attack_peak_bytes / 1e9:9.2f} GB at most, by the end of an attack",
    ]
    if result.sweep_over_forward:
        ratio, (least, most) = (result.sweep_over_forward[key] for key in ("ratio", "spread"))
        lines.append(f"corner sweep   {ratio:.3f} times its forwards ({least:.3f} to {most:.3f})")
    lines += [
        _line(name, peer["queries_per_second"], peer["spread"], "queries")
        + f"; ours is {peer['ratio_of_ours']:.2f} times that"
        for name, peer in result.peers.items()
    ]
    return "\n".join(lines)


def _line(name: str, rate: float, spread: tuple[float, float], unit: str) -> str:
    digits = 0 if rate >= 100 else 1
    least, most = (f"{value:,.{digits}f}" for value in spread)
    return f"{name:14} {rate:9,.{digits}f}/s ({least} to {most}) {unit}"


def _write(path: Path, record: dict[str, Any]) -> None:
    try:
        write_whole(path, json.dumps(record, indent=1) + "\n")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); give --out another place."
        ) from None


def _show(bar: tqdm, done: int, total: int, what: str) -> None:  # type: ignore[type-arg]
    if bar.disable:
        return
    if total != bar.total or done < bar.n:
        bar.reset(total)  # something else begins: the time left is of that alone
    bar.total = total
    bar.update(done - bar.n)
    bar.set_description(what, refresh=bar.desc != f"{what}: ")
