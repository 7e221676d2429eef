"""Cluster set-up: join a Ray cluster, or start one here, and deploy replicas."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from apr_core.attacks.oracle import QueryOracle
from apr_core.base.paths import python_path
from apr_core.base.types import InputError, shown

LOCAL = "local"
"""The address of a cluster of one machine, started here, which ends with this process."""
NAME = "apr-lab"
MOST_REPLICAS = 1000
KNOCK_SECONDS = 5.0
_OURS = ("APR_CHECKPOINTS", "APR_RESULTS", "APR_TRAINING", "APR_DATA")


@dataclass(frozen=True)
class Replicas:
    """How many there are: between `least` and `most`, as Ray's autoscaler sees fit."""

    least: int = 1
    most: int = 1

    @classmethod
    def read(cls, text: str) -> Replicas:
        """What "2" or "1-4" says.

        Raises:
            InputError: it says neither, or numbers that cannot be.
        """
        found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
        least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= least <= most <= MOST_REPLICAS:
            raise InputError(
                f"The number of replicas is '{shown(text)}'; write 2, or 1-4 for as many as there "
                f"is work for, and at most {MOST_REPLICAS}."
            )
        return cls(least, most)


def join(address: str, processors: int = 0) -> None:
    """Join the cluster at an address, once a process.

    Args:
        address: as Ray has it, `LOCAL`, or "auto" for one that runs on this machine.
        processors: that a local cluster counts beside those that the machine has, so that what
            is set aside for replicas is not lacking elsewhere.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """
    ray = ray_module()
    if ray.is_initialized():
        return
    settings: dict[str, Any] = {
        "namespace": NAME,
        "log_to_driver": False,
        "logging_level": logging.WARNING,
    }
    if address == LOCAL:
        count = (os.cpu_count() or 1) + processors
        _begin(address=LOCAL, num_cpus=count, include_dashboard=False, **settings)
        return
    try:
        _knock(address)
        _begin(address=address, **settings)
    except (OSError, ValueError, RuntimeError):
        raise InputError(
            f"No Ray cluster answers at '{shown(address)}'; start one with `ray start --head`, or "
            f"give '{LOCAL}'."
        ) from None


def _begin(**settings: Any) -> None:
    """Start Ray in a thread that stays: what it starts ends with the thread that did, and takes
    Python with it. A page's thread ends when the page is drawn."""
    begun: Future[None] = Future()

    def stay() -> None:
        try:
            ray_module().init(**settings)
        except BaseException as error:
            begun.set_exception(error)
            return
        begun.set_result(None)
        threading.Event().wait()

    threading.Thread(target=stay, name="ray", daemon=True).start()
    begun.result()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()


def environment() -> dict[str, Any]:
    """What the cluster's processes need to find this package and what it keeps."""
    ours = {name: os.environ[name] for name in _OURS if name in os.environ}
    return {"env_vars": {"PYTHONPATH": python_path(), **ours}}


def score_on(address: str, replicas: Replicas) -> Callable[[str], QueryOracle]:
    """Deploy the replicas; the scorer of a model's name is what comes back.

    Each has a GPU if the cluster has any, and else its share of the processors.

    Raises:
        InputError: as `join`.
    """
    join(address, replicas.most)
    from ray import serve  # noqa: PLC0415  an extra, as is what imports it

    from apr_core.serving.ray.oracle import ClusterOracle  # noqa: PLC0415
    from apr_core.serving.ray.replica import MOST_TOGETHER, Replica  # noqa: PLC0415

    found = ray_module().cluster_resources()
    gpus = 1 if found.get("GPU") else 0
    processors = int(found.get("CPU", 1)) - (replicas.most if address == LOCAL else 0)
    threads = 1 if gpus else max(1, processors // replicas.most)
    many: dict[str, Any] = {"num_replicas": replicas.least}
    if replicas.most > replicas.least:
        bounds = {"min_replicas": replicas.least, "max_replicas": replicas.most}
        many = {"autoscaling_config": {**bounds, "target_ongoing_requests": 2}}
    settings: Any = {
        "name": "scoring",
        "ray_actor_options": {
            "num_cpus": 1,
            "num_gpus": gpus,
            "runtime_env": environment(),
        },
        "max_ongoing_requests": 2 * MOST_TOGETHER,
        "health_check_period_s": 2,
        **many,
    }
    deployment = serve.deployment(**settings)(Replica)
    serve.start(proxy_location="Disabled")
    handle = serve.run(deployment.bind(threads), name=NAME, route_prefix=None)
    return lambda name: ClusterOracle(name, handle)


def ray_module() -> Any:
    """Ray, told to keep to itself.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return import_module("ray")
    except ImportError:
        raise InputError(
            "Ray is not installed; run `pip install -r requirements-cluster.txt`."
        ) from None
