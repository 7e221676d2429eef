"""The set-up: compiled ops load, and every requirement is pinned."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
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


# The environment of `make bench`

ONLY = """
import json
import sys
from importlib.abc import MetaPathFinder

hidden = set(json.loads(sys.argv[1]))


class Hide(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Hide())
from apr_core.cli import COMMANDS, make_parser

make_parser()
print(len(COMMANDS))
"""
"""Imports every command where some packages are not there."""


def closure(*names: str) -> set[str]:
    """Packages, with what they require and is installed here, and so on."""
    found: set[str] = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        needed = [Requirement(line) for line in lines]
        waiting += [
            canonicalize_name(one.name)
            for one in needed
            if one.marker is None or one.marker.evaluate({"extra": ""})
        ]
    return found


def import_every_command(*packages: str) -> subprocess.CompletedProcess[str]:
    """In a process that has these packages and what they require, and no others."""
    there = closure(*packages)
    hidden = [
        module
        for module, owners in metadata.packages_distributions().items()
        if not there & {canonicalize_name(owner) for owner in owners}
    ]
    return subprocess.run(
        [sys.executable, "-c", ONLY, json.dumps(hidden)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_command_is_imported_where_the_peers_are() -> None:
    lines = lines_of(ROOT / "requirements-bench.txt")
    packages = [line.split("=")[0] for line in lines]
    done = import_every_command(*packages)
    assert done.returncode == 0, done.stderr


def test_what_an_environment_lacks_is_seen() -> None:
    assert {"torch", "sympy", "filelock"} <= closure("torch")
    done = import_every_command("numpy")
    assert "No module named 'torch'" in done.stderr
