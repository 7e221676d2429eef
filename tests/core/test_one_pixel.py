"""The attack against brute force, against itself, and against a model that counts."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import product

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from apr_core import (
    AttackResult,
    Fitness,
    InputError,
    OnePixelAttack,
    OnePixelConfig,
    Status,
    Stop,
    Strategy,
)
from apr_core.attacks.genomes import decode, initial_genomes
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations, apply_edits, edit_norms
from apr_core.base.random import keys_for
from apr_core.data.images import to_png
from tests.conftest import ConstantModel, CountingModel, LinearModel, answers

QUICK = OnePixelConfig(population=40, generations=5)
NEAR = {Strategy.SU2019: 0.97, Strategy.BEST1BIN: 0.8}
"""Share of the way to the optimum that a search must go; best1bin is greedy and settles early."""


def least_margin(model: LinearModel, images: Tensor, label: int) -> float:
    """Least logit of the label minus the best other, of uint8 images (N, C, H, W)."""
    with torch.no_grad():
        logits = model(images.float() / 255)
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
    return float((logits[:, label] - others.amax(1)).min())


def every_edit(image: Tensor) -> Tensor:
    """Every pixel of an image of 6 x 6 in every corner colour."""
    edited = []
    for y, x, corner in product(range(6), range(6), product((0, 255), repeat=3)):
        candidate = image.clone()
        candidate[:, y, x] = torch.tensor(corner, dtype=torch.uint8)
        edited.append(candidate)
    return torch.stack(edited)


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("seed", [0, 1])
def test_finds_the_optimum_of_a_linear_model(
    linear_model: LinearModel, small_images: Tensor, strategy: Strategy, seed: int
) -> None:
    labels = answers(linear_model, small_images)
    config = OnePixelConfig(
        strategy=strategy, fitness=Fitness.MARGIN, stop=Stop.BUDGET, generations=60, seed=seed
    )
    attack = OnePixelAttack(linear_model, config)
    result = attack.run(small_images, labels)
    for image, label, outcome in zip(small_images, labels, result.outcomes, strict=True):
        edited = (image[None], outcome.apply(image)[None], every_edit(image))
        start, reached, optimum = (least_margin(linear_model, some, int(label)) for some in edited)
        assert start - reached >= NEAR[strategy] * (start - optimum)
        assert outcome.success == (optimum < 0)


def test_a_batch_equals_its_images_one_by_one(network, pictures: Tensor) -> None:
    labels = answers(network, pictures)
    attack = OnePixelAttack(network, QUICK)
    together = attack.run(pictures, labels)
    for row in range(len(pictures)):
        alone = attack.run(
            pictures[row : row + 1], labels[row : row + 1], indices=torch.tensor([row])
        )
        assert alone.outcomes[0] == together.outcomes[row]


def test_the_same_seed_gives_the_same_run_and_another_seed_another(network, pictures) -> None:
    labels = answers(network, pictures)
    runs = [
        OnePixelAttack(network, OnePixelConfig(population=20, generations=2, seed=seed))
        .run(pictures, labels)
        .outcomes
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("chunk", [7, 64, 1000])
@pytest.mark.parametrize("pixels", [1, 3])
def test_queries_equal_the_models_own_count(
    linear_model: LinearModel, small_images: Tensor, chunk: int, pixels: int
) -> None:
    counting = CountingModel(linear_model)
    labels = answers(linear_model, small_images)
    config = OnePixelConfig(population=30, generations=7, pixels=pixels)
    attack = OnePixelAttack(counting, config, chunk=chunk)
    attack.oracle.verify_float32(small_images[:1])  # which checks the model, once
    counting.count = 0
    result = attack.run(small_images, labels)
    clean = len(small_images)
    assert counting.count - clean == result.queries
    assert any(outcome.success for outcome in result.outcomes)


def test_a_survivor_costs_the_whole_budget_and_keeps_its_closest_edit() -> None:
    model = ConstantModel([0.0, 2.0])
    images = torch.zeros(1, 3, 6, 6, dtype=torch.uint8)
    outcome = OnePixelAttack(model, QUICK).run(images, torch.tensor([1])).outcomes[0]
    assert outcome.status is Status.SURVIVED
    assert outcome.queries == QUICK.max_queries == 40 * 6
    assert outcome.generations == 5
    assert len(outcome.edits) == 1
    assert outcome.label_after == 1


def test_a_misclassified_image_is_reported_and_not_attacked(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)
    wrong = labels.clone()
    wrong[2] = (labels[2] + 1) % 3
    result = OnePixelAttack(linear_model, QUICK).run(small_images, wrong)
    outcome = result.outcomes[2]
    assert outcome.status is Status.MISCLASSIFIED
    assert outcome.queries == 0
    assert outcome.edits == ()
    assert outcome.label_before == outcome.label_after == int(labels[2])
    assert result.attacked == 4


def test_first_flip_counts_whole_generations(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)
    result = OnePixelAttack(linear_model, OnePixelConfig(population=30)).run(small_images, labels)
    for outcome in result.outcomes:
        if outcome.success:
            assert outcome.queries == 30 * (outcome.flip_generation + 1)
            assert outcome.generations == outcome.flip_generation


def test_a_targeted_attack_reaches_its_target(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)
    targets = (labels + 1) % 3
    config = OnePixelConfig(population=60, pixels=8, fitness=Fitness.MARGIN)
    result = OnePixelAttack(linear_model, config).run(small_images, labels, targets)
    flipped = [outcome for outcome in result.outcomes if outcome.success]
    assert len(flipped) >= 3
    adversarial = result.adversarial(small_images)
    for outcome, image in zip(result.outcomes, adversarial, strict=True):
        if outcome.success:
            assert int(answers(linear_model, image[None])[0]) == outcome.target


def test_su2019_thresholds_go_beyond_the_first_flip(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)
    config = OnePixelConfig(population=60, pixels=6, stop=Stop.SU2019, generations=40)
    result = OnePixelAttack(linear_model, config).run(small_images, labels)
    early = [outcome for outcome in result.outcomes if outcome.generations < 40]
    assert early
    assert all(outcome.true_after < 0.05 for outcome in early)


@pytest.mark.parametrize("classes", [30, 100])
def test_a_threshold_reached_without_a_flip_ends_no_search(classes: int) -> None:
    """Of many classes the true one may lead with less than five per cent (handed case k11)."""
    model = ConstantModel([0.3] + [0.0] * (classes - 1))
    config = OnePixelConfig(population=10, generations=50, stop=Stop.SU2019)
    images = torch.zeros(1, 3, 6, 6, dtype=torch.uint8)
    (outcome,) = OnePixelAttack(model, config).run(images, torch.tensor([0])).outcomes
    assert outcome.status is Status.SURVIVED
    assert outcome.queries == config.max_queries == 510


def test_more_pixels_and_more_generations_never_flip_fewer(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)

    def flips(**settings: int) -> list[bool]:
        config = OnePixelConfig(population=40, **settings)
        outcomes = OnePixelAttack(linear_model, config).run(small_images, labels).outcomes
        return [outcome.success for outcome in outcomes]

    few, many = flips(generations=1), flips(generations=20)
    assert all(after or not before for before, after in zip(few, many, strict=True))
    assert sum(flips(generations=20, pixels=8)) >= sum(many)


def test_the_penalty_prefers_small_changes(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)

    def distance(penalty: float) -> float:
        config = OnePixelConfig(population=60, generations=30, l2_penalty=penalty, stop=Stop.BUDGET)
        result = OnePixelAttack(linear_model, config).run(small_images, labels)
        edited = torch.stack(
            [o.apply(image) for o, image in zip(result.outcomes, small_images, strict=True)]
        )
        return float((edited.float() - small_images.float()).norm())

    assert distance(10.0) < distance(0.0)


def test_the_adversarial_png_still_flips_when_read_back(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)
    result = OnePixelAttack(linear_model, OnePixelConfig(population=80)).run(small_images, labels)
    flipped = [i for i, outcome in enumerate(result.outcomes) if outcome.success]
    assert flipped
    for row in flipped:
        png = to_png(result.outcomes[row].apply(small_images[row]))
        back = pil_to_tensor(Image.open(io.BytesIO(png)))
        assert int(answers(linear_model, back[None])[0]) != int(labels[row])


def test_called_as_torchattacks_is(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)
    images = small_images.float() / 255
    adversarial = OnePixelAttack(linear_model, OnePixelConfig(population=80))(images, labels)
    assert adversarial.shape == images.shape
    assert adversarial.dtype == torch.float32
    changed = (adversarial != images).any(dim=1).flatten(1).sum(dim=1)
    assert changed.max() == 1
    fooled = answers(linear_model, (adversarial * 255).round().to(torch.uint8)) != labels
    assert torch.equal(fooled, changed == 1)


def test_the_stream_ends_where_the_run_ends(network, pictures) -> None:
    label = int(answers(network, pictures[:1])[0])
    attack = OnePixelAttack(network, QUICK)
    snapshots = list(attack.stream(pictures[0], label))
    outcome = attack.run(pictures[:1], torch.tensor([label])).outcomes[0]
    last = snapshots[-1]
    assert [snapshot.generation for snapshot in snapshots] == list(range(len(snapshots)))
    assert last.done
    assert last.queries == outcome.queries
    assert last.positions[last.best].tolist() == [[e.x, e.y] for e in outcome.edits]
    assert last.best_true == pytest.approx(outcome.true_after, abs=1e-5)


def test_a_walk_tells_how_a_child_was_made(network, pictures) -> None:
    label = int(answers(network, pictures[:1])[0])
    first, *later = OnePixelAttack(network, QUICK).stream(pictures[0], label)
    assert first.walk is None
    for snapshot in later:
        walk = snapshot.walk
        assert walk.weight == 0.5
        assert len(walk.donors) == 3
        assert walk.kept == (walk.child_true <= walk.parent_true)


@pytest.mark.parametrize(("pixels", "walks"), [(1, 3), (4, 3), (5, 2), (12, 1), (40, 1)])
def test_walks_follow_the_child_that_gained_most_then_others_down_the_ranks(
    network, pictures, pixels: int, walks: int
) -> None:
    label = int(answers(network, pictures[:1])[0])
    attack = OnePixelAttack(network, replace(QUICK, pixels=pixels, stop=Stop.BUDGET))
    first, *later = attack.stream(pictures[0], label)
    assert first.other_walks == ()
    for snapshot in later:
        followed = [snapshot.walk, *snapshot.other_walks]
        gains = [walk.parent_true - walk.child_true for walk in followed]
        assert gains == sorted(gains, reverse=True)
        assert len({walk.slot for walk in followed}) == len(followed) == walks
        assert all(len(edits) == pixels for walk in followed for edits in walk.donors)
        for walk in followed:
            assert walk.kept == bool(snapshot.moved[walk.slot])


def test_the_users_model_keeps_its_mode(linear_model, small_images) -> None:
    linear_model.train()
    OnePixelAttack(linear_model, QUICK).run(small_images, torch.zeros(5, dtype=torch.long))
    assert linear_model.training


def test_a_result_goes_through_json(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)
    result = OnePixelAttack(linear_model, QUICK, name="linear").run(small_images, labels)
    assert AttackResult.from_json(result.to_json()) == result


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": 3}', "null", '{"config": {"a": 1}}'])
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not an attack result"):
        AttackResult.from_json(text)


def test_genomes_decode_onto_the_grid_and_reach_its_edges() -> None:
    genomes = initial_genomes(keys_for(0, torch.arange(50)), 400, 2, height=5, width=7)
    positions, colours = decode(genomes)
    assert positions.shape == (50, 400, 2, 2)
    for axis, size in ((0, 7), (1, 5)):
        counts = positions[..., axis].flatten().bincount()
        assert len(counts) == size
        assert counts.min() > 0.9 * counts.max()
    assert colours.min() == 0
    assert colours.max() == 255


def test_where_two_edits_meet_the_later_one_holds() -> None:
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    positions = torch.tensor([[[1, 2], [1, 2]]])
    colours = torch.tensor([[[255, 0, 0], [0, 0, 255]]])
    edited = apply_edits(image, positions, colours)
    assert edited[0, :, 2, 1].tolist() == [0, 0, 255]
    assert edit_norms(image, positions[None], colours[None]).item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pixels": 0}, "pixels is 0"),
        ({"pixels": 151}, "between 1 and 150"),
        ({"population": 3}, "population is 3"),
        ({"generations": -1}, "generations is -1"),
        ({"seed": -5}, "seed is -5"),
        ({"pixels": 1.5}, "whole number"),
        ({"strategy": "rand1"}, "the known ones are: su2019, best1bin"),
        ({"fitness": "x"}, "no fitness 'x'"),
        ({"stop": "never"}, "no stop 'never'"),
        ({"target": -1}, "target must be a class number"),
        ({"l2_penalty": float("nan")}, "l2_penalty is nan"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        OnePixelConfig(**settings)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (torch.zeros(3, 6, 6), [0], r"shape \(B, C, H, W\)"),
        (torch.full((1, 3, 6, 6), 2.0), [0], r"must lie in \[0, 1\]"),
        (torch.full((1, 3, 6, 6), float("nan")), [0], r"must lie in \[0, 1\]"),
        (torch.zeros(1, 3, 6, 6), [0, 1], "labels are torch.int64 of shape"),
        (torch.zeros(1, 3, 6, 6), [9], "label 9 is not a class"),
        (
            torch.zeros(1, 1, 6, 6),
            [0],
            r"fails on images \(\d, 1, 6, 6\).*grey ones as images.repeat\(1, 3, 1, 1\)",
        ),
    ],
)
def test_images_and_labels_are_checked(linear_model, images, labels, said) -> None:
    with pytest.raises(InputError, match=said):
        OnePixelAttack(linear_model, QUICK).run(images, torch.tensor(labels))


def test_a_target_that_is_the_label_is_refused(linear_model, small_images) -> None:
    labels = answers(linear_model, small_images)
    config = OnePixelConfig(target=int(labels[0]))
    with pytest.raises(InputError, match="already the image's class"):
        OnePixelAttack(linear_model, config).run(small_images[:1], labels[:1])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (ConstantModel([float("nan"), 0.0]), "not a finite number"),
        (torch.nn.Identity(), "must return logits"),
    ],
)
def test_a_model_that_answers_badly_is_named(model, said: str) -> None:
    with pytest.raises(InputError, match=said):
        OnePixelAttack(model, QUICK).run(
            torch.zeros(1, 3, 6, 6, dtype=torch.uint8), torch.tensor([0])
        )


def test_looking_at_many_images_says_what_the_model_says(network, pictures: Tensor) -> None:
    oracle = ModelOracle(network)
    torch.testing.assert_close(
        oracle.query_images(pictures), oracle.verify_float32(pictures), rtol=1e-4, atol=1e-4
    )


def test_looking_at_many_images_has_the_precision_of_the_search(network, pictures: Tensor) -> None:
    half, full = ModelOracle(network, half=True), ModelOracle(network)
    unchanged = pictures[:, :, :1, :1].flatten(1)[:, None, None]
    edits = Perturbations.of_each(
        pictures, torch.zeros(len(pictures), 1, 1, 2, dtype=torch.int64), unchanged.long()
    )
    assert torch.equal(half.query_images(pictures), half.query(edits))
    assert not torch.equal(half.query_images(pictures), full.query_images(pictures))
