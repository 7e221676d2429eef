"""`app`: serve the app."""

from __future__ import annotations

import argparse
import runpy
import sys
from importlib.util import find_spec

from apr_core.base.paths import shipped
from apr_core.base.types import InputError
from apr_core.cli.common import Subparsers, add_dense
from apr_core.serving.offered import offer

EXTRA = ("streamlit", "plotly", "pandas", "segno")
"""What the pages import, and the engine does not."""
LOOPBACK = ("127.0.0.1", "localhost")


def add(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser("app", help="serve the app")
    parser.add_argument(
        "--host", default=LOOPBACK[0], help="address to listen on; 0.0.0.0 for every network"
    )
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--name", default="", help="of this machine, for the link that is printed")
    parser.add_argument(
        "--hosts",
        nargs="*",
        default=[],
        help="names by which browsers may ask for it, besides 127.0.0.1 and localhost",
    )
    parser.add_argument(
        "--library",
        nargs="*",
        default=[],
        metavar="MODEL",
        help="models of a library to attack on photographs, beside EfficientNet-Lite0, as in "
        "torchvision:resnet50; their weights are fetched once",
    )
    add_dense(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted, in this process: Streamlit's own command line does it.

    Raises:
        InputError: a port that there is not, or a package that is missing.
    """
    if not 1 <= args.port <= 65535:
        raise InputError(f"--port is {args.port}, but must lie between 1 and 65535.")
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        raise InputError(
            f"The app needs {', '.join(missing)}, not installed here; install what it needs with "
            "`pip install 'apr-lab[app]'`."
        )
    offer(args.library)
    sys.argv = ["streamlit", "run", str(shipped("app.py")), *server_options(args)]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
    return 0


def server_options(args: argparse.Namespace) -> list[str]:
    """Streamlit's options; what they leave open is in the `.streamlit` folder beside `app.py`."""
    options = ["--server.address", args.host, "--server.port", str(args.port)]
    if args.name:
        options += ["--browser.serverAddress", args.name]
    for name in dict.fromkeys([*LOOPBACK, *args.hosts]):
        options += ["--server.allowedHosts", name]
    return options
