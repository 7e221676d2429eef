"""Each defence's loss against values computed by hand, by autograd and by brute force."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apr_core.attacks.gradient import fgsm, pgd
from apr_core.base.types import InputError
from apr_core.defences import DEFENCES, one_pixel_examples
from apr_core.defences.adversarial_training import AdversarialTraining
from apr_core.defences.apr import APR, Regularizer
from apr_core.defences.distillation import Distillation
from apr_core.defences.input_transform import InputTransform, InputTransformation, reduce_bits
from apr_core.defences.jpeg import jpeg_round_trip
from apr_core.defences.one_pixel_examples import worst_pixel_examples
from apr_core.defences.vanilla import Vanilla
from apr_core.models.pixel_attention import PixelAttention
from tests.conftest import LinearModel, noise

CORNERS = torch.tensor(list(product((0.0, 1.0), repeat=3)))
EXACT, QUOTIENT, NONE = Regularizer.EXACT, Regularizer.FINITE_DIFFERENCE, Regularizer.NONE


class SmoothModel(nn.Module):
    """A curved model without batch norm: every image is on its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.linear = nn.Linear(5, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(torch.tanh(3 * self.conv(images)).mean(dim=(2, 3)))


# Losses


def test_the_vanilla_loss_is_the_cross_entropy() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False))
    model[1].weight.data = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 3]])
    images = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.0, 1.0]]).view(2, 3, 1, 1)
    labels = torch.tensor([1, 2])
    loss, parts = Vanilla().loss(model, images, labels, torch.Generator())
    # logits (1, 1, 0) and (0, 0, 3)
    first = math.log(2 * math.e + 1) - 1
    second = math.log(2 + math.exp(3)) - 3
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-6)
    assert parts.keys() == {"accuracy"}


def worst_by_brute_force(image: Tensor, gradient: Tensor) -> Tensor:
    """Of all one-pixel corner edits of an image, the one that lies farthest up the gradient."""
    best, most = image, -math.inf
    for y, x, corner in product(range(image.shape[1]), range(image.shape[2]), CORNERS):
        edited = image.clone()
        edited[:, y, x] = corner
        rise = float((gradient * (edited - image)).sum())
        if rise > most:
            best, most = edited, rise
    return best


def apr_by_hand(
    weight: Tensor, images: Tensor, labels: Tensor, defence: APR
) -> tuple[Tensor, dict[str, Tensor]]:
    """The paper's loss for logits W x, whose input gradient is W' (softmax(W x) - onehot)."""

    def logits_of(pictures: Tensor) -> Tensor:
        return pictures.flatten(1) @ weight.T

    def entropy(pictures: Tensor, truth: Tensor) -> Tensor:
        logits = logits_of(pictures)
        return logits.logsumexp(1) - logits[torch.arange(len(truth)), truth]

    share = round((1 - defence.alpha) * len(images))
    surplus = logits_of(images[:share]).softmax(1) - F.one_hot(labels[:share], len(weight))
    gradient = surplus @ weight
    slopes = gradient.detach().view_as(images[:share])
    examples = torch.stack(list(map(worst_by_brute_force, images[:share], slopes)))
    clean = list(range(share, len(images)))
    if defence.regularizer is EXACT:
        penalty = gradient.square().sum(1).mean()
    else:
        pairs = max(1, round(defence.paired * share))
        clean = [*range(pairs), *clean[: len(clean) - pairs]]
        way = (examples - images[:share]).flatten(1)[:pairs]
        rise = way @ weight.T
        penalty = (rise.square().sum(1) / way.square().sum(1)).mean()
    if not defence.adversarial:
        return entropy(images, labels).mean() + defence.beta * penalty, {"penalty": penalty}
    adversarial, others = entropy(examples, labels[:share]), entropy(images[clean], labels[clean])
    mixed = (adversarial.sum() + others.sum()) / len(images)
    parts = {"clean": others.mean(), "adversarial": adversarial.mean(), "penalty": penalty}
    return mixed + defence.beta * penalty, parts


@pytest.mark.parametrize("adversarial", [True, False])
@pytest.mark.parametrize("regularizer", [EXACT, QUOTIENT])
@pytest.mark.parametrize(
    ("alpha", "beta", "count"), [(0.7, 0.01, 10), (0.5, 1.0, 4), (0.9, 0.0, 10), (0.7, 0.3, 3)]
)
def test_the_apr_loss_and_its_slope_are_the_papers(
    monkeypatch, alpha, beta, count, regularizer, adversarial
) -> None:
    monkeypatch.setattr(one_pixel_examples, "TOP", 1)
    defence = APR(alpha=alpha, beta=beta, regularizer=regularizer, adversarial=adversarial)
    model = LinearModel(size=4)
    model.weight.data *= 0.2
    images, labels = noise(count, 3, 4, 4), torch.arange(count) % 3
    loss, parts = defence.loss(model, images, labels, torch.Generator())
    loss.backward()
    weight = model.weight.detach().clone().requires_grad_()
    expected, expected_parts = apr_by_hand(weight, images, labels, defence)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(model.weight.grad, weight.grad)
    for name, part in expected_parts.items():
        torch.testing.assert_close(parts[name], part)


