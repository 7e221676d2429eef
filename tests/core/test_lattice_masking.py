"""The certificate, against brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from apr_core.attacks.enumeration import CORNERS
from apr_core.attacks.ladder import LadderConfig, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.base.types import InputError
from apr_core.certification.inpainting import group_of, mask_groups
from apr_core.certification.lattice_masking import (
    LatticeMasking,
    Verdict,
    certified_groups,
    certify,
)
from apr_core.models.inputs import as_input
from tests.conftest import LinearModel, noise


class SmallNet(nn.Module):
    """A convolution, a bend and a linear layer, of random weights."""

    def __init__(self, seed: int, strength: float = 1.0, size: int = 6) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.linear = nn.Linear(4 * size * size, 3)
        self.strength = strength
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.strength * self.linear(torch.relu(self.conv(images)).flatten(1))


class Bright(nn.Module):
    """Class 1 where a pixel is bright, class 0 where none is; of negative strength, vice versa."""

    def __init__(self, strength: float = 1.0, kind: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.strength, self.kind = strength, kind

    def forward(self, images: Tensor) -> Tensor:
        over = images.to(self.kind).amax((1, 2, 3)) - 0.9
        return self.strength * torch.stack([-over, over], dim=1)


# Prediction


def decided(wrapper: LatticeMasking, image: Tensor) -> int:
    """The prediction as the module's docstring has it, one masked image at a time."""

    def predict(*masks: int) -> int:
        return int(
            wrapper.model(mask_groups(image, torch.tensor([masks]), wrapper.spacing)).argmax()
        )

    votes = [predict(mask) for mask in range(wrapper.groups)]
    majority = max(sorted(set(votes)), key=votes.count)
    if len(set(votes)) == 1:
        return majority
    for mask, vote in enumerate(votes):
        if vote != majority and all(
            predict(mask, other) == vote for other in range(wrapper.groups) if other != mask
        ):
            return vote
    return majority


def test_the_prediction_is_that_of_double_masking() -> None:
    images, differing = noise(40, 3, 6, 6), 0
    for seed in range(4):
        wrapper = LatticeMasking(SmallNet(seed), spacing=3).eval()
        with torch.no_grad():
            votes = wrapper.one_mask_logits(images).argmax(2)
            differing += int((votes != votes[:, :1]).any(1).sum())
            logits = wrapper(images)
        assert logits.argmax(1).tolist() == [decided(wrapper, image[None]) for image in images]
    assert differing > 10


def test_a_dissenter_that_passes_is_the_answer() -> None:
    """One bright pixel flips the model: the one mask that hides it dissents, and is right."""
    wrapper = LatticeMasking(Bright(), spacing=3).eval()
    image = torch.full((1, 3, 6, 6), 0.2)
    image[:, :, 2, 4] = 1.0
    votes = wrapper.one_mask_logits(image).argmax(2)[0]
    assert votes.tolist().count(1) == 8  # the majority is wrong
    assert wrapper(image).argmax() == 0
    assert wrapper.model(image).argmax() == 1


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("strength", [-1.0, -1e4, -1e6, -1e9])
def test_the_answer_stands_however_large_the_logits(strength: float, kind: torch.dtype) -> None:
    """A certified image, edited: the answer's logit is raised above one that leaves no room."""
    wrapper = LatticeMasking(Bright(strength, kind), spacing=4).eval()
    image = torch.full((1, 3, 8, 8), 0.2)
    (found,) = certify(wrapper, image, torch.tensor([1]))
    assert found.verdict is Verdict.CERTIFIED
    image[:, :, 2, 5] = 1.0
    assert wrapper(image).argmax() == 1


def test_the_answer_stands_in_half_precision_too() -> None:
    """The answer's logit leads by little, for which bfloat16 has no room."""
    wrapper = LatticeMasking(Bright(-50, torch.bfloat16), spacing=3).eval()
    image = torch.full((1, 3, 6, 6), 0.2)
    image[:, :, 2, 4] = 1.0
    assert wrapper.one_mask_logits(image).float().mean(1).argmax() == 0
    assert decided(wrapper, image) == 1
    assert wrapper(image).argmax() == 1


