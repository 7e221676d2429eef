"""A person's own model in every command: attacked, explained, or refused in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from apr_core.cli import main

ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, fails_after=10**9):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, classes)
        nn.init.constant_(self.linear.bias[1:2], 9.0)  # what test image 9 is
        self.calls, self.fails_after = 0, fails_after

    def forward(self, images):
        self.calls += 1
        if self.calls > self.fails_after:
            raise KeyError("a layer is gone.\\nLook for it.")
        return self.linear(self.conv(images).relu().amax((2, 3)))

def make(): return Net(10).eval()
def hundred():
    net = Net(100).eval()
    nn.init.constant_(net.linear.bias[57], 99.0)
    return net
def two(): return Net(2).eval()
def late(): return Net(10, fails_after=20).eval()

class Exits(Net):
    def forward(self, images):
        answer = super().forward(images)
        if self.calls > 20:
            raise SystemExit
        return answer

def exits(): return Exits(10).eval()

class Blocked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("no way back")

class NoWayBack(Net):
    def forward(self, images):
        return super().forward(Blocked.apply(images))

def no_way_back(): return NoWayBack(10).eval()
"""
ASKED: dict[str, tuple[str, ...]] = {
    "attack": ("--index", "9", "--population", "8", "--generations", "1"),
    "evaluate": ("--images", "2", "--attack", "top-gradient"),
    "certify": ("--images", "2"),
    "explain": ("--index", "9", "--method", "saliency"),
    "bench": ("--images", "1", "--generations", "0", "--rounds", "1"),
}


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "apr_lab_test_own.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("APR_RESULTS", str(tmp_path / "results"))


def ask(command: str, factory: str, *words: str) -> int:
    spec = f"apr_lab_test_own:{factory}"
    return main([command, "--model", spec, *ASKED[command], "--device", "cpu", *words])


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stderr; bars and notes may stand before it."""
    said = re.split(r"[\r\n]", capsys.readouterr().err.strip())[-1]
    assert ONE_SENTENCE.fullmatch(said), said
    return said


@pytest.mark.parametrize("command", ["attack", "explain", "evaluate", "certify"])
@pytest.mark.parametrize("factory", ["make", "hundred"])
def test_every_command_takes_a_persons_own_model(command: str, factory: str, capsys) -> None:
    """Case k07: `attack` of one's own; a model of a hundred classes has more than have names."""
    assert ask(command, factory, "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"] == f"apr_lab_test_own:{factory}"
    assert ask(command, factory) == 0


def test_bench_takes_a_persons_own_model(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "benchmarks.cli.bench.measure", lambda model, *rest: pytest.fail(model.name)
    )
    with pytest.raises(pytest.fail.Exception, match="apr_lab_test_own:make"):
        ask("bench", "make")


@pytest.mark.parametrize("command", ["attack", "explain", "evaluate", "certify", "bench"])
def test_a_model_of_two_classes_is_told_whose_classes_the_commands_have(
    command: str, capsys
) -> None:
    """Case k07, two_classes.onnx."""
    assert ask(command, "two") == 2
    assert "CIFAR-10's ten" in sentence(capsys)


@pytest.mark.parametrize("factory", ["late", "exits"])
@pytest.mark.parametrize("command", ["attack", "certify"])
def test_what_a_model_raises_later_is_one_sentence(command: str, factory: str, capsys) -> None:
    """Case kind 5: whatever stems from a person's model, and whenever."""
    words = ("--generations", "60") if command == "attack" else ("--images", "200")
    assert ask(command, factory, *words) == 2
    assert "KeyError" in sentence(capsys) or factory == "exits"


def test_a_gradient_that_fails_is_one_sentence(capsys) -> None:
    assert ask("explain", "no_way_back") == 2
    assert "no way back" in sentence(capsys)


def test_an_error_that_is_not_a_persons_own_shows_where_it_comes_from(monkeypatch) -> None:
    def fail(*given: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr("apr_core.zoo.target.load_checkpoint", fail)
    with pytest.raises(KeyError):
        main(["attack", "--model", "cifar10-resnet20-vanilla", "--index", "9"])
