"""Attributions as Captum gives them, on a copy that nobody else sees; attention as the gate was."""

from __future__ import annotations

import argparse
import ast
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import (
    DeepLift,
    GradientShap,
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    Occlusion,
    Saliency,
)
from captum.metrics import infidelity
from PIL import Image
from torch import Tensor, nn

from apr_core import OnePixelAttack, OnePixelConfig, cli
from apr_core.base import random
from apr_core.base.types import InputError
from apr_core.cli import explain
from apr_core.data.registry import find_dataset
from apr_core.explain.attention import attention_of, gate_of, has_attention, watching_attention
from apr_core.explain.attributions import Cancelled, attribute
from apr_core.explain.methods import METHODS, Figure
from apr_core.explain.task import RANGES, AttributionConfig
from apr_core.models import SMALL as SMALL_NETWORKS
from apr_core.models import Classifier, build_model
from apr_core.models.clamp_front import NeighbourhoodFront, look_around
from apr_core.models.pixel_attention import PixelAttention
from apr_core.zoo.checkpoints import Card, is_own, list_cards, load_model
from tests.conftest import ROOT, ConstantModel, LinearModel, answers, long_but_for, noise

SMALL = AttributionConfig(steps=8, draws=6, probes=4, window=8, stride=8)
SHIPPED = [card for card in list_cards() if not is_own(card.name)]
ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
announced = pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")


@pytest.fixture(scope="module")
def vanilla() -> Classifier:
    return load_model("cifar10-resnet20-vanilla")


