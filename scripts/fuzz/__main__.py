"""Fuzz every way in for some minutes, and record what came of it.

    python -m scripts.fuzz --minutes 10 --out results/fuzz.json [--only pictures,cards]

The minutes are shared equally. Inputs are drawn by Hypothesis from seeds 0, 1, 2, ...; what leads
to anything but a right result or a plain error, in bounds, is shrunk and ends that boundary.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from apr_core.base.files import write_whole
from scripts.fuzz import checkpoints, classes, commands, links, pages, pictures, records
from scripts.fuzz.boundary import MOST_MEGABYTES, MOST_SECONDS, Boundary, Tally, apart, hold
from scripts.provenance import made_here

ROOMS = (pictures, links, commands, checkpoints, records, pages, classes)
A_ROUND = 50
"""Inputs of a seed."""


def all_boundaries() -> list[Boundary]:
    """Every way in."""
    return [boundary for room in ROOMS for boundary in room.boundaries()]


@dataclass(frozen=True)
class Finding:
    """What came of one boundary: seconds are of the processor, megabytes over idle."""

    boundary: str
    inputs: int
    right_results: int
    plain_errors: int
    kinds_of_error: int
    slowest_seconds: float
    slowest_wall_seconds: float
    peak_megabytes: float
    seeds: int
    failure: str


def fuzz(boundary: Boundary, seconds: float, inputs: int = 10**9, first: int = 0) -> Finding:
    """Try inputs until the seconds are over, or as many as asked for.

    Args:
        first: seed of the first round.
    """
    tally, failure, number = Tally(), "", first
    deadline = time.monotonic() + seconds
    quiet = settings(
        max_examples=min(A_ROUND, inputs),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    with apart(boundary) as attempt:

        def try_one(value: Any) -> None:
            hold(attempt, value, tally, boundary.works)

        while time.monotonic() < deadline and tally.tried < inputs and not failure:
            try:
                seed(number)(quiet(given(boundary.inputs)(try_one)))()
            except Exception:
                failure = f"seed {number}: {_shortened(traceback.format_exc())}"
            number += 1
    return Finding(
        boundary=boundary.name,
        inputs=tally.tried,
        right_results=tally.right,
        plain_errors=tally.refused,
        kinds_of_error=len(tally.sentences - {""}),
        slowest_seconds=round(tally.slowest, 3),
        slowest_wall_seconds=round(tally.slowest_wall, 3),
        peak_megabytes=round(tally.peak, 1),
        seeds=number - first,
        failure=failure,
    )


def _shortened(text: str) -> str:
    """The end of a traceback, no line of it long."""
    return "\n".join(line[:300] for line in text.splitlines()[-40:])


def main(arguments: list[str] | None = None) -> int:
    """Fuzz; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--only", default="", help="names of boundaries, with commas between them")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    parser.add_argument("--out", type=Path, help="write the record here")
    args = parser.parse_args(arguments)
    logging.disable(logging.ERROR)  # what is told here is foreseen
    warnings.simplefilter("ignore")
    wanted = set(filter(None, args.only.split(",")))
    chosen = [one for one in all_boundaries() if not wanted or one.name in wanted]
    found = []
    for boundary in chosen:
        found.append(fuzz(boundary, 60 * args.minutes / len(chosen), first=args.seed))
        if not args.json:
            print(_in_words(found[-1]), flush=True)
    record = _record(args, found)
    if args.json:
        print(json.dumps(record, indent=1))
    if args.out:
        write_whole(args.out, json.dumps(record, indent=1) + "\n")
    return int(any(one.failure for one in found))


def _in_words(found: Finding) -> str:
    words = (
        f"{found.boundary}: {found.inputs:,} inputs, {found.right_results:,} right results, "
        f"{found.plain_errors:,} plain errors, {found.slowest_seconds} s and "
        f"{found.peak_megabytes} MB at most"
    )
    return f"{words}\nFAILED: {found.failure}" if found.failure else words


def _record(args: argparse.Namespace, found: list[Finding]) -> dict[str, Any]:
    return {
        "command": f"python -m scripts.fuzz --minutes {args.minutes:g} --out results/fuzz.json",
        "bounds": {"seconds": MOST_SECONDS, "megabytes_over_idle": MOST_MEGABYTES},
        "inputs": sum(one.inputs for one in found),
        "failures": sum(bool(one.failure) for one in found),
        "boundaries": [asdict(one) for one in found],
        **made_here(),
    }


if __name__ == "__main__":
    sys.exit(main())
