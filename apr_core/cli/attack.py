"""`attack`: search for pixels of one image that change the model's answer."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.patch import SIDES
from apr_core.attacks.result import AttackResult, Outcome
from apr_core.attacks.search import Search
from apr_core.attacks.stages import PGD_STEPS
from apr_core.base.types import (
    Fitness,
    InputError,
    Method,
    NotAttacked,
    Status,
    Stop,
    Strategy,
    shown,
)
from apr_core.base.words import percent
from apr_core.cli.common import (
    DELAY,
    Subparsers,
    add_data,
    add_dense,
    add_device,
    add_json,
    add_label,
    add_model,
    add_picture,
    check_out,
    chosen_picture,
    chosen_target,
    not_attacked,
    print_json,
    write_out,
)
from apr_core.cli.shift import SHIFTS, run_shift, shift_config
from apr_core.data.dataset import DataSet
from apr_core.data.images import to_png

MOST_NAMED = 16
"""Pixels that a sentence names one by one."""
BUDGETS = {Method.DE: (400, 100), Method.SPARSE_RS: (8, 249), Method.PATCH: (8, 249)}
"""Population and generations of a method, where nobody asks for others."""


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("attack", help="attack one image")
    add_model(parser, default="cifar10-resnet20-vanilla")
    add_data(parser)
    add_picture(parser)
    default = OnePixelConfig()
    add_label(parser)
    parser.add_argument("--pixels", type=int, default=default.pixels)
    parser.add_argument(
        "--side", type=int, help=f"attack with a patch of so many pixels a side: {Method.PATCH}"
    )
    parser.add_argument("--method", default=None, help=", ".join((*Method, *SHIFTS)))
    parser.add_argument(
        "--epsilon", help="how far fgsm and pgd may change every pixel; by default 8/255"
    )
    parser.add_argument("--steps", type=int, help=f"of pgd; by default {PGD_STEPS}")
    for number, name in enumerate(("population", "generations")):
        usual = ", ".join(f"{budget[number]} for {method}" for method, budget in BUDGETS.items())
        parser.add_argument(f"--{name}", type=int, help=f"by default {usual}")
    parser.add_argument("--strategy", default=default.strategy, help=", ".join(Strategy))
    parser.add_argument("--fitness", default=default.fitness, help=", ".join(Fitness))
    parser.add_argument("--stop", default=default.stop, help=", ".join(Stop))
    parser.add_argument("--l2-penalty", type=float, default=default.l2_penalty)
    parser.add_argument("--recombination", type=float, default=default.recombination)
    parser.add_argument("--target", help="class to reach; by default any other class will do")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--out", type=Path, help="write the adversarial image, a PNG, here")
    add_dense(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Attack; an image that survives is an answer, not an error."""
    every = shift_config(args) if args.method in SHIFTS else None
    if every is None:
        _config(args, None)  # whatever can be found wrong before anything is loaded
    check_out(args.out)
    target = chosen_target(args)
    data = target.data
    if every is not None:
        oracle = ModelOracle(target.model)
        run_shift(args, every, target, oracle, _image(args, data, oracle))
        return 0
    config = _config(args, data)
    attack = OnePixelAttack(target.model, config, name=args.model)
    image, label, index = _image(args, data, attack.oracle)
    _check_target(label, config.target)
    with (
        tqdm(total=config.max_queries, unit="query", disable=args.json, delay=DELAY) as bar,
        warnings.catch_warnings(action="ignore", category=NotAttacked),  # said in words below
    ):
        result = attack.run(
            image[None],
            torch.tensor([label]),
            indices=torch.tensor([index]),
            report=lambda search: _show(bar, search),
        )
    outcome = result.outcomes[0]
    if args.out and outcome.success:
        write_out(args.out, to_png(outcome.apply(image)))
    if args.json:
        print_json(describe(result, data))
    else:
        print(in_words(result, data, args.out))
    return 0


def describe(result: AttackResult, data: DataSet) -> dict[str, Any]:
    """One image's result as the flat JSON that `attack --json` prints."""
    outcome = result.outcomes[0]
    return {
        "model": result.model,
        "method": result.config.method,
        "status": outcome.status,
        "success": outcome.success,
        "queries": outcome.queries,
        "generations": outcome.generations,
        "side": result.config.side if result.config.method is Method.PATCH else None,
        "pixels": [asdict(edit) for edit in outcome.edits],
        "label": outcome.label,
        "label_before": outcome.label_before,
        "label_after": outcome.label_after,
        "class_before": data.class_name(outcome.label_before),
        "class_after": data.class_name(outcome.label_after),
        "confidence_before": outcome.confidence_before,
        "confidence_after": outcome.confidence_after,
        "true_before": outcome.true_before,
        "true_after": outcome.true_after,
        "seed": result.config.seed,
        "index": outcome.index,
        "config": asdict(result.config),
        "versions": result.versions,
        "seconds": result.seconds,
    }