def test_the_quotient_is_the_papers_lipschitz_quotient_squared() -> None:
    """Of logits W x, edited at one pixel: never above the largest singular value of W."""
    model = LinearModel(size=4)
    images, labels = noise(10, 3, 4, 4), torch.arange(10) % 3
    _, parts = APR(alpha=0.01).loss(model, images, labels, torch.Generator())
    pixels = model.weight.detach().view(3, 3, 16).permute(2, 0, 1)  # dim -> (pixel, K, C)
    steepest = torch.linalg.matrix_norm(pixels, 2).square()
    assert 0 < parts["penalty"] <= steepest.max()


def test_a_pixel_that_has_the_worst_colour_already_costs_nothing() -> None:
    images = torch.ones(4, 3, 1, 1)
    model = LinearModel(size=1, classes=2)
    model.weight.data = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
    loss, parts = APR().loss(model, images, torch.zeros(4, dtype=torch.long), torch.Generator())
    assert parts["penalty"] == 0
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("name", "gate", "parts"),
    [
        ("apr", True, {"clean", "adversarial", "penalty", "accuracy"}),
        ("apr-exact", True, {"clean", "adversarial", "penalty", "accuracy"}),
        ("apr-no-attention", False, {"clean", "adversarial", "penalty", "accuracy"}),
        ("apr-no-adversarial", True, {"penalty", "accuracy"}),
        ("apr-no-regularizer", True, {"clean", "adversarial", "accuracy"}),
        ("at", False, {"clean", "adversarial", "accuracy"}),
        ("vanilla", False, {"accuracy"}),
    ],
)
def test_each_ablation_lacks_one_component(name: str, gate: bool, parts: set[str]) -> None:
    defence = DEFENCES.get(name)
    assert isinstance(defence.make_front(), PixelAttention) == gate
    images, labels = noise(10, 3, 4, 4), torch.arange(10) % 3
    _, found = defence.loss(LinearModel(size=4), images, labels, torch.Generator())
    assert found.keys() == parts


def test_the_ablations_are_apr_but_for_one_field() -> None:
    full = DEFENCES.get("apr")
    assert (full.alpha, full.beta) == (0.7, 0.01)
    for name, change in {
        "apr-exact": {"regularizer": EXACT},
        "apr-no-attention": {"attention": False},
        "apr-no-adversarial": {"adversarial": False},
        "apr-no-regularizer": {"regularizer": NONE},
    }.items():
        assert DEFENCES.get(name) == replace(full, **change)


# Adversarial training


def test_the_at_loss_is_the_mean_over_clean_and_adversarial_images(monkeypatch) -> None:
    monkeypatch.setattr(one_pixel_examples, "TOP", 1)
    model = LinearModel(size=4)
    images, labels = noise(8, 3, 4, 4), torch.arange(8) % 3
    loss, parts = AdversarialTraining().loss(model, images, labels, torch.Generator())
    loss.backward()
    weight = model.weight.detach().clone().requires_grad_()
    defence = APR(alpha=0.5, beta=0.0, regularizer=EXACT)
    expected, expected_parts = apr_by_hand(weight, images, labels, defence)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(model.weight.grad, weight.grad)
    for name in ("clean", "adversarial"):
        torch.testing.assert_close(parts[name], expected_parts[name])


@pytest.mark.parametrize("examples", ["fgsm", "pgd"])
def test_the_adversarial_half_is_what_the_attack_makes(examples: str) -> None:
    seen = []

    class Watched(LinearModel):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach())
            return super().forward(images)

    model = Watched(size=4)
    images, labels = noise(8, 3, 4, 4), torch.arange(8) % 3
    defence = AdversarialTraining(examples=examples)
    loss, _ = defence.loss(model, images, labels, torch.Generator().manual_seed(3))
    half, batch = images[:4], seen[-1]
    if examples == "fgsm":
        expected = fgsm(model, half, labels[:4])
    else:
        start = torch.rand(half.shape, generator=torch.Generator().manual_seed(3))
        expected = pgd(model, half, labels[:4], start)
    assert torch.equal(batch, torch.cat([expected, images[4:]]))
    torch.testing.assert_close(loss, F.cross_entropy(model(batch), labels))


