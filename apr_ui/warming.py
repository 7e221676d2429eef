"""Models and slow imports, loaded in the background."""

from __future__ import annotations

import atexit
import functools
import threading
from contextlib import suppress
from importlib import import_module

import torch
from streamlit import runtime

from apr_core.base.hardware import BACKGROUND, give_way
from apr_core.base.types import InputError
from apr_core.serving.requests import data_behind
from apr_ui.resources import scorer

HEAD_START = 1.0
"""Seconds before loading begins, so that the first page is not delayed."""
SLOW_IMPORTS = ("captum.attr",)


@functools.cache
def warm_up(*models: str) -> None:
    """Load models and the attribution library in a thread, once a process.

    Args:
        models: by name, those that people will ask for first.
    """
    if not runtime.exists():
        return
    over = threading.Event()
    thread = threading.Thread(target=_load, args=(models, over), name="warm-up", daemon=True)
    thread.start()

    def end() -> None:  # a thread inside torch when Python ends would crash the process
        over.set()
        thread.join()

    atexit.register(end)


def _load(models: tuple[str, ...], over: threading.Event) -> None:
    if over.wait(HEAD_START):
        return
    for name in models:
        if over.is_set():
            return
        with suppress(InputError):  # shown where the model is used
            scorer(name)
    for module in SLOW_IMPORTS:
        if not over.is_set():
            import_module(module)
    give_way(BACKGROUND)  # a run that was begun meanwhile is not to wait for measurements
    for name in models:
        if not over.is_set():
            data = data_behind(name)
            with suppress(InputError):
                scorer(name).fit(torch.zeros(1, data.channels, *data.size, dtype=torch.uint8))
