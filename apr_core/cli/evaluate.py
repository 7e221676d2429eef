"""`evaluate`: attack success rate with a confidence interval, on a fixed set of images."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial

import torch
from torch import Tensor
from tqdm import tqdm

from apr_core.attacks.gradient import EPSILON
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.stages import PGD_STEPS, STAGES
from apr_core.base.hardware import default_device
from apr_core.base.types import InputError
from apr_core.cli.common import (
    DELAY,
    Subparsers,
    add_data,
    add_dense,
    add_device,
    add_json,
    add_model,
    add_ray,
    chosen_device,
    epsilon_of,
    print_json,
    rate_words,
)
from apr_core.data.dataset import DataSet
from apr_core.evaluation.journal import Dispatcher, Entries
from apr_core.evaluation.protocol import EvalProgress, EvalTask, evaluate, setting_for
from apr_core.evaluation.record import Level, Record, Setting, epsilon_words, save_record
from apr_core.models.inputs import as_input
from apr_core.models.precision import SAMPLE, forward_over_float32
from apr_core.report.imagenet import notices
from apr_core.serving.ray.tasks import describe_cluster, spread
from apr_core.training.workers import join_workers, worker_device
from apr_core.zoo.external import check_images
from apr_core.zoo.target import TargetModel, load_target

LADDER_NAME = "ladder"


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure how often a model falls to few pixels",
        description="Attack the first test images of a fixed order. What is interrupted goes on "
        "where it was when the same command is given again; images that a record of the same on "
        "more or fewer images has already are taken from it. What has ended is measured again, and "
        "its record replaced.",
    )
    add_model(parser)
    add_data(parser)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--attack", default=LADDER_NAME, help=f"{LADDER_NAME}, {', '.join(STAGES)}")
    parser.add_argument("--pixels", default="1", help="k, or several as in 1,3")
    parser.add_argument(
        "--epsilon",
        help=f"how far fgsm and pgd may change every pixel; by default {epsilon_words(EPSILON)}",
    )
    parser.add_argument(
        "--side",
        type=int,
        default=0,
        help="attack with a patch, a square of so many pixels a side, instead of single pixels",
    )
    parser.add_argument("--steps", type=int, default=PGD_STEPS, help="of pgd")
    parser.add_argument("--restarts", type=int, default=1, help="of pgd, each on what is left")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--all", action="store_true", help="try every attack on every image, broken or not"
    )
    parser.add_argument("--draws", type=int, default=1, help="answers averaged, of a random model")
    parser.add_argument("--half", action="store_true", help="search in half precision")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="search on machine code made of the model: half a minute more before the first image, "
        "less for each",
    )
    parser.add_argument(
        "--lattice",
        type=int,
        default=0,
        help="attack the model behind lattice masking of this spacing, end to end",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes; on GPUs, one each")
    add_ray(parser, "the images")
    add_dense(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the record."""
    if args.workers != 1 and args.ray:
        raise InputError(
            f"--workers {args.workers} and --ray were both given; leave one of them out."
        )
    if args.workers != 1:
        return _share(args)
    device = worker_device(chosen_device(args))
    target, setting, notes = _asked(args, device)
    with join_workers(device) as workers:
        silent = args.json or not workers.first
        with tqdm(total=setting.images, unit="image", disable=silent, delay=DELAY) as bar:
            spread = partial(_on_ray, args) if args.ray else None
            record = evaluate(
                target,
                setting,
                lambda progress: _show(bar, progress),
                workers,
                spread,
            )
    if record is not None and args.ray:
        record = replace(record, hardware=describe_cluster(args.ray))
    if record is not None:
        record = replace(record, notes=[*notes, *record.notes])
        path = save_record(record)
        if args.json:
            print_json(summary(record))
        else:
            print(in_words(record))
            print(f"The record is {path}.")
    return 0


def _asked(
    args: argparse.Namespace, device: torch.device
) -> tuple[TargetModel, Setting, tuple[str, ...]]:
    """The model and what is to be done with it, and what a check of a user's own has to say.

    Raises:
        InputError: there is no such model, or it cannot be evaluated so.
    """
    target, notes = load_target(args.model, device, args.draws > 1, args.data)
    setting = setting_for(
        target,
        args.attack,
        pixels_of(args.pixels),
        args.images,
        args.seed,
        not args.all,
        args.draws,
        args.half,
        args.lattice,
        args.compile,
        epsilon_of(args.epsilon),
        args.side,
        args.steps,
        args.restarts,
    )
    if args.half and device.type == "cpu" and not args.json:
        _tell_if_slow(target)
    return target, setting, notes


