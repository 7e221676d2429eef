"""What a defence costs: counts, turns, arithmetic and errors; no time is anybody's to assert."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from apr_core import InputError
from apr_core.cli import main
from apr_core.defences.vanilla import Vanilla
from apr_core.models import Classifier
from apr_core.models.clamp_front import NeighbourhoodFront
from apr_core.models.pixel_attention import PixelAttention
from benchmarks.cli import bench
from benchmarks.cli.overhead import in_words
from benchmarks.speed import overhead
from benchmarks.speed.case import Timed, Work
from benchmarks.speed.overhead import (
    OverheadConfig,
    OverheadResult,
    Part,
    inference_costs,
    inference_works,
    measure_overhead,
    paper_figures,
    training_costs,
    training_works,
)
from tests.conftest import figures

CPU = torch.device("cpu")
TINY = OverheadConfig(
    "resnet20", batch_size=4, steps=1, rounds=1, mixed_precision=False, inference_batch=2, seconds=0
)
BY_HAND: dict[Part, list[Timed]] = {
    Part("training", "vanilla"): [(10, 20.0), (10, 10.0), (10, 40.0)],  # 2, 1, 4 s a step
    Part("training", "apr"): [(10, 30.0), (10, 20.0), (10, 50.0)],  # 3, 2, 5
    Part("inference as loaded", "vanilla"): [(4, 2.0), (4, 4.0), (4, 8.0)],
    Part("inference as loaded", "apr"): [(4, 3.0), (4, 5.0), (4, 8.0)],
    Part("inference as searched", "vanilla"): [(8, 2.0), (8, 2.0), (8, 2.0)],
    Part("inference as searched", "apr"): [(4, 1.0), (4, 2.0), (4, 1.0)],
}


@pytest.fixture(scope="module")
def result() -> OverheadResult:
    return measure_overhead(TINY, CPU)


def test_record_goes_through_json_and_says_where_it_was_made(result: OverheadResult) -> None:
    entry = json.loads(json.dumps(asdict(result)))
    assert entry["architecture"] == "resnet20"
    assert entry["device"] == "cpu"
    assert entry["threads"] == torch.get_num_threads()
    assert entry["versions"]["torch"] == torch.__version__
    assert entry["hardware"]
    assert entry["date"]
    assert entry["config"]["batch_size"] == 4
    assert entry["paper"] is None
    trained = ["vanilla", "apr", "apr-exact", "apr-plus"]
    assert [row["defence"] for row in entry["training"]] == trained
    assert [(row["form"], row["defence"]) for row in entry["inference"]] == [
        (form, defence)
        for form in ("loaded", "searched")
        for defence in ("vanilla", "apr", "apr-plus")
    ]


def test_times_are_positive_and_the_reference_costs_nothing_more(result: OverheadResult) -> None:
    for row in (*result.training, *result.inference):
        assert row.overhead > -1
        assert row.interval is None  # of one round
        if row.defence == "vanilla":
            assert row.overhead == 0
    assert all(row.seconds_per_step > 0 for row in result.training)
    assert all(row.seconds_per_epoch > 0 for row in result.training)
    assert all(row.seconds_per_image > 0 for row in result.inference)


def test_training_figures_are_what_a_hand_finds() -> None:
    vanilla, apr = training_costs(BY_HAND, batch_size=128)
    assert (vanilla.defence, vanilla.seconds_per_step) == ("vanilla", 2)
    assert vanilla.seconds_per_epoch == 2 * 390
    assert vanilla.overhead == 0
    assert apr.seconds_per_step == 3
    assert apr.seconds_per_epoch == 3 * 390
    assert apr.overhead == 3 / 2 - 1
    assert apr.interval is None


def test_an_interval_is_that_of_a_median() -> None:
    """Of 11 rounds, the second least to the second greatest: both tails have 12 in 2,048."""
    ratios = [1.5, 1.1, 1.3, 9.0, 1.2, 1.0, 1.7, 1.4, 1.6, 1.8, 1.9]
    rounds = {
        Part(kind, defence): [(1, 2 * ratio) for ratio in taken]
        for kind in ("training", "inference as loaded", "inference as searched")
        for defence, taken in (("vanilla", [1.0] * 11), ("apr", ratios))
    }
    costs = (*training_costs(rounds, batch_size=128), *inference_costs(rounds))
    assert [cost.defence for cost in costs] == ["vanilla", "apr"] * 3
    for vanilla, apr in zip(costs[::2], costs[1::2], strict=True):
        assert vanilla.interval == (0, 0)
        assert apr.overhead == pytest.approx(0.5)
        assert apr.interval == pytest.approx((0.1, 0.9))


def test_inference_figures_are_what_a_hand_finds() -> None:
    costs = {(cost.form, cost.defence): cost for cost in inference_costs(BY_HAND)}
    assert costs["loaded", "vanilla"].seconds_per_image == 1
    assert costs["loaded", "apr"].seconds_per_image == 5 / 4
    assert costs["loaded", "apr"].overhead == 5 / 4 - 1
    assert costs["searched", "vanilla"].overhead == 0
    assert costs["searched", "apr"].seconds_per_image == 1 / 4
    assert costs["searched", "apr"].overhead == 0


def test_everything_takes_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Part] = []

    def fake(part: Part) -> Work:
        def work() -> Timed:
            taken.append(part)
            return 1, 100.0 if len(taken) <= len(BY_HAND) else 1.0  # the warm-up is slow

        return work

    def of_kind(kind: str) -> dict[Part, Work]:
        return {part: fake(part) for part in BY_HAND if part.kind.startswith(kind)}

    monkeypatch.setattr(overhead, "training_works", lambda config, device: of_kind("training"))
    monkeypatch.setattr(overhead, "inference_works", lambda config, device: of_kind("inference"))
    told: list[tuple[int, int, str]] = []
    result = measure_overhead(replace(TINY, rounds=3), CPU, lambda *now: told.append(now))
    there, back = list(BY_HAND), list(BY_HAND)[::-1]
    assert taken == back + there + back + there
    assert [done for done, _, _ in told] == list(range(24))
    assert {total for _, total, _ in told} == {24}
    assert told[0][2] == "inference as searched, apr"
    assert {row.seconds_per_step for row in result.training} == {1}
    assert {row.seconds_per_epoch for row in result.training} == {12_500}


def test_steps_are_those_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, tuple[int, ...]]] = []
    before: list[Tensor] = []
    loss = Vanilla.loss

    def watched(
        self: Vanilla, model: nn.Module, images: Tensor, *rest: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        seen.append((model.training, tuple(images.shape)))
        before.append(next(model.parameters()).detach().clone())
        return loss(self, model, images, *rest)

    monkeypatch.setattr(Vanilla, "loss", watched)
    work = training_works(replace(TINY, defences=("vanilla",), steps=3), CPU)
    count, seconds = work[Part("training", "vanilla")]()
    assert count == 3
    assert seconds > 0
    assert seen == [(True, (4, 3, 32, 32))] * 3
    assert not torch.equal(before[0], before[1])


def test_inference_is_of_one_network_with_each_front_and_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple[nn.Module, Tensor]] = []

    def watched(module: nn.Module, images: Tensor, seconds: float) -> Work:
        given.append((module, images))
        return lambda: (1, 1.0)

    monkeypatch.setattr(overhead, "passes_work", watched)
    assert len(inference_works(TINY, CPU)) == 6
    modules = [module for module, _ in given]
    assert all(isinstance(module, Classifier) for module in modules)
    assert not any(module.training for module in modules)
    fronts = [type(module.front) for module in modules]
    assert fronts == [nn.Identity, PixelAttention, NeighbourhoodFront] * 2
    images = given[0][1]
    assert images.shape == (2, 3, 32, 32)
    with torch.no_grad():
        logits = [module.backbone(images) for module in modules]
    for other in logits[1:]:
        torch.testing.assert_close(other, logits[0], rtol=1e-4, atol=1e-4)


def test_vanilla_is_measured_unasked() -> None:
    assert replace(TINY, defences=("apr",)).defences == ("vanilla", "apr")
    assert replace(TINY, defences=("apr", "vanilla")).defences == ("apr", "vanilla")


def test_the_paper_has_two_architectures() -> None:
    assert paper_figures("resnet18") == {"training": 0.273, "inference": 0.086}
    assert paper_figures("vgg16") == {"training": 0.315, "inference": 0.092}
    assert paper_figures("resnet20") is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rounds": 0}, "rounds is 0, but must lie between 1 and 1000"),
        ({"steps": 0}, "steps is 0, but must lie between"),
        ({"batch_size": 1}, "batch_size is 1, but must lie between 2 and"),
        ({"inference_batch": 0}, "inference_batch is 0, but must lie between"),
        ({"seconds": -1.0}, r"seconds is -1\.0, but must lie between"),
        ({"batch_size": 128, "steps": 391}, "391 steps of 128 .* at most 390 steps"),
        ({"architecture": "resnet19"}, "There is no architecture 'resnet19'"),
        ({"defences": ("arp",)}, "There is no defence 'arp'"),
        ({"defences": ("it",)}, "'it' is not trained by itself"),
        ({"defences": ("vanilla", "dd")}, "'dd' is not trained by itself"),
    ],
)
def test_a_wrong_setting_is_a_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        replace(TINY, **wrong)


def test_words_put_the_papers_figures_beside_ours(result: OverheadResult) -> None:
    other = replace(
        result,
        training=tuple(
            replace(cost, interval=(0.25, 1.0)) for cost in training_costs(BY_HAND, 128)
        ),
        inference=tuple(replace(cost, interval=(0.0, 0.5)) for cost in inference_costs(BY_HAND)),
        paper=paper_figures("resnet18"),
    )
    lines = in_words(other).splitlines()
    assert figures(lines[1]) == ["2", "780"]
    assert figures(lines[2]) == ["1.50", "1.25", "2.00", "1.273"]
    assert figures(lines[4]) == ["1.25", "1.00", "1.50", "1.086"]
    assert "the paper" not in in_words(result)


def test_command_line_prints_and_writes_one_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[OverheadConfig] = []

    def quick(config: OverheadConfig, *rest: Any) -> OverheadResult:
        asked.append(config)
        return measure_overhead(replace(TINY, defences=config.defences), *rest)

    monkeypatch.setattr(bench, "measure_overhead", quick)
    out = tmp_path / "overhead.json"
    arguments = ["bench", "--overhead", "--architecture", "resnet20", "--device", "cpu"]
    asking = ["--defences", "at, apr,at", "--steps", "2", "--rounds", "1"]
    assert main([*arguments, *asking, "--json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert [row["defence"] for row in printed["training"]] == ["vanilla", "at", "apr"]
    assert (asked[0].architecture, asked[0].steps, asked[0].rounds) == ("resnet20", 2, 1)
    assert main(arguments) == 0
    assert "training, apr-exact: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--overhead", "--defences", "dd"], "'dd' is not trained by itself"),
        (["--overhead", "--defences", ""], "There is no defence ''"),
        (["--overhead", "--rounds", "0"], "rounds is 0"),
        (["--overhead", "--out", "/no/such/folder/a.json"], "There is no folder /no/such/folder"),
        (["--overhead", "--peers"], "--peers goes without --overhead only; leave --peers out"),
        (["--steps", "3"], "--steps goes with --overhead only; leave --steps out"),
    ],
)
def test_command_line_refuses_bad_input(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(["bench", *arguments]) == 2
    assert sentence in capsys.readouterr().err
