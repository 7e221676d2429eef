"""`train`: train a model and keep its checkpoint."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from apr_core.base import schema
from apr_core.base.hardware import default_device
from apr_core.base.paths import check_checkout
from apr_core.base.types import InputError
from apr_core.cli.common import (
    DATA_HELP,
    Subparsers,
    add_device,
    add_json,
    add_ray,
    chosen_device,
    print_json,
)
from apr_core.data.dataset import DataSet
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.defences import DEFENCES
from apr_core.defences.recipe import PRESETS, TrainConfig
from apr_core.models import ARCHITECTURES
from apr_core.report.imagenet import notices
from apr_core.serving.ray.tasks import spread
from apr_core.training.fit import Progress
from apr_core.training.trainer import (
    TORCHVISION,
    TrainRequest,
    find_finished,
    seed_requests,
    train,
    write_seeds,
)
from apr_core.training.workers import Workers, join_workers, worker_device
from apr_core.zoo.checkpoints import Card, checkpoint_files, receive_checkpoint

MOST_SEEDS = 100
EXTRA_KEYS = ("epochs", "batch_size", "learning_rate", "mixed_precision", "subset")


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "train",
        help="train a model and write its checkpoint and card",
        description="Train a model. What is interrupted goes on where it was when the same command "
        "is given again. Under torchrun, all its processes train one model together.",
    )
    parser.add_argument(
        "--request", help="the whole request as JSON, in place of the options that make one"
    )
    parser.add_argument("--data", default=DEFAULT, help=DATA_HELP)
    parser.add_argument("--architecture", default="resnet20", help=", ".join(ARCHITECTURES))
    parser.add_argument(
        "--from",
        dest="start",
        default="",
        help=f"begin with trained weights: {TORCHVISION}, or a checkpoint of the same architecture",
    )
    parser.add_argument("--defence", default="vanilla", help=", ".join(DEFENCES))
    parser.add_argument("--preset", default="fast", help=", ".join(PRESETS))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int, help="of all processes together")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument(
        "--mixed-precision",
        action=argparse.BooleanOptionalAction,
        help="bfloat16 where it is safe, or float32; by default the faster one on this machine",
    )
    parser.add_argument("--subset", type=int, help="train on the first so many images only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", help="several, as in 0-4 or 0,3,7: only the first is shipped")
    parser.add_argument("--name", default="", help="by default DATA-ARCHITECTURE-DEFENCE-MARK")
    parser.add_argument("--notes", default="", help="a sentence for the card")
    parser.add_argument(
        "--ship", action="store_true", help="put it among the project's own checkpoints"
    )
    parser.add_argument(
        "--probe", action="store_true", help="after each epoch, attack a few images"
    )
    parser.add_argument("--log", type=Path, help="append a line of JSON here at each report")
    parser.add_argument("--out", type=Path, help="with --seeds: write their figures here")
    add_ray(parser, "the seeds")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; a run that was interrupted goes on where it was."""
    requests = requests_of(args)
    if any(request.ship for request in requests):
        check_checkout("--ship")
    if args.ray:
        _show(args, _train_on_ray(args, requests))
        return 0
    device = worker_device(chosen_device(args))
    cards = []
    with join_workers(device) as workers, Reporter(args, silent=not workers.first) as report:
        data = _fetch(requests[0].data, workers)
        for request in requests:
            card = find_finished(request) if args.seeds else None
            report.describe(request)
            cards.append(
                card or train(request, data, device, report, args.notes, args.probe, workers)
            )
        if workers.first:
            _show(args, cards)
    return 0


def _train_on_ray(args: argparse.Namespace, requests: list[TrainRequest]) -> list[Card]:
    """Have each seed trained by a machine of a cluster, and keep what comes.

    Raises:
        InputError: there is one seed only.
    """
    if len(requests) == 1:
        raise InputError(f"--ray {args.ray} trains several seeds at once; give --seeds, as in 0-4.")
    cards: dict[int, Card] = {}
    with tqdm(total=len(requests), unit="seed", disable=args.json) as bar:
        far = partial(_train_here, args.notes, args.probe)
        for place, (card, files) in spread(far, requests, args.ray):
            receive_checkpoint(files, own=not requests[place].ship)
            cards[place] = card
            bar.update()
    return [cards[place] for place in range(len(requests))]


