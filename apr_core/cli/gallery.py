"""`gallery`: make the shipped gallery of verified runs again."""

from __future__ import annotations

import argparse
import sys

from apr_core.base.files import write_whole
from apr_core.base.paths import check_checkout
from apr_core.cli.common import Subparsers
from apr_core.serving.gallery import GALLERY, Plan, make_gallery, request_of, save_gallery
from apr_core.serving.run_export import START_RUN, run_and_record, to_json


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
    entries = make_gallery(plan, lambda sentence: print(sentence, file=sys.stderr, flush=True))
    save_gallery(entries)
    write_whole(START_RUN, to_json(run_and_record(request_of(entries[0]))) + "\n")
    print(f"{len(entries)} runs are in {GALLERY}, the first as a recording in {START_RUN}.")
    return 0
