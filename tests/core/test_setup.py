"""The set-up: compiled ops load, and every requirement is pinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torchvision.ops import nms

from tests.conftest import ROOT

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*={2,3}\d+(\.\d+)*(\.post\d+)?")
FILES = ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt")


def lines_of(path: Path) -> list[str]:
    """A requirements file's lines but for comments."""
    lines = (line.split(" #")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_the_compiled_ops_of_torchvision_load() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), iou_threshold=0.5)
    assert kept.tolist() == [0, 2]  # the second overlaps the first by 81 in 119


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned_exactly(name: str) -> None:
    lines = lines_of(ROOT / name)
    assert len(lines) > 1
    for line in lines:
        included = line.startswith("-r ") and (ROOT / line.removeprefix("-r ")).exists()
        assert included or PIN.fullmatch(line), line


def test_the_app_needs_no_other_file() -> None:
    assert all(PIN.fullmatch(line) for line in lines_of(ROOT / "requirements.txt"))


@pytest.mark.parametrize("line", ["torch", "torch>=2", "torch==2.*", "torch==", "git+https://x"])
def test_what_is_not_a_pin_is_seen(line: str) -> None:
    assert not PIN.fullmatch(line)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_required_twice(name: str) -> None:
    packages = [line.split("=")[0].lower() for line in lines_of(ROOT / name)]
    assert len(packages) == len(set(packages))