def _tell_if_slow(target: TargetModel) -> None:
    """Say so where bfloat16, which --half searches in on a processor, costs time."""
    images, _ = check_images(target.data, SAMPLE)
    ratio = forward_over_float32(target.model, as_input(images))
    if ratio > 1:
        print(
            f"On this processor a forward pass takes {ratio:.1f} times as long in bfloat16 as in "
            "float32; leave --half out to be done sooner.",
            file=sys.stderr,
        )


def pixels_of(text: str) -> tuple[int, ...]:
    """The numbers in "1" or "1,3".

    Raises:
        InputError: the text has others.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--pixels is '{text[:40]}'; write 1, or several as in 1,3.") from None


def _on_ray(args: argparse.Namespace, task: EvalTask) -> Dispatcher:
    """Have groups of images looked at by the machines of a cluster."""

    def deal(groups: list[Tensor]) -> Iterator[tuple[Entries, float]]:
        far = partial(_look, args.model, args.draws > 1, task)
        return (came for _, came in spread(far, groups, args.ray))

    return deal


def _look(model: str, randomised: bool, task: EvalTask, places: Tensor) -> tuple[Entries, float]:
    """What became of a group of images, and the seconds it took."""
    started = time.monotonic()
    oracle, data = _scorer(model, randomised, task.setting)
    entries = replace(task, data=data)(oracle, places)
    return entries, time.monotonic() - started


@lru_cache(maxsize=1)
def _scorer(model: str, randomised: bool, setting: Setting) -> tuple[ModelOracle, DataSet]:
    target, _ = load_target(model, default_device(), randomised, setting.data)
    return EvalTask(setting, {}, target.data).oracle(target.model), target.data


def _share(args: argparse.Namespace) -> int:
    """Start as many processes, which share the images."""
    if not 1 <= args.workers <= 64:
        raise InputError(f"workers is {args.workers}, but must lie between 1 and 64.")
    _asked(args, torch.device("cpu"))  # one sentence here, or a traceback from each process
    asked = {**vars(args), "workers": 1}
    words = ["evaluate", *_options(asked)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += [f"--nproc-per-node={args.workers}", "-m", "apr_core", *words]
    return subprocess.run(launch, check=False).returncode


def _options(asked: dict[str, object]) -> list[str]:
    """The command line that says the same."""
    flags = [f"--{name}" for name, value in asked.items() if value is True]
    values = [
        f"--{name}={value}"
        for name, value in asked.items()
        if isinstance(value, str | int) and not isinstance(value, bool) and value != ""
    ]
    return values + flags


def summary(record: Record) -> dict[str, object]:
    """What `evaluate --json` prints: the rates at the most pixels, then the record without what
    became of each image."""
    entry = json.loads(record.to_json())
    del entry["verdicts"]
    for level in entry["levels"]:
        del level["curve"]
    last = record.levels[-1]
    clean = record.clean_all or record.clean
    return {
        "model": record.setting.model,
        "clean_accuracy": clean.rate,
        "asr": last.asr.rate,
        "asr_interval": [last.asr.low, last.asr.high] if last.asr.total else None,
        "robust_accuracy": last.robust.rate,
        "images": record.setting.images,
        "attacked": last.asr.total,
        "cautions": list(notices([(record.setting.sha256, record.setting.data)])),
        **entry,
    }


def in_words(record: Record) -> str:
    """The record as a few lines."""
    setting = record.setting
    lines = [f"{setting.subject} against {setting.attack}, seed {setting.seed}"]
    if record.clean_all:
        lines.append(f"clean accuracy        {rate_words(record.clean_all)} test images")
    lines += [line for level in record.levels for line in _level(setting, level)]
    return "\n".join([*lines, *record.notes, *notices([(setting.sha256, setting.data)])])


def _level(setting: Setting, level: Level) -> list[str]:
    caught = ", ".join(f"{name} {count}" for name, count in level.caught.items() if count)
    success = "no success rate, for the model got no image right and none was attacked"
    if level.asr.total:
        success = f"success rate {rate_words(level.asr)} it got right"
        success += f" ({caught})" if caught else ""
    return [
        f"{setting.reach(level.pixels)}: {success}",
        f"         robust       {rate_words(level.robust)} images",
    ]


def _show(bar: tqdm, progress: EvalProgress) -> None:  # type: ignore[type-arg]
    bar.n = progress.done
    bar.set_postfix(broken=f"{progress.broken}/{progress.attacked}", refresh=False)
    bar.refresh()
