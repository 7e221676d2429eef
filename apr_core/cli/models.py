"""`models`: what is in the zoo."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from apr_core.cli.common import Subparsers, add_json, print_json
from apr_core.zoo.checkpoints import Card, caution_of, list_cards, load_model, missing_weights


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("models", help="list the trained models")
    parser.add_argument("--verify", action="store_true", help="load each and check its hash")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List the cards."""
    cards = list_cards()
    if args.verify:
        for card in cards:
            load_model(card.name)
    for sentence in filter(None, map(missing_weights, cards)):
        print(sentence, file=sys.stderr)
    if args.json:
        print_json([asdict(card) for card in cards])
    else:
        print(
            "\n".join(map(_line, cards)) or "No models yet; `python -m apr_core train` makes one."
        )
    return 0


def _line(card: Card) -> str:
    caution = caution_of(card)
    return (
        f"{card.name:32} {card.clean_accuracy:7.2%} clean (n = {card.tested:,}), "
        f"{card.epochs} epochs, seed {card.seed}, {card.hardware}"
        f"{f'; {caution}' if caution else ''}{'; weights missing' if missing_weights(card) else ''}"
    )