@pytest.fixture
def batch(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Two images in [0, 1], and a class for each that is not what a model would say of both."""
    return pictures[:2].float() / 255, torch.tensor([3, 5])


def hooks_of(model: nn.Module) -> int:
    kinds = [name for name in vars(model) if name.endswith("_hooks")]
    assert kinds
    return sum(len(getattr(module, kind) or ()) for module in model.modules() for kind in kinds)


# attributions


def by_captum(name: str, model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """What Captum says when called directly, with `SMALL`'s settings."""
    probe = images.clone().requires_grad_()
    direct: dict[str, Callable[[], Tensor]] = {
        "integrated-gradients": lambda: IntegratedGradients(model).attribute(
            probe, 0.0, targets, n_steps=SMALL.steps
        ),
        "saliency": lambda: Saliency(model).attribute(probe, targets),
        "input-x-gradient": lambda: InputXGradient(model).attribute(probe, targets),
        "gradcam": lambda: LayerAttribution.interpolate(
            LayerGradCam(model, model.backbone.stages[2]).attribute(
                probe, targets, relu_attributions=True
            ),
            (32, 32),
            "bilinear",
        ),
        "occlusion": lambda: Occlusion(model).attribute(
            images, (3, SMALL.window, SMALL.window), (3, SMALL.stride, SMALL.stride), 0.0, targets
        ),
        "deeplift": lambda: DeepLift(model).attribute(probe, 0.0, targets),
    }
    return direct[name]().detach()


@announced
@pytest.mark.parametrize("name", [name for name in METHODS if name != "gradient-shap"])
def test_it_is_what_captum_says(name: str, vanilla, batch) -> None:
    found = attribute(vanilla, *batch, name, SMALL)
    expected = by_captum(name, load_model("cifar10-resnet20-vanilla"), *batch)
    assert expected.abs().max() > 0.01
    assert torch.allclose(found.maps, expected.sum(1), atol=1e-4)
    if name == "gradcam":
        assert found.raw is None
    else:
        assert found.raw is not None
        assert torch.allclose(found.raw, expected, atol=1e-5)
    assert found.maps.shape == (2, 32, 32)
    assert found.maps.dtype == torch.float32
    assert (found.maps.min() < 0) == METHODS.get(name).signed


def test_gradient_shap_is_what_captum_says_of_the_same_draws(monkeypatch, vanilla, batch) -> None:
    images, targets = batch[0][:1], batch[1][:1]
    found = attribute(vanilla, images, targets, "gradient-shap", SMALL)
    key = random.keys_for(SMALL.seed, torch.zeros(1, dtype=torch.int64))
    added = SMALL.noise * random.normal(key, 1, (SMALL.draws, 3, 32, 32))[0]
    starts = random.uniform(key, 2, (SMALL.draws, 3, 1, 1))[0].expand_as(added)
    way = random.uniform(key, 3, (SMALL.draws,))[0]
    monkeypatch.setattr(torch, "normal", lambda *_: added)
    monkeypatch.setattr(np.random, "choice", lambda *_: np.arange(SMALL.draws))
    monkeypatch.setattr(np.random, "uniform", lambda *_: way.numpy())
    raw, deltas = GradientShap(load_model("cifar10-resnet20-vanilla")).attribute(
        images, starts, SMALL.draws, 1.0, targets, return_convergence_delta=True
    )
    assert found.raw is not None
    assert raw.abs().max() > 0.01
    assert torch.allclose(found.raw, raw, atol=1e-5)
    assert found.figure.item() == pytest.approx(deltas.mean().item(), abs=1e-4)


def brisk(architecture: str) -> Classifier:
    """Untrained, with logits that differ from image to image."""
    torch.manual_seed(1)
    model = build_model(architecture).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    nn.init.normal_(model.backbone.linear.weight)
    return model


@pytest.mark.parametrize("architecture", ["resnet20", "resnet18", "vgg16", "trained"])
def test_what_should_add_up_does(architecture: str, vanilla, batch) -> None:
    model = vanilla if architecture == "trained" else brisk(architecture)
    images, targets = batch[0][:1], batch[1][:1]
    with torch.no_grad():
        gap = (model(images) - model(torch.zeros_like(images)))[0, targets].item()
    assert abs(gap) > 0.1
    config = AttributionConfig(steps=16 if architecture == "resnet18" else 128)
    for name, tolerance in (("deeplift", 1e-4), ("integrated-gradients", 0.1)):
        found = attribute(model, images, targets, name, config)
        assert found.figure_name is Figure.CONVERGENCE_DELTA
        assert found.scale.item() == pytest.approx(abs(gap), rel=1e-3)
        assert found.maps.sum().item() == pytest.approx(gap, rel=tolerance)
        missed = found.maps.sum().item() - gap
        assert found.figure.item() == pytest.approx(missed, abs=1e-4 * abs(gap))


def test_every_architecture_is_held_to_that() -> None:
    assert set(SMALL_NETWORKS) == {"resnet20", "resnet18", "vgg16"}


def fitting(images: Tensor, card: Card) -> Tensor:
    """Images in [0, 1] at the size and the channels that a card's model takes."""
    data = find_dataset(card.dataset)
    scaled = nn.functional.interpolate(images, data.size)
    return scaled.mean(1, keepdim=True) if data.channels == 1 else scaled


QUICK = "resnet20"
"""The larger architectures take several times as long."""


@pytest.mark.parametrize(
    "card", long_but_for(lambda card: card.architecture == QUICK, SHIPPED, "name")
)
def test_what_should_add_up_does_on_every_shipped_model(card: Card, batch) -> None:
    """But behind what rounds, as JPEG does, and for DeepLift behind a gate: those own up to it."""
    model, rounds, images = load_model(card.name), card.defence == "it", fitting(batch[0], card)
    targets = answers(model, images * 255)
    with torch.no_grad():
        gap = model(images) - model(torch.zeros_like(images))
        gap = gap.gather(1, targets[:, None])[:, 0]
    for method, holds, tolerance in (
        ("integrated-gradients", not rounds, 0.1),
        ("deeplift", not rounds and not has_attention(model), 1e-4),
    ):
        found = attribute(model, images, targets, method, AttributionConfig(steps=96))
        missed = found.maps.sum((1, 2)) - gap
        assert torch.allclose(found.figure, missed, atol=1e-3)
        if holds:
            assert (missed.abs() <= tolerance * gap.abs()).all()


@announced
@pytest.mark.parametrize(
    ("architecture", "layer"),
    [
        ("resnet18", lambda model: model.backbone.stages[3]),
        ("vgg16", lambda model: model.backbone.features[42]),
    ],
)
def test_gradcam_looks_at_the_last_features_of_the_larger_ones(architecture, layer, batch) -> None:
    model, images, targets = brisk(architecture), batch[0][:1], batch[1][:1]
    found = attribute(model, images, targets, "gradcam", SMALL)
    coarse = LayerGradCam(model, layer(model)).attribute(
        images.clone().requires_grad_(), targets, relu_attributions=True
    )
    assert coarse.shape[2:] == ((4, 4) if architecture == "resnet18" else (2, 2))
    expected = LayerAttribution.interpolate(coarse, (32, 32), "bilinear")[:, 0]
    assert expected.max() > 0
    assert torch.allclose(found.maps, expected, atol=1e-4 * expected.max().item())


@pytest.mark.parametrize(
    ("make", "covered"),
    [
        (PixelAttention, False),
        (NeighbourhoodFront, False),
        (lambda: NeighbourhoodFront(attention=False), True),
    ],
)
def test_deeplift_owns_up_to_what_its_rules_do_not_cover(make, covered, batch) -> None:
    """A gate's product is not; a clamp is, for least and greatest scale with their values."""
    torch.manual_seed(2)
    front = make()
    if not covered:
        nn.init.normal_(front.conv.weight)
    model = build_model("resnet20", front).eval()
    with torch.no_grad():
        black = model(torch.zeros_like(batch[0]))
        gap = (model(batch[0]) - black).gather(1, batch[1][:, None])[:, 0]
    found = attribute(model, *batch, "deeplift")
    assert torch.allclose(found.figure, found.maps.sum((1, 2)) - gap, atol=1e-4)
    assert ((found.figure.abs() < 1e-4 * found.scale) == covered).all()


def test_infidelity_is_captums_and_nothing_where_the_model_is_as_linear_as_the_map(batch) -> None:
    images = noise(2, 3, 8, 8, seed=4)
    linear = LinearModel(size=8)
    targets = torch.tensor([0, 2])
    config = AttributionConfig(window=2, stride=2)
    straight = attribute(linear, images, targets, "input-x-gradient", config)
    assert straight.figure_name is Figure.INFIDELITY
    assert (straight.scale > 1e-6).all()
    assert (straight.figure < 1e-4 * straight.scale).all()
    unsigned = attribute(linear, images, targets, "saliency", config)
    assert torch.equal(unsigned.scale, straight.scale)
    assert (unsigned.figure > 0.1 * unsigned.scale).all()
    assert (unsigned.figure <= unsigned.scale).all()

    key = random.keys_for(config.seed, torch.zeros(1, dtype=torch.int64))
    shares = config.probe * random.normal(key, 0, (config.probes, 3, 8, 8))[0].repeat(2, 1, 1, 1)
    expected = infidelity(
        linear,
        lambda seen: (shares * seen, seen - shares * seen),
        images,
        unsigned.raw,
        target=targets,
        n_perturb_samples=config.probes,
        normalize=True,
    )
    assert torch.allclose(unsigned.figure, expected.detach(), rtol=1e-4)


@pytest.mark.parametrize("method", METHODS.names)
def test_the_model_is_left_as_it_was(method: str, batch) -> None:
    torch.manual_seed(0)
    model = build_model("resnet20", PixelAttention()).train()
    model.backbone.stages.eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chosen = batch[0].clone()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    attribute(model, chosen, batch[1], method, SMALL)
    assert hooks_of(model) == 0
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert not any(hasattr(module, "input") for module in model.modules())
    assert torch.equal(chosen, batch[0])
    assert not chosen.requires_grad
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_nobody_changes_anybodys_answer(network, batch, pictures) -> None:
    """Eight threads explain one instance, in every way at once, and one attacks it."""
    labels = answers(network, pictures)

    def attack() -> list[Any]:
        config = OnePixelConfig(population=8, generations=4, stop="budget")
        outcomes = OnePixelAttack(network, config).run(pictures[:2], labels[:2]).outcomes
        return [(outcome.edits, outcome.true_after) for outcome in outcomes]

    def explain_by(method: str) -> Tensor:
        found = attribute(network, *batch, method, SMALL)
        return torch.cat([found.maps.flatten(), found.figure])

    tasks: list[Callable[[], Any]] = [lambda name=name: explain_by(name) for name in METHODS]
    tasks += [lambda: attention_of(network, batch[0]).flatten(), attack]
    alone = [task() for task in tasks]
    gate = threading.Barrier(len(tasks))

    def again(task: Callable[[], Any]) -> list[Any]:
        gate.wait(60)
        return [task() for _ in range(2)]

    with ThreadPoolExecutor(len(tasks)) as pool:
        together = list(pool.map(again, tasks))
    assert len(tasks) == 9
    for expected, results in zip(alone, together, strict=True):
        for result in results:
            if isinstance(expected, Tensor):
                assert torch.allclose(result, expected, atol=1e-6)
            else:
                assert result == expected


@pytest.mark.parametrize("method", METHODS.names)
def test_an_image_has_the_same_map_in_any_company(method: str, vanilla, batch) -> None:
    images = torch.cat([batch[0], batch[0].flip(3), batch[0]])
    targets = batch[1].repeat(3)
    config = AttributionConfig(steps=8, draws=6, probes=20, window=8, stride=8)  # one by one
    together = attribute(vanilla, images, targets, method, SMALL)
    alone = attribute(vanilla, images[3:4], targets[3:4], method, config)
    assert torch.allclose(alone.maps[0], together.maps[3], atol=1e-4)


def test_what_is_drawn_depends_on_the_seed(vanilla, batch) -> None:
    maps = [
        attribute(vanilla, *batch, "gradient-shap", AttributionConfig(draws=4, seed=seed)).maps
        for seed in (0, 0, 1)
    ]
    assert torch.equal(maps[0], maps[1])
    assert not torch.allclose(maps[0], maps[2], atol=1e-3)
    figures = [
        attribute(vanilla, *batch, "saliency", AttributionConfig(seed=seed)).figure
        for seed in (0, 1)
    ]
    assert not torch.equal(*figures)


def test_the_baseline_is_black_unless_it_is_said_to_be_grey(vanilla, batch) -> None:
    grey = torch.full_like(batch[0], 0.5)
    model = LinearModel(size=32, classes=10)  # whose answers have the same bits in any company
    for name in METHODS:
        if name not in ("saliency", "gradcam", "gradient-shap"):
            config = AttributionConfig(baseline=0.5, steps=2, window=8, stride=8)
            assert attribute(model, grey, batch[1], name, config).maps.abs().max() == 0
            assert attribute(model, 0 * grey, batch[1], name, SMALL).maps.abs().max() == 0
            assert attribute(vanilla, grey, batch[1], name, config).maps.abs().max() < 1e-5
            assert attribute(vanilla, 0 * grey, batch[1], name, SMALL).maps.abs().max() < 1e-5
            assert attribute(vanilla, grey, batch[1], name, SMALL).maps.abs().max() > 1e-3


def test_a_caller_in_inference_mode_is_served_as_well(vanilla, batch) -> None:
    expected = attribute(vanilla, *batch, "saliency", SMALL)
    with torch.inference_mode():
        images, targets = batch[0].clone(), batch[1].clone()
        found = attribute(
            load_model("cifar10-resnet20-vanilla"), images, targets, "saliency", SMALL
        )
    assert torch.equal(found.maps, expected.maps)


@pytest.mark.parametrize("method", METHODS.names)
def test_progress_goes_to_the_end_that_it_announces(method: str, vanilla, batch) -> None:
    told: list[tuple[int, int]] = []
    images, targets = batch[0].repeat(2, 1, 1, 1), batch[1].repeat(2)
    report = lambda done, total: told.append((done, total))  # noqa: E731
    config = AttributionConfig(steps=40, draws=6, probes=4, window=7, stride=5)
    attribute(vanilla, images[:3], targets[:3], method, config, report=report)
    counts, totals = zip(*told, strict=True)
    assert len(set(totals)) == 1
    assert list(counts) == sorted(set(counts))
    assert counts[-1] == totals[0]


def test_cancelling_ends_it_within_a_pass(vanilla, batch) -> None:
    told: list[int] = []
    for method in METHODS:
        told.clear()
        with pytest.raises(Cancelled):
            attribute(
                vanilla, *batch, method, SMALL,
                report=lambda done, total: told.append(done), cancelled=lambda: len(told) == 1,
            )  # fmt: skip
        assert len(told) == 1
    assert hooks_of(vanilla) == 0


def test_wrong_input_is_one_sentence(vanilla, batch) -> None:
    images, targets = batch
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("no attribution method 'salience'", lambda: attribute(vanilla, *batch, "salience")),
        ("target 10 is not a class", lambda: attribute(vanilla, images, torch.tensor([3, 10]))),
        ("target -1 is not a class", lambda: attribute(vanilla, images, torch.tensor([3, -1]))),
        (r"shape \(1,\)", lambda: attribute(vanilla, images, targets[:1])),
        ("torch.float32", lambda: attribute(vanilla, images, targets.float())),
        ("torch.bool", lambda: attribute(vanilla, images.bool(), targets)),
        ("go from 0 to 2", lambda: attribute(vanilla, 2 * images / images.max(), targets)),
        ("a tests.conftest.Line", lambda: attribute(LinearModel(32, 6), *batch, "gradcam")),
        ("no gradient", lambda: attribute(ConstantModel([0.0] * 6), *batch)),
        ("stride is 3", lambda: AttributionConfig(window=2, stride=3)),
        ("steps is 1", lambda: AttributionConfig(steps=1)),
        ("seed must be a whole number", lambda: AttributionConfig(seed=0.5)),  # type: ignore
        (
            "window is 9",
            lambda: attribute(
                LinearModel(), images[:, :, :6, :6], targets % 3, "occlusion",
                AttributionConfig(window=9),
            ),
        ),
    ]  # fmt: skip
    for words, call in wrong:
        with pytest.raises(InputError, match=words) as raised:
            call()
        assert ONE_SENTENCE.fullmatch(str(raised.value)), raised.value


