"""`bench`: how fast the attack runs on this machine, what a defence costs, the app under load."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from apr_core.attacks.enumeration import is_large
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
from apr_core.data.registry import DEFAULT as DATA
from apr_core.data.registry import find_dataset
from apr_core.models import SMALL, build_model
from apr_core.report.speeds import MET, Figure
from apr_core.zoo.library.entry import IMAGENET
from apr_core.zoo.target import TargetModel
from benchmarks.cli import load, overhead
from benchmarks.load.measure import measure_load
from benchmarks.load.record import LoadResult
from benchmarks.speed.case import LARGE_CONFIG, BenchConfig
from benchmarks.speed.measure import measure
from benchmarks.speed.overhead import OverheadResult, measure_overhead
from benchmarks.speed.peers import PEERS
from benchmarks.speed.record import BenchResult
from benchmarks.speed.turns import Report

DEFAULT = BenchConfig()
MODEL = "cifar10-resnet20-vanilla"
ATTACK, OVERHEAD, LOAD = "attack", "overhead", "load"
OPTIONS: dict[str, tuple[object, tuple[str, ...]]] = {
    "model": (MODEL, (ATTACK, LOAD)),
    "data": ("", (ATTACK,)),
    "generations": (None, (ATTACK, LOAD)),
    "images": (None, (ATTACK,)),
    "peers": (False, (ATTACK,)),
    "sweep": (False, (ATTACK,)),
    "compile": (False, (ATTACK,)),
    "device": ("", (ATTACK, OVERHEAD)),
    **{name: (default, (OVERHEAD,)) for name, default in overhead.OPTIONS.items()},
    "architecture": ("", (ATTACK, OVERHEAD)),
    **{name: (default, (LOAD,)) for name, default in load.OPTIONS.items()},
}
"""Options that do not go with everything that can be measured: their defaults, and what they go
with."""
ROUNDS = {OVERHEAD: overhead.DEFAULT.rounds, LOAD: load.DEFAULT.rounds}
"""The attack's depend on the size of its images."""


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
    parser.add_argument("--compile", action="store_true", help="the forward of torch.compile too")
    parser.add_argument("--out", type=Path, help="write the record, as JSON, here")
    overhead.add_options(parser)
    load.add_options(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run, model=MODEL)


def run(args: argparse.Namespace) -> int:
    """Measure."""
    what = _what(args)
    _check(args, what)
    if args.rounds is None:
        args.rounds = ROUNDS.get(what)
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
    target = _untrained(args) if args.architecture else chosen_target(args)
    large = is_large(*target.data.size)
    config = replace(LARGE_CONFIG if large else DEFAULT, sweep=args.sweep, compiled=args.compile)
    given = {name: getattr(args, name) for name in ("images", "generations", "rounds")}
    given["peer_generations"] = args.generations
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    peers = [name for name in PEERS.names if not (large and PEERS.get(name).kept)]
    result = measure(
        target.model,
        config,
        target.name,
        tuple(peers) if args.peers else (),
        report,
        target.data,
        bool(args.architecture),
    )
    return result, in_words(result)


def _untrained(args: argparse.Namespace) -> TargetModel:
    """An architecture with random weights, always the same, and the images that it is made for."""
    if args.model != MODEL:
        raise InputError("--architecture goes without --model; give one of them.")
    data = find_dataset(args.data or (DATA if args.architecture in SMALL else IMAGENET))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build_model(args.architecture, data=data)
    return TargetModel(args.architecture, model.eval().to(chosen_device(args)), data)


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
    weights = " with random weights" if result.random_weights else ""
    lines = [
        f"{result.model}{weights} on {result.hardware}; median of {result.rounds} rounds (least to "
        "most), in a second",
        *(_line(name, figure, 0 if figure.value >= 100 else 1) for name, figure in _rates(result)),
        f"{'memory':32} {result.attack_peak_bytes / 1e9:9.2f} GB by the end of an attack",
        *(_line(name, figure, 3) for name, figure in result.ratios.items()),
    ]
    split = result.split
    if split:
        lines.append(
            "windows until step {cut} of {steps}, chunks of {chunk} and {whole_chunk}, {gain:.2f} "
            "times as fast as dense".format(**split)
        )
    lines += [f"target: {aim.what} {aim.wanted}: {MET[aim.met]}" for aim in result.aims]
    return "\n".join(lines)


def _rates(result: BenchResult) -> list[tuple[str, Figure]]:
    """With the batches that the best forwards were of."""
    best = {"other engine": f" ({result.other_engine})"}
    return [(f"{name}{best.get(name, '')}", figure) for name, figure in result.rates.items()]


def _line(name: str, figure: Figure, digits: int) -> str:
    least, most = (f"{value:,.{digits}f}" for value in figure.spread)
    return f"{name:32} {figure.value:9,.{digits}f} ({least} to {most})"


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
