"""The bench's counts, arithmetic and errors; what it times is nobody's to assert."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from apr_core import InputError
from apr_core.attacks.oracle import ModelOracle
from apr_core.base import version
from apr_core.base.registry import Registry
from apr_core.cli import main, make_parser
from apr_core.data.registry import find_dataset
from apr_core.models import Classifier
from apr_core.models.incremental import IncrementalNetwork, engine
from apr_core.models.incremental.costs import Costs
from apr_core.report.speeds import Figure
from apr_core.zoo.library import LibraryEntry
from apr_core.zoo.target import TargetModel
from benchmarks.cli import bench
from benchmarks.speed import peers as peer_room
from benchmarks.speed.case import LARGE_CONFIG, BenchConfig, Case
from benchmarks.speed.engines import ONNX, OTHERS, PREPARED, TRACED, Forward, forward_works
from benchmarks.speed.images import choose_images
from benchmarks.speed.measure import attack_work, measure, sweep_work
from benchmarks.speed.peers import PEERS, Peer, peer_version, run_peer
from benchmarks.speed.record import AIMS, BenchResult, aims_of, fastest
from benchmarks.speed.turns import take_turns
from tests.conftest import ConstantModel, CountingModel, LinearModel, answers
from tests.core.small import red_and_blue, small_data

TINY = BenchConfig(images=2, generations=2, rounds=2, population=8, seconds=0.001, batches=(2, 4))


def ask_thrice(model: nn.Module, images: Tensor, labels: Tensor, config: BenchConfig) -> None:
    """A peer that shows the model each image three times."""
    for _ in range(3):
        model(images)


def break_down(model: nn.Module, images: Tensor, labels: Tensor, config: BenchConfig) -> None:
    raise ImportError("half of it is missing")


def costs(network: IncrementalNetwork, dense: Any, chunk: int, gain: float = 1.0) -> Costs:
    windows, joining = (0.001,) * network.most_cut, (0.0,) * (network.most_cut + 1)
    return Costs(9.0, 8, 4, windows, joining, (0.1,) * len(network.graph.steps), gain)


@pytest.fixture(autouse=True)
def decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a network goes dense is known: to measure it takes seconds."""
    monkeypatch.setattr(engine, "measure", costs)


@pytest.fixture(scope="module")
def result(network: Classifier) -> BenchResult:
    return measure(network, TINY, "a-name")


def test_ratios_are_the_quotients_of_their_parts(result: BenchResult) -> None:
    told = {(ours, theirs) for ours, theirs in (what.split(" over ") for what in result.ratios)}
    others = {"forward", "plain forward", "other engine", "dense attack"}
    assert told == {("attack", other) for other in others} | {("dense attack", "forward")}
    for what, figure in result.ratios.items():
        ours, theirs = (result.rates[name].value for name in what.split(" over "))
        assert figure.value == ours / theirs
    assert result.queries == {"attack": 2 * 8 * 3, "dense attack": 2 * 8 * 3}


def test_forwards_of_every_engine_are_tried_in_each_batch(result: BenchResult) -> None:
    tried = [(row["engine"], row["channels_last"], row["batch"]) for row in result.forwards]
    eager = [(name, last) for name in ("plain", "prepared") for last in (False, True)]
    engines = [*eager, (TRACED, True), (ONNX, False)]
    assert sorted(tried) == sorted((*engine, batch) for engine in engines for batch in (2, 4))
    for named, rate in (
        (["prepared"], result.rates["forward"].value),
        (["plain"], result.rates["plain forward"].value),
        (OTHERS, result.rates["other engine"].value),
    ):
        spreads = [row["spread"] for row in result.forwards if row["engine"] in named]
        assert min(least for least, _ in spreads) <= rate <= max(most for _, most in spreads)
    assert result.other_engine.startswith((TRACED, ONNX))
    assert result.versions[ONNX] == metadata.version(ONNX)