def test_every_method_says_what_it_is() -> None:
    assert set(METHODS.names) == {
        "integrated-gradients", "saliency", "input-x-gradient", "gradcam", "occlusion", "deeplift",
        "gradient-shap",
    }  # fmt: skip
    for name in METHODS:
        method = METHODS.get(name)
        assert method.description.endswith(".")
        assert ". " not in method.description
        assert re.search(r", (19|20)\d\d$", method.reference)
    assert set(RANGES) == set(vars(AttributionConfig()))


def test_captum_is_loaded_when_it_is_first_needed() -> None:
    """It takes seconds, which neither the app's start nor another command should wait for."""
    for path in (Path(explain.__file__), *(ROOT / "apr_core" / "explain").glob("*.py")):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                assert "captum" not in ast.unparse(statement)


# attention


@pytest.mark.parametrize(
    "front", [PixelAttention(), NeighbourhoodFront(), NeighbourhoodFront(False)]
)
def test_attention_is_the_gate_that_the_forward_used(front: Any, batch) -> None:
    assert has_attention(build_model("resnet20", front))
    model = build_model("resnet20", front).eval()
    images = batch[0].clamp(min=0.01)
    found = attention_of(model, images)
    assert found.shape == (2, 32, 32)
    assert found.std() > 0.001
    with torch.no_grad():
        assert torch.equal(found, front.attention(images)[:, 0])
        if isinstance(front, PixelAttention):
            assert torch.allclose(front(images) / images, found[:, None].expand(-1, 3, -1, -1))
    assert hooks_of(model) == 0


