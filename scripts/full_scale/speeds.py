"""How fast this machine trains, searches and certifies, measured for a few seconds each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from apr_core.attacks.oracle import ModelOracle
from apr_core.certification.lattice_masking import behind_lattice, certify
from apr_core.data.dataset import Split
from apr_core.defences import DEFENCES
from apr_core.defences.distillation import Distillation
from apr_core.defences.recipe import Defence, TrainConfig
from apr_core.models import build_model
from apr_core.models.inputs import as_input
from apr_core.training.batches import AugmentedBatches
from apr_core.training.fit import Run
from benchmarks.speed.case import synchronise
from scripts.full_scale.jobs import Work

STARTUP = 5.0
"""Seconds of a job that are none of what is measured: loading, and testing what was trained."""
SEARCH_SHARE = 0.6
"""Of the bare forward's speed, what a search reaches: its groups of images come to an end."""


@dataclass(frozen=True)
class Speeds:
    """Of one network on one machine.

    Attributes:
        trained: images a second, by defence.
        searched: forwards a second, folded and in half precision.
        certified: images a second.
    """

    trained: dict[str, float]
    searched: float
    certified: float

    def seconds(self, work: Work) -> float:
        """About how long a job takes."""
        training = work.trained / self.trained[work.defence] if work.trained else 0.0
        searching = work.searched / (SEARCH_SHARE * self.searched)
        return STARTUP + training + searching + work.certified / self.certified + work.seconds


def measure_speeds(
    network: str, defences: tuple[str, ...], config: TrainConfig, device: torch.device, toy: bool
) -> Speeds:
    """Every speed of a network, in about half a minute on a GPU.

    Args:
        defences: whose training is timed.
    """
    steps, certified, forwards = (1, 1, 64) if toy else (12, 8, 32_768)
    images = torch.randint(0, 256, (forwards, 3, 32, 32), dtype=torch.uint8)
    model = build_model(network).to(device).eval()
    return Speeds(
        {name: _training(network, name, config, steps, device) for name in defences},
        _searching(model, images.to(device)),
        _certifying(model, images[:certified].to(device)),
    )


def _training(
    network: str, name: str, config: TrainConfig, steps: int, device: torch.device
) -> float:
    defence: Defence = DEFENCES.get(name)
    if isinstance(defence, Distillation):
        teacher = build_model(network).to(device).eval().requires_grad_(False)
        defence = replace(defence, teacher="a test", model=teacher)
    count = steps * config.batch_size
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
    split = Split.in_memory(images, torch.arange(count) % 10)
    batches = AugmentedBatches(split, config.batch_size, 0, device)
    run = Run(build_model(network, defence.make_front()), defence, config, device)
    run.train_epoch(batches, lambda progress: None)  # kernels are chosen, memory is taken
    return count / _timed(lambda: run.train_epoch(batches, lambda progress: None), device)


def _searching(model: nn.Module, images: torch.Tensor) -> float:
    scorer = ModelOracle(model, half=True)
    scorer.query_images(images[: scorer.chunk])
    return len(images) / _timed(lambda: scorer.query_images(images), images.device)


def _certifying(model: nn.Module, images: torch.Tensor) -> float:
    """Of images that every mask agrees about, which take the most forwards."""
    wrapper = behind_lattice(model)
    pairs = torch.tensor(wrapper.pairs, device=images.device)
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)

    def prove() -> None:
        certify(wrapper, as_input(images), labels)
        with torch.inference_mode():
            for row in range(len(images)):
                wrapper.masked_logits(as_input(images[row : row + 1]), pairs)

    prove()
    return len(images) / _timed(prove, images.device)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    began = time.monotonic()
    work()
    synchronise(device)
    return max(time.monotonic() - began, 1e-9)
