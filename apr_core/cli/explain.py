"""`explain`: attribution maps of a model's prediction."""

from __future__ import annotations

import argparse
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError
from apr_core.cli.common import (
    Subparsers,
    add_data,
    add_device,
    add_json,
    add_model,
    add_picture,
    check_out,
    chosen_picture,
    chosen_target,
    print_json,
    write_out,
)
from apr_core.data.images import to_pil
from apr_core.explain.attention import ATTENTION, attention_of
from apr_core.explain.attributions import Attribution, attribute
from apr_core.explain.methods import METHODS
from apr_core.explain.task import AttributionConfig
from apr_core.models.inference import device_of

NAMES = (ATTENTION, *METHODS)
SCALE = 12
"""Screen pixels for one pixel of the picture."""
DIM = 0.35
"""What is left of the picture's light under the map."""
TOP = 5
"""Pixels that are named."""
AGAINST, FOR = (66, 135, 245), (245, 105, 55)
"""Colours of what speaks against the class, and for it, in a map with signs."""
HEAT = ((13, 8, 60), (150, 30, 120), (240, 110, 60), (252, 240, 150))
"""Colours of a map without signs, from its lowest value to its highest."""


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "explain",
        help="show what a model looks at in one image",
        description="Map one image: a model's own attention, or an attribution by one of Captum's "
        "methods, with the figure that says how far to trust it.",
    )
    add_model(parser)
    add_data(parser)
    add_picture(parser)
    parser.add_argument("--method", default="integrated-gradients", help=", ".join(NAMES))
    parser.add_argument("--target", help="class to explain; by default what the model says")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--out", type=Path, help="write the map over the picture, a PNG, here")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain, and write what was asked for."""
    config = AttributionConfig(seed=args.seed)
    _check(args)
    chosen = chosen_target(args)
    model, data = chosen.model, chosen.data
    image, _, index = chosen_picture(args, data)
    images = image[None].float().to(device_of(model)) / 255
    with torch.no_grad():
        said = int(model(images).argmax())
    entry: dict[str, Any] = {
        "model": args.model,
        "index": index,
        "method": args.method,
        "label_said": said,
        "class_said": data.class_name(said),
    }
    if args.method == ATTENTION:
        heat, signed = attention_of(model, images)[0], False
        entry |= {"target": None, "class": None, "figure": None}
    else:
        target = said if args.target is None else data.class_number(args.target)
        found = _attribute(args, model, images, target, config)
        heat, signed = found.maps[0], METHODS.get(args.method).signed
        entry |= {"target": target, "class": data.class_name(target), "figure": _figure(found)}
    entry |= {**describe(heat), "config": asdict(config)}
    if args.out:
        file = io.BytesIO()
        overlay(image, heat, signed).save(file, "PNG")
        write_out(args.out, file.getvalue())
    if args.json:
        print_json(entry)
    else:
        print(in_words(entry, args.out))
    return 0


def describe(heat: Tensor) -> dict[str, Any]:
    """A map (H, W) in short: its range, and the pixels that weigh most, whatever their sign."""
    strongest = heat.abs().flatten().argsort(descending=True, stable=True)[:TOP]
    width = heat.shape[1]
    return {
        "lowest": float(heat.min()),
        "highest": float(heat.max()),
        "pixels": [
            {"x": place % width, "y": place // width, "value": float(heat.flatten()[place])}
            for place in strongest.tolist()
        ],
    }


def in_words(entry: dict[str, Any], out: Path | None = None) -> str:
    """The same for a person."""
    pixels = ", ".join(f"({pixel['x']}, {pixel['y']})" for pixel in entry["pixels"])
    subject = f" for {entry['class']}" if entry["class"] else ""
    lines = [
        f"{entry['model']} says {entry['class_said']}.",
        f"The {entry['method']} map{subject} goes from {entry['lowest']:.3g} to "
        f"{entry['highest']:.3g}; the pixels (x, y) that weigh most are {pixels}.",
    ]
    if figure := entry["figure"]:
        lines.append(
            f"Its {figure['name']} is {figure['value']:.3g}, of {figure['scale']:.3g}; the nearer "
            "to 0, the better."
        )
    if out:
        lines.append(f"Written to {out}.")
    return "\n".join(lines)


def overlay(image: Tensor, heat: Tensor, signed: bool) -> Image.Image:
    """A map over its picture, enlarged without blur.

    Args:
        image: uint8 (C, H, W); it stays as a dim grey.
        heat: (H, W).
        signed: colour stands for the sign, and strength for the size as a share of the largest, by
            its square root, or little would show; otherwise from the lowest value to the highest.
    """
    dim = DIM * image.float().mean(0, keepdim=True).expand(3, -1, -1)
    if signed:
        strength = (heat.abs() / heat.abs().max().clamp(min=1e-12)).sqrt()
        sides = torch.tensor([AGAINST, FOR]).float()
        colours = sides[(heat > 0).long()].permute(2, 0, 1)
    else:
        span = heat - heat.min()
        colours = _between(span / span.max().clamp(min=1e-12)).permute(2, 0, 1)
        strength = torch.full_like(heat, 1 - DIM)
    mixed = dim + strength * (colours - dim)
    height, width = heat.shape
    picture = to_pil(mixed.round().clamp(0, 255).to(torch.uint8))
    return picture.resize((width * SCALE, height * SCALE), Image.Resampling.NEAREST)


def _between(values: Tensor) -> Tensor:
    """Colours of `HEAT` for values in [0, 1]: (H, W) -> (H, W, 3)."""
    anchors = torch.tensor(HEAT).float()
    place = values * (len(anchors) - 1)
    below = place.floor().long().clamp(max=len(anchors) - 2)
    return torch.lerp(anchors[below], anchors[below + 1], (place - below)[..., None])


def _attribute(
    args: argparse.Namespace,
    model: nn.Module,
    images: Tensor,
    target: int,
    config: AttributionConfig,
) -> Attribution:
    """With a bar of the images that went through the model."""
    with tqdm(unit="pass", disable=args.json) as bar:

        def report(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        targets = torch.tensor([target])
        return attribute(model, images, targets, args.method, config, report=report)


def _figure(found: Attribution) -> dict[str, Any]:
    return {
        "name": found.figure_name,
        "value": float(found.figure[0]),
        "scale": float(found.scale[0]),
    }


def _check(args: argparse.Namespace) -> None:
    """Whatever can be found wrong before anything is computed."""
    if args.method not in NAMES:
        raise InputError(unknown_name("method", args.method, NAMES))
    if args.method == ATTENTION and args.target is not None:
        raise InputError(
            f"Attention is the same for every class, so --target {args.target} has no part in it; "
            "leave --target out."
        )
    check_out(args.out)
