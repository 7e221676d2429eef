"""Which images, what is counted, with what interval, and a record that a kill does not change."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from apr_core import OnePixelAttack, OnePixelConfig
from apr_core.attacks import ladder, stages
from apr_core.attacks.enumeration import corner_sweep
from apr_core.attacks.ladder import PATCH_LADDER, SparsityLevelResult
from apr_core.attacks.oracle import ModelOracle
from apr_core.base.types import InputError
from apr_core.base.version import ATTACK_VERSION
from apr_core.certification.lattice_masking import Verdict, behind_lattice, certify
from apr_core.cli import main
from apr_core.cli.common import epsilon_of
from apr_core.cli.evaluate import in_words, pixels_of, summary
from apr_core.data.dataset import DataSet
from apr_core.data.registry import find_dataset
from apr_core.evaluation import journal, protocol
from apr_core.evaluation.images import choose_images, image_order, indices_sha256
from apr_core.evaluation.metrics import (
    Paired,
    difference_of_counts,
    mcnemar,
    mean_of,
    paired,
    paired_difference,
    rate_of,
    reduction,
    share_of,
    success_curve,
)
from apr_core.evaluation.protocol import EvalProgress, command_of, evaluate, setting_for
from apr_core.evaluation.record import Record, levels_of, load_records, save_record
from apr_core.models import Classifier, build_model
from apr_core.models.resnet import ResNet
from apr_core.training.workers import Workers
from apr_core.zoo.checkpoints import Card, save_checkpoint
from apr_core.zoo.external import load_external
from apr_core.zoo.target import TargetModel
from apr_ui.results.view import in_a_word
from tests.conftest import PATIENCE, ROOT, ConstantModel, LinearModel, answers
from tests.core.small import small_data

FIRST_FIVE = [415, 248, 628, 267, 809]
ORDER_SHA256 = "2fd1c2c9c9656d39a81bc850444b9b764e2181b1dffe9e04dcfe2d2d14414403"
"""Frozen: every record that was ever written names its images by this order."""

# Rates


@pytest.mark.parametrize(
    ("count", "total"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 10), (284, 1000), (1, 9999)]
)
def test_wilsons_interval_is_scipys(count: int, total: int) -> None:
    rate = rate_of(count, total)
    interval = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert rate.rate == count / total
    assert rate.low == pytest.approx(interval.low, abs=1e-9)
    assert rate.high == pytest.approx(interval.high, abs=1e-9)


def test_the_interval_of_nothing_says_nothing() -> None:
    rate = rate_of(0, 0)
    assert (rate.rate, rate.low, rate.high) == (None, 0.0, 1.0)


def test_the_mean_of_five_runs_has_students_interval() -> None:
    values = [0.31, 0.28, 0.35, 0.30, 0.29]
    low, high = stats.t.interval(0.95, 4, loc=sum(values) / 5, scale=stats.sem(values))
    found = mean_of(values)
    assert (found.mean, found.runs) == (pytest.approx(0.306), 5)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert mean_of([0.4]).low is None


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (3, 17), (40, 12)])
def test_mcnemars_p_value_is_the_exact_binomial(first: int, second: int) -> None:
    total = first + second
    expected = stats.binomtest(first, total, 0.5).pvalue if total else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_models_are_compared_on_the_images_that_both_get_right() -> None:
    first = {1: True, 2: True, 3: False, 4: True}
    second = {2: False, 3: False, 4: True, 5: True}
    found = paired(first, second)
    assert (found.images, found.first_only, found.second_only) == (3, 1, 0)
    assert found.p_value == 1.0


def test_the_reduction_is_that_of_shared_images() -> None:
    found = reduction(Paired(200, 10, 50, 0, 0.0))
    assert found.value == pytest.approx(1 - 10 / 60)
    reach = stats.norm.ppf(0.975) * (50 / 600) ** 0.5
    expected = (1 - math.exp(reach) / 6, 1 - math.exp(-reach) / 6)
    assert (found.low, found.high) == pytest.approx(expected)
    assert reduction(Paired(200, 0, 5, 0, 0.0)) is None
    assert (found.at_least(0.6), found.at_least(0.8), found.at_least(0.95)) == (True, None, False)
    assert (found.at_most(0.6), found.at_most(0.8), found.at_most(0.95)) == (False, None, True)


@pytest.mark.parametrize(("first", "second"), [(60, 50), (50, 60), (97, 95), (0, 3), (100, 100)])
def test_counts_alone_have_the_interval_of_the_widest_pairing(first: int, second: int) -> None:
    """REVIEW.md, C10: two accuracies on the same images were taken for independent."""
    found = difference_of_counts(rate_of(first, 100), rate_of(second, 100))
    assert found.value == pytest.approx((first - second) / 100)
    widths = []
    for both in range(max(0, first + second - 100), min(first, second) + 1):  # every pairing
        known = paired_difference(Paired(100, both, second - both, first - both, 1.0))
        assert found.low <= known.low
        assert known.high <= found.high
        widths.append(known.high - known.low)
    assert found.high - found.low == pytest.approx(max(widths))


def test_counts_of_different_images_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not paired"):
        difference_of_counts(rate_of(5, 10), rate_of(5, 11))


def test_a_bound_at_the_end_of_an_interval_has_the_intervals_p_value() -> None:
    versus = Paired(200, 10, 50, 4, 0.0)
    estimates = [
        share_of(rate_of(12, 200)),
        reduction(versus),
        paired_difference(versus),
        difference_of_counts(rate_of(150, 200), rate_of(140, 200)),
    ]
    for one in estimates:
        assert one.p_value(one.low) == pytest.approx(0.05)
        assert one.p_value(one.high) == pytest.approx(0.05)
        assert one.p_value(one.low - 0.01) < 0.05 < one.p_value((one.low + one.high) / 2)
        assert one.p_value(one.value) > 0.5


def test_a_reduction_is_never_sure_of_nothing() -> None:
    same = reduction(Paired(50, 20, 0, 0, 1.0))
    assert same.low < 0 < same.high


@pytest.mark.parametrize(
    ("images", "first_only", "second_only"),
    [(40, 0.02, 0.05), (160, 0.12, 0.03), (160, 0.01, 0.01), (1000, 0.03, 0.02)],
)
def test_the_paired_difference_lies_in_its_interval_as_often_as_said(
    images: int, first_only: float, second_only: float
) -> None:
    shares = [first_only, second_only, 1 - first_only - second_only]
    draws = np.random.default_rng(0).multinomial(images, shares, 4000).tolist()
    found = [paired_difference(Paired(images, 0, one, other, 0.0)) for one, other, _ in draws]
    true = second_only - first_only
    inside = sum(one.low <= true <= one.high for one in found) / len(found)
    assert 0.94 <= inside <= 0.995
    assert all(one.low <= one.value <= one.high for one in found)


def test_the_paired_difference_is_never_sure_of_nothing() -> None:
    none, all_of = Paired(50, 3, 0, 0, 1.0), Paired(50, 0, 0, 50, 0.0)
    assert paired_difference(none).low < 0 < paired_difference(none).high
    found = paired_difference(all_of)
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.8 < found.low < 1.0


def test_the_curve_rises_to_the_rate() -> None:
    assert success_curve([30, 10, 10, 200], 8) == [(10, 0.25), (30, 0.375), (200, 0.5)]
    assert success_curve([], 8) == []


# Images


def test_the_order_of_the_images_is_frozen() -> None:
    order = image_order(find_dataset())
    assert order.sort().values.tolist() == list(range(10_000))
    assert order[:5].tolist() == FIRST_FIVE
    assert indices_sha256(order) == ORDER_SHA256


def test_the_first_thousand_are_the_shipped_sample(monkeypatch) -> None:
    monkeypatch.setattr("apr_core.data.cifar10.load_cifar10", pytest.fail)
    images, labels, indices = choose_images(find_dataset(), 1000)
    sample = find_dataset().shipped_sample()
    assert sorted(indices.tolist()) == sample.indices.tolist()
    for place in (0, 17, 999):
        row = sample.row(int(indices[place]))
        assert torch.equal(images[place], sample.images[row])
        assert labels[place] == sample.labels[row]
    assert torch.equal(choose_images(find_dataset(), 10)[2], indices[:10])


def test_more_come_from_the_whole_test_set(monkeypatch) -> None:
    images = torch.arange(10_000, dtype=torch.int32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    whole = images, torch.arange(10_000) % 10
    chosen, labels, indices = choose_images(small_data(whole, whole), 1200)
    assert torch.equal(chosen[:, 0, 0, 0].long(), indices)
    assert torch.equal(labels, indices % 10)


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_as_many_images_as_there_are(count: int) -> None:
    with pytest.raises(InputError, match=f"images is {count}"):
        choose_images(find_dataset(), count)


# The protocol


class Pixels(nn.Module):
    """Ten classes, linear in the corner of the image: quick, and right about most of them."""

    def __init__(self) -> None:
        super().__init__()
        self.sha256 = "a" * 64
        self.see(4)

    def see(self, size: int) -> None:
        """The more it sees, the less a pixel does to it."""
        self.size, self.inner = size, LinearModel(size, classes=10, seed=2)

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images[:, :, : self.size, : self.size])


@pytest.fixture(autouse=True)
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("APR_RESULTS", str(tmp_path / "results"))
    monkeypatch.setitem(journal.GROUP, "cpu", 4)
    return tmp_path / "results"


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> TargetModel:
    """A model that is right about all but every fifth image."""
    model = Pixels()

    def chosen(data: DataSet, count: int) -> tuple[Tensor, Tensor, Tensor]:
        images, _, indices = choose_images(data, count)
        said = answers(model, images)
        return images, (said + (torch.arange(count) % 5 == 4)) % 10, indices

    monkeypatch.setattr(protocol, "choose_images", chosen)
    return TargetModel("pixels", model, find_dataset())


def stable(record: Record) -> dict:
    """A record without what the clock says."""
    return asdict(replace(record, date="", seconds=0.0))


def test_a_record_counts_what_became_of_each_image(target: TargetModel) -> None:
    setting = setting_for(target, "corners", (1, 2), images=15)
    told: list[EvalProgress] = []
    record = evaluate(target, setting, told.append)
    assert [progress.done for progress in told] == [4, 8, 12, 15]
    assert told[-1].seconds_left == 0
    assert (record.clean.count, record.clean.total) == (12, 15)
    one, two = record.levels
    assert (one.asr.total, two.asr.total) == (12, 12)
    assert 0 < one.asr.count <= two.asr.count
    assert one.asr.count == sum(record.broken(1).values()) == one.caught["corners"]
    assert one.robust.rate == pytest.approx(12 / 15 * (1 - one.asr.rate))
    assert one.curve[-1][1] == one.asr.rate
    assert record.level(3) is None
    assert len(record.verdicts) == 15
    assert Record.from_json(record.to_json()) == record


def test_behind_a_lattice_no_certified_image_falls(target: TargetModel) -> None:
    setting = setting_for(target, "top-gradient", images=15, lattice=2)
    record = evaluate(target, setting)
    assert record.setting.name.startswith("pixels-lattice2-top-gradient")
    assert record.command.endswith("--lattice 2")
    bare = evaluate(target, setting_for(target, "top-gradient", images=15))
    assert record.verdicts != bare.verdicts
    images, labels, indices = protocol.choose_images(target.data, 15)
    found = certify(behind_lattice(target.model, 2), images.float() / 255, labels)
    certified = {
        index
        for index, one in zip(indices.tolist(), found, strict=True)
        if one.verdict is Verdict.CERTIFIED
    }
    broken = {index for index, fell in record.broken(1).items() if fell}
    assert certified
    assert broken
    assert not certified & broken
    with pytest.raises(InputError, match="spacing is 1,"):
        setting_for(target, lattice=1)


def test_an_attack_on_every_pixel_says_how_far_it_goes(target: TargetModel) -> None:
    setting = setting_for(target, "pgd", images=15, epsilon=2 / 255)
    assert "-pgd-eps2-n15" in setting.name
    assert setting.reach(1) == "every pixel by 2/255"
    assert command_of(setting).endswith("--epsilon 2/255")
    assert epsilon_of("2/255") == setting.epsilon
    assert not setting.like(setting_for(target, "pgd", images=15))
    with pytest.raises(InputError, match=r"epsilon is 0\.1, but corners changes pixels"):
        setting_for(target, "corners", images=15, epsilon=0.1)
    longer = setting_for(target, "pgd", images=15, steps=50, restarts=3)
    assert longer.name.endswith("-steps50-restarts3")
    assert command_of(longer).endswith("--epsilon 8/255 --steps 50 --restarts 3")
    with pytest.raises(InputError, match="steps is 50 and restarts is 1, but fgsm has neither"):
        setting_for(target, "fgsm", images=15, steps=50)
    for text in ("eight", "1/0"):
        with pytest.raises(InputError, match=f"--epsilon is '{text}'"):
            epsilon_of(text)


def test_an_attack_with_a_patch_says_how_large_it_is(target: TargetModel) -> None:
    setting = setting_for(target, images=15, side=2)
    assert "-ladder-side2-n15" in setting.name
    assert setting.stages == PATCH_LADDER
    assert not setting.sparse
    assert setting.reach(1) == "a patch of 2 × 2 pixels"
    assert command_of(setting).endswith("--attack ladder --side 2 --images 15 --seed 0")
    with pytest.raises(InputError, match="A patch of 64 × 64 does not fit a picture of 32 × 32"):
        setting_for(target, images=15, side=64)


def test_a_killed_evaluation_goes_on_to_the_same_record(target: TargetModel, results: Path) -> None:
    setting = setting_for(target, "corners", (1, 3), images=15, seed=3)
    straight = evaluate(target, setting)

    class KilledError(Exception):
        pass

    def kill(progress: EvalProgress) -> None:
        if progress.done == 8:
            raise KilledError

    with pytest.raises(KilledError):
        evaluate(target, setting, kill)
    (journal,) = (results / "unfinished" / setting.name).iterdir()
    with journal.open("a") as file:
        file.write('{"setting": {"mod')  # killed while it wrote
    told: list[EvalProgress] = []
    resumed = evaluate(target, setting, told.append)
    assert [progress.done for progress in told] == [12, 15]
    assert stable(resumed) == stable(straight)
    assert list((results / "unfinished").iterdir()) == []


def test_an_unfinished_evaluation_of_other_weights_is_refused(target: TargetModel) -> None:
    setting = setting_for(target, "corners", images=8)

    def kill(progress: EvalProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(target, setting, kill)
    with pytest.raises(InputError, match="other settings or weights; delete it"):
        evaluate(target, replace(setting, sha256="f" * 64))


def test_the_paper_s_attack_gains_with_generations_and_pixels(target: TargetModel) -> None:
    images, labels, indices = protocol.choose_images(target.data, 12)
    counts = []
    for generations in (0, 2, 8):
        config = OnePixelConfig(population=20, generations=generations)
        result = OnePixelAttack(target.model, config).run(images, labels, indices=indices)
        counts.append(sum(outcome.success for outcome in result.outcomes))
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_a_ladder_takes_the_papers_attack_from_its_record(target: TargetModel, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "LADDER", ("top-gradient", "de"))
    quick = partial(OnePixelConfig, population=20, generations=4)
    monkeypatch.setattr(stages, "OnePixelConfig", quick)
    target.model.see(16)
    settings = {"pixels": (1, 2), "images": 8}
    straight = evaluate(target, setting_for(target, "ladder", **settings))
    assert straight.notes == []
    assert straight.levels[-1].asr.rate < 1
    alone = evaluate(target, setting_for(target, "de", **settings))
    for other in (
        replace(alone, setting=replace(alone.setting, seed=1)),
        replace(alone, setting=replace(alone.setting, half=True)),
        replace(alone, setting=replace(alone.setting, compiled=True)),
        replace(alone, setting=replace(alone.setting, attack_version=1)),
        replace(alone, setting=replace(alone.setting, sha256="b" * 64)),
    ):
        save_record(other)
    assert protocol.precomputed_for(straight.setting, load_records()[0]) == ({}, [])
    save_record(alone)
    target.model.sha256 = ""  # who knows whether it is the same
    unknown = setting_for(target, "ladder", **settings)
    assert protocol.precomputed_for(unknown, load_records()[0]) == ({}, [])
    target.model.sha256 = alone.setting.sha256
    spared = evaluate(target, setting_for(target, "ladder", **settings))
    assert spared.verdicts == straight.verdicts
    assert spared.notes == [f"de: from the record {alone.setting.name}."]


def test_more_images_and_fewer_are_taken_from_a_record(target: TargetModel, monkeypatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(
        protocol, "climb", lambda *given: seen.extend(given[4].tolist()) or ladder.climb(*given)
    )
    target.model.see(16)
    ask = partial(setting_for, target, "corners")
    straight = {count: evaluate(target, ask(images=count)) for count in (4, 8, 12)}
    save_record(straight[8])
    for other in (
        replace(straight[12], setting=replace(straight[12].setting, seed=1)),
        replace(straight[12], setting=replace(straight[12].setting, sha256="b" * 64)),
        replace(straight[12], setting=ask(images=16, compiled=True)),
        replace(straight[12], setting=replace(straight[12].setting, attack_version=1)),
    ):
        save_record(other)
    for count, left in ((4, 0), (8, 8), (12, 4)):
        seen.clear()
        again = evaluate(target, ask(images=count))
        assert len(seen) == left
        assert again.verdicts == straight[count].verdicts
        assert again.levels == straight[count].levels
        name, hardware = straight[8].setting.name, straight[8].hardware
        taken = [f"{min(count, 8)} images: from the record {name}, made on {hardware}."]
        assert again.notes == ([] if count == 8 else taken)
    assert not list((journal.results_folder() / "unfinished").iterdir())


def test_what_was_taken_from_a_record_is_taken_once(target: TargetModel) -> None:
    """Also where the rest is interrupted, and gone on with."""
    target.model.see(16)
    ask = partial(setting_for, target, "corners")
    straight = evaluate(target, ask(images=16))
    save_record(replace(evaluate(target, ask(images=8)), seconds=80.0))

    def kill(progress: EvalProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(target, ask(images=16), kill)
    told: list[EvalProgress] = []
    again = evaluate(target, ask(images=16), told.append)
    assert told[0].done > 8
    assert again.verdicts == straight.verdicts
    assert 80 <= again.seconds < 160


def test_what_fell_to_one_pixel_was_not_searched_with_two(target: TargetModel, monkeypatch) -> None:
    quick = partial(OnePixelConfig, population=20, generations=4)
    monkeypatch.setattr(stages, "OnePixelConfig", quick)
    target.model.see(16)
    alone = evaluate(target, setting_for(target, "de", pixels=(1, 2), images=8))
    save_record(alone)
    known, _ = protocol.precomputed_for(
        setting_for(target, "ladder", pixels=(2,), images=8), load_records()[0]
    )
    first = {verdict.index: verdict.rungs[0] for verdict in alone.verdicts if verdict.rungs}
    stood = {index for index, rung in first.items() if not rung.flipped}
    assert set() < stood < set(first)
    assert known["de"].keys() == {(index, 1) for index in first} | {(index, 2) for index in stood}


def test_a_random_model_is_attacked_through_its_mean() -> None:
    class Noisy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.randn(len(images), 3) + torch.tensor([1.0, 0.0, 0.0])

    torch.manual_seed(0)
    images = torch.zeros(50, 3, 2, 2, dtype=torch.uint8)
    once, often = (
        ModelOracle(Noisy(), checked=True).verify_float32(images),
        ModelOracle(Noisy(), eot_samples=300).verify_float32(images),
    )
    assert set(once.argmax(1).tolist()) > {0}
    assert set(often.argmax(1).tolist()) == {0}
    torch.testing.assert_close(often.exp().sum(1), torch.ones(50))


def test_luck_breaks_no_random_model() -> None:
    """Among thousands of noisy answers some are wrong; asked more often, none of them is."""

    class Lucky(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * torch.randn(len(images), 3) + torch.tensor([2.0, 0.0, 0.0])

    torch.manual_seed(0)
    images, labels = torch.zeros(3, 3, 12, 12, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)
    scorer = ModelOracle(Lucky(), eot_samples=10)
    found = corner_sweep(scorer, images, labels)
    assert (found.margins < 0).any()
    assert not found.flipped.any()


def test_flips_found_in_half_precision_are_the_models_own(target: TargetModel) -> None:
    setting = setting_for(target, "corners", images=15, half=True)
    record = evaluate(target, setting)
    images, labels, _ = protocol.choose_images(target.data, 15)
    for image, label, verdict in zip(images, labels, record.verdicts, strict=True):
        for rung in verdict.rungs:
            from apr_core.attacks.result import edit_image

            edited = edit_image(image, rung.edits)
            assert bool(answers(target.model, edited[None])[0] != label) == rung.flipped


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.long)])
def test_a_compiled_search_sees_the_model_and_reports_its_own_flips(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and run as it is; at length, made into machine code too."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    model = Classifier(ResNet((4, 8), blocks=1, num_classes=10)).eval()
    images, _, _ = choose_images(find_dataset(), 60)
    plain, compiled = ModelOracle(model), ModelOracle(model, compiled=True)
    assert not compiled.exact
    torch.testing.assert_close(
        compiled.query_images(images), plain.query_images(images), atol=1e-4, rtol=1e-4
    )
    assert torch.equal(compiled.verify_float32(images), plain.verify_float32(images))
    labels = plain.verify_float32(images[:2]).argmax(1)
    found = corner_sweep(compiled, images[:2], labels)
    assert torch.equal(found.flipped, corner_sweep(plain, images[:2], labels).flipped)


def test_a_record_says_that_its_search_was_compiled() -> None:
    setting = setting_for(TargetModel("x", Pixels(), find_dataset()), "corners", images=5)
    compiled = setting_for(
        TargetModel("x", Pixels(), find_dataset()), "corners", images=5, compiled=True
    )
    assert "--compile" in protocol.command_of(compiled).split()
    assert "--compile" not in protocol.command_of(setting)
    assert setting != compiled  # one does not go on where the other was
    assert setting.name != compiled.name  # nor is its record written over the other's
    assert setting.like(compiled)


def test_a_record_from_before_is_of_the_first_attack(target: TargetModel) -> None:
    """REVIEW C9: a record of old says in its command alone that its search was compiled."""
    record = evaluate(target, setting_for(target, "corners", images=4))
    assert record.setting.attack_version == ATTACK_VERSION > 1
    entry = json.loads(record.to_json())
    del entry["setting"]["compiled"], entry["setting"]["attack_version"]
    old = Record.from_json(json.dumps(entry))
    assert (old.setting.compiled, old.setting.attack_version) == (False, 1)
    entry["command"] += " --compile"
    assert Record.from_json(json.dumps(entry)).setting.compiled
    entry["setting"]["compiled"] = False
    assert not Record.from_json(json.dumps(entry)).setting.compiled


def test_shipped_records_are_of_the_first_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APR_RESULTS")
    records, damaged = load_records()
    assert records
    assert not damaged
    for record in records:
        assert record.setting.compiled == ("--compile" in record.command)


def test_what_cannot_be_compiled_is_refused(
    target: TargetModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"own classifiers are compiled.*leave --compile out"):
        evaluate(target, setting_for(target, "corners", images=5, compiled=True))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match=r"Found no C\+\+ compiler .*leave --compile out"):
        ModelOracle(build_model("resnet20"), compiled=True)


def test_a_ladder_leaves_out_what_needs_a_gradient_that_is_not_there(target: TargetModel) -> None:
    target.model.differentiable = False
    setting = setting_for(target, "ladder", images=8)
    short = replace(setting, stages=("top-gradient", "corners"))
    record = evaluate(target, short)
    assert record.setting.stages == ("corners",)
    assert record.notes == ["Without a gradient: top-gradient."]
    with pytest.raises(InputError, match="gives no gradient, and top-gradient needs one"):
        evaluate(target, setting_for(target, "top-gradient", images=8))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"attack": "magic"}, "no attack 'magic'"), ({"pixels": (3, 1)}, "must rise"),
     ({"images": 0}, "images is 0"), ({"draws": 0}, "draws is 0"),
     ({"images": 10_000, "pixels": (1, 2, 3, 5)}, "would be larger than records may be")],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        setting_for(TargetModel("x", Pixels(), find_dataset()), **settings)


# Records


def test_what_each_stage_caught_is_counted(target: TargetModel) -> None:
    def rung(stage: str, caught: tuple[str, ...]) -> SparsityLevelResult:
        return SparsityLevelResult(1, bool(stage), stage, 7, (), 0.5, caught)

    verdicts = (
        ladder.Verdict(0, 1, 1, (rung("corners", ("corners", "de")),)),
        ladder.Verdict(1, 1, 1, (rung("de", ("de",)),)),
        ladder.Verdict(2, 1, 1, (rung("", ()),)),
        ladder.Verdict(3, 1, 2, ()),
    )
    setting = replace(setting_for(target, "corners", images=4), stages=("corners", "de"))
    (level,) = levels_of(replace(setting, leave=False), verdicts)
    assert (level.asr.count, level.asr.total) == (2, 3)
    assert (level.robust.count, level.robust.total) == (1, 4)
    assert level.caught == {"corners": 1, "de": 1}
    assert level.alone == {"corners": 1, "de": 2}
    assert levels_of(setting, verdicts)[0].alone == {}


def test_records_come_back_and_damaged_ones_are_named(target: TargetModel) -> None:
    record = evaluate(target, setting_for(target, "corners", images=5))
    path = save_record(record)
    path.with_name("broken.json").write_text('{"setting": 3}')
    records, damaged = load_records()
    assert records == [record]
    assert len(damaged) == 1
    assert damaged[0].startswith("broken.json: This is no record of an evaluation")


@pytest.mark.parametrize("text", ["", "{}", "null", "[1]", '{"setting": {}}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no record of an evaluation"):
        Record.from_json(text)


# The command


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A network of random weights that always says cat."""
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    torch.manual_seed(0)
    model = build_model("resnet20")
    with torch.no_grad():
        model.backbone.linear.bias[3] += 50
    name = "cifar10-resnet20-cat"
    card = Card(
        name, "cifar10", "resnet20", "vanilla", {}, 0, 0, "0" * 64, 0.1, 1000, 10_000, "a test",
        0.0, {},
    )  # fmt: skip
    save_checkpoint(model, card)
    return name


