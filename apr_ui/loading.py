"""Importing this imports the whole app: page scripts and `app.py` do so before anything else.

Each session's script runs in a thread of its own. Two that import the engine for the first time, in
different orders, can wait for each other, which Python ends with an error for one of them. Where
all come in by this one door, the second waits at the door.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import apr_ui

for _module in walk_packages(apr_ui.__path__, "apr_ui."):
    if _module.name != __name__:
        import_module(_module.name)
