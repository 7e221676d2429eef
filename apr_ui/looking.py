"""Looking at single pictures, fast, however busy the machine is.

A picture or two gain nothing from several threads, which wait for each other at every layer: where
a search keeps the cores busy, that takes hundreds of milliseconds on two cores in place of ten. So
such looks take turns on one thread, for which torch uses a single core. The answers are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Came = TypeVar("Came")


def alone(work: Callable[Given, Came], *args: Given.args, **kwargs: Given.kwargs) -> Came:
    """What `work` returns, or raises, done on the one thread."""
    return _THREAD.submit(work, *args, **kwargs).result()


def _one_thread() -> ThreadPoolExecutor:
    """Torch keeps a count of threads for each thread, and one for those that are still to come.

    Setting the first sets the second too, which is set back. This is done while the app is being
    imported, before any other thread computes.
    """
    threads = torch.get_num_threads()
    one = ThreadPoolExecutor(1, thread_name_prefix="looking")
    one.submit(torch.get_num_threads).result()  # or its first use would undo the next line
    one.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(threads)
    return one


_THREAD = _one_thread()
