"""`tables`: the paper's tables beside what was measured."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from apr_core.cli.common import Subparsers, add_json, print_json
from apr_core.evaluation.model_summary import Records
from apr_core.report.printing import STYLES, in_print
from apr_core.report.tables import make_tables
from apr_core.safety.record import load_guards


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("tables", help="print the paper's tables beside ours")
    parser.add_argument("--style", default="text", help=", ".join(STYLES))
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print them, and on standard error what could not be read."""
    records = Records.read()
    guards, torn = load_guards()
    for sentence in (*records.damaged, *torn):
        print(sentence, file=sys.stderr)
    tables = make_tables(records, guards)
    if args.json:
        print_json([asdict(table) for table in tables])
    else:
        print(in_print(tables, args.style))
    return 0
