"""`certify`: certified accuracy against edits of one pixel, or of one patch."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import torch
from tqdm import tqdm

from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import SPACING, Certificate, Verdict, certify
from apr_core.certification.patch_masking import PER_AXIS
from apr_core.cli.common import (
    Subparsers,
    add_data,
    add_device,
    add_json,
    add_label,
    add_model,
    add_picture,
    chosen_device,
    chosen_picture,
    print_json,
    rate_words,
)
from apr_core.data.dataset import DataSet
from apr_core.evaluation.certificates import (
    CertRecord,
    behind_masks,
    cert_setting,
    certify_model,
    save_certificates,
)
from apr_core.evaluation.protocol import EvalProgress
from apr_core.evaluation.record import on_data
from apr_core.models.inference import device_of
from apr_core.models.inputs import as_input
from apr_core.report.imagenet import notices
from apr_core.zoo.target import TargetModel, load_target


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "certify",
        help="prove which images no single pixel, or no patch, can turn",
        description="Certify the first test images of a fixed order by double-masking, or one "
        "image: against one pixel with lattices, or against a patch with square masks. "
        "What is interrupted goes on where it was when the same command is given again.",
    )
    add_model(parser)
    add_data(parser)
    add_picture(parser, required=False)
    add_label(parser)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--spacing", type=int, help=f"of the lattice; by default {SPACING}")
    parser.add_argument(
        "--patch", type=int, metavar="SIDE", help="certify against a patch of SIDE x SIDE pixels"
    )
    parser.add_argument(
        "--masks",
        type=int,
        help=f"square masks along each axis, with --patch; by default {PER_AXIS}",
    )
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Certify and write the record."""
    target, notes = load_target(args.model, chosen_device(args), data=args.data)
    if args.index is not None or args.image is not None:
        return _run_one(args, target, notes)
    if args.label is not None:
        raise InputError("--label goes with --image; test images have their own labels.")
    setting = cert_setting(target, args.images, *asked_masks(args))
    with tqdm(total=setting.images, unit="image", disable=args.json) as bar:
        record = certify_model(target, setting, lambda progress: _show(bar, progress))
    path = save_certificates(record)
    if args.json:
        print_json({**summary(record), "notes": notes})
    else:
        print("\n".join([in_words(record), *notes]))
        print(f"The record is {path}.")
    return 0


def asked_masks(args: argparse.Namespace) -> tuple[int, int, int]:
    """Spacing, patch and masks along each axis, 0 for what is not of the threat asked about.

    Raises:
        InputError: options that do not go together, or a patch of no pixel.
    """
    if args.patch is None:
        if args.masks is not None:
            raise InputError("--masks goes with --patch; a lattice has --spacing.")
        return SPACING if args.spacing is None else args.spacing, 0, 0
    if args.spacing is not None:
        raise InputError("--spacing is of a lattice; leave it out, or leave out --patch.")
    if args.patch < 1:
        raise InputError(f"--patch is {args.patch}; give the side of a patch, from 1 pixel.")
    return 0, args.patch, PER_AXIS if args.masks is None else args.masks


def _run_one(args: argparse.Namespace, target: TargetModel, notes: tuple[str, ...]) -> int:
    """Certify one picture, and write no record."""
    data, device = target.data, device_of(target.model)
    image, label, index = chosen_picture(args, data)
    spacing, patch, masks = asked_masks(args)
    wrapper = behind_masks(target, spacing, patch, masks)
    images = as_input(image[None].to(device))
    if label is None:
        with torch.no_grad():
            label = int(wrapper(images).argmax())
    (found,) = certify(wrapper, images, torch.tensor([label], device=device))
    if args.json:
        entry = {"model": args.model, "spacing": spacing, "patch": patch, "masks": masks}
        entry |= {"index": index, **asdict(found)}
        said = {"class": data.class_name(label), "class_answer": data.class_name(found.answer)}
        print_json({**entry, **said, "notes": notes})
    else:
        print("\n".join([one_in_words(found, data, spacing, patch, masks), *notes]))
    return 0


def one_in_words(found: Certificate, data: DataSet, spacing: int, patch: int, masks: int) -> str:
    """One picture's certificate in a sentence or two, with the threat that it covers."""
    answer = data.class_name(found.answer)
    behind = f"Behind {_masks(spacing, patch, masks)}"
    if found.verdict == Verdict.WRONG:
        this, other = data.this_one(found.label), data.one_of(found.answer)
        return f"{behind}, the model takes {this} for {other}."
    looked = f"{found.agreeing:,} of {found.predictions:,} masked predictions agree"
    if found.verdict == Verdict.CERTIFIED:
        return (
            f"{behind}, the model is certified to answer {answer}: {looked}, and "
            f"{_threat(patch)} can change the answer of the masked model. Without the masks, it "
            "may still be fooled."
        )
    return f"Not certified: {behind.lower()} the model says {answer}, but only {looked}."


def summary(record: CertRecord) -> dict[str, object]:
    """What `certify --json` prints: the record without its images, `clean` and `certified` as
    fractions beside their counts and intervals."""
    entry = json.loads(record.to_json())
    del entry["verdicts"]
    intervals = {"clean_rate": entry.pop("clean"), "certified_rate": entry.pop("certified")}
    return {
        "model": record.setting.model,
        "clean": record.clean.rate,
        "certified": record.certified.rate,
        "images": record.setting.images,
        "cautions": list(notices([(record.setting.sha256, record.setting.data)])),
        **intervals,
        **entry,
    }


def in_words(record: CertRecord) -> str:
    """The record as a few lines."""
    setting = record.setting
    return "\n".join(
        [
            f"{setting.model} behind {_masks(setting.spacing, setting.patch, setting.masks)}"
            f"{on_data(setting.model, setting.data)}",
            f"right      {rate_words(record.clean)} images",
            f"certified  {rate_words(record.certified)} images: {_threat(setting.patch)} can "
            "change the answer of the masked model",
            f"{record.forwards:.0f} predictions an image, {record.images_per_second:.1f} images/s",
            *notices([(setting.sha256, setting.data)]),
        ]
    )


def _masks(spacing: int, patch: int, masks: int) -> str:
    """What stands before the model."""
    return f"{masks} × {masks} square masks" if patch else f"a lattice of {spacing}"


def _threat(patch: int) -> str:
    """The threat that a certificate covers, as the subject of what cannot be."""
    if patch:
        return f"no patch of {patch} × {patch} pixels, anywhere, of any content,"
    return "no edit of one pixel, of any colour,"


def _show(bar: tqdm, progress: EvalProgress) -> None:  # type: ignore[type-arg]
    bar.n = progress.done
    bar.set_postfix(uncertified=progress.broken, refresh=False)
    bar.refresh()
