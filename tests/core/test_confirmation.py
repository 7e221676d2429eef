"""A flip counts that the model itself upholds, and none of those is lost for another's sake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from apr_core import OnePixelConfig, Status, Stop, Strategy
from apr_core.attacks.confirmation import MOST_AT_ONCE, confirm_flips
from apr_core.attacks.enumeration import corner_sweep
from apr_core.attacks.ladder import LadderConfig, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.attacks.search import Search
from apr_core.attacks.truth_map import TruthMapSearch
from tests.conftest import ConstantModel

SHORT = OnePixelConfig(population=8, generations=12)
BLACK = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
TRUTH = torch.tensor([0])
Judge = Callable[[Tensor], Tensor]
"""Colours of the brightest pixel (n, 3) -> whether they flip the model itself (n,)."""


class Rough(ModelOracle):
    """Fast answers flip for red of 128 and more, the redder the surer; the model itself, as a
    judge has it. It counts what it is asked to confirm."""

    exact = False

    def __init__(self, judge: Judge) -> None:
        super().__init__(ConstantModel([1.0, 0.0]), chunk=16)
        self.judge = judge
        self.asked: list[int] = []

    def query(self, edits: Perturbations) -> Tensor:
        red = edits.colours[:, 0, 0].float()
        return torch.stack([torch.ones_like(red), (red >= 128) * (1.1 + (red - 128) / 100)], 1)

    def verify_float32(self, images: Tensor) -> Tensor:
        self.asked.append(len(images))
        flipped = self.judge(images.flatten(2).amax(2).long())
        return torch.stack([torch.ones(len(images)), 2.0 * flipped], 1)


def red_to_200(colours: Tensor) -> Tensor:
    return (colours[:, 0] >= 128) & (colours[:, 0] <= 200)


def run(search: Search) -> list[Tensor]:
    """A search to its end, and the edits of each generation that flip the model itself."""
    held = []
    while search.live:
        edits = search.ask()
        logits = search.oracle.query(edits)
        upheld = search.oracle.judge(edits.colours[:, 0]) & (logits.argmax(1) != 0)
        held.append(edits.colours[upheld, 0])
        search.tell(logits)
    return held


@pytest.mark.parametrize("stop", [Stop.FIRST_FLIP, Stop.BUDGET])
@pytest.mark.parametrize("strategy", Strategy)
def test_no_flip_that_holds_is_lost(stop: Stop, strategy: Strategy) -> None:
    """Handed case k11: the fittest flip of a generation is refuted, and others would hold."""
    found = 0
    for seed in range(20):
        config = replace(SHORT, stop=stop, strategy=strategy, seed=seed)
        search = Search(config, Rough(red_to_200), BLACK, TRUTH)
        held = run(search)
        first = next((place for place, some in enumerate(held) if len(some)), None)
        outcome = search.result()
        assert outcome.success == (first is not None)
        assert outcome.flip_generation == first
        if outcome.success:
            found += 1
            best = max(int(red) for some in held for red in some[:, 0])
            assert outcome.edits[0].rgb[0] == best
            assert outcome.label_after == 1
        ended = stop is Stop.FIRST_FLIP and outcome.success
        generations = first if ended and first is not None else config.generations
        assert outcome.queries == config.population * (generations + 1)  # confirming is no query
    assert found > 10


def test_a_flip_is_confirmed_once_and_for_all() -> None:
    """A model that answers at random may say another thing when it is asked again."""
    answers = iter([False, True])  # the clean image, then the flip
    oracle = Rough(lambda colours: torch.full((len(colours),), next(answers, False)))
    search = Search(replace(SHORT, generations=2), oracle, BLACK, TRUTH)
    run_blindly(search)
    assert search.result().status is Status.FLIPPED
    assert (search.snapshot().best_label, search.result().label_after) == (1, 1)


def run_blindly(search: Search) -> None:
    while search.live:
        search.tell(search.oracle.query(search.ask()))


def test_where_the_fittest_holds_nothing_else_is_asked_about() -> None:
    oracle = Rough(lambda colours: colours[:, 0] >= 128)
    images = BLACK.repeat(5, 1, 1, 1)
    search = Search(replace(SHORT, stop=Stop.FIRST_FLIP), oracle, images, TRUTH.repeat(5))
    run_blindly(search)
    assert all(outcome.success for outcome in search.outcomes())
    assert sum(oracle.asked) == 5 + 5  # the clean images, and a flip of each


def test_a_pixel_is_broken_by_whichever_colour_the_model_upholds() -> None:
    """Four corners are red; white, which looks as bad as the others, is the one that holds."""
    oracle = Rough(lambda colours: (colours == 255).all(1))
    survey = TruthMapSearch(oracle, BLACK[0], 0)
    while survey.live:
        survey.tell(oracle.query(survey.ask()))
    found = survey.result()
    assert int(found.broken.sum()) == 64
    assert (found.colours == 255).all()
    assert len(found.flips()) == 64


def test_a_sweep_and_the_ladder_find_the_flip_among_the_refuted() -> None:
    def last_is_white(images: Tensor) -> Tensor:
        return (images[:, :, 7, 7] == 255).all(1)

    class Placed(Rough):
        def verify_float32(self, images: Tensor) -> Tensor:
            self.asked.append(len(images))
            flipped = last_is_white(images)
            return torch.stack([torch.ones(len(images)), 2.0 * flipped], 1)

    oracle = Placed(red_to_200)
    found = corner_sweep(oracle, BLACK, TRUTH)
    assert found.flipped.all()
    assert last_is_white(found.edited(BLACK)).all()
    assert len(oracle.asked) <= 2 + 4 * (-(-int(found.queries) // (8 * 16)))  # and not one by one
    (verdict,) = climb(LadderConfig(stages=("corners",)), oracle, BLACK, TRUTH, torch.tensor([0]))
    assert (verdict.rungs[0].flipped, verdict.rungs[0].queries) == (True, int(found.queries))


@pytest.mark.parametrize(("rows", "slots"), [(1, 1), (3, 40), (7, 400), (300, 5)])
def test_flips_are_walked_by_cost_to_the_first_that_holds(rows: int, slots: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    draw = torch.rand(4, rows, slots, generator=generator)
    flipped, holds = draw[0] < 0.5, draw[1] < draw[2, :, :1] ** 3  # many rows hold nothing
    cost = (draw[3] * 20).round()  # with ties
    asked: list[tuple[int, int]] = []
    rounds = []

    def upheld(row: Tensor, slot: Tensor) -> Tensor:
        asked.extend(zip(row.tolist(), slot.tolist(), strict=True))
        rounds.append(len(row))
        return holds[row, slot]

    left = confirm_flips(flipped, cost, upheld)
    assert len(set(asked)) == len(asked)
    assert max(rounds, default=0) <= max(MOST_AT_ONCE, rows)
    assert not (left & ~flipped).any()
    for row in range(rows):
        walk = sorted(flipped[row].nonzero()[:, 0].tolist(), key=lambda s: (float(cost[row, s]), s))
        upholding = [slot for slot in walk if holds[row, slot]]
        standing = [slot for slot in walk if left[row, slot]]
        assert standing[:1] == upholding[:1]
        assert set(upholding) <= set(standing)


def test_nothing_is_asked_where_nothing_flips() -> None:
    def refuse(row: Tensor, slot: Tensor) -> Tensor:
        raise AssertionError

    nothing = torch.zeros(4, 9, dtype=torch.bool)
    assert not confirm_flips(nothing, torch.zeros(4, 9), refuse).any()
