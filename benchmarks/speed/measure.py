"""How fast the attack runs on this machine, beside the model's bare forward and beside peers.

Everything is measured in turn, several rounds over, so that what slows the machine for a while
slows all alike. A figure is the median of the rounds, its spread their least and greatest. Peers
run each in a process of their own, as their users run them, while this one waits.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from unittest.mock import patch

from torch import nn

from apr_core.attacks.attack import OnePixelAttack
from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.enumeration import corner_sweep
from apr_core.attacks.oracle import ModelOracle
from apr_core.base.types import Stop
from apr_core.data.dataset import DataSet
from apr_core.models.inference import device_of, evaluating
from benchmarks.speed.case import BenchConfig, Case, Timed, Work, peak_memory, synchronise
from benchmarks.speed.engines import forward_works
from benchmarks.speed.images import choose_images
from benchmarks.speed.peers import peer_version, peer_work
from benchmarks.speed.record import ATTACK, DENSE, SWEEP, BenchResult, summarise
from benchmarks.speed.turns import Report, take_turns


def measure(
    model: nn.Module,
    config: BenchConfig,
    name: str = "",
    peers: tuple[str, ...] = (),
    report: Report = lambda done, total, what: None,
    data: DataSet | None = None,
    random_weights: bool = False,
) -> BenchResult:
    """Measure a model's attack, its bare forward and, on the same images, some of `PEERS`.

    Args:
        data: whose images; by default CIFAR-10's.
        random_weights: nobody trained the model, and the labels are its own answers.

    Raises:
        InputError: a peer is not installed, or the model gets too few images right.
    """
    installed = {peer: peer_version(peer) for peer in peers}
    with evaluating(model), ExitStack() as stack:
        speeds = stack.enter_context(TemporaryDirectory())  # nothing measured before decides
        stack.enter_context(patch.dict(os.environ, APR_SPEEDS=speeds))
        case = Case(model, *choose_images(model, config.images, data, random_weights), config)
        incremental = ModelOracle(model, incremental=True)
        attack = attack_work(case, incremental)
        attack()  # before anything larger has been in memory
        peak = peak_memory(device_of(model))
        turns: list[tuple[object, Work]] = list(forward_works(case).items())
        dense = attack_work(case, ModelOracle(model), config.dense_population)
        middle = len(turns) // 2
        turns[middle:middle] = [(ATTACK, attack), (DENSE, dense)]  # among their yardsticks
        works = dict(turns)
        if config.sweep:
            works[SWEEP] = sweep_work(case)
        for peer in peers:
            works[peer] = stack.enter_context(peer_work(peer, case))
        rounds = take_turns(works, config.rounds, report, cold=peers)
    return summarise(case, name, random_weights, rounds, installed, peak, incremental.engine)


def attack_work(case: Case, oracle: ModelOracle, population: int | None = None) -> Work:
    """The attack as a researcher calls it, its budget always spent, by its own count.

    Args:
        oracle: answers it, whatever its budget is.
        population: by default the case's.
    """
    population = population or case.config.population
    config = OnePixelConfig(
        population=population, generations=case.config.generations, stop=Stop.BUDGET
    )
    attack = OnePixelAttack(case.model, config)
    attack.oracle = oracle

    def work() -> Timed:
        began = time.perf_counter()
        queries = attack.run(case.images, case.labels).queries
        return queries, time.perf_counter() - began

    return work


def sweep_work(case: Case) -> Work:
    """Every pixel of one image in every corner colour, each one looked at."""
    scorer, images = ModelOracle(case.model), case.images[:1].to(device_of(case.model))
    labels = case.labels[:1].to(scorer.device)

    def work() -> Timed:
        began = time.perf_counter()
        found = corner_sweep(scorer, images, labels, stop_on_success=False)
        synchronise(scorer.device)
        assert found.margins is not None
        return found.margins.numel(), time.perf_counter() - began

    return work