def test_a_wrapper_is_a_model_that_can_be_attacked() -> None:
    model = LinearModel(size=6)
    wrapper = LatticeMasking(model, spacing=3).eval()
    images = (noise(6, 3, 6, 6) * 255).to(torch.uint8)
    labels = ModelOracle(wrapper).verify_float32(images).argmax(1)
    config = LadderConfig(("top-gradient", "corners"), (1,))
    verdicts = climb(config, ModelOracle(wrapper), images, labels, torch.arange(6))
    rungs = [verdict.rungs[0] for verdict in verdicts]
    assert {rung.flipped for rung in rungs} == {False, True}
    for image, label, rung in zip(images, labels, rungs, strict=True):
        (edit,) = rung.edits
        image[:, edit.y, edit.x] = torch.tensor(edit.rgb)
        assert (wrapper(image[None] / 255).argmax() != label) == rung.flipped


def test_the_whole_ladder_climbs_the_wrapper_and_turns_no_certified_image() -> None:
    wrapper = LatticeMasking(SmallNet(3), spacing=2).eval()
    images = (noise(20, 3, 6, 6, seed=3) * 255).to(torch.uint8)[[2, 6]]
    labels = ModelOracle(wrapper).verify_float32(images).argmax(1)
    found = certify(wrapper, as_input(images), labels)
    assert [one.verdict is Verdict.CERTIFIED for one in found] == [False, True]
    verdicts = climb(
        LadderConfig(), ModelOracle(wrapper, chunk=400), images, labels, torch.arange(2)
    )
    assert [verdict.rungs[0].flipped for verdict in verdicts] == [True, False]
    assert verdicts[1].rungs[0].queries > 40_000  # the paper's whole budget, and all before it


@pytest.mark.parametrize("spacing", [0, 1, 17])
def test_a_spacing_out_of_range_is_refused(spacing: int) -> None:
    with pytest.raises(InputError, match=f"spacing is {spacing}"):
        LatticeMasking(SmallNet(0), spacing)


# The certificate