@pytest.mark.parametrize(
    "card",
    [card for card in SHIPPED if has_attention(load_model(card.name))],
    ids=lambda card: card.name,
)
def test_the_forward_of_a_shipped_model_comes_of_the_gate_that_is_shown(card: Card, batch) -> None:
    """Its logits are those of the network behind, given images gated by what is shown."""
    model, images = load_model(card.name), fitting(batch[0], card)
    gate = attention_of(model, images)[:, None]
    ground = torch.zeros_like(images)
    seen = images
    if isinstance(model.front, NeighbourhoodFront):
        around = look_around(images)
        ground = around.mean
        if model.front.clamp:
            seen = images.clamp(around.low, around.high)
    with torch.no_grad():
        expected = model.backbone(model.normalize(ground + gate * (seen - ground)))
        assert torch.allclose(model(images), expected, atol=1e-4)
        shut = model.backbone(model.normalize(ground + 0.5 * gate * (seen - ground)))
        assert not torch.allclose(model(images), shut, atol=0.1)


def test_watching_sees_every_pass_and_leaves_no_hook_behind(network, batch) -> None:
    with torch.no_grad():
        with watching_attention(network) as seen:
            network(batch[0])
            network(batch[0][:1])
            assert hooks_of(network) == 1
        network(batch[0])
    assert [len(gate) for gate in seen] == [2, 1]
    assert hooks_of(network) == 0

    def break_off() -> None:
        with watching_attention(network):
            network(batch[0][:, :1])

    with pytest.raises(RuntimeError):
        break_off()
    assert hooks_of(network) == 0


