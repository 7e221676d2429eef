"""Predictions for single images on one thread, fast however busy the machine is.

A batch of one or two gains nothing from several threads, which wait for each other at every layer:
while a search keeps two cores busy, that takes hundreds of milliseconds instead of ten. So such
predictions take turns on one thread, for which torch uses a single core. The results are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def on_prediction_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The return value of `work`, or what it raises, run on the one thread."""
    return _THREAD.submit(work, *args, **kwargs).result()


def _one_thread() -> ThreadPoolExecutor:
    """A pool of one thread that computes on one core.

    Torch keeps a number of threads for each thread, and a default for new ones. Setting the first
    sets the second too, so that is set back. This happens while the app is imported, before any
    other thread computes.
    """
    threads = torch.get_num_threads()
    one = ThreadPoolExecutor(1, thread_name_prefix="prediction")
    one.submit(torch.get_num_threads).result()  # or its first use would undo the next line
    one.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(threads)
    return one


_THREAD = _one_thread()
