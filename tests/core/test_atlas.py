"""Agreement over many images: what is measured, what is kept, and what it is said to mean."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.truth_map import TruthMap
from apr_core.base import random
from apr_core.base.provenance import provenance
from apr_core.base.types import InputError
from apr_core.cli import main
from apr_core.data.dataset import Sample, Split
from apr_core.data.registry import find_dataset
from apr_core.evaluation import journal
from apr_core.evaluation.attribution import study
from apr_core.evaluation.attribution.agreement import (
    CENTRE,
    NOISE,
    AgreementRecord,
    AgreementSetting,
    AttributionScores,
    ImageStudy,
    Verdict,
    find_agreement,
    load_agreements,
    save_agreement,
    summaries,
    verdict,
)
from apr_core.evaluation.attribution.study import (
    agreement_setting,
    even_indices,
    examine,
    maps_of,
    measure_agreement,
    nearness,
    truth_of,
)
from apr_core.evaluation.images import image_order
from apr_core.evaluation.metrics import Mean, mean_of, rate_of
from apr_core.explain.agreement import percentile_rank, rank_correlation, top_overlap
from apr_core.explain.curves import deletion_curve, insertion_curve
from apr_core.explain.task import AttributionConfig
from apr_core.models import Classifier, build_model
from apr_core.models.inputs import as_input
from apr_core.zoo.checkpoints import Card, load_card, load_model, save_checkpoint
from apr_core.zoo.target import TargetModel
from tests.conftest import ROOT, LinearModel, answers, noise

NAME = "cifar10-resnet20-lenient"
SMALL = AttributionConfig(steps=4, draws=4, probes=2, window=8, stride=8)
SETTING = AgreementSetting("a model", "0" * 64, 4, "1" * 64, 0.1, 4, asdict(SMALL))


def figures(*values: float | None) -> AttributionScores:
    """Correlation with the truth map, share outweighed and deletion; the rest does not matter."""
    truth, outweighs, deletion = values
    return AttributionScores(0.5, 0.25, truth, outweighs, deletion or 0.0, 0.5)


def looked(index: int, label: int, truth: float, outweighs: float | None = None) -> ImageStudy:
    maps = {
        "saliency": figures(truth, outweighs, 0.2),
        NOISE: figures(0.0, outweighs and 0.5, 0.3),
        CENTRE: figures(0.1, outweighs, 0.3),
    }
    return ImageStudy(index, label, int(outweighs is not None), maps)


def record_of(*images: ImageStudy, setting: AgreementSetting = SETTING) -> AgreementRecord:
    return AgreementRecord(
        setting,
        rate_of(len(images), setting.images),
        images,
        **provenance(torch.device("cpu"), "", 1.0),
    )


# which images


@pytest.mark.parametrize("count", [1, 10, 57, 100, 1000])
def test_every_class_has_as_many_images(count: int) -> None:
    sample, chosen = find_dataset().shipped_sample(), even_indices(find_dataset(), count)
    rows = torch.searchsorted(sample.indices, chosen)
    assert torch.equal(sample.indices[rows], chosen)
    counts = sample.labels[rows].bincount(minlength=10)
    assert counts.sum() == count
    assert counts.max() - counts.min() <= 1
    assert len(set(chosen.tolist())) == count


def test_of_each_class_the_first_in_the_order_of_evaluation_are_taken() -> None:
    sample, chosen = find_dataset().shipped_sample(), even_indices(find_dataset(), 40).tolist()
    place = {index: number for number, index in enumerate(image_order(find_dataset()).tolist())}
    for label in range(10):
        mine = sample.indices[sample.labels == label].tolist()
        first = sorted(mine, key=place.__getitem__)[:4]
        assert [index for index in chosen if index in mine] == first
    assert even_indices(find_dataset(), 20).tolist() == chosen[:20]


@pytest.mark.parametrize("count", [0, 1001])
def test_there_are_no_more_than_the_sample_has(count: int) -> None:
    with pytest.raises(InputError, match=f"images is {count}, but must lie between 1 and 1000"):
        even_indices(find_dataset(), count)


@pytest.mark.parametrize("picked", [None, 12])
def test_without_a_sample_to_begin_with_the_test_set_is_looked_at(picked, target, told_of) -> None:
    """A picked sample is no random one; its pictures once stood for others of the test set."""
    shipped = find_dataset().shipped_sample()
    test = Split.in_memory(shipped.images[:60], shipped.labels[:60])
    sample = Sample(test.images[:12], test.labels[:12], torch.arange(0, 60, 5), picked=True)
    others = replace(
        find_dataset(),
        name="others",
        tested=60,
        sample=(lambda: sample) if picked else None,
        load={"test": test}.__getitem__,
    )
    chosen = even_indices(others, 25)
    counts = test.labels[chosen].bincount(minlength=10)
    most = test.labels.bincount(minlength=10)
    assert len(set(chosen.tolist())) == 25
    assert (counts >= most.clamp(max=2)).all()
    with pytest.raises(InputError, match="images is 61, but must lie between 1 and 60"):
        even_indices(others, 61)
    record = measure_agreement(
        replace(target, data=others), agreement_setting(replace(target, data=others), 25)
    )
    right = answers(target.model, test.take(chosen)) == test.labels[chosen]
    assert [one.index for one in record.looked] == chosen[right].tolist()
    assert [one.label for one in record.looked] == test.labels[chosen][right].tolist()


def test_tiny_images_have_no_more_steps_than_pixels(target) -> None:
    tiny = replace(target, data=replace(find_dataset(), size=(5, 4)))
    assert agreement_setting(tiny, 10).steps == 20
    assert agreement_setting(target, 10).steps == study.STEPS


# one image


def test_the_middle_is_nearest_to_itself() -> None:
    near = nearness(5, 9)
    assert near[2, 4] == near.max() == 1
    assert near[0, 0].item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(near, near.flip(0))
    torch.testing.assert_close(near, near.flip(1))


def test_a_truth_map_is_made_to_its_end(small_images) -> None:
    model, image = LinearModel(), small_images[0]
    label = int(answers(model, image[None])[0])
    found = truth_of(ModelOracle(model), image, label)
    assert found.done == 1
    logits = torch.stack(
        [model(_painted(image, x, y)).detach() for y in range(6) for x in range(6)]
    )
    others = torch.cat([logits[..., :label], logits[..., label + 1 :]], -1).max(-1).values
    margins = (logits[..., label] - others).min(1).values.view(6, 6)
    torch.testing.assert_close(found.margins, margins)


def _painted(image: Tensor, x: int, y: int) -> Tensor:
    """The image with a pixel in each of the eight corner colours, (8, 3, H, W) in [0, 1]."""
    painted = image.float().div(255).repeat(8, 1, 1, 1)
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    painted[:, :, y, x] = corners
    return painted


@pytest.fixture
def known_truth(monkeypatch: pytest.MonkeyPatch) -> dict[int, TruthMap]:
    """Truth maps that are told instead of made, by label."""
    told: dict[int, TruthMap] = {}

    def tell(scorer: ModelOracle, image: Tensor, label: int) -> TruthMap:
        margins = noise(32, 32, seed=label) + 0.1 * label
        margins[4, 7] = -1.0 if label else 1.0
        colours = torch.zeros(32, 32, 3, dtype=torch.uint8)
        told[label] = TruthMap(margins, colours, margins < 0, torch.zeros(32, 32).bool(), 1.0)
        return told[label]

    monkeypatch.setattr(study, "truth_of", tell)
    return told


def test_the_figures_are_those_of_each_map_by_itself(
    network: Classifier, pictures: Tensor, known_truth: dict[int, TruthMap]
) -> None:
    labels, indices = torch.tensor([0, 5]), torch.tensor([11, 22])
    found = examine(ModelOracle(network), pictures[:2], labels, indices, SETTING)
    assert [(one.index, one.label, one.broken) for one in found] == [(11, 0, 0), (22, 5, 1)]
    seen = as_input(pictures[:2])
    maps = maps_of(network, seen, labels, SMALL)
    gate = maps["attention"]
    maps |= {
        NOISE: random.uniform(random.keys_for(0, indices), 0, (32, 32)),
        CENTRE: nearness(32, 32).expand(2, -1, -1),
    }
    assert set(found[1].maps) == set(maps)
    for name, values in maps.items():
        figures, weight = found[1].maps[name], values.abs()
        curve = deletion_curve(network, seen, labels, values, 4)
        assert figures.deletion == pytest.approx(curve.areas[1].item(), abs=1e-4)
        curve = insertion_curve(network, seen, labels, values, 4)
        assert figures.insertion == pytest.approx(curve.areas[1].item(), abs=1e-4)
        truth = -known_truth[5].margins
        expected = rank_correlation(weight[1:], truth[None])[0]
        assert figures.with_truth == pytest.approx(expected, abs=1e-3)
        assert figures.outweighs == pytest.approx(percentile_rank(weight[1], 7, 4), abs=2e-3)
        assert found[0].maps[name].outweighs is None
        if name == "attention":
            assert figures.with_attention is figures.overlap is None
        else:
            expected = rank_correlation(weight[1:], gate[1:])[0]
            assert figures.with_attention == pytest.approx(expected, abs=1e-3)
            shared = top_overlap(weight[1:], gate[1:])[0].shared
            assert figures.overlap == pytest.approx(shared, abs=0.02)


def test_a_model_without_a_gate_is_held_against_none(
    pictures: Tensor, known_truth: dict[int, TruthMap]
) -> None:
    torch.manual_seed(0)
    scorer, label = ModelOracle(build_model("resnet20").eval()), torch.tensor([1])
    (found,) = examine(scorer, pictures[:1], label, torch.tensor([3]), SETTING)
    assert "attention" not in found.maps
    assert all(one.with_attention is one.overlap is None for one in found.maps.values())


# many images


def test_the_means_are_over_what_was_found() -> None:
    found = summaries([looked(1, 3, 0.2, 0.9), looked(2, 3, 0.4), looked(3, 5, 0.6)])
    saliency = found["saliency"]
    assert saliency.with_truth == mean_of([0.2, 0.4, 0.6])
    assert saliency.outweighs == Mean(0.9, None, None, 1)
    assert saliency.deletion_gain.mean == pytest.approx(0.1)
    assert saliency.insertion_gain.mean == 0
    assert saliency.truth_gain.mean == pytest.approx(0.3)
    assert found[NOISE].deletion_gain.mean == 0
    record = record_of(looked(1, 3, 0.2), looked(2, 3, 0.4), looked(3, 5, 0.6))
    assert record.summaries(3)["saliency"].with_truth == mean_of([0.2, 0.4])
    assert record.summaries(3)["saliency"].outweighs is None
    assert record.summaries(7) == {}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.31, 0.5, Verdict.PREDICTS),
        (0.05, 0.5, Verdict.WEAKLY),
        (0.01, 0.09, Verdict.NOT),
        (-0.09, 0.09, Verdict.NOT),
        (-0.05, 0.2, Verdict.OPEN),
        (-0.4, -0.2, Verdict.ELSEWHERE),
        (-0.2, 0.0, Verdict.OPEN),
        (None, None, Verdict.OPEN),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, said: Verdict) -> None:
    assert verdict(Mean(0.3, low, high, 9)) is said


# the record


def test_a_record_survives_json_and_says_its_means_to_others() -> None:
    record = record_of(looked(1, 3, 0.2, 0.9), looked(2, 4, 0.4))
    assert AgreementRecord.from_json(record.to_json()) == record
    told = json.loads(record.to_json())["means"]["saliency"]["with_truth"]
    assert told == asdict(record.summaries()["saliency"].with_truth)


@pytest.mark.parametrize("spoil", ["means", "setting", "looked", "right"])
def test_what_is_no_record_is_refused_in_one_sentence(spoil: str) -> None:
    entry = json.loads(record_of(looked(1, 3, 0.2)).to_json())
    del entry[spoil]
    with pytest.raises(InputError, match="no record of agreement"):
        AgreementRecord.from_json(json.dumps(entry))
    with pytest.raises(InputError, match="no record of agreement"):
        AgreementRecord.from_json("{")


def test_a_record_without_what_all_is_held_against_is_refused() -> None:
    entry = json.loads(record_of(looked(1, 3, 0.2)).to_json())
    del entry["looked"][0]["maps"][CENTRE]
    with pytest.raises(InputError, match="centre"):
        AgreementRecord.from_json(json.dumps(entry))


@pytest.mark.parametrize("figures", [[1, 2], 3, [0, 0, 0, 0, 0, 7], [0, 0, 0, 0, 0, "a"]])
def test_a_record_with_figures_that_cannot_be_is_refused(figures: object) -> None:
    entry = json.loads(record_of(looked(1, 3, 0.2)).to_json())
    entry["looked"][0]["maps"]["saliency"] = figures
    with pytest.raises(InputError, match="no record of agreement"):
        AgreementRecord.from_json(json.dumps(entry))


def test_the_record_is_of_the_present_weights_and_of_the_most_images() -> None:
    card = load_card("cifar10-resnet20-apr")
    setting = replace(SETTING, model=card.name, sha256=card.sha256)
    few, many = (record_of(setting=replace(setting, images=count)) for count in (10, 20))
    old = record_of(setting=replace(setting, sha256="f" * 64, images=500))
    other = record_of(setting=replace(setting, model="another", images=500))
    assert find_agreement([few, old, many, other], card) is many
    assert find_agreement([old, other], card) is None


def test_the_shipped_records_say_what_their_images_say() -> None:
    paths = sorted((ROOT / "results" / "agreements").glob("*.json"))
    assert paths
    for path in paths:
        text = path.read_text()
        record = AgreementRecord.from_json(text)
        assert path.stem == record.setting.name
        assert len(record.looked) == record.right.count
        chosen = even_indices(find_dataset(), record.setting.images).tolist()
        assert {one.index for one in record.looked} <= set(chosen)
        told = json.loads(text)["means"]
        assert set(told) == set(record.summaries())
        for name, means in record.summaries().items():
            for figure, mean in asdict(means).items():
                assert told[name][figure] == (mean and pytest.approx(mean))


# from the beginning to the record


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TargetModel:
    """Random weights in folders of their own; images are looked at two at a time."""
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("APR_RESULTS", str(tmp_path / "results"))
    monkeypatch.setitem(journal.GROUP, "cpu", 4)
    torch.manual_seed(3)
    card = Card(
        NAME, "cifar10", "resnet20", "vanilla", {}, 0, 0, "0" * 64, 0.1, 1000, 10_000, "a test",
        0.0, {},
    )  # fmt: skip
    save_checkpoint(build_model("resnet20"), card)
    return TargetModel(NAME, load_model(NAME), find_dataset(), load_card(NAME))


@pytest.fixture
def told_of(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The images that are looked at, group by group; what is found of them is made up."""
    groups: list[list[int]] = []

    def pretend(scorer, images, labels, indices, setting) -> list[ImageStudy]:
        groups.append(indices.tolist())
        assert torch.equal(answers(scorer.model, images), labels)
        return [looked(*one, 0.25) for one in zip(indices.tolist(), labels.tolist(), strict=True)]

    monkeypatch.setattr(study, "examine", pretend)
    return groups


