"""The Python doors of the engine: what each takes of a person's pictures, labels and network, and
that the rest is one sentence. Handed cases of the kinds 1 to 5."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from apr_core import OnePixelAttack, OnePixelConfig, load_model
from apr_core.attacks.ladder import LadderConfig, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.attacks.stages import STAGES
from apr_core.attacks.transfer import transfer_matrix
from apr_core.attacks.truth_map import TruthMapSearch
from apr_core.base.types import InputError, Status, Threat
from apr_core.certification.lattice_masking import certify
from apr_core.data.images import to_pil
from apr_core.explain.attributions import attribute
from apr_core.explain.curves import deletion_curve, insertion_curve
from apr_core.models import Classifier
from apr_core.models.inference import evaluating
from apr_core.models.inputs import SLACK, as_floats, as_labels, as_uint8
from apr_core.zoo.external import check_images, check_model
from tests.conftest import LinearModel, answers, noise
from tests.core.test_external import said_by

QUICK = OnePixelConfig(population=20, generations=2)
EDIT = (PixelEdit(0, 0, (0, 0, 0)),)
Door = Callable[[Any, Any, Any], object]

DOORS: dict[str, Door] = {
    "attack": lambda m, x, y: OnePixelAttack(m, QUICK).run(x, y),
    "stream": lambda m, x, y: list(OnePixelAttack(m, QUICK).stream(x[0], int(y[0]))),
    "ladder": lambda m, x, y: climb(
        LadderConfig(("corners",)), ModelOracle(m), x, y, torch.arange(len(y))
    ),
    "truth map": lambda m, x, y: TruthMapSearch(ModelOracle(m), x[0], int(y[0])),
    "transfer": lambda m, x, y: transfer_matrix([ModelOracle(m)], x[0], int(y[0]), [EDIT]),
    "certificate": certify,
    "map": lambda m, x, y: attribute(m, x, y, "saliency"),
    "deletion": lambda m, x, y: deletion_curve(m, x, y, torch.zeros(len(y), 6, 6), 4),
    "insertion": lambda m, x, y: insertion_curve(m, x, y, torch.zeros(len(y), 6, 6), 4),
}
every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


class Around(nn.Module):
    """A model of three classes with something before and after it."""

    def __init__(self, before=lambda x: x, after=lambda y: y) -> None:
        super().__init__()
        self.model, self.before, self.after = LinearModel(), before, after
        self.eval()

    def forward(self, images: Tensor) -> Any:
        return self.after(self.model(self.before(images)))


class Logits(nn.Module):
    def forward(self, logits: Tensor) -> Any:
        return Named(logits)


class Named(dict[str, Tensor]):
    """As many libraries answer."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits)
        self.logits = logits


class Halved(nn.Module):
    """A network whose weights are not of the precision of its pictures."""

    def __init__(self, kind: torch.dtype = torch.float16) -> None:
        super().__init__()
        self.linear = nn.Linear(108, 3).to(kind)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1))


