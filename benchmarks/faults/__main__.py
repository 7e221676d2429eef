"""Inject every fault, and record what came of it.

    python -m benchmarks.faults --out results/faults.json

A fault that is not borne as it should be ends the command with exit code 1; the tests inject the
same ones.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from apr_core.base.files import write_whole
from benchmarks.faults.injected import FAULTS, victim
from benchmarks.faults.setting import MODEL, Borne, UnborneError
from scripts.provenance import made_here


def main(arguments: list[str] | None = None) -> int:
    """Inject every fault; 1 if one was not borne."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the record here")
    parser.add_argument("--victim", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.victim:
        victim()
    logging.disable(logging.ERROR)  # what is told here is foreseen
    borne, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["APR_RUNS"] = folder
        for name, inject in FAULTS.items():
            try:
                borne.append(inject())
                print(f"{name}: {borne[-1].found} ({borne[-1].seconds:.2f} s)", flush=True)
            except UnborneError as error:
                failed.append(f"{name}: {error}")
                print(f"{name}: NOT BORNE: {error}", flush=True)
    if args.out:
        write_whole(args.out, json.dumps(_record(borne, failed), indent=1) + "\n")
    return int(bool(failed))


def _record(borne: list[Borne], failed: list[str]) -> dict[str, object]:
    return {
        "command": "python -m benchmarks.faults --out results/faults.json",
        "model": MODEL,
        "faults": [asdict(one) for one in borne],
        "not_borne": failed,
        **made_here(),
    }


if __name__ == "__main__":
    sys.exit(main())
