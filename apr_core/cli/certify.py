"""`certify`: certified accuracy against one-pixel edits."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import torch
from tqdm import tqdm

from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import (
    SPACING,
    Certificate,
    Verdict,
    behind_lattice,
    certify,
)
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
        help="prove which images no single pixel can turn",
        description="Certify the first test images of a fixed order by lattice double-masking, or "
        "one image. "
        "What is interrupted goes on where it was when the same command is given again.",
    )
    add_model(parser)
    add_data(parser)
    add_picture(parser, required=False)
    add_label(parser)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--spacing", type=int, default=SPACING, help="of the lattice")
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
    setting = cert_setting(target, args.images, args.spacing)
    with tqdm(total=setting.images, unit="image", disable=args.json) as bar:
        record = certify_model(target, setting, lambda progress: _show(bar, progress))
    path = save_certificates(record)
    if args.json:
        print_json({**summary(record), "notes": notes})
    else:
        print("\n".join([in_words(record), *notes]))
        print(f"The record is {path}.")
    return 0


def _run_one(args: argparse.Namespace, target: TargetModel, notes: tuple[str, ...]) -> int:
    """Certify one picture, and write no record."""
    data, device = target.data, device_of(target.model)
    image, label, index = chosen_picture(args, data)
    wrapper = behind_lattice(target.model, args.spacing, data)
    images = as_input(image[None].to(device))
    if label is None:
        with torch.no_grad():
            label = int(wrapper(images).argmax())
    (found,) = certify(wrapper, images, torch.tensor([label], device=device))
    if args.json:
        entry = {"model": args.model, "spacing": args.spacing, "index": index, **asdict(found)}
        said = {"class": data.class_name(label), "class_answer": data.class_name(found.answer)}
        print_json({**entry, **said, "notes": notes})
    else:
        print("\n".join([one_in_words(found, data, args.spacing), *notes]))
    return 0


def one_in_words(found: Certificate, data: DataSet, spacing: int) -> str:
    """One picture's certificate in a sentence or two."""
    answer = data.class_name(found.answer)
    behind = f"Behind a lattice of {spacing}"
    if found.verdict == Verdict.WRONG:
        this, other = data.this_one(found.label), data.one_of(found.answer)
        return f"{behind}, the model takes {this} for {other}."
    looked = f"{found.agreeing:,} of {found.predictions:,} masked predictions agree"
    if found.verdict == Verdict.CERTIFIED:
        return (
            f"{behind}, the model is certified to answer {answer}: {looked}, and no change of one "
            "pixel, to any colour, alters that. Without the lattice, it may still be fooled."
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
            f"{setting.model} behind a lattice of {setting.spacing}"
            f"{on_data(setting.model, setting.data)}",
            f"right      {rate_words(record.clean)} images",
            f"certified  {rate_words(record.certified)} images: no edit of one pixel, of any "
            "colour, changes the answer",
            f"{record.forwards:.0f} predictions an image, {record.images_per_second:.1f} images/s",
            *notices([(setting.sha256, setting.data)]),
        ]
    )


def _show(bar: tqdm, progress: EvalProgress) -> None:  # type: ignore[type-arg]
    bar.n = progress.done
    bar.set_postfix(uncertified=progress.broken, refresh=False)
    bar.refresh()