def refuses_few(images: Tensor) -> Tensor:
    if len(images) < 16:
        raise ValueError("sixteen at least")
    return images


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Three pictures, uint8 (3, 3, 6, 6)."""
    return (noise(3, 3, 6, 6, seed=1) * 255).byte()


@pytest.fixture(scope="module")
def labels(images: Tensor) -> Tensor:
    return answers(LinearModel(), images)


# Kind 1: what is asked of a model, and kind 5: what it raises

MISFITS: dict[str, tuple[Callable[[], Any], str]] = {
    "probabilities": (lambda: Around(after=lambda y: y.softmax(1)), "before the softmax"),
    "one output": (lambda: Around(after=lambda y: y[:, :1]), "returns 1 logits an image"),
    "chance": (
        lambda: Around(after=lambda y: y + 3 * torch.randn_like(y)),
        "draw at random|chance",
    ),
    "company": (lambda: Around(after=lambda y: y - y.mean(0)), "its batch|in other company"),
    "a tuple": (lambda: Around(after=lambda y: (y, y)), r"answer\[0\]"),
    "a dictionary": (lambda: Around(after=lambda y: {"out": y}), r"answer\['out'\]"),
    "half precision": (Halved, r"weights are torch.float16.*model.float\(\)"),
    "double precision": (lambda: Halved(torch.float64), r"torch.float64.*model.float\(\)"),
    "another size": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval(),
        "height and width",
    ),
    "small batches": (lambda: Around(refuses_few), "sixteen at least.*any batch size"),
    "view": (lambda: Around(lambda x: x.mT.view(len(x), -1).view(x.shape)), "in place of view"),
    "no model": (lambda: 3, "which cannot be called"),
}


@every_door
@pytest.mark.parametrize(("make", "said"), MISFITS.values(), ids=MISFITS)
def test_a_model_that_cannot_be_used_is_one_sentence(door, make, said, images, labels) -> None:
    """Handed cases k01 (probabilities, one output, chance) and k05 (what a model raises)."""
    with pytest.raises(InputError, match=said):
        door(make(), images.float() / 255, labels)


@every_door
def test_the_mode_of_this_packages_own_is_looked_at(door, network, pictures) -> None:
    """Its batch norm would otherwise go by the batch. An attack and a map set the mode."""
    if door in (DOORS["truth map"], DOORS["transfer"], DOORS["certificate"]):
        network.train()
        try:
            with pytest.raises(InputError, match="training mode"):
                door(network, pictures, torch.zeros(len(pictures), dtype=torch.int64))
        finally:
            network.eval()


def test_a_model_is_checked_once_an_attack(images, labels) -> None:
    asked: list[int] = []
    model = Around(lambda x: (asked.append(len(x)), x)[1])
    attack = OnePixelAttack(model, QUICK)
    attack.run(images, labels)
    first = len(asked)
    attack.run(images, labels)
    assert first > len(asked) - first
    assert sum(asked[: 2 * first - len(asked)]) < 30  # a handful of small batches


def test_a_model_that_draws_at_random_may_be_meant_to(images, labels) -> None:
    model = Around(after=lambda y: y + 1e-2 * torch.randn_like(y))
    assert len(climb(LadderConfig(("corners",)), ModelOracle(model, eot_samples=2), images, labels,
                     torch.arange(3))) == 3  # fmt: skip


def test_memory_that_lacks_for_the_check_does_not_end_an_attack(images, labels) -> None:
    def one_at_most(batch: Tensor) -> Tensor:
        if len(batch) > 1:
            raise RuntimeError("out of memory")
        return batch

    result = OnePixelAttack(Around(one_at_most), QUICK).run(images, labels)
    assert result.attacked == len(images)


# Kind 2: nothing fits


def test_it_is_told_when_nothing_could_be_attacked(images, labels) -> None:
    """Handed case k02: classes in another order."""
    attack = OnePixelAttack(LinearModel(), QUICK)
    with pytest.warns(UserWarning, match=r"0 of 3 images .*clean accuracy 0%.*order of its class"):
        assert torch.equal(attack(images, (labels + 1) % 3), images.float() / 255)
    with pytest.warns(UserWarning, match="0 of 1 images"):
        assert not list(attack.stream(images[0], int(labels[0] + 1) % 3))


def test_a_model_of_bgr_pictures_is_noted() -> None:
    """Handed case k02."""
    model = load_model("cifar10-resnet20-vanilla")

    class Reversed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return model(images.flip(1))

    (note,) = check_model(Reversed().eval(), *check_images()).notes
    assert "BGR" in note
    assert "images.flip(1)" in note


# Kind 3: pictures and labels


def test_pictures_are_taken_as_people_hold_them(images) -> None:
    """Handed cases k03: numpy floats and bytes, int64 bytes, a list, Pillow pictures."""
    floats = images.float() / 255
    forms = [
        images.numpy(), floats.numpy(), floats.double().numpy(), images.long(), images.short(),
        images.numpy().astype(np.uint16), list(floats), [one.numpy() for one in images],
        [to_pil(one) for one in images], images.numpy()[:, :, ::-1].copy()[:, :, ::-1],
        floats.requires_grad_(), images.tolist(),
    ]  # fmt: skip
    for form in forms:
        assert torch.equal(as_uint8(form, 3), images)
        assert torch.allclose(as_floats(form).float(), images / 255)
    assert torch.equal(as_uint8(to_pil(images[0])), images[:1])


@every_door
def test_every_door_takes_numpy_arrays(door, images, labels) -> None:
    door(LinearModel().eval(), images.numpy(), labels.numpy())
    door(LinearModel().eval(), images.numpy() / 255, labels.numpy())


def test_rounding_outside_the_unit_range_is_clamped(images) -> None:
    """Handed cases k03: a normalisation undone, and a value of 1 and a bit."""
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2023, 0.1994, 0.2010])
    grid = (torch.arange(256) / 255).view(1, 1, 16, 16).expand(1, 3, -1, -1)
    undone = (grid - mean.view(3, 1, 1)) / std.view(3, 1, 1) * std.view(3, 1, 1)
    undone = undone + mean.view(3, 1, 1)
    assert undone.min() < 0
    assert torch.equal(as_uint8(undone)[0, 0].flatten(), torch.arange(256, dtype=torch.uint8))
    for kind in (torch.float16, torch.bfloat16):
        assert torch.equal(
            as_uint8(grid.to(kind) * (1 + SLACK / 2)).max(), torch.tensor(255).byte()
        )
    near = torch.full((1, 3, 6, 6), 1 + 2**-23)
    assert as_floats(near).max() == 1


WRONG_PICTURES: dict[str, tuple[object, str]] = {
    "overshoot": (torch.full((1, 3, 6, 6), 1.2), r"to 1\.2, .*clamp or rescale"),
    "normalised": (torch.full((1, 3, 6, 6), -2.0), "undo the normalisation"),
    "floats to 255": (torch.full((1, 3, 6, 6), 254.0), "divide them by 255"),
    "a hair too much": (torch.full((1, 3, 6, 6), 1.002), r"to 1\.002"),
    "no number": (torch.full((1, 3, 6, 6), float("nan")), "nan"),
    "whole numbers": (torch.full((1, 3, 6, 6), 256), "to 256.*bytes"),
    "truth values": (torch.ones(1, 3, 6, 6, dtype=torch.bool), "torch.bool"),
    "channels last": (torch.zeros(1, 6, 6, 3), r"permute\(0, 3, 1, 2\)"),
    "grey": (torch.zeros(1, 1, 6, 6), r"images.repeat\(1, 3, 1, 1\)"),
    "with an alpha channel": (torch.zeros(1, 4, 6, 6), r"images\[:, :3\]"),
    "no batch": (torch.zeros(3, 6, 6), r"image\[None\]"),
    "none": (torch.zeros(0, 3, 6, 6), "at least one"),
    "of two sizes": ([torch.zeros(3, 6, 6), torch.zeros(3, 5, 6)], "must be alike"),
    "of two types": ([torch.zeros(3, 6, 6), torch.zeros(3, 6, 6).byte()], "must be alike"),
    "a word": ("cat.png", "cannot be of type str"),
    "nothing": (None, "cannot be of type NoneType"),
    "an empty list": ([], "at least one"),
}


@pytest.mark.parametrize(("wrong", "said"), WRONG_PICTURES.values(), ids=WRONG_PICTURES)
def test_other_pictures_are_one_sentence(wrong, said) -> None:
    """Handed cases k03: real overshoot, channels last, grey pictures."""
    with pytest.raises(InputError, match=said):
        as_uint8(wrong, 3)
    assert "to 1," not in said_by(lambda: as_uint8(wrong, 3))


@pytest.mark.parametrize("name", ["attack", "ladder", "certificate", "map", "deletion"])
def test_wrong_pictures_are_refused_at_the_doors(name: str, labels) -> None:
    for wrong in ("overshoot", "channels last", "a word"):
        with pytest.raises(InputError, match=WRONG_PICTURES[wrong][1]):
            DOORS[name](LinearModel().eval(), WRONG_PICTURES[wrong][0], labels[:1])


def test_the_remedy_for_grey_pictures_works() -> None:
    """Handed case k03: a model of grey pictures."""
    torch.manual_seed(0)
    grey = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()
    small = noise(2, 1, 6, 6)
    labels = grey((small * 255).round() / 255).argmax(1)

    class Wrapped(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return grey(images.mean(1, keepdim=True))

    result = OnePixelAttack(Wrapped().eval(), QUICK).run(small.repeat(1, 3, 1, 1), labels)
    assert result.attacked == 2


def test_labels_are_taken_as_people_hold_them() -> None:
    """Handed case k05: one-hot labels."""
    for form in (torch.tensor([2, 0]), np.array([2, 0]), [2, 0], torch.tensor([2, 0]).byte()):
        taken = as_labels("label", form, 2)
        assert taken.tolist() == [2, 0]
        assert taken.dtype == torch.int64
    for wrong, said in (
        (nn.functional.one_hot(torch.tensor([2, 0])), r"labels\.argmax\(1\)"),
        (torch.tensor([2.0, 0.0]), "torch.float32"),
        (torch.tensor([True, False]), "torch.bool"),
        ([2], r"shape \(1,\)"),
        ("cat", "type str"),
    ):
        with pytest.raises(InputError, match=said):
            as_labels("label", wrong, 2)


def test_pictures_of_the_targets_own_class_are_skipped(images, labels) -> None:
    """Handed case k03: one target for a batch that has its class."""
    config = OnePixelConfig(population=20, generations=2, target=int(labels[0]))
    others = [row for row in range(3) if labels[row] != labels[0]]
    assert others
    with pytest.warns(UserWarning, match=f"{3 - len(others)} of 3 images were not attacked"):
        result = OnePixelAttack(LinearModel(), config).run(images, labels)
    for row, outcome in enumerate(result.outcomes):
        assert (outcome.status is Status.SKIPPED) == (row not in others)
    assert result.attacked == len(others)
    assert type(result).from_json(result.to_json()) == result
    alone = OnePixelAttack(LinearModel(), config).run(
        images[others], labels[others], indices=torch.tensor(others)
    )
    assert alone.outcomes == tuple(result.outcomes[row] for row in others)


def test_winning_edits_are_written_on_the_scale_of_the_pictures(images, labels) -> None:
    """Handed cases k03: the winning edits on floats, and floats off the 8-bit grid."""
    attack = OnePixelAttack(LinearModel(), OnePixelConfig(population=60, generations=5))
    off = (images.float() / 255 + 0.3 / 255).clamp(0, 1)
    result = attack.run(off, labels)
    found = torch.tensor([outcome.success for outcome in result.outcomes])
    assert 0 < found.sum() < 3
    for kind in (torch.float32, torch.float64):
        given = off.to(kind)
        for edited in (result.adversarial(given), attack(given, labels)):
            assert edited.dtype == kind
            assert edited.min() >= 0
            assert edited.max() <= 1
            assert torch.equal(edited[~found], given[~found])
            assert torch.equal(as_uint8(edited), result.adversarial(as_uint8(off)))
    assert (answers(LinearModel(), result.adversarial(images)) != labels)[found].all()
    with pytest.raises(InputError, match="3 images were attacked, but these are 2"):
        result.adversarial(images[:2])


@pytest.mark.parametrize("rgb", [(300, 0, 0), (0, -1, 0), (0, 0, 256), (0, 0)])
def test_a_colour_that_is_none_is_refused(images, rgb) -> None:
    """Handed case k03, and C12 of the review: 300 wrapped to 44."""
    with pytest.raises(InputError, match="give red, green and blue from 0 to 255"):
        edit_image(images[0], (PixelEdit(0, 0, rgb),))
    with pytest.raises(InputError, match="from 0 to 255"):
        transfer_matrix([ModelOracle(LinearModel())], images[0], 0, [(PixelEdit(0, 0, rgb),)])


# Kind 4: networks of other makes


class Purified(nn.Module):
    """Takes a step along a gradient before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.model = LinearModel()

    def forward(self, images: Tensor) -> Tensor:
        with torch.enable_grad():
            moved = images.detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.model(moved).logsumexp(1).sum(), moved)
        return self.model(images - 0.001 * slope.sign())