@pytest.mark.parametrize(
    "model", [build_model("resnet20"), build_model("resnet20", NeighbourhoodFront(attention=False))]
)
def test_a_model_without_a_gate_has_no_attention(model: Classifier, batch) -> None:
    assert not has_attention(model)
    with pytest.raises(InputError, match="has no attention") as raised:
        attention_of(model, batch[0])
    assert ONE_SENTENCE.fullmatch(str(raised.value))
    with pytest.raises(InputError, match="has no attention"), watching_attention(model):
        pass


# the command line


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run `explain`; its exit code, and what it printed on either stream."""
    monkeypatch.setattr(cli, "COMMANDS", (explain,))

    def run(*arguments: str, model: str = "cifar10-resnet20-apr") -> tuple[int, str, str]:
        source = [] if "--image" in arguments else ["--index", "0"]
        code = cli.main(["explain", "--model", model, *source, "--device", "cpu", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.mark.parametrize(("method", "target"), [("deeplift", "dog"), ("attention", None)])
def test_the_command_writes_a_picture_and_json(method, target, command, tmp_path) -> None:
    path = tmp_path / "map.png"
    asked = ["--target", target] if target else []
    code, out, err = command("--method", method, *asked, "--out", str(path), "--json")
    assert (code, err) == (0, "")
    told = json.loads(out, parse_constant=pytest.fail)
    assert told["method"] == method
    assert told["class"] == target
    assert told["class_said"] == "cat"
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size == (32 * explain.SCALE,) * 2
        corner = picture.crop((0, 0, explain.SCALE, explain.SCALE))
        assert len(corner.getcolors()) == 1  # each pixel a square, never blurred
        assert len(picture.getcolors(2000)) > 100

    model = load_model("cifar10-resnet20-apr")
    images = find_dataset().test_image(0)[0][None].float() / 255
    if target:
        found = attribute(model, images, torch.tensor([5]), method)
        heat = found.maps[0]
        assert told["target"] == 5
        assert told["figure"] == {
            "name": "convergence delta",
            "value": pytest.approx(found.figure.item()),
            "scale": pytest.approx(found.scale.item()),
        }
    else:
        heat = attention_of(model, images)[0]
        assert told["figure"] is None
    assert told["highest"] == pytest.approx(heat.max().item())
    assert len(told["pixels"]) == explain.TOP
    for pixel, value in zip(told["pixels"], heat.abs().flatten().topk(5).values, strict=True):
        assert abs(pixel["value"]) == pytest.approx(value.item())
        assert heat[pixel["y"], pixel["x"]].item() == pytest.approx(pixel["value"])


def test_the_command_tells_a_person_in_words(command, tmp_path) -> None:
    path = tmp_path / "own.png"
    Image.new("RGB", (40, 32), (200, 30, 30)).save(path)
    code, out, err = command("--image", str(path), "--method", "saliency")
    assert code == 0
    assert "says " in out
    assert "infidelity" in out
    assert "one colour" in err  # the picture's warning


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "attension"], "There is no method 'attension' (did you mean 'attention'?)"),
        (["--method", "attention", "--target", "cat"], "the same for every class"),
        (["--target", "cow"], "There is no class 'cow'"),
        (["--out", "/nowhere/map.png"], "/nowhere/map.png is no place for a file"),
        (["--image", "/nowhere.png"], "There is no file at /nowhere.png"),
        (["--seed", "-1"], "seed is -1"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_sentence(arguments, words, command) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert ONE_SENTENCE.fullmatch(err.rstrip("\n"))


def test_the_command_refuses_the_attention_of_a_model_that_has_none(command) -> None:
    code, _, err = command("--method", "attention", model="cifar10-resnet20-vanilla")
    assert code == 2
    assert "This model has no attention" in err


def test_a_map_with_signs_is_coloured_by_them() -> None:
    image = torch.zeros(3, 1, 3, dtype=torch.uint8)
    picture = explain.overlay(image, torch.tensor([[-2.0, 0.0, 2.0]]), signed=True)
    colours = [picture.getpixel((x * explain.SCALE, 0)) for x in range(3)]
    assert colours == [explain.AGAINST, (0, 0, 0), explain.FOR]
    flat = explain.overlay(image, torch.ones(1, 3), signed=False)
    assert len(flat.getcolors()) == 1


def test_the_command_has_a_help() -> None:
    parser = argparse.ArgumentParser()
    explain.add(parser.add_subparsers())
    args = parser.parse_args(["explain", "--model", "m", "--index", "1", "--out", "a.png"])
    assert (args.index, args.out, args.run) == (1, Path("a.png"), explain.run)


@pytest.mark.parametrize("front", [PixelAttention(), NeighbourhoodFront()])
def test_the_gate_alone_is_what_the_pass_uses(front: nn.Module) -> None:
    model = build_model("resnet20", front).eval()
    images = noise(5, 3, 32, 32)
    torch.testing.assert_close(gate_of(model, images), attention_of(model, images))
    with pytest.raises(InputError, match="no attention to show"):
        gate_of(build_model("resnet20").eval(), images)
