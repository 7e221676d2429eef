"""Distributed workers: the processes that `torchrun` started, or this one alone."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Workers:
    """One process's place among those of its run."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def part(self, batch: Tensor) -> Tensor:
        """This process's share of what all of them work on, along the first dimension."""
        return batch[self.rank :: self.count]

    def share(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module with gradients that are averaged over the processes."""
        if self.count == 1:
            return module
        places = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=places)

    def mean(self, values: Tensor) -> Tensor:
        """The average of every process's `values`, the same in each."""
        if self.count > 1:
            dist.all_reduce(values)
        return values / self.count

    def wait(self) -> None:
        """Until every process has come here."""
        if self.count > 1:
            dist.barrier()


ALONE = Workers()


def worker_device(device: torch.device) -> torch.device:
    """The device of this process: under `torchrun`, each has a GPU of its own."""
    if device.type == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextmanager
def join_workers(device: torch.device) -> Iterator[Workers]:
    """Join the processes that `torchrun` started; alone, there is nothing to join.

    They part together, and only when nothing is left that averages gradients: a process that goes
    while another still talks to it, or that takes the connection from under a model, may abort.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Workers(dist.get_rank(), dist.get_world_size())
        dist.barrier()
    finally:
        gc.collect()  # DistributedDataParallel goes round in circles
        dist.destroy_process_group()
