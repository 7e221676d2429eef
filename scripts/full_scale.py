"""Everything that wants an accelerator, in order of worth, in one resumable run.

    python scripts/full_scale.py --minutes 28          # on a GPU
    python scripts/full_scale.py --toy                 # a rehearsal, in a temporary folder

Each job is a command of `apr_core`. A job whose result is there already is skipped; training that
was cut off goes on from its last epoch. When the minutes are up, the job under way is ended, and
the next run goes on with it.
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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
EPOCHS = {"resnet20": 160, "resnet18": 60, "vgg16": 60}
"""Enough for the aims in clean accuracy, and a few minutes each on one data-centre GPU."""


@dataclass(frozen=True)
class Job:
    """One command, and how to tell that it was done."""

    name: str
    arguments: list[str]
    done: Callable[[], bool]


def jobs(toy: bool) -> list[Job]:
    """What is to be done, the most useful first."""
    return [
        _training(architecture, defence, toy)
        for architecture in EPOCHS
        for defence in ("vanilla", "apr")
    ] + [_gallery(toy)]


def _training(architecture: str, defence: str, toy: bool) -> Job:
    epochs = 1 if toy else EPOCHS[architecture]
    size = ["--subset", "256"] if toy else ["--batch-size", "512", "--learning-rate", "0.4"]
    arguments = ["train", "--architecture", architecture, "--defence", defence]
    arguments += ["--epochs", str(epochs), *size]
    card = _checkpoints() / f"cifar10-{architecture}-{defence}.json"

    def done() -> bool:
        return card.exists() and json.loads(card.read_text())["epochs"] >= epochs

    return Job(f"train {architecture} {defence}", arguments, done)


def _gallery(toy: bool) -> Job:
    """The gallery is of the weights it was made with, so it is made again after training."""
    images = "4" if toy else "150"
    return Job("gallery", ["gallery", "--images", images], lambda: toy)


def _checkpoints() -> Path:
    return Path(os.environ.get("APR_CHECKPOINTS", ROOT / "checkpoints"))


def run(job: Job, seconds: float) -> str:
    """Do a job within `seconds`; how it went, in a word."""
    if job.done():
        return "there already"
    if seconds <= 0:
        return "no time left"
    began = time.monotonic()
    command = [sys.executable, "-m", "apr_core", *job.arguments]
    try:
        code = subprocess.run(command, cwd=ROOT, timeout=seconds, check=False).returncode
    except subprocess.TimeoutExpired:
        return "cut off, goes on next time"
    spent = time.monotonic() - began
    return f"done in {spent:.0f} s" if code == 0 else f"failed with exit code {code}"


def main() -> int:
    """Do what the minutes allow; 1 if a job failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--toy", action="store_true", help="rehearse, in a temporary folder")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        if args.toy:
            os.environ |= {"APR_CHECKPOINTS": folder, "APR_TRAINING": folder}
        outcomes = {}
        for job in jobs(args.toy):
            outcomes[job.name] = run(job, deadline - time.monotonic())
            print(f"== {job.name}: {outcomes[job.name]}", flush=True)
    return int(any(outcome.startswith("failed") for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