def test_every_engine_gives_the_models_logits(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is fast and says something else is no engine of the model's."""
    found: dict[int, list[Tensor]] = {}

    def remember(call: Any, images: Tensor, seconds: float) -> Any:
        with torch.inference_mode():
            answer = call(images)
        logits = answer if isinstance(answer, Tensor) else torch.from_numpy(answer[0])
        found.setdefault(len(images), []).append(logits)

    monkeypatch.setattr("benchmarks.speed.engines.passes_work", remember)
    forward_works(Case(network, *choose_images(network, 2), TINY))
    for first, *others in found.values():
        assert len(others) == 5
        for logits in others:
            torch.testing.assert_close(logits, first, rtol=1e-4, atol=1e-4)


def test_compiled_code_is_tried_at_the_attacks_batch_when_asked(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.speed.engines.compile_for", lambda module: module)
    case = Case(network, *choose_images(network, 1), replace(TINY, compiled=True))
    tried = [str(key) for key in forward_works(case) if key.engine == "compiled"]
    assert tried == [f"compiled, channels last, batch {50 * torch.get_num_threads()}"]


def test_engines_that_are_not_there_are_left_out(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.speed.engines.find_spec", lambda name: None)
    case = Case(network, *choose_images(network, 1), TINY)
    assert {key.engine for key in forward_works(case)} == {"plain", "prepared", TRACED}


def test_an_export_that_fails_leaves_the_engine_out(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*parts: Any, **named: Any) -> None:
        raise torch.onnx.OnnxExporterError("no such operation")

    monkeypatch.setattr(torch.onnx, "export", fail)
    case = Case(network, *choose_images(network, 1), TINY)
    assert {key.engine for key in forward_works(case)} == {"plain", "prepared", TRACED}


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
    for figure in result.rates.values():
        assert figure.spread[0] <= figure.value <= figure.spread[1]
    for figure in result.ratios.values():  # a quotient of medians need not lie among the rounds'
        assert figure.spread[0] <= figure.spread[1]


def test_the_split_that_was_measured_is_told(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "measure", partial(costs, gain=3.0))
    result = measure(network, replace(TINY, rounds=1, batches=(2,)))
    split = result.split
    assert (split["chunk"], split["whole_chunk"], split["gain"]) == (8, 4, 3.0)
    assert 0 < split["cut"] < split["steps"]
    assert result.queries == {"attack": 2 * 8 * 3, "dense attack": 2 * 8 * 3}
    monkeypatch.setenv("APR_DENSE", "1")
    assert measure(network, replace(TINY, rounds=1, batches=(2,))).split == {}


def test_nothing_that_was_measured_before_decides(
    network: Classifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APR_SPEEDS", str(tmp_path))
    measure(network, replace(TINY, rounds=1, batches=(2,)))
    assert list(tmp_path.iterdir()) == []


def test_targets_are_held_to_what_was_measured() -> None:
    ratios = {
        "attack over forward": Figure(6.0, (5.0, 7.0)),
        "attack over art": Figure(5.9, (5.0, 7.0)),
    }
    found = {aim.what: (aim.wanted, aim.met) for aim in aims_of("vgg19", ratios)}
    assert found == {
        "attack over forward": (6.0, True),
        "attack over torchattacks": (6.0, None),
        "attack over art": (6.0, False),
    }
    assert aims_of("mine:make", ratios) == ()
    assert {wanted["forward"] for wanted in AIMS.values()} == {1.2, 1.3, 1.5, 2.0, 2.2, 6.0}


def test_record_goes_through_json_and_says_where_it_was_made(result: BenchResult) -> None:
    entry = json.loads(json.dumps(asdict(result)))
    assert entry["model"] == "a-name"
    assert entry["device"] == "cpu"
    assert entry["rounds"] == 2
    assert entry["threads"] == torch.get_num_threads()
    assert entry["versions"]["torch"] == torch.__version__
    assert entry["hardware"]
    assert entry["date"]
    assert entry["random_weights"] is False
    assert entry["shape"] == [3, 32, 32]
    assert entry["aims"] == []


def test_queries_are_what_a_counting_model_counts(network: Classifier) -> None:
    counting = CountingModel(network)
    case = Case(counting, *choose_images(network, 2), TINY)
    work = attack_work(case, ModelOracle(counting))
    work()  # the model is checked in the first run
    counting.count = 0
    queries, _ = work()
    assert counting.count == queries + len(case.images)  # and each clean image, once
    assert queries == 2 * 8 * 3


def test_a_users_model_is_not_folded_and_goes_dense_where_it_is_not_traced() -> None:
    class Deciding(LinearModel):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            return logits if logits.sum() > 0 else logits.clone()

    config = replace(TINY, images=1, generations=0, rounds=1)
    result = measure(Deciding(size=32, classes=10), config, random_weights=True)
    assert {row["engine"] for row in result.forwards} == {"plain"}
    assert result.rates["forward"] == result.rates["plain forward"]
    assert "other engine" not in result.rates
    assert result.other_engine == ""
    assert result.split == {}


def test_a_librarys_model_is_folded() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))
    entry = LibraryEntry("small", (8, 8), 3, 5, (0.5,) * 3, (0.5,) * 3, lambda: (backbone, ""))
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    works = forward_works(Case(entry.load(), images, torch.zeros(1).long(), TINY))
    assert PREPARED in {key.engine for key in works}


def test_labels_of_random_weights_are_the_models_own_answers() -> None:
    images, labels = choose_images(ConstantModel([0.0, 2.0] + [0.0] * 8), 101, random_weights=True)
    assert len(images) == 101
    assert labels.eq(1).all()


def test_warm_ups_are_left_out_and_cold_works_have_none() -> None:
    done: list[str] = []
    reports: list[tuple[int, int, str]] = []

    def work(name: str) -> Any:
        return lambda: (done.append(name), (len(done), 1.0))[1]

    works = {name: work(name) for name in "abc"}
    taken = take_turns(works, 2, lambda *told: reports.append(told), cold=("b",))
    assert done == ["c", "a", "a", "b", "c", "c", "b", "a"]
    assert {name: [count for count, _ in timed] for name, timed in taken.items()} == {
        "a": [3, 8],
        "b": [4, 7],
        "c": [5, 6],
    }
    assert reports == [(number, 8, name) for number, name in enumerate(done)]


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
    assert measure(model, TINY, data=data).queries["attack"] == 2 * 8 * 3


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
    assert [done for done, _, _ in reports] == list(range(16))
    assert {total for _, total, _ in reports} == {16}
    assert "prepared, channels last, batch 2" in {what for _, _, what in reports}


def test_a_peer_is_measured_in_its_own_process(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers: Registry[Peer] = Registry("peer")
    peers.add("thrice", Peer("torch", ask_thrice))
    monkeypatch.setattr(peer_room, "PEERS", peers)
    result = measure(network, replace(TINY, batches=(2,)), peers=("thrice",))
    assert result.queries["thrice"] == 3 * TINY.images
    ratio = result.rates["attack"].value / result.rates["thrice"].value
    assert result.ratios["attack over thrice"].value == ratio
    assert result.versions["torch"] == metadata.version("torch")
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


def test_large_images_get_fewer_queries_where_all_are_whole_forwards(
    network: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[BenchConfig] = []
    monkeypatch.setattr("benchmarks.speed.measure.peer_work", lambda name, case: _peer(given, case))
    monkeypatch.setattr("benchmarks.speed.measure.peer_version", lambda name: "1")
    small = replace(TINY, rounds=1, batches=(2,))
    config = replace(small, population=20, dense_population=6, peer_generations=0)
    result = measure(network, config, peers=("torchattacks",))
    assert result.queries == {"attack": 2 * 20 * 3, "dense attack": 2 * 6 * 3, "torchattacks": 7}
    assert given == [config]
    assert LARGE_CONFIG.dense_population < LARGE_CONFIG.population


def _peer(given: list[BenchConfig], case: Case) -> Any:
    given.append(case.config)
    return nullcontext(lambda: (7, 1.0))


@pytest.mark.parametrize("name", PEERS.names)
def test_real_peers_spend_about_the_budget(network: Classifier, name: str) -> None:
    pytest.importorskip(name, reason="requirements-bench.txt")
    config = replace(TINY, images=1, generations=1, population=400)
    case = Case(network, *choose_images(network, 1), config)
    queries, _ = run_peer(PEERS.get(name), case, "cpu", torch.get_num_threads())
    assert 800 <= queries <= 803  # and the checks for an early stop
    once = replace(case, config=replace(config, dense_population=200, peer_generations=0))
    queries, _ = run_peer(PEERS.get(name), once, "cpu", torch.get_num_threads())
    assert queries - (200 if "torchattacks" in name else 400) in range(4)


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
        assert config.rounds == BenchConfig().rounds
        return measure(model, replace(TINY, images=config.images), *rest)

    target = TargetModel("net", network, find_dataset())
    monkeypatch.setattr(bench, "chosen_target", lambda args: replace(target, name=args.model))
    monkeypatch.setattr(bench, "measure", quick)
    out = tmp_path / "bench-cpu.json"
    arguments = ["bench", "--model", "a-model", "--images", "1", "--device", "cpu"]
    assert main([*arguments, "--json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert printed["queries"]["attack"] == 8 * 3
    assert printed["model"] == "a-model"
    assert main(arguments) == 0
    assert "a-model on" in capsys.readouterr().out


def test_command_line_takes_architectures_with_random_weights_and_sizes_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Any, ...]] = []

    def quick(*parts: Any) -> BenchResult:
        asked.append(parts)
        return measure(
            parts[0], replace(TINY, images=1, rounds=1, batches=(2,)), random_weights=True
        )

    monkeypatch.setattr(bench, "measure", quick)
    arguments = ["bench", "--architecture", "resnet20", "--peers", "--device", "cpu"]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert "random weights" in capsys.readouterr().out
    (model, config, name, peers, _, data, random_weights), (again, *_) = asked
    assert (name, data.name, random_weights) == ("resnet20", "cifar10", True)
    assert config == BenchConfig()
    assert peers == tuple(PEERS.names)
    weights = zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in weights)

    monkeypatch.setattr(bench, "build_model", lambda *_, data: ConstantModel([1.0] + [0.0] * 999))
    large = ["bench", "--architecture", "vgg19", "--peers", "--device", "cpu", "--compile"]
    monkeypatch.setattr(bench, "measure", lambda *parts: asked.append(parts) or stop())
    with pytest.raises(InputError, match="enough"):
        bench.MEASURE["attack"](parsed([*large, "--rounds", "2"]), lambda *told: None)
    _, config, name, peers, _, data, _ = asked[-1]
    assert (name, data.size) == ("vgg19", (224, 224))
    assert config == replace(LARGE_CONFIG, rounds=2, compiled=True)
    assert peers == ("torchattacks", "art")


def parsed(arguments: list[str]) -> Any:
    return make_parser().parse_args(arguments)


def stop() -> BenchResult:
    raise InputError("It was enough.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "cifar10-resnet20-none"], "There is no model 'cifar10-resnet20-none'"),
        (["--rounds", "0"], "rounds is 0"),
        (["--model", "a", "--architecture", "vgg19"], "--architecture goes without --model"),
        (["--architecture", "vgg99"], "There is no architecture 'vgg99'"),
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
    result = measure(network, replace(TINY, sweep=True))
    figure = result.ratios["corner sweep over forward"]
    assert figure.value == pytest.approx(950 / 1000)
    assert figure.spread == pytest.approx((950 / 1000, 950 / 1000))
    assert result.rates["corner sweep"].value == pytest.approx(950)
    assert "corner sweep" not in measure(network, TINY).rates


def test_a_sweep_is_timed_over_every_corner_of_every_pixel(network: Classifier) -> None:
    images = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    count, seconds = sweep_work(Case(network, images, torch.zeros(2).long(), BenchConfig()))()
    assert count == 4 * 5 * 8
    assert seconds > 0
