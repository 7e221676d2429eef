"""`guard`: build a pipeline of defences, ask it about a picture, measure and attack it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from apr_core.base import schema
from apr_core.base.types import InputError, shown
from apr_core.cli.common import (
    Subparsers,
    add_data,
    add_device,
    add_json,
    add_model,
    add_picture,
    check_out,
    chosen_device,
    chosen_picture,
    print_json,
    rate_words,
    write_out,
)
from apr_core.evaluation.protocol import EvalProgress
from apr_core.safety.attack import Budget
from apr_core.safety.build import FALSE_ALARMS, HELD_OUT, USUAL_LAYERS, Plan, build
from apr_core.safety.checks import USUAL, VIEWS
from apr_core.safety.config import CertificateLayer, Checks, Ensemble, PipelineConfig
from apr_core.safety.decision import Decision
from apr_core.safety.measure import guard_setting, measure
from apr_core.safety.pipeline import Pipeline
from apr_core.safety.record import ADAPTIVE, CLEAN, UNKNOWING, GuardRecord, save_guard

BUDGET_HELP = {
    "screened": "edits of an image that its models are asked about first, those that raise their "
    "losses most to first order",
    "shown": "of these, the most that the pipeline is shown: those nearest to fooling its models",
    "population": "edits that differential evolution then keeps",
    "generations": "rounds of differential evolution",
}


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "guard",
        help="build, measure and attack a pipeline of defences that may withhold an answer",
        description="A pipeline answers a picture or withholds the answer. Its temperature and "
        "thresholds are set on held-out clean images, the last of the fixed order.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    made = actions.add_parser("build", help="set the thresholds of chosen layers; prints JSON")
    _add_plan(made, required=True)
    made.add_argument("--out", type=Path, help="write the pipeline to a file instead")
    add_device(made)
    made.set_defaults(run=run_build)
    asked = actions.add_parser("decide", help="answer a picture, or say why not")
    _add_plan(asked)
    add_picture(asked)
    add_device(asked)
    add_json(asked)
    asked.set_defaults(run=run_decide)
    measured = actions.add_parser(
        "measure",
        help="attack it with one pixel, as one who knows it and as one who does not",
        description="Measure the first test images of the fixed order, clean and attacked. What "
        "is interrupted goes on where it was when the same command is given again.",
    )
    _add_plan(measured)
    words = "test images to measure, the first of the fixed order; by default 200"
    measured.add_argument("--images", type=int, default=200, help=words)
    words = "of the attacks' random numbers; by default 0"
    measured.add_argument("--seed", type=int, default=0, help=words)
    for name, value in asdict(Budget()).items():
        words = f"{BUDGET_HELP[name]}; by default {value}"
        measured.add_argument(f"--{name}", type=int, default=value, help=words)
    add_device(measured)
    add_json(measured)
    measured.set_defaults(run=run_measure)


def _add_plan(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """What is to be built or, unless it is required, a file of what was built."""
    if not required:
        parser.add_argument("--pipeline", type=Path, help="a file that `guard build --out` wrote")
    add_model(parser, required=required)
    add_data(parser)

    def add_option(
        name: str, words: str, usual: object, kind: Callable[[str], object] = str
    ) -> None:
        # what is not given is left out, so that a file of a pipeline can refuse what is
        words += f"; by default {usual}"
        parser.add_argument(name, type=kind, default=argparse.SUPPRESS, help=words)

    words = "layers around the model, of temperature (calibrates the probabilities), checks (views "
    words += "of the picture are to agree), confidence (the answer is to be probable enough), "
    words += "ensemble (other models are to agree) and certificate (no single pixel turns the "
    add_option("--layers", f"{words}answer)", ",".join(USUAL_LAYERS), _names)
    words = f"views of the picture that the checks compare, of {', '.join(VIEWS)}"
    add_option("--views", words, ",".join(USUAL), _names)
    words = "what the checks go by: doubt (one less the mean probability that the views leave the "
    words += "answer), disagreement (share of views with another answer) or shift (the largest "
    add_option("--score", f"{words}fall of the answer's probability)", Checks.score)
    add_option("--draws", "how often the random view, shift, is drawn", Checks.draws, int)
    add_option("--others", "other models of the ensemble, as in A,B", "none", _names)
    words = "share of the ensemble's models that must give the answer, 0 to 1"
    add_option("--agreement", words, Ensemble.threshold, float)
    words = "of the certificate's lattice: with 4, each mask hides one pixel of every 4 x 4"
    add_option("--spacing", words, CertificateLayer.spacing, int)
    words = "share of clean images that the checks may withhold, and the confidence as many, "
    add_option("--false-alarms", f"{words}between 0 and 1", FALSE_ALARMS, float)
    words = "images that temperature and thresholds are set on, the last of the fixed order"
    add_option("--held-out", words, HELD_OUT, int)


def run_build(args: argparse.Namespace) -> int:
    """Build a pipeline and write it down."""
    check_out(args.out)
    config = build(_plan(args), chosen_device(args))
    if args.out is None:
        print(config.to_json(), end="")
    else:
        write_out(args.out, config.to_json().encode())
        print(f"The pipeline is {args.out}.")
    return 0


def run_decide(args: argparse.Namespace) -> int:
    """Print a picture's decision, with every layer's verdict."""
    pipeline = Pipeline.load(_chosen(args), chosen_device(args))
    image, label, index = chosen_picture(args, pipeline.data)
    (decision,) = pipeline.decide(image[None])
    name = pipeline.data.class_name(decision.label)
    if args.json:
        entry = {"pipeline": pipeline.config.sha256, "index": index, "true_label": label}
        print_json({**entry, "class": name, **asdict(decision)})
    else:
        true = "" if label is None else f"; the true class is {pipeline.data.class_name(label)}"
        print(f"{pipeline.config.model} says {name}, {decision.confidence:.1%}{true}.")
        print("\n".join(decision_words(decision)))
    return 0


def run_measure(args: argparse.Namespace) -> int:
    """Measure a pipeline and write the record."""
    device = chosen_device(args)
    budget = Budget(args.screened, args.shown, args.population, args.generations)
    pipeline = Pipeline.load(_chosen(args), device)
    setting = guard_setting(pipeline, args.images, args.seed, budget)
    with tqdm(total=setting.images, unit="image", disable=args.json) as bar:
        record = measure(pipeline, setting, lambda progress: _show(bar, progress))
    path = save_guard(record)
    if args.json:
        print_json(summary(record))
    else:
        print(in_words(record))
        print(f"The record is {path}.")
    return 0


def _chosen(args: argparse.Namespace) -> PipelineConfig:
    """The pipeline in a file, or a new one."""
    if args.pipeline is not None:
        given = [name for name in ("model", "data") if getattr(args, name)]
        for name in (*given, *_options(args)):
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                f"--pipeline names a net that is built, which {option} would not change; leave "
                f"{option} out, or build another net with `guard build`."
            )
        try:
            written = schema.text(args.pipeline)
        except (OSError, ValueError) as error:
            name = shown(str(args.pipeline), 200)
            raise InputError(f"{name} cannot be read ({error}); give --pipeline a file.") from None
        return PipelineConfig.from_json(written)
    if args.model is None:
        raise InputError("No pipeline is given; give --pipeline a file, or --model a name.")
    return build(_plan(args), chosen_device(args))


def _plan(args: argparse.Namespace) -> Plan:
    return Plan(args.model, args.data, **_options(args))


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Those of a plan, besides model and data, that were given."""
    names = [field.name for field in fields(Plan)[2:]]
    return {name: getattr(args, name) for name in names if name in args}


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def decision_words(decision: Decision) -> list[str]:
    """Every layer's verdict in a line, and the answer in the last."""
    lines = [f"{one.layer}: {one.ending}. {one.reason}" for one in decision.layers]
    return [*lines, decision.reason]