def test_the_command_prints_rates_and_writes_the_record(zoo: str, capsys, results: Path) -> None:
    command = ["evaluate", "--model", zoo, "--images", "60", "--attack", "top-gradient"]
    assert main([*command, "--json", "--device", "cpu"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (record,), _ = load_records()
    assert printed["asr"] == record.levels[0].asr.rate == 0
    assert printed["clean_accuracy"] == 0.1
    cats = choose_images(find_dataset(), 60)[1] == 3
    assert printed["attacked"] == record.clean.count == int(cats.sum()) > 0
    assert "verdicts" not in printed
    assert main([*command, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "1 pixel: success rate 0.0%" in said
    assert record.command == (
        f"python -m apr_core evaluate --model {zoo} --attack top-gradient --pixels 1 --images 60 "
        "--seed 0"
    )


def test_of_nothing_attacked_there_is_no_success_rate(tmp_path: Path, monkeypatch, capsys) -> None:
    """Case k02: an evaluation of which no picture was attacked, and one from before."""
    (tmp_path / "hundred_net.py").write_text(
        "import torch\nfrom torch import nn\n\ndef make():\n    torch.manual_seed(0)\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 100)).eval()\n"
        "    torch.nn.init.constant_(net[1].bias[99:], 99.0)\n    return net\n"
    )
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "--model", "hundred_net:make", "--images", "8", "--attack", "corners",
               "--device", "cpu"]  # fmt: skip
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["attacked"], printed["asr"], printed["asr_interval"]) == (0, None, None)
    assert printed["clean_accuracy"] == 0
    assert any("0 of 8" in note for note in printed["notes"])
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "0.0% (" not in next(line for line in said.splitlines() if line.startswith("1 pixel"))
    (record,), _ = load_records()
    assert record.levels[0].asr.rate is None
    assert "no rate of 0" in in_a_word(record)
    old = record.to_json().replace('"rate": null', '"rate": 0.0')
    assert Record.from_json(old) == record


def test_there_is_no_rate_of_no_image(results: Path) -> None:
    """Handed case k02: an evaluation of which no picture was attacked."""
    eleventh = ConstantModel([0.0] * 10 + [2.0])
    target = TargetModel("mine", eleventh, find_dataset())
    record = evaluate(target, setting_for(target, "corners", images=5))
    save_record(record)
    assert load_records() == ([record], [])
    printed = json.loads(json.dumps(summary(record)))
    assert (printed["asr"], printed["attacked"]) == (None, 0)
    assert printed["levels"][0]["asr"]["rate"] is None
    assert any("0 of 5 images right" in note for note in printed["notes"])
    assert "no success rate" in in_words(record)
    old = json.loads(record.to_json())
    old["levels"][0]["asr"]["rate"] = 0.0  # what a record of old says
    assert Record.from_json(json.dumps(old)) == record


def test_no_worker_writes_while_another_reads_what_is_left_to_do(
    target: TargetModel, results: Path, monkeypatch
) -> None:
    told: list[str] = []

    class Watched(Workers):
        def wait(self) -> None:
            told.append("wait")

    def watch(name: str) -> None:
        real = getattr(journal.Journal, name)
        monkeypatch.setattr(
            journal.Journal, name, lambda *given, **more: told.append(name) or real(*given, **more)
        )

    watch("read")
    watch("add")
    evaluate(target, setting_for(target, "top-gradient", images=9), workers=Watched())
    first = told.index("add")
    assert told[first - 2 : first] == ["read", "wait"]


def test_two_processes_share_the_images(zoo: str, results: Path, tmp_path: Path) -> None:
    command = ["evaluate", "--model", zoo, "--images", "45", "--attack", "top-gradient",
               "--device", "cpu"]  # fmt: skip
    assert main(command) == 0
    (alone,), _ = load_records()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "apr_core", *command, "--workers", "2"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (together,), _ = load_records()
    assert together.date >= alone.date
    expected = stable(replace(alone, hardware="", levels=(), verdicts=()))
    assert stable(replace(together, hardware="", levels=(), verdicts=())) == expected
    assert [(v.index, v.label, v.label_before, [r.flipped for r in v.rungs])
            for v in together.verdicts] == [
        (v.index, v.label, v.label_before, [r.flipped for r in v.rungs]) for v in alone.verdicts
    ]  # fmt: skip


def test_a_users_own_model_is_evaluated_and_checked(tmp_path: Path, monkeypatch, capsys) -> None:
    source = """
import torch
from apr_core.models import build_model

def plain():
    torch.manual_seed(0)
    return build_model("resnet20").backbone.eval()

class Blind(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = plain()

    @torch.no_grad()
    def forward(self, images):
        return self.inner(images)

def blind():
    return Blind().eval()

def sure():
    return torch.nn.Sequential(plain(), torch.nn.Softmax(dim=1)).eval()
"""
    (tmp_path / "mine.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    command = ["--attack", "top-gradient", "--images", "30", "--device", "cpu", "--json"]
    assert main(["evaluate", "--model", "mine:plain", *command]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["model"] == "mine:plain"
    (record,), _ = load_records()
    assert record.clean_all is None
    assert record.setting.sha256 == load_external("mine:plain").sha256 != ""
    assert len(record.notes) > 0  # at chance, which the check says
    assert main(["evaluate", "--model", "mine:sure", *command]) == 2
    assert "probabilities, not logits" in capsys.readouterr().err
    assert main(["evaluate", "--model", "mine:plain", *command, "--epsilon", "8/255"]) == 2
    assert "leave it out, or choose --attack fgsm or pgd" in capsys.readouterr().err
    assert main(["evaluate", "--model", "mine:blind", *command]) == 2
    assert "gives no gradient, and top-gradient needs one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--attack", "magic"], "no attack 'magic'"), (["--pixels", "one"], "--pixels is 'one'"),
     (["--workers", "2", "--attack", "magic"], "no attack 'magic'"),
     (["--pixels", "0"], "between 1 and 150"), (["--images", "0"], "images is 0"),
     (["--workers", "0"], "workers is 0"), (["--workers", "99"], "workers is 99")],
)  # fmt: skip
def test_bad_arguments_are_one_sentence(zoo: str, arguments, said: str, capsys) -> None:
    assert main(["evaluate", "--model", zoo, *arguments]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert len(printed.err.strip().splitlines()) == 1


@pytest.mark.parametrize(("text", "pixels"), [("1", (1,)), ("1,3", (1, 3)), (" 1, 5", (1, 5))])
def test_numbers_of_pixels_are_read(text: str, pixels: tuple[int, ...]) -> None:
    assert pixels_of(text) == pixels
