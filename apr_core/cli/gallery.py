"""`gallery`: make the shipped gallery of verified runs again."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from apr_core.base.files import write_whole
from apr_core.base.paths import check_checkout
from apr_core.cli.common import Subparsers
from apr_core.data.registry import DEFAULT
from apr_core.serving.gallery import (
    PLANS,
    gallery_file,
    make_gallery,
    make_race,
    race_file,
    request_of,
    save_gallery,
)
from apr_core.serving.run_export import START_RUN, run_and_record, to_json
from apr_core.zoo.checkpoints import model_names

RACERS = ("at", "it", "dd", "apr", "apr-plus")
"""Defences of the recorded race, beside no defence."""


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("gallery", help="make the gallery of verified runs again")
    parser.add_argument("--data", choices=PLANS, default=DEFAULT)
    parser.add_argument("--vanilla", help="the undefended model, if not the usual one")
    parser.add_argument("--defended")
    parser.add_argument("--images", type=int, help="of the sample, how many are tried")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    check_checkout("gallery")
    given = {name: getattr(args, name) for name in ("vanilla", "defended", "images")}
    plan = replace(PLANS[args.data], **{name: one for name, one in given.items() if one})
    entries = make_gallery(plan, _say)
    path = gallery_file(args.data)
    save_gallery(entries, path)
    print(f"{len(entries)} runs are in {path}.")
    known = model_names()
    racers = [name for one in RACERS if (name := f"{args.data}-resnet20-{one}") in known]
    if racers:
        race = race_file(args.data)
        save_gallery(make_race(entries[0], (plan.vanilla, *racers), _say), race)
        print(f"The first is a race in {race}.")
    if args.data == DEFAULT:
        write_whole(START_RUN, to_json(run_and_record(request_of(entries[0]))) + "\n")
        print(f"The first is a recording in {START_RUN}.")
    return 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
