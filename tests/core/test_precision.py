"""The precision of a training: the faster one, and no part of what a run is."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apr_core.data.dataset import Split
from apr_core.defences.recipe import TrainConfig
from apr_core.defences.vanilla import Vanilla
from apr_core.models.precision import forward_over_float32
from apr_core.training import precision
from apr_core.training.fit import fit
from apr_core.training.precision import choose_precision
from apr_core.training.trainer import TrainRequest
from tests.conftest import noise
from tests.core.small import QUICK, SmallNet, red_and_blue

CPU = torch.device("cpu")


@pytest.mark.parametrize("faster", [False, True])
def test_the_faster_precision_is_taken(monkeypatch: pytest.MonkeyPatch, faster: bool) -> None:
    monkeypatch.setattr(
        precision, "_time_step", lambda model, images, labels, mixed: 1.0 + (mixed != faster)
    )
    assert choose_precision(SmallNet(), noise(4, 3, 8, 8), torch.zeros(4).long()) is faster


@pytest.mark.parametrize("asked", [False, True])
def test_what_was_asked_for_is_not_measured(monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:
    monkeypatch.setattr(precision, "_time_step", None)
    assert choose_precision(SmallNet(), noise(4, 3, 8, 8), torch.zeros(4).long(), asked) is asked


@pytest.mark.parametrize("ratio", [0.5, 3.0])
def test_who_asks_for_half_precision_is_told_where_it_is_slower(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ratio: float
) -> None:
    from apr_core.cli import evaluate, make_parser

    monkeypatch.setattr(evaluate, "forward_over_float32", lambda *_: ratio)
    words = ["evaluate", "--model", "cifar10-resnet20-vanilla", "--half", "--images", "1"]
    evaluate._asked(make_parser().parse_args(words), CPU)
    assert ("3.0 times" in capsys.readouterr().err) == (ratio > 1)


def test_a_forward_pass_is_timed_in_both_precisions() -> None:
    seen = []

    def model(images: torch.Tensor) -> torch.Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return images

    assert forward_over_float32(model, noise(2, 3, 4, 4)) > 0
    assert set(seen) == {False, True}


def test_measuring_leaves_the_model_and_the_random_numbers_alone() -> None:
    model = SmallNet().train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    choose_precision(model, noise(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_run_goes_on_in_another_precision_and_says_in_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a processor that is faster in bfloat16, and then on one that is not."""
    images, labels = red_and_blue()
    state, config = tmp_path / "run.safetensors", replace(QUICK, mixed_precision=None)
    monkeypatch.setattr("apr_core.training.fit.describe_hardware", lambda device: "a processor")
    monkeypatch.setattr("apr_core.training.fit.choose_precision", lambda *_: True)

    def stop(progress: object) -> None:
        if state.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(SmallNet(), Vanilla(), Split.in_memory(images, labels), config, CPU, state, stop)
    monkeypatch.setattr("apr_core.training.fit.choose_precision", lambda *_: False)
    fitted = fit(SmallNet(), Vanilla(), Split.in_memory(images, labels), config, CPU, state)
    assert fitted.hardware == "a processor, bfloat16, then a processor, float32"
    assert len(fitted.history) == config.epochs


def test_a_state_of_the_first_version_is_gone_on_with(tmp_path: Path) -> None:
    """It told the precision among the settings."""
    images, labels = red_and_blue()
    state = tmp_path / "run.safetensors"
    whole = TrainConfig.identity.fget

    def with_precision(config: TrainConfig) -> dict[str, object]:
        return {**whole(config), "mixed_precision": True}

    def stop(progress: object) -> None:
        if state.exists():
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainConfig, "identity", property(with_precision))
        with pytest.raises(KeyboardInterrupt):
            fit(SmallNet(), Vanilla(), Split.in_memory(images, labels), QUICK, CPU, state, stop)
    assert (
        len(fit(SmallNet(), Vanilla(), Split.in_memory(images, labels), QUICK, CPU, state).history)
        == 3
    )


def test_the_precision_is_no_part_of_a_name() -> None:
    names = {
        TrainRequest("resnet20", "vanilla", TrainConfig(mixed_precision=mixed)).name
        for mixed in (None, False, True)
    }
    assert len(names) == 1
