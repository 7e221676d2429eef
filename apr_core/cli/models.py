"""`models`: what is in the zoo, and how other models are named."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from apr_core.cli.common import Subparsers, add_json, print_json
from apr_core.report.imagenet import notices
from apr_core.zoo.checkpoints import Card, caution_of, list_cards, load_model, missing_weights
from apr_core.zoo.library import LITE0, load_library
from apr_core.zoo.library.efficientnet_lite0 import LICENCE, SOURCE

LIBRARIES = (
    f"{LITE0:32} ImageNet's 1,000 classes, 224 x 224 pixels; weights from {SOURCE} ({LICENCE})",
    "Others by name, for each command's --model: torchvision:NAME[:WEIGHTS], as in "
    "torchvision:resnet50, and timm:NAME[.TAG], as in timm:resnet18.a1_in1k; the weights are "
    "fetched once. A file of weights may stand in the last place, as in "
    "torchvision:resnet50:FILE.safetensors. Your own model: package.module:factory, or a file "
    "(.onnx, .pt2, TorchScript).",
)


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
        load_library(LITE0)
    for sentence in filter(None, map(missing_weights, cards)):
        print(sentence, file=sys.stderr)
    if args.json:
        print_json([asdict(card) for card in cards])
    else:
        own = (
            map(_line, cards) if cards else ["No models yet; `python -m apr_core train` makes one."]
        )
        said = notices((card.sha256, card.dataset) for card in cards)
        print("\n".join([*own, *said, *LIBRARIES]))
    return 0


def _line(card: Card) -> str:
    caution = caution_of(card)
    return (
        f"{card.name:32} {card.clean_accuracy:7.2%} clean (n = {card.tested:,}), "
        f"{card.epochs} epochs, seed {card.seed}, {card.hardware}"
        f"{f'; {caution}' if caution else ''}{'; weights missing' if missing_weights(card) else ''}"
    )