def test_a_certificate_asks_every_pair() -> None:
    wrapper = LatticeMasking(SmallNet(1, strength=5), spacing=3).eval()
    images = noise(30, 3, 6, 6)
    with torch.no_grad():
        labels = wrapper(images).argmax(1)
    labels[0] = (labels[0] + 1) % 3
    found = certify(wrapper, images, labels)
    for image, label, one in zip(images, labels.tolist(), found, strict=True):
        sets = [(mask, mask) for mask in range(9)] + list(combinations(range(9), 2))
        masked = mask_groups(image.expand(45, -1, -1, -1), torch.tensor(sets), 3)
        with torch.no_grad():
            same = bool((wrapper.model(masked).argmax(1) == label).all())
        assert (one.verdict is Verdict.CERTIFIED) == same
        if same:
            assert (one.predictions, one.agreeing) == (45, 45)
    assert found[0].verdict is Verdict.WRONG
    assert {one.verdict for one in found} == set(Verdict)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    spacing=st.integers(2, 4),
    strength=st.sampled_from([0.3, 1.0, 10.0]),
)
def test_no_edit_of_a_pixel_turns_a_certified_image_or_group(
    seed: int, spacing: int, strength: float
) -> None:
    """Every pixel of each certified group, in the corner colours and others, of random networks."""
    wrapper = LatticeMasking(SmallNet(seed, strength), spacing).eval()
    images = noise(8, 3, 6, 6, seed=seed)
    with torch.no_grad():
        labels = wrapper(images).argmax(1)
        found = certify(wrapper, images, labels)
        groups = certified_groups(wrapper, images, labels)
        colours = torch.cat([CORNERS.float() / 255, noise(8, 3, seed=seed + 1)])
        lattice = group_of(6, 6, spacing).flatten()
        for row, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            assert bool(groups[row].all()) == (found[row].verdict is Verdict.CERTIFIED)
            places = groups[row][lattice].nonzero()[:, 0].tolist()
            edits = image.repeat(len(places) * len(colours), 1, 1, 1)
            for number, place in enumerate(places):
                block = slice(number * len(colours), (number + 1) * len(colours))
                edits[block, :, place // 6, place % 6] = colours
            assert (wrapper(edits).argmax(1) == label).all()


def test_groups_are_certified_where_the_image_is_not() -> None:
    """Of groups alone, too: what the last test holds must be about something."""
    partly = 0
    for seed in range(6):
        wrapper = LatticeMasking(SmallNet(seed, 10.0), spacing=3).eval()
        images = noise(8, 3, 6, 6, seed=seed)
        with torch.no_grad():
            groups = certified_groups(wrapper, images, wrapper(images).argmax(1))
        partly += int((groups.any(1) & ~groups.all(1)).sum())
    assert partly > 3


def test_some_images_are_certified_and_the_bare_model_falls_on_some_of_them() -> None:
    """The certificate says something: it covers images that the undefended model loses."""
    certified, broken = 0, 0
    for seed in range(6):
        model = SmallNet(seed)
        wrapper = LatticeMasking(model, spacing=4).eval()
        images = noise(20, 3, 6, 6, seed=seed)
        with torch.no_grad():
            labels = wrapper(images).argmax(1)
            for image, label, one in zip(
                images, labels.tolist(), certify(wrapper, images, labels), strict=True
            ):
                if one.verdict is Verdict.CERTIFIED:
                    certified += 1
                    edits = image.repeat(36 * 8, 1, 1, 1)
                    for place in range(36):
                        rows = slice(place * 8, place * 8 + 8)
                        edits[rows, :, place // 6, place % 6] = CORNERS.float() / 255
                    broken += bool((model(edits).argmax(1) != label).any())
    assert certified > 20
    assert broken > 0


def answering(*logits: float) -> LatticeMasking:
    """A model that sees nothing, behind a lattice."""

    class Even(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([logits]).expand(len(images), -1)

    return LatticeMasking(Even(), 2).eval()


@pytest.mark.parametrize(
    ("logits", "sure"),
    [((2.0, 0.0), True), ((1e-5, 0.0), False), ((100.002, 100.0), True), ((1e6 + 1, 1e6), False),
     ((1e6 + 10, 1e6), True)],
)  # fmt: skip
def test_a_lead_that_rounding_could_undo_certifies_nothing(logits, sure: bool) -> None:
    image, label = noise(1, 3, 4, 4), torch.tensor([0])
    (found,) = certify(answering(*logits), image, label)
    assert (found.verdict is Verdict.CERTIFIED) == sure
    assert certified_groups(answering(*logits), image, label).tolist() == [[sure] * 4]


class Beside(nn.Module):
    """A classifier of brightness to whom something else is added, by what it is asked at once."""

    def __init__(self, what) -> None:
        super().__init__()
        self.what = what
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean((1, 2, 3)) - 0.9
        return torch.stack([-bright, bright + self.what(images)], dim=1)


@pytest.mark.parametrize("prove", [certify, certified_groups])
@pytest.mark.parametrize(
    "what",
    [
        lambda images: 3.0 * (images.amax() > 0.99),
        lambda images: 0.01 * images.mean(),
        lambda images: 0.01 * torch.randn(len(images)),
        lambda images: nn.BatchNorm2d(3, track_running_stats=False).eval()(images).mean((1, 2, 3)),
    ],
    ids=["the brightest", "the mean", "chance", "batch statistics"],
)
def test_a_model_that_is_no_function_of_one_picture_is_refused(prove, what) -> None:
    images, labels = noise(3, 3, 8, 8) * 0.8, torch.zeros(3, dtype=torch.int64)
    with pytest.raises(InputError, match=r"A logit of the same picture moved by .* in other comp"):
        prove(LatticeMasking(Beside(what), 2).eval(), images, labels)
    assert certify(Beside(lambda images: 0.0), images, labels)[0].verdict is Verdict.CERTIFIED


def test_a_logit_that_rounding_moves_is_forgiven() -> None:
    """As little as leaves half of the lead that a certificate asks for."""
    image, label = noise(1, 3, 8, 8) * 0.8, torch.tensor([0])
    for much, fits in ((4e-4, True), (6e-4, False)):
        model = Beside(lambda images, much=much: much * (len(images) == 1))
        if fits:
            certify(model, image, label)
        else:
            with pytest.raises(InputError, match=r"moved by 0\.0006 in other company"):
                certify(model, image, label)


@pytest.mark.parametrize("prove", [certify, certified_groups])
@pytest.mark.parametrize("logits", [(1.0, float("nan")), (float("inf"), 0.0)])
def test_what_is_no_number_is_no_answer(prove, logits) -> None:
    wrapper = answering(*logits)
    with pytest.raises(InputError, match="a logit that is not a finite number"):
        prove(wrapper, noise(1, 3, 4, 4), torch.tensor([0]))
    with pytest.raises(InputError, match="a logit that is not a finite number"):
        wrapper(noise(1, 3, 4, 4))


@pytest.mark.parametrize("prove", [certify, certified_groups])
@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (noise(2, 3, 6, 6), [0, 3], "The label 3 is not a class of this model; its classes are 0"),
        (noise(2, 3, 6, 6), [0, -1], "The label -1 is not a class of this model"),
        (noise(2, 3, 6, 6), [0], r"The labels are torch.int64 of shape \(1,\); give a class numb"),
        (noise(2, 3, 6, 6), [0, 0, 0], r"The labels are torch.int64 of shape \(3,\)"),
        (noise(2, 3, 6, 6), [0.0, 1.0], "The labels are torch.float32"),
        (noise(2, 3, 6, 6), [True, False], "The labels are torch.bool"),
        (noise(3, 6, 6), [0, 0, 0], r"shape \(B, C, H, W\), not \(3, 6, 6\)"),
        (noise(1, 3, 6, 6)[:0], [], r"at least one, not \(0, 3, 6, 6\)"),
        (torch.zeros(1, 3, 6, 6, dtype=torch.bool), [0], "Images cannot be torch.bool"),
        (255 * noise(1, 3, 6, 6), [0], r"must lie in \[0, 1\]; divide them by 255"),
        (noise(1, 1, 6, 6), [0], r"fails on images \(9, 1, 6, 6\) .*it was made for"),
        (noise(1, 3, 8, 8), [0], r"fails on images \(9, 3, 8, 8\) .*it was made for"),
        (noise(1, 3, 2, 6), [0], "An image of 2x6 pixels is smaller than the lattice's spacing 3"),
    ],
)
def test_what_cannot_be_certified_is_one_sentence(prove, images: Tensor, labels, said) -> None:
    wrapper = LatticeMasking(SmallNet(0), spacing=3).eval()
    with pytest.raises(InputError, match=said):
        prove(wrapper, images, torch.tensor(labels, dtype=None if labels else torch.int64))


class AnySize(nn.Module):
    """A classifier of grey pictures of any size, by how the most of some features stands out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.linear = nn.Linear(6, 3, bias=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        found = torch.relu(self.conv(images))
        return self.linear(found.amax((2, 3)) - 3 * found.mean((2, 3)))


@pytest.mark.parametrize("size", [(5, 5), (7, 5), (4, 9)])
def test_grey_pictures_of_sizes_that_the_lattice_does_not_divide(size) -> None:
    """Every grey of every pixel, against the certificate; and the certificate says something."""
    images, wrapper = noise(16, 1, *size, seed=2), LatticeMasking(AnySize()).eval()
    height, width = size
    with torch.no_grad():
        labels = wrapper(images).argmax(1)
        found = certify(wrapper, images, labels)
        certified = [one.verdict is Verdict.CERTIFIED for one in found]
        for image, label in zip(images[certified], labels[certified], strict=True):
            edits = image.repeat(height * width * 5, 1, 1, 1)
            for place in range(height * width):
                block = slice(place * 5, place * 5 + 5)
                edits[block, 0, place // width, place % width] = torch.linspace(0, 1, 5)
            assert (wrapper(edits).argmax(1) == label).all()
    assert 0 < sum(certified) < 16


class Even(SmallNet):
    """Takes its pictures two by two."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.view(-1, 2, *images.shape[1:]).flatten(0, 1))


class Picky(SmallNet):
    def forward(self, images: Tensor) -> Tensor:
        raise ValueError("no pictures today")


@pytest.mark.parametrize("prove", [certify, certified_groups])
@pytest.mark.parametrize(("kind", "said"), [(Even, "invalid"), (Picky, "no pictures today")])
def test_a_model_that_takes_no_such_batch_is_one_sentence(prove, kind, said) -> None:
    wrapper = LatticeMasking(kind(0), spacing=4).eval()
    with pytest.raises(InputError, match=rf"fails on images \(.*{said}.*any batch size"):
        prove(wrapper, noise(1, 3, 6, 6), torch.tensor([0]))


def test_a_bare_model_is_put_behind_the_usual_lattice() -> None:
    images = noise(6, 3, 6, 6)
    model = SmallNet(1, strength=5)
    wrapper = LatticeMasking(model).eval()
    with torch.no_grad():
        labels = wrapper(images).argmax(1)
    assert certify(model, images, labels) == certify(wrapper, images, labels)
    with pytest.raises(InputError, match="training mode"):
        certify(model.train(), images, labels)
    assert model.training


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(InputError, match="training mode"):
        certify(LatticeMasking(SmallNet(0)).train(), noise(1, 3, 6, 6), torch.tensor([0]))


@pytest.mark.parametrize("prove", [certify, certified_groups])
def test_so_is_one_with_a_part_in_training_mode(prove) -> None:
    wrapper = LatticeMasking(SmallNet(0)).eval()
    wrapper.model.conv.train()
    with pytest.raises(InputError, match="training mode"):
        prove(wrapper, noise(1, 3, 6, 6), torch.tensor([0]))