def _train_here(notes: str, probe: bool, request: TrainRequest) -> tuple[Card, dict[str, bytes]]:
    """Train one seed on whichever machine this is; its card, and its checkpoint's files."""
    card = find_finished(request)
    if card is None:
        data = find_dataset(request.data)
        data.fetch("auto", print)
        card = train(request, data, default_device(), notes=notes, probe=probe)
    return card, checkpoint_files(card.name)


def _fetch(name: str, workers: Workers) -> DataSet:
    """The data set, which the first worker fetches while the others wait."""
    data = find_dataset(name)
    if workers.first:
        data.fetch("auto", lambda sentence: tqdm.write(sentence, file=sys.stderr))
    workers.wait()
    return data


def requests_of(args: argparse.Namespace) -> list[TrainRequest]:
    """What was typed, once for each seed."""
    asked = request_of(args)
    return seed_requests(asked, seeds_of(args.seeds)) if args.seeds else [asked]


def request_of(args: argparse.Namespace) -> TrainRequest:
    """What was typed, or the request that was given whole.

    Raises:
        InputError: `--request` is not one.
    """
    if args.request is None:
        return TrainRequest(
            args.architecture,
            args.defence,
            config_of(args),
            args.name,
            args.ship,
            args.data,
            args.start,
        )
    try:
        return schema.build(TrainRequest, schema.parse(args.request))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f"--request is not a training as JSON ({error}); leave it out and name the settings."
        ) from None


def config_of(args: argparse.Namespace) -> TrainConfig:
    """The settings: the request's, or the preset with what was typed on top."""
    if args.request is not None:
        return request_of(args).config
    typed = {name: getattr(args, name) for name in EXTRA_KEYS if getattr(args, name) is not None}
    return replace(PRESETS.get(args.preset), seed=args.seed, **typed)


def seeds_of(text: str) -> list[int]:
    """The seeds in "0-4" or "0,3,7".

    Raises:
        InputError: the text is neither, or means none or more than `MOST_SEEDS`.
    """
    seeds: list[int] = []
    if re.fullmatch(r"\d{1,9}-\d{1,9}", text):
        first, last = map(int, text.split("-"))
        seeds = list(range(first, min(last, first + MOST_SEEDS) + 1))
    elif re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        seeds = sorted(set(map(int, text.split(","))))
    if not 1 <= len(seeds) <= MOST_SEEDS:
        raise InputError(
            f"--seeds is '{text[:40]}'; write 0-4 or 0,3,7, and at most {MOST_SEEDS} of them."
        )
    return seeds


class Reporter:
    """Shows progress on a bar and, if asked, in a file; one worker of several does so."""

    def __init__(self, args: argparse.Namespace, silent: bool) -> None:
        self._bar = tqdm(unit="step", disable=silent or args.json)
        self._log = None if silent else args.log

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def describe(self, request: TrainRequest) -> None:
        """Say what comes next."""
        if not self._bar.disable:
            self._bar.write(f"{request.name}, seed {request.config.seed}", file=sys.stderr)

    def __call__(self, progress: Progress) -> None:
        self._bar.total = progress.epochs * progress.steps
        self._bar.n = (progress.epoch - 1) * progress.steps + progress.step
        self._bar.set_description(f"epoch {progress.epoch}/{progress.epochs}", refresh=False)
        self._bar.set_postfix(
            loss=f"{progress.loss:.3f}", accuracy=f"{progress.accuracy:.1%}", refresh=False
        )
        self._bar.refresh()
        if self._log:
            with self._log.open("a") as log:
                log.write(json.dumps(asdict(progress)) + "\n")


def _show(args: argparse.Namespace, cards: list[Card]) -> None:
    if args.out:
        write_seeds(args.out, cards)
    if args.json:
        print_json([asdict(card) for card in cards] if args.seeds else asdict(cards[0]))
        return
    for card in cards:
        print(f"{card.name}: {card.clean_accuracy:.2%} of {card.tested:,} test images.")
    for notice in notices((card.sha256, card.dataset) for card in cards):
        print(notice)
