"""Keeps the time: starts the process that does the jobs, ends it when the minutes are up, packs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from apr_core.base.files import write_whole
from apr_core.base.types import InputError
from scripts.full_scale import __doc__ as about
from scripts.full_scale.jobs import chosen, jobs, set_folders
from scripts.full_scale.parcels import join, pack
from scripts.full_scale.worker import SMOKE_FAILED, read_names, work

ROOT = Path(__file__).parents[2]
PACKING = 20.0
"""Seconds kept for packing."""
TOY_MINUTES = 30.0
"""A rehearsal does all there is: this is far more than it takes."""


def main(arguments: list[str] | None = None) -> int:
    """Do what the minutes allow; 1 if a job failed, 3 if a GPU's paths do not work."""
    args = _arguments(arguments)
    rehearsal = args.toy and not args.work  # whose folder the process that does the jobs has too
    with tempfile.TemporaryDirectory() if rehearsal else nullcontext("") as folder:
        if rehearsal:
            set_folders(Path(folder))
        try:
            listed = chosen(jobs(args.toy), args.only)
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        if args.list:
            for job in listed:
                print(f"{'done ' if job.done() else 'to do'}  {job.name}")
            return 0
        if args.work:
            ends = time.monotonic() + args.work
            return work(listed, ends, args.failures, args.toy, not args.no_smoke)
        return _keep_time(args, Path(folder))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="full_scale", description=(about or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", default="", help="jobs whose names have this in them")
    parser.add_argument("--list", action="store_true", help="only say what is done and what is not")
    parser.add_argument("--toy", action="store_true", help="rehearse, in a temporary folder")
    parser.add_argument("--out", type=Path, help="pack what is new here, as it is copied back")
    parser.add_argument("--no-smoke", action="store_true", help="the GPU's paths were tried before")
    parser.add_argument("--work", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--failures", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _keep_time(args: argparse.Namespace, folder: Path) -> int:
    """Have the jobs done by a process that is ended in time, and by another where it breaks."""
    minutes = TOY_MINUTES if args.toy else args.minutes
    ends = time.monotonic() + 60 * minutes - PACKING
    with tempfile.TemporaryDirectory() as kept:
        failures = Path(kept) / "failures.json"
        code, before = _run(args, ends, failures, not args.no_smoke), 0
        while code not in {0, SMOKE_FAILED} and len(read_names(failures)) > before:
            before = len(read_names(failures))
            code = _run(args, ends, failures, smoke=False)
        failed = len(read_names(failures))
    out = args.out or (folder / "parcel" if args.toy else None)
    if out:
        print("== Packed:", ", ".join(pack(out)) or "nothing is new", flush=True)
    if args.toy and out:
        print(f"== Joined: {len(join(out))} files", flush=True)
    return code or int(failed > 0)


def _command(args: argparse.Namespace, left: float, failures: Path, smoke: bool) -> list[str]:
    command = [sys.executable, "-m", "scripts.full_scale", "--work", str(left)]
    command += ["--failures", str(failures), "--only", args.only]
    command += ["--toy"] if args.toy else []
    return [*command, *([] if smoke else ["--no-smoke"])]


def _run(args: argparse.Namespace, ends: float, failures: Path, smoke: bool) -> int:
    """The process's exit code; 0 where its time was up."""
    left = ends - time.monotonic()
    try:
        command = _command(args, left, failures, smoke)
        return subprocess.run(command, cwd=ROOT, timeout=max(0, left), check=False).returncode
    except subprocess.TimeoutExpired:
        print("== The time is up; what was cut off goes on next time.", flush=True)
        failed = read_names(failures)[:-1]  # the last was under way
        write_whole(failures, json.dumps(failed))
        return 0


if __name__ == "__main__":
    sys.exit(main())
