"""The command line: one module a command, errors in one sentence, exit code 2 for them."""

from __future__ import annotations

import argparse
import os
import sys

from apr_core.cli import (
    attack,
    bench,
    certify,
    data,
    evaluate,
    explain,
    gallery,
    models,
    tables,
    train,
)
from apr_core.types import InputError

COMMANDS = (models, data, train, attack, evaluate, certify, explain, tables, bench, gallery)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 2 for bad input, 130 when interrupted.

    Whoever reads the output may stop reading: that is no fault.
    """
    args = make_parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except InputError as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m apr_core", description="The engine of APR Lab, from the command line."
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(subparsers)
    return parser
