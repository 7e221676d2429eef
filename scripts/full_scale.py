"""Everything that wants an accelerator, in order of worth, in one resumable run.

    python -m scripts.full_scale --minutes 28          # on a GPU
    python -m scripts.full_scale --only resnet18       # the jobs with this in their names
    python -m scripts.full_scale --list                # what there is to do, and what is done
    python -m scripts.full_scale --toy                 # a rehearsal, in a temporary folder

Each job is a command of `apr_core`. A job whose result is there already is skipped; training that
was cut off goes on from its last epoch, and what is measured from its last group of images. When
the minutes are up, the job under way is ended, and the next run goes on with it; only the overheads
start over.

All models are trained by one recipe, so that they may be compared: one that was made by another,
as on a processor, is trained anew, and what was measured of it is measured again. A model is
measured right after it is trained, the largest networks first: they cannot be had without a GPU.
Where the checkout is laid out anew between runs, keep what is made elsewhere: name copies of
checkpoints/ and results/ in APR_CHECKPOINTS and APR_RESULTS, and other folders in APR_TRAINING and
APR_DATA.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from apr_core.data.cifar10 import cifar10_file
from apr_core.trainer import TrainRequest, find_finished
from apr_core.training.recipes import PRESETS
from apr_core.zoo import load_card

ROOT = Path(__file__).parents[1]
ARCHITECTURES = ("resnet18", "vgg16", "resnet20")
"""In order of worth: the largest cannot be had without a GPU."""
RECIPE = replace(PRESETS.get("fast"), epochs=40, batch_size=512, learning_rate=0.4)
"""A few minutes a model on one data-centre GPU."""
TOY = replace(PRESETS.get("fast"), epochs=1, subset=256)
ROWS = ("apr-plus", "vanilla", "apr", "at", "dd", "it")
"""Distillation and input transformation build on the vanilla model."""
PLUS = ROWS[0]
ABLATIONS = ("apr-no-attention", "apr-no-adversarial", "apr-no-regularizer", "apr-exact")
PLUS_ABLATIONS = tuple(
    f"apr-plus-no-{part}" for part in ("clamp", "attention", "adversarial", "regularizer", "masks")
)
DATA = "data"
"""All others ask for it."""
SEEDS = "0-4"
"""The paper's five independent runs, of the smallest network."""


@dataclass(frozen=True)
class Job:
    """One command, and how to tell that it was done."""

    name: str
    arguments: list[str]
    done: Callable[[], bool]


def jobs(toy: bool) -> list[Job]:
    """What is to be done, the most useful first."""
    architectures = ["resnet20"] if toy else ARCHITECTURES  # the others take minutes to be tested
    models = [(architecture, defence) for architecture in architectures for defence in ROWS]
    models += [("resnet20", defence) for defence in (*ABLATIONS, *PLUS_ABLATIONS)]
    return [
        Job(DATA, ["data", "cifar10"], lambda: cifar10_file().exists()),
        *(_overhead(architecture, toy) for architecture in ("resnet18", "vgg16")),
        *(job for model in models for job in _all_of(*model, toy)),
        *(_seeds(defence, toy) for defence in (*ROWS, *ABLATIONS[:3]) if defence != "it"),
        _gallery(toy),
    ]


def _all_of(architecture: str, defence: str, toy: bool) -> list[Job]:
    """A model, and all that is measured of it."""
    model = (architecture, defence)
    behind = [_masked(architecture, toy)] if defence == PLUS else []
    attacks = [_evaluation(*model, attack, toy) for attack in ("de", "ladder")]
    return [_training(*model, toy), _certification(*model, toy), *behind, *attacks]


def _training(architecture: str, defence: str, toy: bool) -> Job:
    config = TOY if toy else RECIPE
    request = TrainRequest(architecture, defence, config, ship=True)
    return Job(f"train {architecture} {defence}", _arguments(request), lambda: _trained(request))


def _arguments(request: TrainRequest) -> list[str]:
    config = request.config
    arguments = ["train", "--architecture", request.architecture, "--defence", request.defence]
    arguments += ["--ship", "--epochs", str(config.epochs), "--batch-size", str(config.batch_size)]
    arguments += ["--learning-rate", str(config.learning_rate)]
    return [*arguments, *(["--subset", str(config.subset)] if config.subset else [])]


def _trained(request: TrainRequest) -> bool:
    """Whether the model is there, by this very recipe and on the vanilla model of today."""
    card = find_finished(request)
    if card is None:
        return False
    vanilla = f"cifar10-{request.architecture}-vanilla"
    if card.base:
        return card.sha256 == load_card(vanilla).sha256
    teacher = card.recipe["defence"].get("teacher")
    return not teacher or teacher == f"{vanilla} {load_card(vanilla).sha256[:12]}"


