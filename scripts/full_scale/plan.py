"""What to do next, in the time that is left."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from scripts.full_scale.jobs import Job

Estimate = Callable[[Job], float]
"""About how many seconds a job takes."""


def choose(
    listed: Sequence[Job], left: float, estimate: Estimate, tried: Collection[str] = ()
) -> Job | None:
    """The first job that is to be done, can be, and fits; None if nothing is left to do.

    Where none fits, the first that can be done is begun all the same: what is measured goes on from
    its last group of images next time, and what is trained from its last epoch.

    Args:
        left: seconds.
        tried: names of jobs that are not to be begun again.
    """
    if left <= 0:
        return None
    first = None
    for job in listed:
        if job.name in tried or job.done() or not job.ready():
            continue
        if estimate(job) <= left:
            return job
        first = first or job
    return first


def schedule(listed: Sequence[Job], left: float, estimate: Estimate) -> list[Job]:
    """The jobs that `choose` would do, were each as long as estimated and all of them ready."""
    planned: list[Job] = []
    for job in listed:
        if not job.done() and estimate(job) <= left:
            planned.append(job)
            left -= estimate(job)
    return planned