def in_words(result: AttackResult, data: DataSet, out: Path | None = None) -> str:
    """One image's outcome in a sentence or two."""
    outcome = result.outcomes[0]
    true, before = data.class_name(outcome.label), data.class_name(outcome.label_before)
    if outcome.status is Status.MISCLASSIFIED:
        return not_attacked(data, outcome.label, outcome.label_before)
    edits = _edits(result.config, outcome)
    by = "" if result.config.method is Method.DE else f" of {result.config.method.words}"
    spent = f"{outcome.queries:,} queries{by}"
    if not outcome.success:
        return (
            f"The {true} survived {spent}; the closest was {edits}, which left "
            f"{percent(outcome.true_after)} {true}."
        )
    saved = f" Written to {out}." if out else ""
    after = f"{data.class_name(outcome.label_after)} ({percent(outcome.confidence_after)})"
    return (
        f"{before} ({percent(outcome.confidence_before)}) became {after} after {spent}: {edits}."
        f"{saved}"
    )


def _edits(config: OnePixelConfig, outcome: Outcome) -> str:
    """Every pixel changed, or how many of them, where a sentence could not hold all."""
    if config.method is Method.PATCH:
        corner = outcome.edits[0]
        return f"{config.words} at ({corner.x}, {corner.y}) (its pixels with --json)"
    if len(outcome.edits) > MOST_NAMED:
        return f"{len(outcome.edits)} pixels (all of them with --json)"
    return "; ".join(f"pixel ({e.x}, {e.y}) to rgb{e.rgb}" for e in outcome.edits)


def _config(args: argparse.Namespace, data: DataSet | None) -> OnePixelConfig:
    for option in ("epsilon", "steps"):
        if getattr(args, option) is not None:
            raise InputError(
                f"--{option} is {getattr(args, option)}, which is of fgsm and pgd; leave it out, "
                "or choose --method pgd."
            )
    pixels, method = args.pixels, args.method or Method.DE
    if method not in set(Method):
        known = ", ".join((*Method, *SHIFTS))
        raise InputError(f"There is no method '{shown(method)}'; the known ones are: {known}.")
    if method == Method.PATCH and args.side is None and pixels == 1:
        raise InputError(f"{method} replaces a square; give its --side, from 1 to {SIDES[1]}.")
    if args.side is not None:
        if pixels != 1 or args.method not in (None, Method.PATCH):
            raise InputError("--side is of a patch; leave out --pixels and --method.")
        if not SIDES[0] <= args.side <= SIDES[1]:
            raise InputError(f"side is {args.side}, but must lie between 1 and {SIDES[1]}.")
        pixels, method = args.side**2, Method.PATCH
    budget = BUDGETS.get(method, BUDGETS[Method.DE])
    asked = (args.population, args.generations)
    population, generations = (
        usual if given is None else given for given, usual in zip(asked, budget, strict=True)
    )
    return OnePixelConfig(
        pixels=pixels,
        method=method,
        population=population,
        generations=generations,
        strategy=args.strategy,
        fitness=args.fitness,
        stop=args.stop,
        target=None if data is None or args.target is None else data.class_number(args.target),
        l2_penalty=args.l2_penalty,
        recombination=args.recombination,
        seed=args.seed,
    )


def _image(args: argparse.Namespace, data: DataSet, scorer: ModelOracle) -> tuple[Tensor, int, int]:
    """The image, its true class, and the index that fixes its random numbers."""
    image, label, index = chosen_picture(args, data)
    if label is None:
        label = int(scorer.verify_float32(image[None]).argmax())
    return image, label, index


def _check_target(label: int, target: int | None) -> None:
    if label == target:
        raise InputError(
            f"The target {target} is already the image's class; choose another target."
        )


def _show(bar: tqdm, search: Search) -> None:  # type: ignore[type-arg]
    bar.n = int(search.state.queries[0])
    bar.set_postfix(generation=search.step - 1, refresh=False)
    bar.refresh()