class Late(nn.Module):
    """Makes a constant when first called."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.scale = nn.Conv2d(3, 8, 3), nn.Linear(8, 3), None

    def forward(self, images: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = torch.ones(8, 1, 1)
        return self.head((self.conv(images) * self.scale).relu().mean((2, 3)))


@every_door
def test_a_gradient_may_be_taken_inside_forward(door, images, labels) -> None:
    """Handed case k04."""
    door(Purified().eval(), images, answers(Purified(), images))


@every_door
def test_nothing_is_left_in_a_model_that_forbids_training(door, images) -> None:
    """Handed cases k04: trained on after an attack, and after a stream."""
    net, labels = Late().eval(), answers(Late(), images)
    door(net, images, labels)
    net.train()(images / 255).sum().backward()
    assert net.conv.weight.grad is not None


@pytest.mark.parametrize("name", ["attack", "stream", "truth map", "transfer", "certificate"])
def test_no_gradient_is_kept_where_none_is_asked_for(name: str, images, labels) -> None:
    kept: list[bool] = []
    model = Around(after=lambda y: (kept.append(torch.is_grad_enabled() or y.is_inference()), y)[1])
    DOORS[name](model, images, labels)
    assert kept
    assert not any(kept)


@every_door
@pytest.mark.parametrize("kind", ["function", "named", "frozen", "scripted", "exported"])
def test_networks_of_other_makes_are_taken(door, kind, images, labels) -> None:
    """Handed cases k04 (frozen TorchScript, an exported program, a plain function) and k05
    (logits under a name)."""
    model = LinearModel().eval()
    example = images / 255
    if kind == "exported":
        shapes = {"images": {0: torch.export.Dim("batch", min=1, max=4096)}}
        made = torch.export.export(model, (example,), dynamic_shapes=shapes).module()
    else:
        with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
            made = {
                "function": lambda: model.forward,
                "named": lambda: Around(after=Named),
                "frozen": lambda: torch.jit.freeze(torch.jit.trace(model, example)),
                "scripted": lambda: torch.jit.trace(model, example),
            }[kind]()
    door(made, images, labels)


def test_a_program_of_one_batch_size_is_one_sentence(images, labels) -> None:
    """Handed case k04: what torch.export made without a dynamic batch takes no other."""
    program = torch.export.export(LinearModel().eval(), (images / 255,)).module()
    with pytest.raises(InputError, match="any batch size"):
        OnePixelAttack(program, QUICK).run(images, labels)


def test_modes_are_restored_where_there_are_modes() -> None:
    program = torch.export.export(LinearModel().eval(), (torch.zeros(1, 3, 6, 6),)).module()
    whole = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3).eval(), program)
    before = {name: module.training for name, module in whole.named_modules()}
    with evaluating(whole):
        assert not any(module.training for module in whole.modules())
    assert {name: module.training for name, module in whole.named_modules()} == before


def test_the_check_takes_them_as_well() -> None:
    """Handed case k04: the check and the attack agree."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)).eval()
    with warnings.catch_warnings(action="ignore"):
        frozen = torch.jit.freeze(torch.jit.script(net))
    for model in (frozen, net.forward, nn.Sequential(net, Logits()).eval()):
        assert check_model(model, *check_images(count=16)).classes == 10