def test_only_images_that_the_model_gets_right_are_looked_at(target, told_of) -> None:
    record = measure_agreement(target, agreement_setting(target, 30))
    sample, chosen = find_dataset().shipped_sample(), even_indices(find_dataset(), 30)
    rows = torch.searchsorted(sample.indices, chosen)
    right = answers(target.model, sample.images[rows]) == sample.labels[rows]
    assert 0 < right.sum() < 30
    assert [one.index for one in record.looked] == chosen[right].tolist()
    assert [index for group in told_of for index in group] == chosen[right].tolist()
    assert record.right == rate_of(int(right.sum()), 30)
    assert record.command == f"python -m apr_core agreement --model {NAME} --images 30"
    assert record.setting.sha256 == target.card.sha256


def test_the_images_are_of_the_data_set_that_was_asked_for(target, told_of) -> None:
    shipped = find_dataset().shipped_sample()
    sample = Sample(shipped.images[:50], shipped.labels[:50], torch.arange(0, 500, 10))
    others = replace(find_dataset(), name="others", sample=lambda: sample)
    target = replace(target, data=others)
    record = measure_agreement(target, agreement_setting(target, 30))
    assert record.looked
    assert {one.index for one in record.looked} <= set(sample.indices.tolist())
    assert record.setting.data == "others"
    assert record.setting.name == f"{NAME}-others-n30"
    assert "--data others" in record.command
    assert AgreementRecord.from_json(record.to_json()) == record
    assert find_agreement([record], target.card) is None


