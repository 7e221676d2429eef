"""Sparse-RS as the method of a run: its proposals, its finds, what a caller may ask of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from apr_core import InputError, OnePixelAttack, OnePixelConfig, Status, Stop, cli
from apr_core.attacks.enumeration import corner_sweep
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.search import Search
from apr_core.base.types import Fitness, Method
from apr_core.data.registry import find_dataset
from apr_core.serving.frame import frame
from apr_core.serving.requests import PHOTOGRAPHS, AttackRequest, check_served, served
from apr_core.serving.run_export import START_RUN, load_recording
from tests.conftest import LinearModel, answers

SPARSE = OnePixelConfig(population=8, generations=40, method=Method.SPARSE_RS, stop=Stop.BUDGET)
SIZE = 6


@pytest.fixture
def images() -> Tensor:
    chance = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (12, 3, SIZE, SIZE), dtype=torch.uint8, generator=chance)


def search_of(config: OnePixelConfig, images: Tensor) -> Search:
    model = LinearModel()
    return Search(config, ModelOracle(model), images, answers(model, images))


def places(positions: Tensor) -> Tensor:
    return positions[..., 1] * SIZE + positions[..., 0]


def test_it_begins_with_sets_of_different_pixels_in_corner_colours(images: Tensor) -> None:
    asked = search_of(replace(SPARSE, pixels=SIZE * SIZE), images).ask()
    assert asked.positions.shape == (12 * 8, SIZE * SIZE, 2)
    every = torch.arange(SIZE * SIZE).expand(96, -1)
    assert torch.equal(places(asked.positions).sort(1).values, every)
    assert set(asked.colours.unique().tolist()) == {0, 255}


def test_proposals_are_the_best_so_far_with_some_pixels_exchanged(images: Tensor) -> None:
    search, before = search_of(replace(SPARSE, pixels=20), images[:1]), float("inf")
    while search.live:
        best = search.state.best()[0]
        asked = search.ask()
        if search.step:
            old = torch.stack(list(search._decode(best)[0].unbind(0)))
            kept = (places(asked.positions) == places(old)).sum(1)
            assert kept.min() >= 20 - max(1, int(0.3 / 2 * 20))
        search.tell(search.oracle.query(asked))
        now = float(search.state.search.fitness.min())
        assert now <= before
        before = now


@pytest.mark.parametrize("population", [1, 8])
def test_it_finds_what_brute_force_finds(images: Tensor, population: int) -> None:
    model = LinearModel()
    config = replace(SPARSE, population=population, generations=1600 // population - 1)
    outcomes = OnePixelAttack(model, config).run(images, answers(model, images)).outcomes
    labels = answers(model, images)
    sweep = corner_sweep(ModelOracle(model), images, labels, stop_on_success=False)
    assert [one.success for one in outcomes] == sweep.flipped.tolist()
    for image, one in zip(images, outcomes, strict=True):
        assert int(answers(model, one.apply(image)[None])) == one.label_after
        assert one.queries == 1600


def test_a_target_is_reached(images: Tensor) -> None:
    model = LinearModel()
    labels = answers(model, images)
    targets = (labels + 1) % 2
    config = replace(SPARSE, pixels=20, stop=Stop.FIRST_FLIP)
    outcomes = OnePixelAttack(model, config).run(images, labels, targets).outcomes
    assert {one.status for one in outcomes} == {Status.FLIPPED}
    assert [one.label_after for one in outcomes] == targets.tolist()


def test_more_pixels_than_the_picture_has_are_refused(images: Tensor) -> None:
    with pytest.raises(InputError, match=r"pixels is 40.*has 36"):
        search_of(replace(SPARSE, pixels=40), images)


def test_it_lowers_the_margin_and_a_batch_may_be_of_one() -> None:
    assert OnePixelConfig(method="sparse-rs", fitness="probability").fitness is Fitness.MARGIN
    assert OnePixelConfig(250, population=1, method="sparse-rs").max_queries == 101
    for method, pixels, population in (("de", 1, 3), ("de", 151, 4), ("sparse-rs", 251, 1)):
        with pytest.raises(InputError, match=r"pixels|population"):
            OnePixelConfig(pixels, population, method=method)
    with pytest.raises(InputError, match="no method 'genetic'"):
        OnePixelConfig(method="genetic")


@pytest.mark.parametrize(
    ("data", "method", "most"),
    [
        (PHOTOGRAPHS, "sparse-rs", 250),
        (PHOTOGRAPHS, "de", 16),
        ("cifar10", "sparse-rs", 16),
        ("breastmnist", "sparse-rs", 16),
    ],
)
def test_a_caller_may_change_half_a_per_cent_of_a_large_picture(
    data: str, method: str, most: int
) -> None:
    dataset = find_dataset(data)
    assert served(Method(method), dataset)["pixels"] == (1, most)
    config = OnePixelConfig(most, population=8, method=method)
    check_served(config, dataset)
    if most < 250:
        with pytest.raises(InputError, match=f"pixels is {most + 1}"):
            check_served(replace(config, pixels=most + 1), dataset)


def test_the_id_of_a_run_from_before_is_still_its_own() -> None:
    """The recording that the Start page ships was made when there was no other method."""
    recording = load_recording(START_RUN)
    assert "method" not in recording["config"]
    image, label = find_dataset().test_image(recording["index"])
    config = OnePixelConfig(**recording["config"])
    request = AttackRequest(recording["model"], image, label, recording["index"], config)
    assert config.method is Method.DE
    assert request.run_id == recording["run"]
    other = replace(request, config=replace(config, method=Method.SPARSE_RS))
    assert other.run_id != request.run_id


def test_a_frame_of_many_pixels_stays_small() -> None:
    image = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    config = replace(SPARSE, pixels=250, generations=1)
    search = Search(config, ModelOracle(torch.nn.Flatten()), image, torch.tensor([0]))
    search.state = replace(search.state, done=torch.tensor([False]))
    search.tell(search.oracle.query(search.ask()))
    assert len(json.dumps(frame(search.snapshot()))) < 20_000


def test_the_command_line_says_the_method(capsys: pytest.CaptureFixture[str]) -> None:
    command = "attack --method sparse-rs --pixels 150 --population 4 --generations 1 --index 3"
    assert cli.main([*command.split(), "--dense"]) == 0
    said = capsys.readouterr().out
    assert "queries of Sparse-RS" in said
    assert "150 pixels" in said
    assert cli.main([*command.split(), "--dense", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["method"], report["config"]["method"]) == ("sparse-rs", "sparse-rs")
    assert len(report["pixels"]) == 150
