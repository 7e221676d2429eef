"""`bench --overhead`: its options, and its record in words."""

from __future__ import annotations

import argparse

from apr_core.models import ARCHITECTURES
from apr_core.models.precision import precision_name
from benchmarks.speed.overhead import (
    REFERENCE,
    TRAINED,
    WHOLE,
    InferenceCost,
    OverheadConfig,
    OverheadResult,
    TrainingCost,
)

DEFAULT = OverheadConfig()
OPTIONS = {
    "architecture": "",
    "defences": ",".join(DEFAULT.defences),
    "steps": DEFAULT.steps,
    "batch_size": DEFAULT.batch_size,
    "inference_batch": DEFAULT.inference_batch,
}
"""What goes with --overhead; an architecture goes with the attack too."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `OPTIONS` and the option itself."""
    group = parser.add_argument_group("what a defence costs in training and in inference")
    group.add_argument("--overhead", action="store_true", help="measure this instead")
    group.add_argument(
        "--architecture",
        help=f"{', '.join(ARCHITECTURES)}; without --overhead, with random weights in place of "
        "--model",
    )
    group.add_argument("--defences", help=f"several, with commas between: {', '.join(TRAINED)}")
    group.add_argument("--steps", type=int, help="of training in one measurement; more on a GPU")
    group.add_argument("--batch-size", type=int, help="of training")
    group.add_argument("--inference-batch", type=int, help="images in a forward pass")
    parser.set_defaults(**OPTIONS)


def config_of(args: argparse.Namespace) -> OverheadConfig:
    """What was asked for."""
    names = tuple(dict.fromkeys(name.strip() for name in args.defences.split(",")))
    return OverheadConfig(
        args.architecture or DEFAULT.architecture,
        names,
        batch_size=args.batch_size,
        steps=args.steps,
        rounds=args.rounds,
        inference_batch=args.inference_batch,
    )


def in_words(result: OverheadResult) -> str:
    """The record as a few lines."""
    paper = result.paper or {}
    precision = precision_name(bool(result.config["mixed_precision"]))
    lines = [
        f"{result.architecture} on {result.hardware}, training in {precision}; medians of "
        f"{result.config['rounds']} rounds (95 % interval)"
    ]
    lines += [_training_line(cost, paper.get("training")) for cost in result.training]
    lines += [_inference_line(cost, paper.get("inference")) for cost in result.inference]
    return "\n".join(lines)


def _training_line(cost: TrainingCost, paper: float | None) -> str:
    if cost.defence == REFERENCE:
        taken = f"{cost.seconds_per_step:.3g} s a step, {cost.seconds_per_epoch:,.0f} s an epoch"
    else:
        taken = _times(cost, paper if cost.defence in WHOLE else None)
    return f"training, {cost.defence}: {taken}"


def _inference_line(cost: InferenceCost, paper: float | None) -> str:
    if cost.defence == REFERENCE:
        taken = f"{cost.seconds_per_image * 1000:.3g} ms an image"
    else:
        taken = _times(cost, paper if cost.defence in WHOLE else None)
    return f"inference as {cost.form}, {cost.defence}: {taken}"


def _times(cost: TrainingCost | InferenceCost, paper: float | None) -> str:
    times = f"{1 + cost.overhead:.2f} times vanilla"
    if cost.interval:
        times += " ({:.2f} to {:.2f})".format(*(1 + end for end in cost.interval))
    return times if paper is None else f"{times}; the paper says {1 + paper:.3f}"
