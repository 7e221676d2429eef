"""`gallery`: make the shipped gallery of verified runs again."""

from __future__ import annotations

import argparse
import sys

from apr_core.base.files import write_whole
from apr_core.base.paths import check_checkout
from apr_core.cli.common import Subparsers
from apr_core.serving.gallery import (
    GALLERY,
    RACE,
    Plan,
    make_gallery,
    make_race,
    request_of,
    save_gallery,
)
from apr_core.serving.run_export import START_RUN, run_and_record, to_json

RACERS = tuple(f"cifar10-resnet20-{name}" for name in ("at", "it", "dd", "apr", "apr-plus"))
"""Of the recorded race, beside the undefended model."""


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("gallery", help="make the gallery of verified runs again")
    parser.add_argument("--vanilla", default="cifar10-resnet20-vanilla")
    parser.add_argument("--defended", default="cifar10-resnet20-apr")
    parser.add_argument("--images", type=int, default=Plan.images)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    check_checkout("gallery")
    plan = Plan(args.vanilla, args.defended, images=args.images)
    entries = make_gallery(plan, _say)
    save_gallery(entries)
    save_gallery(make_race(entries[0], (args.vanilla, *RACERS), _say), RACE)
    write_whole(START_RUN, to_json(run_and_record(request_of(entries[0]))) + "\n")
    print(f"{len(entries)} runs are in {GALLERY}, the first as a recording in {START_RUN}.")
    return 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