def summary(record: GuardRecord) -> dict[str, object]:
    """What `guard measure --json` prints: the record without its images."""
    entry: dict[str, object] = json.loads(record.to_json())
    del entry["outcomes"]
    return entry


def in_words(record: GuardRecord) -> str:
    """The record as a few lines, the adaptive rate first."""
    words = {CLEAN: "clean", UNKNOWING: "attacked unknowingly", ADAPTIVE: "attacked adaptively"}
    lines = [
        f"{record.setting.model} behind {', '.join(record.setting.pipeline.layers)}",
        f"adaptive   {rate_words(record.adaptive)} images turned, of those answered rightly",
        f"unknowing  {rate_words(record.unknowing)} images turned",
        f"bare       {rate_words(record.bare)} images turned, of those that the model gets right",
        f"withheld   {rate_words(record.withheld)} clean images that the model gets right",
    ]
    lines += [
        f"{one.score} at {one.false_alarms:.0%} false alarms detects {rate_words(one.detected)} "
        "images that the ladder turned"
        for one in record.detections
    ]
    for state, told in words.items():
        risks = ", ".join(
            f"{one.risk.share:.1%} at {one.coverage:.0%}" for one in record.risks[state]
        )
        area = record.areas[state]
        lines.append(f"risk, {told}: {risks} coverage; AURC {area.value:.4f}")
    return "\n".join([*lines, record.about])


def _show(bar: tqdm, progress: EvalProgress) -> None:  # type: ignore[type-arg]
    bar.n = progress.done
    bar.set_postfix(broken=progress.broken, refresh=False)
    bar.refresh()
