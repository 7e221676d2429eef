"""The process that does the jobs: one for all, for a GPU's libraries take long to load.

The name of the job under way stands in a file, and of every one that failed. A job that ends in an
error of the machine ends the process, which may have no working GPU any more; the next one passes
over what stands in the file.
"""

from __future__ import annotations

import gc
import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

from apr_core import cli
from apr_core.base.files import write_whole
from apr_core.base.hardware import default_device, describe_hardware
from apr_core.data.dataset import DataSet, Split
from apr_core.data.registry import find_dataset
from apr_core.training.trainer import training_folder
from benchmarks.speed.engines import BATCHES
from scripts.full_scale.jobs import RECIPE, ROWS, TOY, Job
from scripts.full_scale.plan import choose, schedule
from scripts.full_scale.smoke import run_checks
from scripts.full_scale.speeds import Speeds, measure_speeds

SMOKE_FAILED, JOB_FAILED = 3, 4
BROKEN = 100
"""Of a job that ended in something else than an answer of its command."""
say = partial(print, flush=True)


def work(listed: list[Job], ends: float, failures: Path, toy: bool, smoke: bool) -> int:
    """Try the paths, measure, and do jobs until the time is up or nothing is left.

    Args:
        ends: by `time.monotonic`.
        failures: the file of names of jobs that are not to be begun again.

    Returns:
        0, `SMOKE_FAILED` or `JOB_FAILED`, where another process may go on with the rest.
    """
    device = default_device()
    say(f"== On {describe_hardware(device)}, {(ends - time.monotonic()) / 60:.1f} minutes.")
    if smoke and not _passes(device):
        return SMOKE_FAILED
    with _little_to_do() if toy else nullcontext():
        return _do_all(listed, ends, failures, _Estimates(device, toy))


@contextmanager
def _little_to_do() -> Iterator[None]:
    """A data set of few pictures, and one batch size to find the fastest among."""
    data = patch.object(cli.train, "find_dataset", _toy_data)
    with data, patch.dict(BATCHES, cpu=BATCHES["cpu"][:1]):
        yield


def _passes(device: torch.device) -> bool:
    try:
        run_checks(device, say)
    except Exception:  # whatever a GPU's libraries may raise: it is what is looked for
        traceback.print_exc()
        say("== A path that the jobs take does not work here: nothing was begun.")
        return False
    return True


def _do_all(listed: list[Job], ends: float, failures: Path, estimate: _Estimates) -> int:
    failed = read_names(failures)
    tried = set(failed)
    _tell_plan(listed, ends - time.monotonic(), estimate, tried)
    while job := choose(listed, ends - time.monotonic(), estimate, tried):
        tried.add(job.name)
        write_whole(failures, json.dumps([*failed, job.name]))
        began = time.monotonic()
        code = _do(job)
        spent = time.monotonic() - began
        how = "done" if code == 0 else "failed"
        say(f"== {job.name}: {how} in {spent:.0f} s, of {estimate(job):.0f} estimated")
        failed += [job.name] if code else []
        write_whole(failures, json.dumps(failed))
        if code == BROKEN:
            return JOB_FAILED
    return 0


def _tell_plan(listed: list[Job], left: float, estimate: _Estimates, tried: set[str]) -> None:
    """What of the first network is likely to be done in the time."""
    first = choose(listed, left, lambda job: 0.0, tried)
    if first is None:
        return
    network = first.work.architecture
    alike = [job for job in listed if job.work.architecture == network]
    planned = [job.name for job in schedule(alike, left, estimate)]
    say(f"== Planned of {network}: {', '.join(planned)}.")


def read_names(failures: Path) -> list[str]:
    """The jobs that failed, and the one under way."""
    return list(json.loads(failures.read_text())) if failures.exists() else []


def _do(job: Job) -> int:
    try:
        return cli.main(job.arguments)
    except Exception:  # the next job may do all the same
        traceback.print_exc()
        return BROKEN
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Estimates:
    """How long jobs take, by speeds that are measured when a network's first is asked for."""

    def __init__(self, device: torch.device, toy: bool) -> None:
        self._device, self._toy = device, toy
        self._speeds: dict[str, Speeds] = {}

    def __call__(self, job: Job) -> float:
        network = job.work.architecture
        if network not in self._speeds:
            config = TOY if self._toy else RECIPE
            rows = tuple(name for name in ROWS if name != "it")  # which trains nothing
            speeds = measure_speeds(network, rows, config, self._device, self._toy)
            self._speeds[network] = speeds
            told = {"hardware": describe_hardware(self._device), **asdict(speeds)}
            write_whole(training_folder() / f"speeds-{network}.json", json.dumps(told) + "\n")
            trained = ", ".join(f"{name} {rate:,.0f}" for name, rate in speeds.trained.items())
            say(
                f"== {network}: images trained on a second: {trained}; forwards in half precision "
                f"{speeds.searched:,.0f}; certified {speeds.certified:,.1f}"
            )
        return self._speeds[network].seconds(job.work)


def _toy_data(name: str) -> DataSet:
    """Pictures of the shipped sample in place of the data set's: a rehearsal fetches nothing."""
    data = find_dataset(name)
    sample = data.shipped_sample()
    rows = {"train": slice(0, TOY.subset), "test": slice(-64, None)}
    splits = {
        split: Split.in_memory(sample.images[chosen], sample.labels[chosen])
        for split, chosen in rows.items()
    }
    return replace(data, load=splits.__getitem__, fetch=lambda source, say: None)
