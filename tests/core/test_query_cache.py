"""No one-pixel edit is scored twice, and nothing that is found depends on that."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from apr_core import OnePixelConfig, Stop, Strategy
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.attacks.query_cache import COLOURS, SIDE, QueryCache
from apr_core.attacks.search import Search
from tests.conftest import LinearModel, answers

CLOSING_IN = OnePixelConfig(population=24, generations=30, stop=Stop.BUDGET)


def run(network, pictures: Tensor, config: OnePixelConfig, remember: bool) -> tuple[Search, int]:
    """A search to its end, and how many edits were scored."""
    search = Search(config, ModelOracle(network), pictures, answers(network, pictures))
    if not remember:
        search._cache = None
    scored = 0
    while search.live:
        edits = search.ask()
        scored += len(edits)
        search.tell(search.oracle.query(edits))
    return search, scored


@pytest.mark.parametrize("strategy", Strategy)
def test_a_search_that_remembers_goes_as_one_that_does_not(network, pictures, strategy) -> None:
    config = replace(CLOSING_IN, strategy=strategy)
    remembers, few = run(network, pictures, config, remember=True)
    forgets, many = run(network, pictures, config, remember=False)
    assert remembers.outcomes() == forgets.outcomes()
    assert torch.equal(remembers.state.search.genomes, forgets.state.search.genomes)
    assert torch.equal(remembers.state.search.fitness, forgets.state.search.fitness)
    assert few < many
    assert many == int(forgets.state.queries.sum()) == int(remembers.state.queries.sum())


def test_no_edit_is_scored_twice(network, pictures) -> None:
    search = Search(CLOSING_IN, ModelOracle(network), pictures, answers(network, pictures))
    seen: set[tuple[int, ...]] = set()
    while search.live:
        edits = search.ask()
        images = search._candidates.rows[edits.owner]
        columns = (images[:, None], edits.positions.flatten(1), edits.colours.flatten(1))
        keys = [tuple(row) for row in torch.cat(columns, dim=1).tolist()]
        assert len(set(keys)) == len(keys)
        assert len(keys) == 1 or not seen & set(keys)
        seen |= set(keys)
        search.tell(search.oracle.query(edits))


def test_several_pixels_and_users_models_are_scored_each_time(network, pictures) -> None:
    labels = answers(network, pictures)
    several = Search(replace(CLOSING_IN, pixels=2), ModelOracle(network), pictures, labels)
    assert several._cache is None
    theirs = LinearModel(size=32)
    assert (
        Search(CLOSING_IN, ModelOracle(theirs), pictures, answers(theirs, pictures))._cache is None
    )


def test_edits_that_differ_in_anything_are_kept_apart() -> None:
    images = torch.zeros(2, 3, SIDE, 1, dtype=torch.uint8)
    places = [(0, 0, 0), (0, 0, SIDE - 1), (0, 1, 0), (1, 0, 0)]
    colours = [(0, 0, 0), (0, 0, 255), (0, 255, 0), (255, 0, 0)]
    edits = Perturbations(
        images,
        torch.tensor([owner for owner, _, _ in places for _ in colours] * 2),
        torch.tensor([[(x, y)] for _, x, y in places for _ in colours] * 2),
        torch.tensor([[colour] for _ in places for colour in colours] * 2),
    )
    memo = QueryCache()
    fresh = memo.fresh(edits, torch.tensor([5, 2**14]))
    assert len(fresh) == len(places) * len(colours) == len(edits) // 2
    told = torch.arange(float(len(fresh)))[:, None]
    every = memo.complete(told)
    assert torch.equal(every[:16], every[16:])
    assert torch.equal(every[:16].sort(dim=0).values, told)
    again = memo.fresh(edits.take(torch.tensor([3, 7])), torch.tensor([5, 2**14]))
    assert len(again) == 1
    assert torch.equal(memo.complete(every[:1] * 0 + 99)[:, 0], torch.tensor([99.0, every[7, 0]]))


def draw(rows: int, count: int, seed: int) -> Perturbations:
    """Edits of pictures, some of them alike."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(0, 4, (rows * count, 1, 2), generator=generator)
    colours = torch.randint(0, 3, (rows * count, 1, 3), generator=generator)
    owner = torch.arange(rows).repeat_interleave(count)
    return Perturbations(torch.zeros(rows, 3, 4, 4, dtype=torch.uint8), owner, places, colours)


def told(edits: Perturbations, rows: Tensor) -> Tensor:
    """Logits (N, 4) that only this edit of this image has."""
    columns = (rows[edits.owner], edits.positions[:, 0, 0], edits.positions[:, 0, 1])
    colour = (edits.colours[:, 0] * torch.tensor([9, 3, 1])).sum(1)
    return torch.stack([*columns, colour], dim=1).float()


def test_an_image_that_is_done_is_forgotten() -> None:
    memo, rows = QueryCache(), torch.arange(8)
    for seed in range(6):
        memo.complete(told(memo.fresh(draw(8, 50, seed), rows), rows))
    whole = memo.size
    rows = torch.tensor([2, 5])
    edits = draw(2, 50, 9)
    every = memo.complete(told(memo.fresh(edits, rows), rows))
    assert torch.equal(every, told(edits, rows))
    assert memo.size < 0.4 * whole


@pytest.mark.parametrize("most", [0, 1000, 20_000])
def test_what_is_remembered_is_bounded_and_stays_right(most: int) -> None:
    memo, rows = QueryCache(most_bytes=most), torch.arange(8)
    for seed in range(30):
        edits = draw(8, 50, seed)
        every = memo.complete(told(memo.fresh(edits, rows), rows))
        assert torch.equal(every, told(edits, rows))
        assert memo.size <= most
    assert (memo.size > 0) == (most == 20_000)


def test_an_edit_is_looked_up_in_few_places() -> None:
    """As many pages as a number has binary digits, and not one for each generation."""
    memo, rows = QueryCache(), torch.arange(1)
    images = torch.zeros(1, 3, SIDE, 1, dtype=torch.uint8)
    for generation in range(100):
        count = 101 - generation  # fewer and fewer are new
        column = torch.stack([torch.zeros(count), torch.arange(count)], dim=1).long()
        colour = torch.full((count, 1, 3), generation)
        edits = Perturbations(images, torch.zeros(count).long(), column[:, None], colour)
        assert len(memo.fresh(edits, rows)) == count
        memo.complete(torch.zeros(count, 2))
        assert len(memo._pages) <= 13
    again = memo.fresh(edits, rows)
    assert len(again) == 1


def test_keys_fit_into_63_bits() -> None:
    assert 2**14 * SIDE * SIDE * COLOURS < 2**63