def test_fgsm_is_the_best_of_all_corners_of_its_cube_for_a_linear_model() -> None:
    model = LinearModel(size=1, classes=2)
    image, label, epsilon = torch.tensor([0.5, 0.02, 0.99]).view(1, 3, 1, 1), torch.tensor([0]), 0.1
    ways = (CORNERS * 2 - 1).view(8, 3, 1, 1) * epsilon
    corners = (image + ways).clamp(0, 1)
    losses = F.cross_entropy(model(corners), label.expand(8), reduction="none")
    assert torch.equal(fgsm(model, image, label, epsilon)[0], corners[losses.argmax()])


def test_pgd_stays_in_reach_and_ends_at_fgsms_corner_of_a_linear_model() -> None:
    model = LinearModel(size=4, classes=2)
    images, labels = noise(5, 3, 4, 4), torch.arange(5) % 2
    start = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    found = pgd(model, images, labels, start, epsilon=0.05, step=0.02)
    assert (found - images).abs().max() <= 0.05 + 1e-6
    assert 0 <= found.min() <= found.max() <= 1
    torch.testing.assert_close(found, fgsm(model, images, labels, 0.05))


def test_an_unknown_kind_of_example_is_named() -> None:
    with pytest.raises(InputError, match=r"no kind of example 'pdg'.*'pgd'"):
        AdversarialTraining(examples="pdg")


# Distillation


def test_the_dd_loss_is_the_soft_cross_entropy_at_its_temperature() -> None:
    teacher, student = nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False))
    student[1].weight.data = torch.diag(torch.tensor([20.0, 40.0, 60.0]))
    images = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.0, 1.0]]).view(2, 3, 1, 1)
    labels = torch.tensor([2, 2])
    loss, parts = Distillation(20.0, model=teacher).loss(student, images, labels, torch.Generator())
    expected = 0.0
    for pixels, scaled in (((1, 0.5, 0), (1, 1, 0)), ((0, 0, 1), (0, 0, 3))):
        weights = [math.exp(value) for value in pixels]
        total = math.log(sum(math.exp(value) for value in scaled))
        logs = [value - total for value in scaled]
        expected -= sum(w * log for w, log in zip(weights, logs, strict=True)) / sum(weights) / 2
    assert loss.item() == pytest.approx(20 * expected, rel=1e-6)
    assert parts["accuracy"] == 0.5


def test_a_student_that_is_its_teacher_at_the_temperature_has_nothing_to_learn() -> None:
    teacher = LinearModel(size=4)
    student = LinearModel(size=4)
    student.weight.data *= 20.0
    images, labels = noise(6, 3, 4, 4), torch.arange(6) % 3
    loss, _ = Distillation(20.0, model=teacher).loss(student, images, labels, torch.Generator())
    loss.backward()
    assert float(student.weight.grad.abs().max()) < 1e-5
    assert teacher.weight.grad is None


def test_distillation_without_a_teacher_says_so() -> None:
    with pytest.raises(InputError, match="needs a teacher"):
        Distillation().loss(LinearModel(), noise(1, 3, 6, 6), torch.tensor([0]), torch.Generator())


# Input transformation


@pytest.mark.parametrize(
    ("bits", "level", "reduced"),
    [(8, 77, 77), (1, 127, 0), (1, 128, 255), (2, 42, 0), (2, 43, 85), (2, 200, 170), (5, 255, 255),
     (5, 4, 0), (5, 5, 8), (3, 100, 109)],
)  # fmt: skip
def test_bit_depth_reduction_takes_the_nearest_level(bits: int, level: int, reduced: int) -> None:
    assert reduce_bits(torch.tensor(level, dtype=torch.uint8), bits).item() == reduced


def test_bit_depth_reduction_leaves_as_many_levels_as_it_says() -> None:
    levels = torch.arange(256).to(torch.uint8)
    for bits in range(1, 9):
        reduced = reduce_bits(levels, bits)
        assert len(reduced.unique()) == 2**bits
        assert (reduced.min(), reduced.max()) == (0, 255)
        assert (reduced.int() - levels.int()).abs().max() <= math.ceil(255 / (2**bits - 1) / 2)


def test_the_transform_is_bit_depth_and_then_jpeg(pictures: Tensor) -> None:
    seen = InputTransform(bits=4, quality=60)(pictures.float() / 255)
    expected = jpeg_round_trip(reduce_bits(pictures, 4), 60)
    assert torch.equal((seen * 255).round().to(torch.uint8), expected)
    without = InputTransform(bits=4, quality=0)(pictures.float() / 255)
    assert torch.equal((without * 255).round().to(torch.uint8), reduce_bits(pictures, 4))


