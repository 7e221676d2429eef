"""`train`: train a model and ship its checkpoint."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace

from tqdm import tqdm

from apr_core.cli.common import Subparsers, add_device, add_json, chosen_device, print_json
from apr_core.data.cifar10 import fetch_cifar10
from apr_core.defences import DEFENCES
from apr_core.models import ARCHITECTURES
from apr_core.trainer import TrainRequest, train
from apr_core.training.fit import Progress
from apr_core.training.recipes import PRESETS, TrainConfig


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("train", help="train a model and write its checkpoint and card")
    parser.add_argument("--architecture", default="resnet20", help=", ".join(ARCHITECTURES))
    parser.add_argument("--defence", default="vanilla", help=", ".join(DEFENCES))
    parser.add_argument("--preset", default="fast", help=", ".join(PRESETS))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument(
        "--mixed-precision",
        action=argparse.BooleanOptionalAction,
        help="bfloat16 where it is safe; slower on processors that lack it",
    )
    parser.add_argument("--subset", type=int, help="train on the first so many images only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="", help="by default cifar10-ARCHITECTURE-DEFENCE")
    parser.add_argument("--notes", default="", help="a sentence for the card")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; a run that was interrupted goes on where it was."""
    request = TrainRequest(args.architecture, args.defence, config_of(args), args.name)
    device = chosen_device(args)
    data = fetch_cifar10(say=lambda sentence: tqdm.write(sentence, file=sys.stderr))
    with tqdm(unit="step", disable=args.json) as bar:
        card = train(request, data, device, lambda progress: _show(bar, progress), args.notes)
    request.state_file.unlink(missing_ok=True)
    if args.json:
        print_json(asdict(card))
    else:
        print(f"{card.name}: {card.clean_accuracy:.2%} of {card.tested:,} test images.")
    return 0


def config_of(args: argparse.Namespace) -> TrainConfig:
    """The preset with what was typed on top."""
    typed = {
        name: getattr(args, name)
        for name in ("epochs", "batch_size", "learning_rate", "mixed_precision", "subset")
        if getattr(args, name) is not None
    }
    return replace(PRESETS.get(args.preset), seed=args.seed, **typed)


def _show(bar: tqdm, progress: Progress) -> None:  # type: ignore[type-arg]
    bar.total = progress.epochs * progress.steps
    bar.n = (progress.epoch - 1) * progress.steps + progress.step
    bar.set_description(f"epoch {progress.epoch}/{progress.epochs}", refresh=False)
    bar.set_postfix(loss=f"{progress.loss:.3f}", accuracy=f"{progress.accuracy:.1%}", refresh=False)
    bar.refresh()
