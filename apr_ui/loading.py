"""Everything that pages import, imported once, by one thread.

Each session's script runs in a thread of its own. Two that import the engine for the first time, in
different orders, can wait for each other, which Python ends with an error for one of them.
"""

from __future__ import annotations

import threading
from importlib import import_module

MODULES = ("apr_core", "apr_ui.certificate", "apr_ui.results", "apr_ui.stage", "apr_ui.training")
_LOCK = threading.Lock()


def load_engine() -> None:
    """Import it all, or wait for the thread that does."""
    with _LOCK:
        for name in MODULES:
            import_module(name)
