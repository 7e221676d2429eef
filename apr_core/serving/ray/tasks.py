"""Ray tasks: long work spread over a cluster, retried where a machine fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from apr_core.base.hardware import default_device, describe_hardware
from apr_core.base.types import InputError
from apr_core.serving.ray.start import environment, join, ray_module

Item = TypeVar("Item")
Came = TypeVar("Came")
TRIES = 5


def spread(
    work: Callable[[Item], Came], items: Sequence[Item], address: str
) -> Iterator[tuple[int, Came]]:
    """Have every item worked on, each with a GPU if the cluster has any.

    Args:
        work: a function that other processes can import, or a partial of one.
        address: of the cluster, as `join` has it.

    Yields:
        An item's place and what came of it, as they come.

    Raises:
        InputError: as `join`, or what the work raised; or the cluster failed at it time and again.
    """
    join(address)
    ray = ray_module()
    errors = ray.exceptions
    gpus = 1 if ray.cluster_resources().get("GPU") else 0

    def task(item: Any) -> Any:
        return work(item)

    needs = {"num_cpus": 1, "num_gpus": gpus, "runtime_env": environment()}
    far = ray.remote(max_retries=TRIES, **needs)(task)
    waiting = {far.remote(item): place for place, item in enumerate(items)}
    while waiting:
        done = ray.wait(list(waiting), num_returns=1)[0][0]
        try:
            came = ray.get(done)
        except errors.RayTaskError as error:
            raise getattr(error, "cause", None) or error from None
        except errors.RayError as error:
            raise InputError(
                f"The cluster failed ({type(error).__name__}); give the same command again, and it "
                "goes on where it was."
            ) from None
        yield waiting.pop(done), came


def describe_cluster(address: str) -> str:
    """The cluster in words, for records: how many machines, and what one of their workers has."""
    join(address)
    machines = sum(node["Alive"] for node in ray_module().nodes())
    (worker,) = (words for _, words in spread(_describe, [None], address))
    return f"Ray, {machines} machine{'s' * (machines > 1)}, each worker {worker}"


def _describe(nothing: None) -> str:
    return describe_hardware(default_device())