def _seeds(defence: str, toy: bool) -> Job:
    """Four more runs: the first is there already, and is not made again."""
    record = _results() / f"seeds-cifar10-resnet20-{defence}.json"
    arguments = _training("resnet20", defence, toy).arguments
    arguments += ["--seeds", "0-1" if toy else SEEDS, "--out", str(record)]
    return Job(f"seeds resnet20 {defence}", arguments, record.exists)


def _overhead(architecture: str, toy: bool) -> Job:
    record = _results() / f"overhead-{architecture}.json"
    rounds, steps, batch, inference = (1, 1, 8, 8) if toy else (11, 50, 512, 4096)
    size = ["--rounds", str(rounds), "--steps", str(steps), "--batch-size", str(batch)]
    size += ["--inference-batch", str(inference)]
    arguments = ["bench", "--overhead", "--architecture", architecture, *size]

    def done() -> bool:
        return record.exists() and (toy or json.loads(record.read_text())["device"] != "cpu")

    return Job(f"overhead {architecture}", [*arguments, "--out", str(record)], done)


def _certification(architecture: str, defence: str, toy: bool) -> Job:
    name, images = f"cifar10-{architecture}-{defence}", "4" if toy else "10000"
    record = _results() / "certificates" / f"{name}-lattice4-n{images}.json"
    arguments = ["certify", "--model", name, "--images", images]
    return Job(f"certify {name}", arguments, _fresh(record, name))


def _fresh(record: Path, name: str) -> Callable[[], bool]:
    """Whether a record is there, of the checkpoint's present weights."""
    card = _checkpoints() / f"{name}.json"

    def done() -> bool:
        if not (record.exists() and card.exists()):
            return False
        found, wanted = json.loads(record.read_text()), json.loads(card.read_text())
        return bool(found["setting"]["sha256"] == wanted["sha256"])

    return done


def _evaluation(architecture: str, defence: str, attack: str, toy: bool) -> Job:
    name = f"cifar10-{architecture}-{defence}"
    images, pixels = ("4", "1") if toy else ("1000", "1,3")
    tried = {"de": "top-gradient", "ladder": "corners"}[attack] if toy else attack
    stem = f"{name}-{tried}-k{pixels.replace(',', '-')}-n{images}-seed0"
    record = _results() / "evaluations" / f"{stem}{'' if toy else '-half'}.json"
    arguments = ["evaluate", "--model", name, "--attack", tried, "--images", images]
    arguments += ["--pixels", pixels, *([] if toy else ["--half"])]
    return Job(f"evaluate {name} {attack}", arguments, _fresh(record, name))


def _masked(architecture: str, toy: bool) -> Job:
    """APR+ behind its lattice, attacked end to end: some twenty forwards a query."""
    name = f"cifar10-{architecture}-{PLUS}"
    attack, images = ("top-gradient", "2") if toy else ("corners", "100")
    record = _results() / "evaluations" / f"{name}-lattice4-{attack}-k1-n{images}-seed0.json"
    arguments = ["evaluate", "--model", name, "--attack", attack, "--images", images]
    arguments += ["--lattice", "4"]
    return Job(f"evaluate {name} behind its lattice", arguments, _fresh(record, name))


def _gallery(toy: bool) -> Job:
    """The gallery is of the weights it was made with, so it is made again after training."""
    images = "4" if toy else "150"
    return Job("gallery", ["gallery", "--images", images], lambda: toy)


def _checkpoints() -> Path:
    return Path(os.environ.get("APR_CHECKPOINTS", ROOT / "checkpoints"))


def _results() -> Path:
    return Path(os.environ.get("APR_RESULTS", ROOT / "results"))


def run(job: Job, seconds: float) -> str:
    """Do a job within `seconds`; how it went, in a word."""
    if job.done():
        return "there already"
    if seconds <= 0:
        return "to do"
    began = time.monotonic()
    command = [sys.executable, "-m", "apr_core", *job.arguments]
    try:
        code = subprocess.run(command, cwd=ROOT, timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        return "cut off, to do next time"
    spent = time.monotonic() - began
    return f"done in {spent:.0f} s" if code == 0 else f"failed with exit code {code}"


def main() -> int:
    """Do what the minutes allow; 1 if a job failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--only", default="", help="jobs whose names have this in them")
    parser.add_argument("--list", action="store_true", help="only say what is done and what is not")
    parser.add_argument("--toy", action="store_true", help="rehearse, in a temporary folder")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        if args.toy:
            os.environ |= dict.fromkeys(("APR_CHECKPOINTS", "APR_TRAINING", "APR_RESULTS"), folder)
        outcomes = {}
        every = jobs(args.toy)
        if not any(args.only in job.name for job in every):
            parser.error(f"No job has {args.only!r} in its name; --list names them all.")
        for job in every:
            if args.only not in job.name and job.name != DATA:
                continue
            left = 0.0 if args.list else deadline - time.monotonic()
            outcomes[job.name] = run(job, left)
            print(f"== {job.name}: {outcomes[job.name]}", flush=True)
    return int(any(outcome.startswith("failed") for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
