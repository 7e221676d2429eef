"""The search itself, on functions whose minimum is known."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from apr_core.attacks import differential_evolution as de
from apr_core.attacks.config import OnePixelConfig
from apr_core.base import random
from apr_core.base.types import Strategy

TARGET = torch.tensor([3.0, -1.0, 2.0, 0.5])
LOW, HIGH = torch.full((4,), -5.0), torch.full((4,), 5.0)


def sphere(genomes: Tensor) -> Tensor:
    return (genomes - TARGET).square().sum(-1)


def evolve(strategy: Strategy, keys: Tensor, generations: int, recombination: float = 1.0):
    config = de.DEConfig(strategy, 0.5, recombination, LOW, HIGH)
    start = LOW + random.uniform(keys, 0, (60, 4)) * (HIGH - LOW)
    state = de.init(keys, start)
    for _ in range(generations + 1):
        proposal = de.ask(config, state)
        state = de.tell(state, proposal, sphere(proposal.genomes))
    return state


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("recombination", [1.0, 0.7])
def test_reaches_a_known_minimum(strategy: Strategy, recombination: float) -> None:
    state = evolve(strategy, random.keys_for(0, torch.arange(3)), 80, recombination)
    assert (state.fitness.min(dim=1).values < 1e-2).all()


@pytest.mark.parametrize("strategy", Strategy)
def test_a_search_alone_goes_as_it_does_in_a_batch(strategy: Strategy) -> None:
    keys = random.keys_for(7, torch.arange(4))
    together = evolve(strategy, keys, 10)
    for row in range(4):
        alone = evolve(strategy, keys[row : row + 1], 10)
        assert torch.equal(alone.genomes[0], together.genomes[row])


def test_su2019_child_is_r1_plus_half_of_r2_minus_r3() -> None:
    keys = random.keys_for(0, torch.arange(2))
    state = evolve(Strategy.SU2019, keys, 0)
    proposal = de.ask(de.DEConfig(Strategy.SU2019, 0.5, 1.0, LOW, HIGH), state)
    for search, slot in ((0, 0), (1, 59), (0, 31)):
        r1, r2, r3 = state.genomes[search, proposal.donors[search, slot]]
        child = (r1 + 0.5 * (r2 - r3)).clamp(-5, 5)
        assert torch.equal(proposal.genomes[search, slot], child)


def test_best1bin_is_scipys_strategy_without_its_crossover() -> None:
    """What the README and `Strategy` say of SciPy's defaults, and of ours."""
    from scipy.optimize import differential_evolution

    theirs = {
        name: parameter.default
        for name, parameter in inspect.signature(differential_evolution).parameters.items()
    }
    assert (theirs["strategy"], theirs["mutation"]) == (Strategy.BEST1BIN, (0.5, 1))
    assert theirs["recombination"] == 0.7
    assert OnePixelConfig(strategy=Strategy.BEST1BIN).recombination == 1
    state = evolve(Strategy.BEST1BIN, random.keys_for(0, torch.arange(2)), 0)
    proposal = de.ask(de.DEConfig(Strategy.BEST1BIN, 0.5, 1.0, LOW, HIGH), state)
    for search, slot in ((0, 0), (1, 59)):
        best, r1, r2 = state.genomes[search, proposal.donors[search, slot]]
        weight = proposal.weight[search]
        assert 0.5 <= weight < 1
        child, made = proposal.genomes[search, slot], best + weight * (r1 - r2)
        inside = (made >= LOW) & (made <= HIGH)
        assert torch.equal(child[inside], made[inside])


@pytest.mark.parametrize("strategy", Strategy)
def test_donors_differ_from_one_another_and_from_the_child(strategy: Strategy) -> None:
    keys = random.keys_for(0, torch.arange(8))
    state = evolve(strategy, keys, 0)
    donors = de.ask(de.DEConfig(strategy, 0.5, 1.0, LOW, HIGH), state).donors
    own = torch.arange(60).expand(8, -1)
    if strategy is Strategy.SU2019:
        assert (donors[..., 0] != own).all()
        assert (donors[..., 0] != donors[..., 1]).all()
        assert (donors[..., 0] != donors[..., 2]).all()
    else:
        assert (donors[..., 0] == state.fitness.argmin(1)[:, None]).all()
    assert (donors[..., 1] != donors[..., 2]).all()
    assert (donors[..., 1:] != own[..., None]).all()
    assert donors.min() >= 0
    assert donors.max() < 60


def test_every_donor_is_drawn_about_equally_often() -> None:
    state = evolve(Strategy.SU2019, random.keys_for(3, torch.arange(400)), 0)
    donors = de.ask(de.DEConfig(Strategy.SU2019, 0.5, 1.0, LOW, HIGH), state).donors
    for which in range(3):
        counts = donors[..., which].flatten().bincount(minlength=60).float()
        assert (counts - 400).abs().max() < 6 * 400**0.5


@pytest.mark.parametrize("strategy", Strategy)
def test_children_stay_in_the_box(strategy: Strategy) -> None:
    state = evolve(strategy, random.keys_for(0, torch.arange(20)), 6)
    assert (state.genomes >= LOW).all()
    assert (state.genomes <= HIGH).all()


def test_a_child_competes_with_its_own_parent_only() -> None:
    keys = random.keys_for(0, torch.arange(1))
    before = evolve(Strategy.SU2019, keys, 0)
    proposal = de.ask(de.DEConfig(Strategy.SU2019, 0.5, 1.0, LOW, HIGH), before)
    fitness = sphere(proposal.genomes)
    after = de.tell(before, proposal, fitness)
    assert torch.equal(after.fitness, torch.minimum(fitness, before.fitness))
    assert torch.equal(after.moved, fitness <= before.fitness)


def test_uniform_numbers_are_uniform_and_uncorrelated() -> None:
    keys = random.keys_for(0, torch.arange(2000))
    first, second = random.uniform(keys, 1, (50,)), random.uniform(keys, 2, (50,))
    assert abs(float(first.mean()) - 0.5) < 0.005
    assert abs(float(first.var()) - 1 / 12) < 0.002
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.01
    assert first.min() >= 0
    assert first.max() < 1


def test_normal_numbers_are_standard_normal() -> None:
    draws = random.normal(random.keys_for(5, torch.arange(1000)), 1, (100,))
    assert abs(float(draws.mean())) < 0.01
    assert abs(float(draws.std()) - 1) < 0.01
    assert abs(float((draws.abs() < 1).float().mean()) - 0.6827) < 0.01


def test_different_seeds_and_indices_draw_differently() -> None:
    keys = torch.cat([random.keys_for(seed, torch.arange(50)) for seed in range(50)])
    assert len(keys.unique()) == 2500
