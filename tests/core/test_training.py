"""The training loop, its batches and its models, and the way from a request to a checkpoint."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from apr_core.base.types import InputError
from apr_core.data.dataset import Split
from apr_core.defences.apr import APR
from apr_core.defences.recipe import Defence, TrainConfig, learning_rate
from apr_core.defences.vanilla import Vanilla
from apr_core.models import ARCHITECTURES, SMALL, Classifier, build_model
from apr_core.models.inference import prepare
from apr_core.models.pixel_attention import PixelAttention
from apr_core.training.batches import PADDING, AugmentedBatches
from apr_core.training.fit import Fitted, Progress, fit
from tests.conftest import answers, noise
from tests.core.small import QUICK, SmallNet, red_and_blue

CPU = torch.device("cpu")


# The loop


class KilledError(Exception):
    """The end of a process, as far as a test can have one."""


def killed_in_epoch(number: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.epoch == number:
            raise KilledError

    return report


def without_seconds(fitted: Fitted) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in fitted.history]


@pytest.mark.parametrize("mixed_precision", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("defence", [Vanilla(), APR()], ids=["vanilla", "apr"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_run_killed_and_resumed_equals_one_uninterrupted(
    tmp_path: Path, optimizer: str, defence: Defence, mixed_precision: bool
) -> None:
    config = replace(QUICK, optimizer=optimizer, mixed_precision=mixed_precision, seed=5)
    images, labels = red_and_blue()
    straight = SmallNet()
    told = fit(straight, defence, Split.in_memory(images, labels), config, CPU)
    state_file = tmp_path / "folder" / "run.safetensors"
    with pytest.raises(KilledError):
        fit(
            SmallNet(),
            defence,
            Split.in_memory(images, labels),
            config,
            CPU,
            state_file,
            killed_in_epoch(2),
        )
    resumed = SmallNet(seed=99)  # its own start does not matter any more
    epochs = []
    told_again = fit(
        resumed,
        defence,
        Split.in_memory(images, labels),
        config,
        CPU,
        state_file,
        lambda p: epochs.append(p.epoch),
    )
    assert set(epochs) == {2, 3}
    assert without_seconds(told_again) == without_seconds(told)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    images, labels = red_and_blue()
    state_file = tmp_path / "run.safetensors"
    first = fit(SmallNet(), Vanilla(), Split.in_memory(images, labels), QUICK, CPU, state_file)
    model = SmallNet(seed=1)
    again = fit(
        model,
        Vanilla(),
        Split.in_memory(images, labels),
        QUICK,
        CPU,
        state_file,
        killed_in_epoch(1),
    )
    assert again == first
    assert len(first.history) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"config": replace(QUICK, seed=1)}, "another config"),
        ({"config": replace(QUICK, epochs=4)}, "another config"),
        ({"config": replace(QUICK, learning_rate=0.2)}, "another config"),
        ({"defence": APR(alpha=0.6)}, "another defence"),
        ({"defence": Vanilla()}, "another defence"),
        ({"model": SmallNet(width=5)}, "another shapes"),
    ],
)
def test_an_unfinished_run_with_other_settings_is_refused(tmp_path, settings, said) -> None:
    images, labels = red_and_blue()
    state_file = tmp_path / "run.safetensors"
    begun = {"model": SmallNet(), "defence": APR(), "config": QUICK}

    def go(model: nn.Module, defence: Defence, config: TrainConfig) -> None:
        fit(
            model,
            defence,
            Split.in_memory(images, labels),
            config,
            CPU,
            state_file,
            killed_in_epoch(2),
        )

    with pytest.raises(KilledError):
        go(**begun)
    before = state_file.read_bytes()
    with pytest.raises(InputError, match=f"{said}; delete it to start afresh"):
        go(**{**begun, **settings})
    assert state_file.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut short", "empty", "of another kind"])
def test_a_damaged_state_file_is_refused_in_a_sentence(tmp_path: Path, damage: str) -> None:
    images, labels = red_and_blue()
    state_file = tmp_path / "run.safetensors"
    fit(
        SmallNet(),
        Vanilla(),
        Split.in_memory(images, labels),
        replace(QUICK, epochs=1),
        CPU,
        state_file,
    )
    if damage == "of another kind":
        save_file({"x": torch.zeros(1)}, state_file)
    else:
        state_file.write_bytes(state_file.read_bytes()[: -50 if damage == "cut short" else 0])
    with pytest.raises(InputError, match=r"run\.safetensors"):
        fit(
            SmallNet(),
            Vanilla(),
            Split.in_memory(images, labels),
            replace(QUICK, epochs=1),
            CPU,
            state_file,
        )


class Diverging:
    """A defence whose loss is not a number from some step on, until it is mended."""

    def __init__(self, step: int, value: float = math.nan) -> None:
        self.left, self.value = step, value

    def __repr__(self) -> str:
        return "Diverging()"

    def loss(self, model, images, labels, generator):
        self.left -= 1
        loss, parts = Vanilla().loss(model, images, labels, generator)
        return (loss * self.value if self.left < 0 else loss), parts


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_its_state(tmp_path, value) -> None:
    images, labels = red_and_blue()
    state_file = tmp_path / "run.safetensors"
    defence = Diverging(4 + 3, value)  # four steps an epoch
    with pytest.raises(InputError, match=f"loss became {value} in epoch 2.*--learning-rate.*0.1"):
        fit(SmallNet(), defence, Split.in_memory(images, labels), QUICK, CPU, state_file)
    with safe_open(state_file, "pt") as file:
        assert json.loads(file.metadata()["progress"])["epoch"] == 1
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert all(bool(tensor.isfinite().all()) for tensor in tensors)
    defence.left = 1000
    mended = SmallNet()
    fit(mended, defence, Split.in_memory(images, labels), QUICK, CPU, state_file)
    straight = SmallNet()
    fit(straight, Diverging(1000), Split.in_memory(images, labels), QUICK, CPU)
    assert torch.equal(mended.linear.weight, straight.linear.weight)


def test_a_run_remembers_all_that_it_was_trained_on(tmp_path: Path, monkeypatch) -> None:
    images, labels = red_and_blue()
    state_file = tmp_path / "run.safetensors"
    defence = Diverging(4 + 3, math.nan)
    monkeypatch.setattr("apr_core.training.fit.describe_hardware", lambda device: "a processor")
    with pytest.raises(InputError):
        fit(SmallNet(), defence, Split.in_memory(images, labels), QUICK, CPU, state_file)
    defence.left = 1000
    monkeypatch.setattr("apr_core.training.fit.describe_hardware", lambda device: "a GPU")
    fitted = fit(SmallNet(), defence, Split.in_memory(images, labels), QUICK, CPU, state_file)
    assert fitted.hardware == "a processor, float32, then a GPU, float32"
    again = fit(SmallNet(), defence, Split.in_memory(images, labels), QUICK, CPU, state_file)
    assert again.hardware == fitted.hardware


@pytest.mark.parametrize("defence", [Vanilla(), APR()], ids=["vanilla", "apr"])
def test_a_small_run_learns_a_separable_problem(defence: Defence) -> None:
    images, labels = red_and_blue()
    model = SmallNet()
    fitted = fit(model, defence, Split.in_memory(images, labels), replace(QUICK, epochs=15), CPU)
    assert bool((answers(model.eval(), images) == labels).all())
    assert fitted.history[-1]["loss"] < 0.5 * fitted.history[0]["loss"]
    assert [line["epoch"] for line in fitted.history] == list(range(1, 16))


def test_progress_counts_up_to_the_end() -> None:
    images, labels = red_and_blue(count=16 * 145 + 7)
    told: list[Progress] = []
    fit(
        SmallNet(),
        APR(),
        Split.in_memory(images, labels),
        replace(QUICK, epochs=2),
        CPU,
        report=told.append,
    )
    steps = [(progress.epoch, progress.step) for progress in told]
    assert steps == [(epoch, step) for epoch in (1, 2) for step in (*range(20, 145, 20), 145)]
    assert {progress.steps for progress in told} == {145}
    assert all(one.seconds < other.seconds for one, other in pairwise(told))
    assert told[7].seconds_left == pytest.approx(told[7].seconds)  # half is done
    assert told[-1].seconds_left == 0
    assert told[-1].parts.keys() == {"clean", "adversarial", "penalty", "accuracy"}


def test_a_short_epoch_is_reported_five_times() -> None:
    images, labels = red_and_blue(count=16 * 14)
    told: list[Progress] = []
    fit(
        SmallNet(),
        Vanilla(),
        Split.in_memory(images, labels),
        replace(QUICK, epochs=1),
        CPU,
        report=told.append,
    )
    assert [progress.step for progress in told] == [3, 6, 9, 12, 14]


@pytest.mark.parametrize(
    ("progress", "rate"),
    [(0.0, 0.01), (0.1, 0.105), (0.2, 0.2), (0.4, 0.17071), (0.6, 0.1), (1.0, 0.0)],
)
def test_the_learning_rate_rises_then_follows_a_cosine(progress: float, rate: float) -> None:
    assert learning_rate(TrainConfig(learning_rate=0.2), progress) == pytest.approx(rate, abs=1e-5)


def test_the_learning_rate_has_one_peak_and_no_jump() -> None:
    rates = [learning_rate(TrainConfig(learning_rate=1.0), step / 1000) for step in range(1001)]
    peak = rates.index(max(rates))
    assert peak == 200
    assert all(one < other for one, other in pairwise(rates[: peak + 1]))
    assert all(one >= other for one, other in pairwise(rates[peak:]))
    assert max(abs(one - other) for one, other in pairwise(rates)) < 0.005


def test_the_papers_learning_rate_is_constant() -> None:
    config = TrainConfig(learning_rate=1e-3, one_cycle=False)
    assert {learning_rate(config, step / 10) for step in range(11)} == {1e-3}


def test_the_optimizer_is_given_the_schedules_rate(monkeypatch) -> None:
    images, labels = red_and_blue(count=32)
    rates: list[float] = []
    step = torch.optim.SGD.step

    def noted(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    config = replace(QUICK, epochs=5)
    fit(SmallNet(), Vanilla(), Split.in_memory(images, labels), config, CPU)
    assert rates == [learning_rate(config, done / 10) for done in range(10)]


@pytest.mark.parametrize(
    "settings",
    [{"epochs": 0}, {"batch_size": -1}, {"learning_rate": 0.0}, {"learning_rate": math.nan},
     {"subset": 0}],
)  # fmt: skip
def test_a_wrong_training_setting_is_named_with_its_value(settings: dict) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(InputError, match=f"{name} must be above 0, not {value}"):
        TrainConfig(**settings)


# Batches


def epochs_of(seed: int, numbers: tuple[int, ...], batch_size: int = 4) -> list[Tensor]:
    images = torch.arange(10 * 3 * 6 * 5).view(10, 3, 6, 5).remainder(251).to(torch.uint8)
    batches = AugmentedBatches(Split.in_memory(images, torch.arange(10)), batch_size, seed, CPU)
    return [torch.cat([part for part, _ in batches.epoch(number)]) for number in numbers]


def test_an_epochs_batches_depend_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first, second = epochs_of(7, (0, 1))
    torch.manual_seed(2)
    second_again, first_again = epochs_of(7, (1, 0))
    assert torch.equal(first, first_again)
    assert torch.equal(second, second_again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, epochs_of(8, (0,))[0])


def test_an_epoch_shows_each_image_once_and_drops_what_fills_no_batch() -> None:
    images = torch.zeros(10, 3, 6, 6, dtype=torch.uint8)
    for batch_size, shown in ((4, 8), (5, 10), (100, 10)):
        batches = AugmentedBatches(Split.in_memory(images, torch.arange(10)), batch_size, 0, CPU)
        labels = torch.cat([part for _, part in batches.epoch(0)]).tolist()
        assert len(labels) == len(set(labels)) == shown
        assert len(batches) == shown // min(batch_size, 10)
    assert labels != sorted(labels)


def test_augmented_images_are_shifted_and_flipped_originals() -> None:
    height, width, count = 10, 11, 40  # of smaller ones, some crops are their own mirror image
    images = (noise(count, 3, height, width) * 256).to(torch.uint8)
    padded = F.pad(images.float(), (PADDING,) * 4, mode="reflect")
    crops = [
        padded[:, :, y : y + height, x : x + width]
        for y, x in product(range(2 * PADDING + 1), repeat=2)
    ]
    variants = torch.stack([*crops, *(crop.flip(3) for crop in crops)], dim=1)
    assert variants.shape[1] == 81 * 2
    batches = AugmentedBatches(Split.in_memory(images, torch.arange(count)), 20, 0, CPU)
    used = torch.zeros(81 * 2, dtype=torch.long)
    for epoch in range(50):
        for augmented, labels in batches.epoch(epoch):
            assert augmented.dtype == torch.float32
            assert augmented.is_contiguous(memory_format=torch.channels_last)
            pixels = (augmented * 255)[:, None]
            matches = ((pixels - variants[labels]).abs() < 1e-3).flatten(2).all(2)
            assert matches.sum(1).tolist() == [1] * len(labels)
            used += matches.sum(0)
    assert used.min() > 0  # of 2,000 draws of 162
    assert abs(int(used[81:].sum()) - 1000) < 4 * 500**0.5
    for axis in ((0, 1), (0, 2)):
        assert (used.view(2, 9, 9).sum(axis) - 2000 / 9).abs().max() < 4 * (2000 / 9) ** 0.5


# Models


def test_pixel_attention_is_the_papers() -> None:
    gate = PixelAttention()
    torch.manual_seed(0)
    nn.init.normal_(gate.conv.weight)
    nn.init.constant_(gate.conv.bias, -0.3)
    images = noise(2, 3, 5, 6)
    padded, kernel = F.pad(images, (1, 1, 1, 1)), gate.conv.weight[0].detach()
    out = gate(images)
    for row, y, x in product(range(2), range(5), range(6)):
        inner = float((padded[row, :, y : y + 3, x : x + 3] * kernel).sum()) - 0.3
        weight = 1 / (1 + math.exp(-inner))
        torch.testing.assert_close(out[row, :, y, x], weight * images[row, :, y, x])


def test_pixel_attention_starts_nearly_open() -> None:
    gate = PixelAttention()
    black = gate.attention(torch.zeros(1, 3, 8, 8))
    torch.testing.assert_close(black, torch.full((1, 1, 8, 8), 1 / (1 + math.exp(-2))))


def seasoned(architecture: str, attention: bool) -> Classifier:
    """A model in evaluation mode with batch statistics that are not those of a fresh one."""
    torch.manual_seed(0)
    model = build_model(architecture, PixelAttention() if attention else None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return model.eval()


@pytest.mark.parametrize("attention", [False, True], ids=["plain", "attention"])
@pytest.mark.parametrize("architecture", ARCHITECTURES.names)
def test_preparing_keeps_the_logits_and_the_model(architecture: str, attention: bool) -> None:
    model = seasoned(architecture, attention).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prepared = prepare(model)
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    images = noise(2, 3, 32, 32)
    with torch.no_grad():
        expected, logits = model.eval()(images), prepared(images)
    assert float((logits - expected).abs().max()) < 1e-4 * min(1.0, float(expected.abs().max()))


def test_models_may_be_prepared_while_another_thread_uses_one() -> None:
    model, busy, stop = seasoned("resnet20", True), threading.Event(), threading.Event()
    images = noise(1, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
    troubles: list[str] = []

    def use() -> None:
        try:
            with torch.no_grad():
                while not (stop.is_set() or troubles):
                    if not torch.equal(model(images), expected):
                        troubles.append("another answer")
                    busy.set()
        except Exception as error:
            troubles.append(repr(error))

    thread = threading.Thread(target=use)
    thread.start()
    try:
        assert busy.wait(20)
        for _ in range(8):
            with torch.no_grad():
                logits = prepare(model)(images)
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    finally:
        stop.set()
        thread.join(20)
    assert troubles == []


RELUS = {"resnet20": 19, "resnet18": 17, "vgg16": 13}
PARAMETERS = {"resnet20": 272_474, "resnet18": 11_173_962, "vgg16": 14_724_042}
"""As published for CIFAR-10; of VGG-16 with batch norm in place of the convolutions' biases."""


