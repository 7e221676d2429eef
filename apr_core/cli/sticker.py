"""`sticker`: learn a sticker that turns pictures into a chosen class."""

from __future__ import annotations

import argparse
import io
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from apr_core.attacks.sticker import (
    StickerConfig,
    StickerLearner,
    become_target,
    other_pictures,
)
from apr_core.base.types import InputError
from apr_core.cli.common import (
    DELAY,
    Subparsers,
    add_data,
    add_device,
    add_json,
    add_model,
    check_gradient,
    check_out,
    chosen_target,
    print_json,
    rate_words,
    write_out,
)
from apr_core.data.images import to_pil
from apr_core.data.printing import MOST_CM, to_pdf
from apr_core.evaluation.images import choose_images
from apr_core.evaluation.metrics import rate_of

DEFAULTS = StickerConfig(target=0)


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "sticker",
        help="learn a sticker that turns pictures into a class of your choice",
        description="Learn one square that, stuck anywhere on a picture, turned, resized and lit "
        "at random, makes the model see the target. It is learned on half of the pictures; its "
        "success is counted on the other half, each in a view of its own.",
    )
    add_model(parser)
    add_data(parser)
    parser.add_argument("--target", required=True, help="the class to see, by name or number")
    parser.add_argument("--images", type=int, default=200, help="test images, both halves together")
    parser.add_argument("--side", type=int, default=DEFAULTS.side, help="of the sticker, in pixels")
    parser.add_argument(
        "--smallest",
        type=float,
        default=DEFAULTS.smallest,
        help="its least side on a picture, as a share of the picture's",
    )
    parser.add_argument("--largest", type=float, default=DEFAULTS.largest, help="its greatest")
    parser.add_argument("--turn", type=float, default=DEFAULTS.turn, help="degrees, either way")
    parser.add_argument("--light", type=float, default=DEFAULTS.light, help="lighter or darker by")
    parser.add_argument("--steps", type=int, default=DEFAULTS.steps)
    parser.add_argument("--batch", type=int, default=DEFAULTS.batch, help="pictures in a step")
    parser.add_argument("--rate", type=float, default=DEFAULTS.rate, help="the learning rate")
    parser.add_argument("--seed", type=int, default=DEFAULTS.seed)
    parser.add_argument("--out", type=Path, help="write the sticker, a PNG or a PDF, here")
    parser.add_argument(
        "--width", type=float, default=10.0, help="of the sticker in the PDF, in centimetres"
    )
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Learn the sticker, count its success, and write it."""
    check_out(args.out)
    if not 1 <= args.width <= MOST_CM:
        raise InputError(f"--width is {args.width}, but must lie between 1 and {MOST_CM} cm.")
    chosen = chosen_target(args)
    check_gradient(chosen, "a sticker")
    names = ("side", "smallest", "largest", "turn", "light", "steps", "batch", "rate", "seed")
    config = StickerConfig(
        chosen.data.class_number(args.target), **{name: getattr(args, name) for name in names}
    )
    if args.images < 2:
        raise InputError(f"--images is {args.images}; take 2 or more, half of them to learn on.")
    images, labels, _ = choose_images(chosen.data, args.images)
    half = args.images // 2
    learner = StickerLearner(chosen.model, images[:half], labels[:half], config)
    with tqdm(total=config.steps, unit="step", disable=args.json, delay=DELAY) as bar:
        while learner.live:
            learner.advance()
            bar.set_postfix(loss=f"{learner.loss[-1]:.2f}", refresh=False)
            bar.update()
    others = other_pictures(images[half:], labels[half:], config.target)
    counts = {
        "success": become_target(chosen.model, others, config, learner.sticker),
        "without": become_target(chosen.model, others, config),
    }
    success, without = (rate_of(int(found.sum()), len(others)) for found in counts.values())
    if args.out:
        shown = to_pil((255 * learner.sticker).round().to(torch.uint8).cpu())
        file, name = io.BytesIO(), chosen.data.class_name(config.target)
        if args.out.suffix.lower() == ".pdf":
            file.write(to_pdf(shown, args.width, f"“{name}” for {chosen.name}"))
        else:
            shown.save(file, "PNG")
        write_out(args.out, file.getvalue())
    if args.json:
        rates = {"success": asdict(success), "without": asdict(without)}
        print_json({"model": chosen.name, "config": asdict(config), "loss": learner.loss, **rates})
        return 0
    print(
        f"{chosen.name} sees “{chosen.data.class_name(config.target)}” in {rate_words(success)} "
        f"pictures that the sticker was not learned on; without it, in {rate_words(without)}."
    )
    if args.out:
        print(f"Written to {args.out}.")
    return 0
