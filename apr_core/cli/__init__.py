"""The command line: one module a command, errors in one sentence, exit code 2 for them."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from apr_core.base.types import InputError, shown
from apr_core.base.version import __version__
from apr_core.cli import (
    agreement,
    app,
    attack,
    certify,
    data,
    evaluate,
    explain,
    gallery,
    guard,
    models,
    sticker,
    tables,
    train,
)
from apr_core.cli.common import Subparsers
from apr_core.models.outputs import reason_of
from apr_core.zoo.external import is_external

COMMANDS = (
    app,
    models,
    data,
    train,
    attack,
    evaluate,
    certify,
    explain,
    sticker,
    agreement,
    guard,
    tables,
    gallery,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 2 for bad input or a file that cannot be read
    or written, 130 when interrupted.

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
    except OSError as error:  # a file that no command looks after better
        print(InputError(_of_the_system(error)), file=sys.stderr)
        return 2
    except (Exception, SystemExit) as error:
        if not is_external(getattr(args, "model", "") or ""):
            raise
        print(_of_the_model(args.model, error), file=sys.stderr)
        return 2


def _of_the_model(spec: str, error: BaseException) -> InputError:
    """What a person's own model, or what was done with it, came to, in a sentence."""
    return InputError(
        f"{shown(spec, 200)} fails ({reason_of(error)}); see that it takes float32 images "
        "(B, C, H, W) in [0, 1] of the data's size, of any batch size, and returns logits (B, "
        "classes)."
    )


def _of_the_system(error: OSError) -> str:
    """What the operating system would not do, in a sentence."""
    what = shown(str(error.filename), 200) if error.filename else "A file"
    reason = error.strerror or type(error).__name__
    remedy = "check the path, the permissions and the free space on the disk"
    return f"{what} cannot be read or written ({reason}); {remedy}."


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    installed = Path(sys.argv[0]).stem.startswith("apr-lab")
    parser = argparse.ArgumentParser(
        prog="apr-lab" if installed else "python -m apr_core",
        description="The engine of APR Lab, from the command line.",
    )
    parser.add_argument("--version", action="version", version=f"apr-lab {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(subparsers)
    _add_bench(subparsers)
    return parser


def _add_bench(subparsers: Subparsers) -> None:
    """Benchmarks lie outside the engine, and only in a checkout."""
    try:
        import_module("benchmarks.cli.bench").add(subparsers)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "benchmarks":
            raise
        anything = {"prefix_chars": "\0", "add_help": False}  # its options are known there alone
        parser = subparsers.add_parser("bench", help="measure speed; in a checkout", **anything)
        parser.add_argument("options", nargs="*")
        parser.set_defaults(run=_refuse_bench)


def _refuse_bench(args: argparse.Namespace) -> int:
    raise InputError("bench lies in a checkout of the project; run it from that folder.")
