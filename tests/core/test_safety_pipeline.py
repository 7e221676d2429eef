"""Pipelines: what they decide and why, and what an attack on all of their layers gets through."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from apr_core.attacks.enumeration import CORNERS
from apr_core.attacks.perturbation import apply_edits
from apr_core.base.types import InputError
from apr_core.certification.lattice_masking import LatticeMasking, Verdict, certify
from apr_core.cli import main
from apr_core.data.dataset import Split
from apr_core.data.registry import find_dataset
from apr_core.evaluation import protocol
from apr_core.safety import build as building
from apr_core.safety.attack import BLOCK, Budget, Found, attack_pipeline
from apr_core.safety.build import Plan, build, held_out
from apr_core.safety.config import (
    CertificateLayer,
    Checks,
    Confidence,
    Ensemble,
    PipelineConfig,
)
from apr_core.safety.measure import command_of, guard_setting, measure
from apr_core.safety.pipeline import Pipeline
from apr_core.safety.record import (
    ADAPTIVE,
    CLEAN,
    STATES,
    UNKNOWING,
    GuardRecord,
    Outcome,
    Seen,
    passing_at,
    rates_at,
    save_guard,
)
from apr_core.zoo.target import TargetModel
from tests.conftest import LinearModel, answers, noise

SIZE, COUNT, MEASURED = 8, 150, 24
GREY = 0.5
EVERYTHING = Budget(screened=8 * SIZE**2, shown=8 * SIZE**2, population=8, generations=4)
FULL = PipelineConfig(
    "tiny",
    temperature=2.0,
    checks=Checks(0.5),
    confidence=Confidence(0.4),
    ensemble=Ensemble(("other",), 0.5),
    certificate=CertificateLayer(2),
    false_alarms=0.05,
    held_out=100,
)


class Tiny(LinearModel):
    """A linear model of quarters of small pictures, so that what is masked hardly matters.

    Its weights have a name, so that its work is kept.
    """

    sha256 = "a" * 64

    def __init__(self, seed: int = 0) -> None:
        super().__init__(SIZE, 10, seed)
        self.weight.data = quarters(self.weight.data[:, :12]).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - GREY)


def quarters(values: Tensor) -> Tensor:
    """Pictures (N, 3, SIZE, SIZE) of four flat quarters, of (N, 12) values."""
    return values.view(-1, 3, 2, 2).repeat_interleave(SIZE // 2, 2).repeat_interleave(SIZE // 2, 3)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TargetModel:
    """A tiny model, on pictures of which it gets about nine in ten right."""
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    monkeypatch.setattr(protocol, "LADDER", ("corners",))
    model = Tiny()
    images = (255 * GREY + 100 * (quarters(noise(COUNT, 12)) - 0.5)).to(torch.uint8)
    labels = answers(model, images)
    labels[::9] = (labels[::9] + 1) % 10
    split = Split.in_memory(images, labels)
    changed = {"size": (SIZE, SIZE), "tested": COUNT, "sample": None, "hashes": {}}
    data = replace(find_dataset(), **changed, load=lambda name: split, here=lambda: True)
    return TargetModel("tiny", model.eval(), data)


Make = Callable[[PipelineConfig], Pipeline]


@pytest.fixture
def make(target: TargetModel, monkeypatch: pytest.MonkeyPatch) -> Make:
    def pipeline(config: PipelineConfig, device: object = None) -> Pipeline:
        return Pipeline(config, target, {"other": Tiny(1)} if config.ensemble else {})

    monkeypatch.setattr(building.Pipeline, "load", pipeline)
    return pipeline


def first(target: TargetModel, count: int) -> tuple[Tensor, Tensor]:
    split = target.data.load("test")
    return split.images[:count], split.labels[:count]


def test_a_config_survives_json_and_has_one_hash() -> None:
    again = PipelineConfig.from_json(FULL.to_json())
    assert again == FULL
    shuffled = json.dumps(dict(reversed(json.loads(FULL.to_json()).items())))
    assert PipelineConfig.from_json(shuffled).sha256 == FULL.sha256
    assert replace(FULL, confidence=Confidence(0.41)).sha256 != FULL.sha256
    assert FULL.layers == ("temperature", "checks", "confidence", "ensemble", "certificate")


@pytest.mark.parametrize(
    ("make_it", "said"),
    [
        (lambda: PipelineConfig("m"), "A pipeline of 0 layers"),
        (lambda: Confidence(1.5), "layer 'confidence' is 1.5, but must lie between 0.0 and 1.0"),
        (lambda: Checks(-0.1), "threshold of the layer 'checks' is -0.1, but"),
        (lambda: Checks(0.5, draws=0), r"layer 'checks' \(--draws\) is 0, but must lie between 1"),
        (lambda: Ensemble(("a",), 7.0), r"layer 'ensemble' \(--agreement\) is 7.0, but must"),
        (lambda: Checks(0.5, ()), r"\(--views\) are none"),
        (lambda: Checks(0.5, ("jpg",)), "no view 'jpg' .did you mean 'jpeg'"),
        (lambda: Checks(0.5, score="gap"), "no score 'gap'"),
        (lambda: Ensemble(()), r"layer 'ensemble' \(--others\) are none"),
        (lambda: CertificateLayer(1), r"layer 'certificate' \(--spacing\) is 1, but must"),
        (lambda: replace(FULL, temperature=0.0), r"temperature is 0.0"),
        (lambda: replace(FULL, ensemble=Ensemble(("tiny",))), "tiny is the pipeline's own model"),
        (lambda: Plan("m", layers=("chekcs",)), "no layer 'chekcs'"),
        (lambda: Plan("m", held_out=0), r"\(--held-out\) is 0, but must lie between 1"),
        (lambda: Plan("m", draws=3), "none of crop, rescale, blur, jpeg, median is random"),
        (lambda: PipelineConfig.from_json("{}"), "lacks the field 'model'"),
        (lambda: Budget(screened=0), "screened is 0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make_it: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        make_it()
    assert str(caught.value).endswith(".")


def test_models_of_other_classes_make_no_ensemble() -> None:
    names = ("gtsrb-resnet20-vanilla",)
    config = PipelineConfig("cifar10-resnet20-vanilla", ensemble=Ensemble(names))
    with pytest.raises(InputError, match="tells 43 classes"):
        Pipeline.load(config, torch.device("cpu"))


def test_an_answer_is_withheld_by_the_first_layer_that_doubts_it(make: Make, target) -> None:
    images, _ = first(target, 12)
    seen = make(FULL).see(images)
    for row, decision in enumerate(make(FULL).decide(images)):
        assert [one.layer for one in decision.layers] == list(FULL.layers)
        doubting = [one.layer for one in decision.layers if one.withholds]
        assert decision.layer == (doubting[0] if doubting else "")
        assert (decision.answer is None) == bool(doubting) == bool(seen.withheld[row])
        assert decision.answer in (None, decision.label)
        told = [one for one in decision.layers if one.layer == decision.layer]
        assert all(one.reason[1:] in decision.reason for one in told)
        name = target.data.class_name(decision.label)
        assert all(name in one.reason for one in decision.layers[1:])


def test_the_certificate_layer_is_the_certificate(make: Make, target: TargetModel) -> None:
    images, _ = first(target, 12)
    seen = make(PipelineConfig("tiny", certificate=CertificateLayer(2))).see(images)
    wrapper = LatticeMasking(target.model, 2, target.data).eval()
    proofs = certify(wrapper, images, seen.labels)
    certified = [proof.verdict == Verdict.CERTIFIED for proof in proofs]
    assert (~seen.withheld).tolist() == certified
    assert 0 < sum(certified) < 12
    lazy = make(FULL).see(images, lazy=True)
    assert torch.equal(lazy.withheld, make(FULL).see(images).withheld)


def test_thresholds_keep_their_false_alarms_on_held_out_images(make: Make, target) -> None:
    config = build(Plan("tiny", false_alarms=0.1, held_out=100), torch.device("cpu"))
    assert config.layers == ("temperature", "checks", "confidence")
    images, labels = held_out(target.data, 100)
    seen = make(config).see(images)
    right = seen.labels == labels
    for layer in ("checks", "confidence"):
        assert (seen.excess[layer][right] > 0).float().mean() <= 0.1
        assert (seen.excess[layer][right] > -1e-6).any()


def test_too_few_images_to_hold_out_are_refused(make: Make, target: TargetModel) -> None:
    def refused(words: str, **options: object) -> None:
        with pytest.raises(InputError, match=words):
            build(Plan("tiny", **options), torch.device("cpu"))

    needs = "takes at least 100 held-out images that the model gets right, but has"
    refused(f"0.01 {needs} 60; hold out more", false_alarms=0.01, held_out=60)
    images, labels = held_out(target.data, 100)
    right = int((answers(target.model, images) == labels).sum())
    assert right < 100
    refused(f"{needs} {right} of the 100 held out", false_alarms=0.01, held_out=100)
    refused("at least 50 held-out images, but has 40; hold", held_out=40)
    refused("151 images are to be held out .--held-out., and CIFAR-10 has 150", held_out=151)
    with pytest.raises(InputError, match=r"150 images are .* and 24 to be measured on .--images."):
        guard_setting(make(replace(FULL, held_out=150)), MEASURED)


def test_the_adaptive_attack_finds_what_trying_everything_finds(make: Make, target) -> None:
    """Every corner colour at every pixel, shown to all layers."""
    pipeline = make(PipelineConfig("tiny", confidence=Confidence(0.5)))
    images, labels = first(target, 12)
    right = pipeline.see(images).labels == labels
    images, labels = images[right], labels[right]
    pixel = torch.arange(SIZE**2).repeat_interleave(8)
    places = torch.stack([pixel % SIZE, pixel // SIZE], 1)[:, None]
    colours = CORNERS.repeat(SIZE**2, 1)[:, None]
    beaten = []
    for image, label in zip(images, labels, strict=True):
        edited = apply_edits(image.expand(len(pixel), -1, -1, -1), places, colours)
        seen = pipeline.see(edited)
        beaten.append(bool(((seen.labels != label) & ~seen.withheld).any()))
    nothing = torch.zeros(len(images), 1, 2, dtype=torch.int64), images[:, :, 0, 0].long()[:, None]
    told: list[int] = []
    asked: list[int] = []

    def report(best: Found) -> None:
        told.append(int(best.success.sum()))
        asked.append(int(best.queries[0]))

    found = attack_pipeline(
        pipeline,
        images,
        labels,
        torch.arange(len(images)),
        nothing,
        EVERYTHING,
        report=report,
    )
    assert told == sorted(told)
    assert told[-1] == int(found.success.sum())
    assert max(asked[n + 1] - asked[n] for n in range(len(asked) - 1)) <= BLOCK
    assert asked[-1] == int(found.queries[0])
    assert 0 < sum(beaten) < len(beaten)
    assert all(bool(found.success[row]) for row, one in enumerate(beaten) if one)
    edited = apply_edits(images, found.positions, found.colours)
    seen = pipeline.see(edited)
    assert torch.equal(found.success, (seen.labels != labels) & ~seen.withheld)


@pytest.mark.parametrize(
    "config",
    [
        PipelineConfig("tiny", temperature=2.0, checks=Checks(0.6), confidence=Confidence(0.3)),
        PipelineConfig("tiny", checks=Checks(0.6, ("shift", "blur"), draws=3)),
        replace(FULL, certificate=None),
    ],
    ids=["checks", "random", "ensemble"],
)
def test_who_knows_the_pipeline_gets_through_no_less_often(
    make: Make, target: TargetModel, config: PipelineConfig
) -> None:
    pipeline = make(replace(config, held_out=100))
    setting = guard_setting(pipeline, MEASURED, budget=Budget(64, 32, 8, 2))
    record = measure(pipeline, setting)
    answered = [one for one in record.outcomes if one.answered]
    assert record.adaptive.total == record.unknowing.total == len(answered)
    assert record.adaptive.count >= record.unknowing.count
    if not config.random:
        for one in answered:
            assert one.broken(ADAPTIVE) or not one.broken(UNKNOWING)
    limits = {"checks": config.checks.threshold}
    limits |= {"confidence": config.confidence.threshold} if config.confidence else {}
    limits |= {"ensemble": config.ensemble.threshold} if config.ensemble else {}
    assert rates_at(record.outcomes, limits) == (
        record.withheld,
        record.unknowing,
        record.adaptive,
    )
    assert rates_at(record.outcomes, {})[1] == record.bare
    assert record.bare.count >= record.unknowing.count
    assert record.right.count == len(answered)
    assert set(record.risks) == set(record.areas) == set(STATES)
    assert record.areas[ADAPTIVE].value >= record.areas[CLEAN].value
    assert GuardRecord.from_json(record.to_json()) == record
    assert save_guard(record).name == f"{setting.name}.json"
    assert all(rate.total <= record.bare.count for rate in record.transfers.values())


def test_an_image_that_the_known_edit_turns_is_done_with_at_once(make: Make, target) -> None:
    pipeline = make(PipelineConfig("tiny", confidence=Confidence(0.0)))
    images, labels = first(target, 12)
    right = pipeline.see(images).labels == labels
    asked = images[right], labels[right], torch.arange(int(right.sum()))
    nothing = (
        torch.zeros(len(asked[0]), 1, 2, dtype=torch.int64),
        asked[0][:, :, 0, 0].long()[:, None],
    )
    found = attack_pipeline(pipeline, *asked, nothing, EVERYTHING)
    edits = found.positions, found.colours
    again = attack_pipeline(pipeline, *asked, edits, EVERYTHING)
    assert 0 < int(found.success.sum()) < len(found.success)
    assert again.queries[found.success].tolist() == [1] * int(found.success.sum())
    turned = [part[found.success] for part in (*asked, *edits)]
    told: list[Found] = []
    attack_pipeline(pipeline, *turned[:3], (turned[3], turned[4]), EVERYTHING, report=told.append)
    assert len(told) == 2  # nothing is looked for any more


def test_whoever_is_told_ends_the_attack_while_it_looks_for_edits(make: Make, target) -> None:
    pipeline = make(PipelineConfig("tiny", confidence=Confidence(0.0)))
    images, labels = (part[1:] for part in first(target, 2))
    asked: list[int] = []

    def cancel(best: Found) -> None:
        asked.append(int(best.queries[0]))
        if len(asked) == 3:  # the known edit is told of twice
            raise KeyboardInterrupt

    same = torch.zeros(1, 1, 2, dtype=torch.int64), images[:, :, 0, 0].long()[:, None]
    with pytest.raises(KeyboardInterrupt):
        attack_pipeline(pipeline, images, labels, torch.tensor([0]), same, EVERYTHING, 0, cancel)
    assert asked == [1, 1, 1 + BLOCK]


def test_nothing_gets_through_a_certificate(make: Make, target: TargetModel) -> None:
    pipeline = make(PipelineConfig("tiny", certificate=CertificateLayer(2)))
    record = measure(pipeline, guard_setting(pipeline, MEASURED, budget=EVERYTHING))
    assert record.bare.count > 0 < record.adaptive.total
    assert record.adaptive.count == record.unknowing.count == 0


def test_what_is_interrupted_goes_on_and_finds_the_same(make: Make, target: TargetModel) -> None:
    pipeline = make(replace(FULL, certificate=None))
    setting = guard_setting(pipeline, MEASURED, budget=Budget(16, 8, 8, 1))
    whole = measure(pipeline, setting)

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(pipeline, setting, stop)
    assert measure(pipeline, setting).outcomes == whole.outcomes


def test_the_command_of_a_record_builds_its_pipeline(make: Make, target: TargetModel) -> None:
    config = replace(FULL, false_alarms=0.1)
    words = command_of(guard_setting(make(config), MEASURED)).split()
    made = "--layers temperature,checks,confidence,ensemble,certificate --others other"
    held = "--agreement 0.5 --spacing 2 --false-alarms 0.1 --held-out 100 --images 24 --seed 0"
    assert " ".join(words[4:]) == f"measure --model tiny {made} {held}"


def test_the_command_line_decides_on_a_picture(tmp_path: Path, capsys) -> None:
    path = tmp_path / "pipeline.json"
    config = PipelineConfig("cifar10-resnet20-vanilla", confidence=Confidence(1.0))
    path.write_text(config.to_json())
    index = int(find_dataset().shipped_sample().indices[0])
    asked = ["guard", "decide", "--pipeline", str(path), "--index", str(index), "--device", "cpu"]
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] is None
    assert told["layer"] == "confidence"
    assert told["reason"].startswith("Ask a person: the probability of")
    assert main(asked) == 0
    first, *verdicts, last = capsys.readouterr().out.splitlines()
    true = find_dataset().class_name(told["true_label"])
    assert first.startswith(f"cifar10-resnet20-vanilla says {told['class']}, ")
    assert first.endswith(f"; the true class is {true}.")
    assert verdicts == [f"confidence: answer withheld. {told['layers'][0]['reason']}"]
    assert last == told["reason"]
    assert main(["guard", "build", "--model", "cifar10-resnet20-vanilla", "--layers", ""]) == 2
    assert "A pipeline of 0 layers" in capsys.readouterr().err
    assert main(["guard", "decide", "--index", "0"]) == 2
    assert "give --pipeline a file" in capsys.readouterr().err


def outcome(index: int, certain: float, **attacked: tuple[int, float]) -> Outcome:
    """Of class 0, by the confidence in it, and by attack the label and its confidence."""
    seen = {**dict.fromkeys(STATES, (0, certain)), **attacked}
    states = {
        state: Seen(label, "", sure, sure, 0.0, 0.0, 0.0, {"confidence": sure}, {})
        for state, (label, sure) in seen.items()
    }
    return Outcome(index, 0, states, {})


def test_what_passes_another_threshold_is_counted_for_the_best_edit_that_is_known() -> None:
    outcomes = [
        outcome(0, 0.9, unknowing=(1, 0.8)),  # an edit that the other attack lost
        outcome(1, 0.6, unknowing=(1, 0.4), adaptive=(2, 0.75)),
        outcome(2, 0.95, adaptive=(1, 0.5)),
        outcome(3, 0.99),  # never turned
        outcome(4, 0.9, clean=(1, 0.9), unknowing=(1, 0.9), adaptive=(1, 0.9)),  # wrong anyway
    ]

    def counts(limit: float, *attacks: str) -> tuple[int, int]:
        found = passing_at(outcomes, {"confidence": limit}, attacks)
        return found.count, found.total

    assert counts(0.0, UNKNOWING) == (2, 2)
    assert counts(0.0, UNKNOWING, ADAPTIVE) == (3, 3)
    assert counts(0.5, UNKNOWING) == (1, 2)  # at the threshold, an answer passes
    assert counts(0.5, UNKNOWING, ADAPTIVE) == (3, 3)
    assert counts(0.75, UNKNOWING, ADAPTIVE) == (2, 3)
    assert counts(0.85, UNKNOWING, ADAPTIVE) == (0, 3)
    withheld, turned, _ = rates_at(outcomes, {"confidence": 0.7})
    assert (withheld.count, withheld.total) == (1, 4)
    assert (turned.count, turned.total) == (1, 3)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model", "cifar10-resnet20-apr"),
        ("--data", "cifar10"),
        ("--layers", "confidence"),
        ("--views", "crop"),
        ("--score", "doubt"),
        ("--draws", "8"),
        ("--others", "cifar10-resnet20-at"),
        ("--agreement", "1.0"),
        ("--spacing", "4"),
        ("--false-alarms", "0.05"),
        ("--held-out", "1000"),
    ],
)
@pytest.mark.parametrize("action", [["decide", "--index", "0"], ["measure"]])
def test_what_a_built_pipeline_would_ignore_is_refused(
    action: list[str], option: str, value: str, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "pipeline.json"
    path.write_text(PipelineConfig("m", confidence=Confidence(1.0)).to_json())
    assert main(["guard", *action, "--pipeline", str(path), option, value]) == 2
    assert f"leave {option} out, or build another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layers", "option", "value", "missing"),
    [
        ("confidence", "--views", "crop", "checks"),
        ("confidence", "--score", "doubt", "checks"),
        ("confidence", "--draws", "8", "checks"),
        ("confidence", "--agreement", "1.0", "ensemble"),
        ("confidence", "--spacing", "4", "certificate"),
        ("temperature,certificate", "--false-alarms", "0.05", "checks or confidence"),
        ("certificate", "--held-out", "1000", "temperature or checks or confidence"),
    ],
)
@pytest.mark.parametrize("action", [["build"], ["decide", "--index", "0"], ["measure"]])
def test_what_no_layer_goes_by_is_refused(
    action: list[str], layers: str, option: str, value: str, missing: str, capsys
) -> None:
    assert main(["guard", *action, "--model", "m", "--layers", layers, option, value]) == 2
    said = f"{option} belongs to the layer {missing}, and the layers are "
    said += f"{layers.replace(',', ', ')}; add {missing} to --layers, or leave {option} out."
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "layers", [("temperature",), ("ensemble",), ("temperature", "certificate")]
)
def test_a_net_without_thresholds_is_built_by_its_command(
    make: Make, target: TargetModel, layers: tuple[str, ...]
) -> None:
    others = ("other",) if "ensemble" in layers else ()
    count = 100 if "temperature" in layers else None
    config = build(Plan("tiny", layers=layers, others=others, held_out=count), torch.device("cpu"))
    assert config.false_alarms == 0
    words = command_of(guard_setting(make(config), MEASURED))
    assert f"--layers {','.join(layers)}" in words
    assert "--false-alarms" not in words
    assert ("--held-out 100" in words) is bool(count)


def test_a_pipeline_that_is_no_text_is_refused_in_a_sentence(tmp_path: Path, capsys) -> None:
    path = tmp_path / "pipeline.json"
    path.write_bytes(bytes(range(256)))
    assert main(["guard", "decide", "--pipeline", str(path), "--index", "0"]) == 2
    assert (
        "cannot be read (it is no UTF-8 text); give --pipeline a file." in capsys.readouterr().err
    )


def test_options_of_the_command_line_make_the_plan(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    plans: list[building.Plan] = []

    def build(plan: building.Plan, device: object) -> PipelineConfig:
        plans.append(plan)
        return plan.config()

    monkeypatch.setattr("apr_core.cli.guard.build", build)
    words = "--layers checks,ensemble --views crop,shift --score shift --draws 3 --others a,b"
    words += " --agreement 0.5 --false-alarms 0.1 --held-out 200"
    assert main(["guard", "build", "--model", "m"]) == 0
    assert main(["guard", "build", "--model", "m", *words.split()]) == 0
    given = {"layers": ("checks", "ensemble"), "views": ("crop", "shift"), "score": "shift"}
    given |= {"draws": 3, "others": ("a", "b"), "agreement": 0.5}
    assert plans == [
        building.Plan("m"),
        building.Plan("m", **given, false_alarms=0.1, held_out=200),
    ]


@pytest.mark.parametrize("action", ["build", "decide", "measure"])
def test_help_says_what_each_option_is_and_its_default(action: str, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["guard", action, "--help"])
    told = " ".join(capsys.readouterr().out.split("options:")[1].split())
    plan = [field.name.replace("_", "-") for field in fields(Plan)[2:]]
    budget = [*asdict(Budget()), "images", "seed"] if action == "measure" else []
    for option in (*plan, *budget):
        words = told.split(f"--{option} {option.upper().replace('-', '_')} ")[1].split(" --")[0]
        assert re.search(r"\w.*; by default \S+", words), option