@pytest.mark.parametrize("architecture", SMALL)
def test_each_relu_module_is_used_once(architecture: str) -> None:
    model = build_model(architecture).eval()
    calls = {module: 0 for module in model.modules() if isinstance(module, nn.ReLU)}

    def count(module: nn.Module, inputs: object, output: object) -> None:
        calls[module] += 1

    for module in calls:
        module.register_forward_hook(count)
    with torch.no_grad():
        logits = model(noise(2, 3, 32, 32))
    assert logits.shape == (2, 10)
    assert list(calls.values()) == [1] * RELUS[architecture]
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[architecture]


@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize("size", [(28, 28), (40, 30), (5, 70), (224, 224), (1, 1)])
def test_small_architectures_take_pictures_of_any_size(
    architecture: str, size: tuple[int, int]
) -> None:
    model = build_model(architecture).eval()
    with torch.no_grad():
        assert model(noise(1, 3, *size)).shape == (1, 10)


def test_normalisation_is_inside_the_model() -> None:
    model = Classifier(nn.Flatten())
    mean, std = (0.49139968, 0.48215841, 0.44653091), (0.24703223, 0.24348513, 0.26158784)
    pixel = torch.tensor([mean, [m + s for m, s in zip(mean, std, strict=True)]]).view(2, 3, 1, 1)
    torch.testing.assert_close(model(pixel), torch.tensor([[0.0] * 3, [1.0] * 3]))


def test_a_large_set_is_decoded_batch_by_batch_and_gives_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = Split.in_memory(noise(23, 1, 9, 12), torch.arange(23))
    kept = AugmentedBatches(split, 5, 0, CPU)
    monkeypatch.setattr("apr_core.training.batches.MOST_KEPT", 0)
    taken: list[int] = []

    def take(places: Tensor) -> Tensor:
        taken.append(len(places))
        return split.take(places)

    decoded = AugmentedBatches(replace(split, take=take), 5, 0, CPU)
    for one, other in zip(kept.epoch(3), decoded.epoch(3), strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert taken == [1, 5, 5, 5, 5]


def test_what_a_mirror_changes_is_not_flipped() -> None:
    ramp = torch.arange(8, dtype=torch.uint8).mul(10).expand(40, 1, 8, 8)
    split = Split.in_memory(ramp.contiguous(), torch.arange(40))
    rising = []
    for mirrored in (True, False):
        ((images, _),) = AugmentedBatches(split, 40, 0, CPU, mirrored=mirrored).epoch(0)
        inner = images[:, 0, :, 3:5]
        rising.append(int((inner.diff(dim=2) >= 0).all(dim=(1, 2)).sum()))
    assert rising[0] < rising[1]
