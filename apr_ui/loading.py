"""Importing this imports the whole app: page scripts and `app.py` do so before anything else.

Each session's script runs in a thread of its own. Two threads that import the engine for the first
time in different orders can wait for each other, and Python then raises an error in one of them.
With this one import first, the second thread waits for the first.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import apr_ui

for _module in walk_packages(apr_ui.__path__, "apr_ui."):
    if _module.name != __name__:
        import_module(_module.name)
