"""Folders: what ships with the project, and where what is written goes.

In a checkout both are its own folders. Installed, what ships lies in the package, and what is
written goes to the user's folder for application data.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from apr_core.base.types import InputError

PACKAGE = Path(__file__).parents[1]
_ROOT = PACKAGE.parent


def in_checkout() -> bool:
    """Whether the package lies in a checkout of the project, rather than installed."""
    return (_ROOT / "pyproject.toml").is_file() and (_ROOT / "app.py").is_file()


def shipped(name: str) -> Path:
    """A folder or file that comes with the project: of the checkout, or in the package."""
    return (_ROOT if in_checkout() else PACKAGE / "shipped") / name


def written(name: str) -> Path:
    """The folder for what is written under a name, such as `runs`.

    `$APR_NAME` if it is set, the checkout's own, or one in the user's folder. It need not exist.
    """
    chosen = _chosen(name)
    if chosen:
        return Path(chosen)
    return (_ROOT if in_checkout() else user_data_path("apr-lab", appauthor=False)) / name


def readable(name: str) -> list[Path]:
    """The folders in which files of a name are looked for: what ships, then what was written.

    `$APR_NAME` alone if it is set. In a checkout both are one folder.
    """
    places = [written(name)] if _chosen(name) else [shipped(name), written(name)]
    return list(dict.fromkeys(places))


def _chosen(name: str) -> str:
    return os.environ.get(f"APR_{name.upper()}", "")


def check_checkout(what: str) -> None:
    """Raise InputError where what ships with the project is to be written, but is installed."""
    if not in_checkout():
        raise InputError(
            f"{what} changes files that ship with the project; run it in a checkout of the project."
        )


def python_path() -> str:
    """`PYTHONPATH` for a process that is to import this package, wherever it starts."""
    checkout = [str(_ROOT)] if in_checkout() else []
    return os.pathsep.join(filter(None, [*checkout, os.environ.get("PYTHONPATH", "")]))