@pytest.mark.parametrize("stage", [name for name in STAGES if STAGES.get(name).gradient])
def test_a_model_without_a_gradient_is_one_sentence(stage: str, images, labels) -> None:
    model = Around(lambda x: x.detach())
    config = LadderConfig((stage,), side=2 if STAGES.get(stage).threat is Threat.PATCH else 0)
    with pytest.raises(InputError, match="gives no gradient"):
        climb(config, ModelOracle(model), images, labels, torch.arange(3))


# Kind 5: explanations


def test_what_a_method_cannot_explain_is_one_sentence() -> None:
    """Handed cases k05: DeepLift of ReLUs that are used twice; GradCAM finds another ResNet's
    features by now, and says so of a network that has none."""
    torch.manual_seed(0)
    usual = torchvision.models.resnet18(num_classes=10).eval()
    images, labels = noise(1, 3, 32, 32), torch.tensor([0])
    said = said_by(lambda: attribute(usual, images, labels, "deeplift"))
    assert "ReLU" in said
    assert "used once" in said
    found = attribute(usual, images, labels, "gradcam").maps
    assert found.shape == (1, 32, 32)
    assert found.isfinite().all()
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10)).eval()
    said = said_by(lambda: attribute(flat, images, labels, "gradcam"))
    assert "torch.nn.modules.container.Sequential" in said


def test_lack_of_memory_in_a_map_says_so(network: Classifier, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("apr_core.explain.attributions._explain", full)
    said = said_by(lambda: attribute(network, noise(1, 3, 32, 32), torch.tensor([0])))
    assert "fewer images" in said
