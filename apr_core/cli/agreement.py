"""`agreement`: whether attention or an attribution map predicts vulnerable pixels."""

from __future__ import annotations

import argparse
import json

from tabulate import tabulate
from tqdm import tqdm

from apr_core.cli.common import (
    Subparsers,
    add_data,
    add_dense,
    add_device,
    add_json,
    add_model,
    chosen_target,
    print_json,
    rate_words,
)
from apr_core.evaluation.attribution.agreement import AgreementRecord, save_agreement, verdict
from apr_core.evaluation.attribution.study import agreement_setting, measure_agreement
from apr_core.evaluation.metrics import Mean
from apr_core.evaluation.protocol import EvalProgress
from apr_core.evaluation.record import on_data
from apr_core.report.imagenet import notices

COLUMNS = {
    "with_attention": "with attention",
    "overlap": "top shared",
    "with_truth": "with truth map",
    "truth_gain": "over the centre",
    "outweighs": "outweighs",
    "deletion_gain": "deletion gain",
    "insertion_gain": "insertion gain",
}


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "agreement",
        help="how far attention and attributions agree, and whether they tell what breaks a model",
        description="Explain images of the shipped sample, or of the test set where none is "
        "shipped, as many of each class, by every method, and hold each map against the model's "
        "own gate, against its truth map (8,192 queries an image of 32 x 32), and against the "
        "model. What is interrupted goes on where it was when the same "
        "command is given again.",
    )
    add_model(parser)
    add_data(parser)
    parser.add_argument("--images", type=int, default=100, help="default 100")
    add_dense(parser)
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and write the record."""
    target = chosen_target(args)
    setting = agreement_setting(target, args.images)
    with tqdm(total=setting.images, unit="image", disable=args.json) as bar:
        record = measure_agreement(target, setting, lambda progress: _show(bar, progress))
    path = save_agreement(record)
    if args.json:
        print_json(summary(record))
    else:
        print(in_words(record))
        print(f"The record is {path}.")
    return 0


def summary(record: AgreementRecord) -> dict[str, object]:
    """What `agreement --json` prints: the record without its images."""
    entry = json.loads(record.to_json())
    del entry["looked"]
    verdicts = {
        method: str(verdict(means.with_truth)) if means.with_truth else None
        for method, means in record.summaries().items()
    }
    said = list(notices([(record.setting.sha256, record.setting.data)]))
    return {
        "model": record.setting.model,
        "cautions": said,
        **entry,
        "predicts_what_breaks": verdicts,
    }


def in_words(record: AgreementRecord) -> str:
    """The record as a table."""
    rows = []
    for method, means in record.summaries().items():
        known = means.with_truth
        said = str(verdict(known)) if known else "-"
        rows.append([method, *(_mean_words(getattr(means, name)) for name in COLUMNS), said])
    headers = ["", *COLUMNS.values(), "what breaks it"]
    broken = sum(one.broken > 0 for one in record.looked)
    subject = record.setting.model + on_data(record.setting.model, record.setting.data)
    return "\n".join(
        [
            f"{subject}: right on {rate_words(record.right)} images, of which one pixel in a "
            f"corner colour breaks {broken}",
            tabulate(rows, headers, disable_numparse=True),
            *notices([(record.setting.sha256, record.setting.data)]),
        ]
    )


def _mean_words(mean: Mean | None) -> str:
    if mean is None:
        return "-"
    if mean.low is None or mean.high is None:
        return f"{mean.mean:.2f}"
    return f"{mean.mean:.2f} ({mean.low:.2f} to {mean.high:.2f})"


def _show(bar: tqdm, progress: EvalProgress) -> None:  # type: ignore[type-arg]
    bar.n = progress.done
    bar.set_postfix(broken=progress.broken, refresh=False)
    bar.refresh()
