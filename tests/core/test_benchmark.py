"""The bench's counts, arithmetic and errors; what it times is nobody's to assert."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from apr_core import InputError
from apr_core.base import version
from apr_core.base.registry import Registry
from apr_core.cli import main
from apr_core.data.registry import find_dataset
from apr_core.models import Classifier
from apr_core.zoo.target import TargetModel
from benchmarks.cli import bench
from benchmarks.speed import peers as peer_room
from benchmarks.speed.case import BenchConfig, Case
from benchmarks.speed.measure import (
    BenchResult,
    Forward,
    attack_work,
    choose_images,
    fastest,
    measure,
    sweep_work,
)
from benchmarks.speed.peers import PEERS, Peer, peer_version, run_peer
from tests.conftest import ConstantModel, CountingModel, LinearModel, answers
from tests.core.small import red_and_blue, small_data

TINY = BenchConfig(images=2, generations=2, rounds=2, population=8, seconds=0.001, batches=(2, 4))


def ask_thrice(model: nn.Module, images: Tensor, labels: Tensor, config: BenchConfig) -> None:
    """A peer that shows the model each image three times."""
    for _ in range(3):
        model(images)


def break_down(model: nn.Module, images: Tensor, labels: Tensor, config: BenchConfig) -> None:
    raise ImportError("half of it is missing")


@pytest.fixture(scope="module")
def result(network: Classifier) -> BenchResult:
    return measure(network, TINY, "a-name")


def test_ratio_is_the_quotient_of_its_parts(result: BenchResult) -> None:
    assert result.ratio == result.queries_per_second / result.forward_images_per_second
    assert result.queries == 2 * 8 * 3


def test_forwards_of_both_models_are_tried_in_each_layout_and_batch(result: BenchResult) -> None:
    tried = [(row["model"], row["channels_last"], row["batch"]) for row in result.forwards]
    assert len(set(tried)) == len(tried) == 2 * 2 * 2
    for model, rate in (
        ("prepared", result.forward_images_per_second),
        ("plain", result.plain_forward_images_per_second),
    ):
        spreads = [row["spread"] for row in result.forwards if row["model"] == model]
        assert min(least for least, _ in spreads) <= rate <= max(most for _, most in spreads)


def test_the_best_forward_is_the_fastest_of_the_other_rounds() -> None:
    steady = [100.0, 101.0, 99.0, 100.0, 102.0]
    assert fastest([steady, [rate / 2 for rate in steady]]) == steady
    assert fastest([[50.0]]) == [50.0]
    assert fastest([]) == []


def test_the_best_of_forwards_that_are_alike_is_no_faster_than_they_are() -> None:
    rng = np.random.default_rng(0)
    found = [median(fastest(rng.normal(100, 10, (10, 7)).tolist())) for _ in range(400)]
    assert abs(float(np.mean(found)) - 100) < 1  # the greatest median of the ten says 107


def test_every_figure_lies_in_its_spread(result: BenchResult) -> None:
    for name, (least, greatest) in result.spread.items():
        assert least <= greatest
        if name != "ratio":  # the quotient of medians need not lie among the rounds' quotients
            assert least <= getattr(result, name) <= greatest
    assert set(result.spread) >= {"queries_per_second", "forward_images_per_second", "ratio"}


def test_record_goes_through_json_and_says_where_it_was_made(result: BenchResult) -> None:
    entry = json.loads(json.dumps(asdict(result)))
    assert entry["model"] == "a-name"
    assert entry["device"] == "cpu"
    assert entry["rounds"] == 2
    assert entry["threads"] == torch.get_num_threads()
    assert entry["versions"]["torch"] == torch.__version__
    assert entry["hardware"]
    assert entry["date"]
    assert entry["peers"] == {}


def test_queries_are_what_a_counting_model_counts(network: Classifier) -> None:
    counting = CountingModel(network)
    case = Case(counting, *choose_images(network, 2), TINY)
    work = attack_work(case)
    work()  # the model is checked in the first run
    counting.count = 0
    queries, _ = work()
    assert counting.count == queries + len(case.images)  # and each clean image, once
    assert queries == 2 * 8 * 3


def test_a_users_model_has_plain_forwards_only(network: Classifier) -> None:
    result = measure(CountingModel(network), replace(TINY, generations=0, rounds=1))
    assert {row["model"] for row in result.forwards} == {"plain"}
    assert result.forward_images_per_second == result.plain_forward_images_per_second


def test_images_are_classified_correctly(network: Classifier) -> None:
    images, labels = choose_images(network, 5)
    assert torch.equal(answers(network, images), labels)


def test_the_images_are_of_the_data_set_that_was_asked_for() -> None:
    """The first of its test set where it comes without a sample; the forwards are of them too."""
    pictures = red_and_blue(count=12, size=8)
    data = replace(small_data(pictures, pictures), sample=None)
    model = LinearModel(size=8, classes=2)
    images, labels = choose_images(model, 3, data)
    assert images.shape == (3, 3, 8, 8)
    assert torch.equal(answers(model, images), labels)
    with pytest.raises(InputError, match=r"images is 13, but there are only 12"):
        choose_images(model, 13, data)
    assert measure(model, TINY, data=data).queries == 2 * 8 * 3


def test_too_few_right_answers_is_a_sentence() -> None:
    always_first = ConstantModel([2.0] + [0.0] * 9)
    with pytest.raises(InputError, match=r"classifies 100 of the sample's images correctly"):
        choose_images(always_first, 101)


def test_modes_are_left_as_they_were(network: Classifier) -> None:
    network.backbone.train()
    try:
        measure(network, replace(TINY, generations=0, rounds=1))
        assert network.backbone.training
        assert not network.training
    finally:
        network.eval()


@pytest.mark.parametrize("wrong", [{"images": 0}, {"rounds": 0}, {"generations": -1}])
def test_a_wrong_budget_is_a_sentence(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))} is .* must lie between"):
        BenchConfig(**wrong)


def test_reports_every_measurement(network: Classifier) -> None:
    reports: list[tuple[int, int, str]] = []
    config = replace(TINY, generations=0, rounds=1, batches=(2,))
    measure(network, config, report=lambda *told: reports.append(told))
    assert [done for done, _, _ in reports] == list(range(10))
    assert {total for _, total, _ in reports} == {10}
    assert "prepared, channels last, batch 2" in {what for _, _, what in reports}


def test_a_peer_is_measured_in_its_own_process(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers: Registry[Peer] = Registry("peer")
    peers.add("thrice", Peer("torch", ask_thrice))
    monkeypatch.setattr(peer_room, "PEERS", peers)
    result = measure(network, replace(TINY, batches=(2,)), peers=("thrice",))
    peer = result.peers["thrice"]
    assert peer["queries"] == 3 * TINY.images
    assert peer["ratio_of_ours"] == result.queries_per_second / peer["queries_per_second"]
    assert peer["version"] == metadata.version("torch")
    json.dumps(asdict(result))


@pytest.mark.parametrize("name", PEERS.names)
def test_a_missing_peer_is_a_sentence(
    network: Classifier, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def missing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(InputError, match=r"pip install -r requirements-bench\.txt"):
        peer_version(name)
    with pytest.raises(InputError, match=PEERS.get(name).package):
        measure(network, TINY, peers=(name,))


@pytest.mark.parametrize("name", PEERS.names)
def test_a_peer_that_cannot_be_imported_is_a_sentence(
    network: Classifier, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    monkeypatch.setitem(sys.modules, "art", None)
    monkeypatch.setitem(sys.modules, "art.estimators.classification", None)
    case = Case(network, *choose_images(network, 1), TINY)
    with pytest.raises(InputError, match=r"cannot be imported.*requirements-bench\.txt"):
        run_peer(PEERS.get(name), case, "cpu", torch.get_num_threads())


def test_an_error_in_a_peers_process_reaches_the_caller(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers: Registry[Peer] = Registry("peer")
    peers.add("broken", Peer("torch", break_down))
    monkeypatch.setattr(peer_room, "PEERS", peers)
    with pytest.raises(InputError, match="torch cannot be imported"):
        measure(network, replace(TINY, batches=(2,)), peers=("broken",))


@pytest.mark.parametrize("name", PEERS.names)
def test_real_peers_spend_about_the_budget(network: Classifier, name: str) -> None:
    pytest.importorskip(name, reason="requirements-bench.txt")
    config = replace(TINY, images=1, generations=1, population=400)
    case = Case(network, *choose_images(network, 1), config)
    queries, _ = run_peer(PEERS.get(name), case, "cpu", torch.get_num_threads())
    assert 800 <= queries <= 803  # and the checks for an early stop


def test_no_commit_outside_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(version, "__file__", str(tmp_path / "version.py"))
    assert version.find_commit() == ""


def test_command_line_prints_and_writes_one_record(
    network: Classifier,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def quick(model: nn.Module, config: BenchConfig, *rest: Any) -> BenchResult:
        return measure(model, replace(TINY, images=config.images), *rest)

    target = TargetModel("net", network, find_dataset())
    monkeypatch.setattr(bench, "chosen_target", lambda args: replace(target, name=args.model))
    monkeypatch.setattr(bench, "measure", quick)
    out = tmp_path / "bench-cpu.json"
    arguments = ["bench", "--model", "a-model", "--images", "1", "--device", "cpu"]
    assert main([*arguments, "--json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert printed["queries"] == 8 * 3
    assert main(arguments) == 0
    assert "a-model on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "cifar10-resnet20-none"], "There is no model 'cifar10-resnet20-none'"),
        (["--rounds", "0"], "rounds is 0"),
        (["--out", "/no/such/folder/bench.json"], "There is no folder /no/such/folder"),
    ],
)
def test_command_line_refuses_bad_input(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(["bench", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_the_corner_sweep_is_measured_when_asked(monkeypatch, network: Classifier) -> None:
    monkeypatch.setattr("benchmarks.speed.measure.forward_works", lambda case: {
        Forward("prepared", True, 1): lambda: (1000, 1.0),
        Forward("plain", True, 1): lambda: (900, 1.0),
    })  # fmt: skip
    monkeypatch.setattr(
        "benchmarks.speed.measure.sweep_work", lambda case: lambda: (8192, 8192 / 950)
    )
    config = replace(TINY, sweep=True)
    figures = measure(network, config).sweep_over_forward
    assert figures["ratio"] == pytest.approx(1000 / 950)
    assert figures["spread"] == pytest.approx((1000 / 950, 1000 / 950))
    assert measure(network, TINY).sweep_over_forward == {}


def test_a_sweep_is_timed_over_every_corner_of_every_pixel(network: Classifier) -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    count, seconds = sweep_work(Case(network, images, torch.zeros(2).long(), BenchConfig()))()
    assert count == 4 * 5 * 8
    assert seconds > 0