def test_a_killed_measurement_goes_on_to_the_same_record(monkeypatch, target, told_of) -> None:
    setting = agreement_setting(target, 20)
    expected = measure_agreement(target, setting).looked
    whole, before = [*told_of], len(told_of)

    def kill(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_agreement(target, setting, kill)
    record = measure_agreement(target, setting)
    assert record.looked == expected
    assert told_of[before:] == whole
    with pytest.raises(KeyboardInterrupt):
        measure_agreement(target, setting, kill)
    with pytest.raises(InputError, match="other settings or weights"):
        measure_agreement(target, replace(setting, sha256="e" * 64))


def test_the_command_writes_the_record_and_prints_its_means(target, told_of, capsys) -> None:
    assert main(["agreement", "--model", NAME, "--images", "20", "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    ((record,), damaged) = load_agreements()
    assert damaged == []
    assert told["model"] == NAME
    assert "looked" not in told
    assert told["means"]["saliency"]["with_truth"]["mean"] == 0.25
    assert told["predicts_what_breaks"]["saliency"] == "weakly predicts"
    assert save_agreement(record).stem == f"{NAME}-n20"


def test_the_command_tells_a_person_in_words(target, told_of, capsys) -> None:
    assert main(["agreement", "--model", NAME, "--images", "20", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert f"{NAME}: right on " in said
    assert "saliency  0.50 (0.50 to 0.50)" in re.sub(" {2,}", "  ", said)
    assert "agreements" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--images", "0"], "images is 0"),
        (["--images", "2000"], "between 1 and 1000"),
        (["--model", "cifar10-resnet20-nobody"], "no model"),
    ],
)
def test_bad_arguments_are_one_sentence(
    target, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agreement", "--model", NAME, "--device", "cpu", *arguments]) == 2
    assert said in capsys.readouterr().err