def test_gradients_go_straight_through_the_transform(pictures: Tensor) -> None:
    images = (pictures.float() / 255).requires_grad_()
    front = InputTransform()
    weights = noise(*images.shape)
    seen = front(images)
    (seen * weights).sum().backward()
    assert torch.equal(images.grad, weights)
    torch.testing.assert_close(seen.detach(), front(images.detach()))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"bits": 0}, "bits is 0"), ({"bits": 9}, "bits is 9"), ({"quality": 101}, "quality is 101"),
     ({"quality": -1}, "quality is -1")],
)  # fmt: skip
def test_a_strength_out_of_range_is_named(settings: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        InputTransform(**settings)


def test_input_transformation_has_nothing_to_train() -> None:
    with pytest.raises(InputError, match="no weights to train"):
        InputTransformation().loss(LinearModel(), noise(1, 3, 6, 6), torch.tensor([0]), None)


# The mixture


def test_alpha_is_the_clean_share_of_the_mixture() -> None:
    images, labels = noise(10, 3, 4, 4), torch.arange(10) % 3
    loss, parts = APR(beta=0.0).loss(LinearModel(size=4), images, labels, torch.Generator())
    torch.testing.assert_close(loss, 0.7 * parts["clean"] + 0.3 * parts["adversarial"])


def test_the_gradient_penalty_is_that_of_each_image_by_itself() -> None:
    model, count, share = SmoothModel(), 10, 3
    images, labels = noise(count, 3, 6, 6), torch.arange(count) % 4
    norms = []
    for image, label in zip(images[:share], labels[:share], strict=True):
        alone = image[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(alone), label[None]), alone)
        norms.append(gradient.square().sum())
    _, parts = APR(regularizer=EXACT).loss(model, images, labels, torch.Generator())
    torch.testing.assert_close(parts["penalty"], torch.stack(norms).mean())
    assert parts["penalty"] > 1e-6


@pytest.mark.parametrize("regularizer", [EXACT, QUOTIENT])
def test_the_penalty_is_trained_away(regularizer: Regularizer) -> None:
    def penalty(beta: float) -> float:
        model = SmoothModel()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        images, labels = noise(20, 3, 6, 6), torch.arange(20) % 4
        for _ in range(30):
            loss, parts = APR(beta=beta, regularizer=regularizer).loss(
                model, images, labels, torch.Generator()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return parts["penalty"].item()

    assert penalty(beta=10.0) < 0.5 * penalty(beta=0.0)


def test_the_clean_images_are_left_alone() -> None:
    images = noise(10, 3, 4, 4)
    before = images.clone()
    APR().loss(LinearModel(size=4), images, torch.arange(10) % 3, torch.Generator())
    assert torch.equal(images, before)
    assert not images.requires_grad


# One-pixel examples


def test_the_worst_pixel_is_the_brute_force_best_of_a_linear_model(monkeypatch) -> None:
    monkeypatch.setattr(one_pixel_examples, "TOP", 1)
    images, gradient = noise(6, 3, 4, 5), noise(6, 3, 4, 5, seed=1) - 0.5
    examples = worst_pixel_examples(images, gradient, torch.Generator())
    for image, slope, example in zip(images, gradient, examples, strict=True):
        assert torch.equal(example, worst_by_brute_force(image, slope))


def test_examples_are_drawn_from_the_sixteen_worst_pixels_of_each_image() -> None:
    images, gradient = noise(3, 3, 6, 7), noise(3, 3, 6, 7, seed=1) - 0.5
    rises = torch.maximum(gradient * (1 - images), -gradient * images).sum(1).flatten(1)
    worst = [set(row.argsort(descending=True)[:16].tolist()) for row in rises]
    drawn: list[set[int]] = [set(), set(), set()]
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        examples = worst_pixel_examples(images, gradient, generator)
        changed = (examples != images).any(1).flatten(1)
        assert changed.sum(1).tolist() == [1, 1, 1]
        for row, pixel in changed.nonzero().tolist():
            drawn[row].add(pixel)
            colour, slope = (t[row].flatten(1)[:, pixel] for t in (examples, gradient))
            assert torch.equal(colour, (slope > 0).float())
    assert drawn == worst


def test_examples_of_an_image_smaller_than_the_top() -> None:
    images = noise(2, 3, 3, 3)
    examples = worst_pixel_examples(images, noise(2, 3, 3, 3, seed=1) - 0.5, torch.Generator())
    assert (examples != images).any(1).flatten(1).sum(1).tolist() == [1, 1]
