"""`attack --method fgsm` and `pgd`: every pixel of one picture is changed a little."""

from __future__ import annotations

import argparse
import time

from torch import Tensor
from tqdm import tqdm

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.gradient import EPSILON
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.shift import ShiftConfig, ShiftStep, describe_shift, has_flipped, shift
from apr_core.attacks.stages import PGD_STEPS
from apr_core.base.types import InputError
from apr_core.base.words import percent
from apr_core.cli.common import (
    DELAY,
    check_gradient,
    epsilon_of,
    not_attacked,
    print_json,
    write_out,
)
from apr_core.data.dataset import DataSet
from apr_core.data.images import to_png
from apr_core.zoo.target import TargetModel

SHIFTS = ("fgsm", "pgd")
OTHERS = ("population", "generations", "side", "target")
"""Options of the other attacks, None by default."""
SET = ("pixels", "strategy", "fitness", "stop", "l2_penalty", "recombination")
"""The same, each with a default of `OnePixelConfig`."""


def shift_config(args: argparse.Namespace) -> ShiftConfig:
    """What was asked for.

    Raises:
        InputError: an option is of other attacks, or a number cannot be.
    """
    usual, method = OnePixelConfig(), args.method
    given = [name for name in OTHERS if getattr(args, name) is not None]
    given += [name for name in SET if getattr(args, name) != getattr(usual, name)]
    if given:
        option = given[0].replace("_", "-")
        raise InputError(f"--{option} means nothing to {method}; leave it out.")
    if method == "fgsm" and args.steps is not None:
        raise InputError("fgsm makes one step; leave --steps out, or choose --method pgd.")
    if method == "pgd" and args.steps == 1:
        raise InputError("--steps is 1, but pgd of one step is fgsm; use 2 or more.")
    epsilon = epsilon_of(args.epsilon)
    if epsilon is None:
        epsilon = EPSILON
    if not 0 <= epsilon <= 1:
        raise InputError(f"--epsilon is {args.epsilon}, but must lie between 0 and 1.")
    reach = round(255 * epsilon)
    if abs(reach - 255 * epsilon) > 1e-6:
        raise InputError(
            f"--epsilon is {args.epsilon}, but the values of a picture are whole 255ths; write it "
            f"as {reach}/255."
        )
    usual_steps = 1 if method == "fgsm" else PGD_STEPS
    return ShiftConfig(reach, usual_steps if args.steps is None else args.steps, args.seed)


def run_shift(
    args: argparse.Namespace,
    config: ShiftConfig,
    target: TargetModel,
    oracle: ModelOracle,
    picture: tuple[Tensor, int, int],
) -> None:
    """Attack, and print how it went.

    Args:
        picture: uint8 (C, H, W), its true class, and its index.

    Raises:
        InputError: the model gives no gradient.
    """
    check_gradient(target, args.method)
    image, label, index = picture
    started, steps = time.monotonic(), list[ShiftStep]()
    with tqdm(total=config.steps, unit="step", disable=args.json, delay=DELAY) as bar:
        for step in shift(oracle, image, label, config, index):
            bar.update(1 if steps else 0)
            steps.append(step)
    seconds = time.monotonic() - started
    saved = ""
    if args.out and has_flipped(steps, label):
        write_out(args.out, to_png(steps[-1].image))
        saved = f" Written to {args.out}."
    if args.json:
        print_json(describe_shift(args.model, target.data, label, index, config, steps, seconds))
    else:
        print(in_words(config, steps, label, target.data) + saved)


def in_words(config: ShiftConfig, steps: list[ShiftStep], label: int, data: DataSet) -> str:
    """How it went, in a sentence."""
    first, last = (steps[k].probabilities for k in (0, -1))
    before, after = int(first.argmax()), int(last.argmax())
    if before != label:
        return not_attacked(data, label, before)
    made = len(steps) - 1
    spent = f"{made} {'step' if made == 1 else 'steps'} of {config.name}"
    reach = f"{config.reach} of 255 in every value of a pixel at most"
    true = data.class_name(label)
    if after == label:
        left = percent(float(last[label]))
        return f"The {true} survived {spent}, {reach}; {left} {true} was left."
    return (
        f"{true} ({percent(float(first[label]))}) became {data.class_name(after)} "
        f"({percent(float(last[after]))}) after {spent}, {reach}."
    )
