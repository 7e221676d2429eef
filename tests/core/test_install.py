"""What pip is told of the project, and what the command line does where it is installed.

That a wheel works is held by tests/browser/test_install.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

import apr_core
from apr_core import InputError, OnePixelAttack, OnePixelConfig, load_images, load_model
from apr_core.base import paths, version
from apr_core.cli import app, main
from apr_core.data.registry import find_dataset
from apr_core.zoo.checkpoints import load_card, missing_weights
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PIN = re.compile(r"^([\w-]+)(?:\[\w+\])?={2,3}(\S+)", re.MULTILINE)
LARGE = "cifar10-vgg16-apr-plus"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The package as if it lay in site-packages; the user's folder."""
    monkeypatch.setattr(paths, "_ROOT", tmp_path / "site-packages")
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "site-packages" / "apr_core")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("APR_RUNS")
    return tmp_path / "data" / "apr-lab"


@pytest.mark.parametrize(
    ("lines", "file"),
    [
        (PROJECT["dependencies"] + EXTRAS["app"], "requirements.txt"),
        (EXTRAS["cluster"], "requirements-cluster.txt"),
        (EXTRAS["onnx"], "requirements-dev.txt"),
    ],
    ids=["engine and app", "cluster", "onnx"],
)
def test_what_the_tests_run_with_is_in_range(lines: list[str], file: str) -> None:
    pins = dict(PIN.findall((ROOT / file).read_text()))
    pins.setdefault("packaging", metadata.version("packaging"))  # which streamlit brings
    for requirement in map(Requirement, lines):
        assert requirement.specifier.contains(pins[requirement.name]), requirement
        assert {part.operator for part in requirement.specifier} == {">=", "<"}


def test_the_extra_is_what_the_pages_import_and_the_engine_does_not() -> None:
    assert set(app.EXTRA) == {Requirement(line).name for line in EXTRAS["app"]}


def test_what_ships_and_what_is_written_have_folders_apart(installed: Path) -> None:
    assert paths.shipped("assets") == paths.PACKAGE / "shipped" / "assets"
    assert paths.written("runs") == installed / "runs"
    assert version.find_commit() == ""  # though it may lie in somebody's working tree


@pytest.mark.parametrize(
    "command",
    [["gallery"], ["data", "cifar10", "--sample"], ["data", "cifar10", "--variogram"],
     ["train", "--ship"]],
    ids=" ".join,
)  # fmt: skip
def test_what_ships_is_made_in_a_checkout_alone(
    command: list[str], installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert "checkout" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("started_as", "name"),
    [
        ("/usr/bin/apr-lab", "apr-lab"),
        ("C:/apr-lab.exe", "apr-lab"),
        ("x.py", "python -m apr_core"),
    ],
)
def test_the_command_is_called_as_it_was_started(
    started_as: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [started_as])
    with pytest.raises(SystemExit):
        main(["attack"])
    assert capsys.readouterr().err.startswith(f"usage: {name} attack")


def test_weights_that_do_not_ship_are_found_in_the_users_folder(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = paths.shipped("checkpoints")
    checkpoints.mkdir(parents=True)
    for name in (f"{LARGE}.json", "cifar10-resnet20-vanilla.json"):
        (checkpoints / name).write_bytes((ROOT / "checkpoints" / name).read_bytes())
    place = installed / "checkpoints" / f"{LARGE}.safetensors"
    assert str(place) in missing_weights(load_card(LARGE))
    with pytest.raises(InputError, match=str(place)):
        load_model(LARGE)
    assert main(["models"]) == 0
    said = capsys.readouterr()
    ours = [line for line in said.out.splitlines() if line.startswith("cifar10-")]
    assert len(ours) == 2
    assert all(line.endswith("weights missing") for line in ours)
    assert str(place) in said.err
    place.parent.mkdir(parents=True)
    place.symlink_to(ROOT / "checkpoints" / place.name)
    assert missing_weights(load_card(LARGE)) == ""
    load_model(LARGE)


def test_without_the_extra_the_app_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "find_spec", lambda name: None if name == "plotly" else name)
    assert main(["app"]) == 2
    said = capsys.readouterr().err
    assert "plotly" in said
    assert "apr-lab[app]" in said
    assert "streamlit" not in said


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_a_port_that_there_is_not_is_one_sentence(
    port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["app", f"--port={port}"]) == 2
    assert port in capsys.readouterr().err


# The public face


def test_test_images_come_as_models_take_them() -> None:
    images, labels = load_images("cifar10", 8)
    assert (images.shape, images.dtype, labels.dtype) == (
        (8, 3, 32, 32),
        torch.float32,
        torch.int64,
    )
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        expected = find_dataset().test_image(index)
        assert torch.equal((image * 255).round().byte(), expected[0])
        assert label == expected[1]
    assert len(load_images("cifar10", 1000)[0]) == 1000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("cifar100", 8), "cifar100.*did you mean 'cifar10'"),
        (("cifar10", 0), "count is 0"),
        (("cifar10", 1001), "count is 1001"),
    ],
)
def test_images_that_do_not_ship_are_one_sentence(
    arguments: tuple[str, int], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        load_images(*arguments)


def test_images_and_labels_go_into_the_attack_as_they_come() -> None:
    images, labels = load_images("cifar10", 2)
    model = load_model("cifar10-resnet20-vanilla")
    attack = OnePixelAttack(model, OnePixelConfig(population=20, generations=2, seed=0))
    adversarial, result = attack(images, labels), attack.run(images, labels)
    assert torch.equal(adversarial, result.adversarial(images))
    assert len(list(attack.stream(images[0], labels[0]))) == 3


def test_every_public_name_is_there() -> None:
    assert all(hasattr(apr_core, name) for name in apr_core.__all__)


# Windows

ELSEWHERE = """
import os, pkgutil, signal, sys
from importlib import import_module

def load():
    for package in map(import_module, ("apr_core", "apr_ui")):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                import_module(module.name)

load()  # what others wrote is loaded once, and may be POSIX's own
for name in [name for name in sys.modules if name.split(".")[0] in ("apr_core", "apr_ui")]:
    del sys.modules[name]
for name in ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGQUIT"):
    delattr(signal, name)
for name in ("fork", "getuid", "killpg", "nice", "sched_getaffinity", "setpriority", "setsid"):
    delattr(os, name)
load()
"""


def test_nothing_needs_posix_to_be_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_are_looked_for_where_they_ship_and_where_they_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("APR_RESULTS", raising=False)
    assert paths.readable("results") == [paths.shipped("results")]  # a checkout has one folder
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    assert paths.readable("results") == [tmp_path]
    monkeypatch.setattr(paths, "_ROOT", tmp_path / "site-packages")
    monkeypatch.setenv("APR_RESULTS", "")  # as good as unset
    assert paths.readable("results") == [paths.shipped("results"), paths.written("results")]
    assert paths.shipped("results") != paths.written("results")


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (lambda: load_images("cifar10", "4"), "count is '4'"),
        (lambda: load_images("cifar10", 2.5), "count is 2.5"),
        (lambda: load_images("cifar10", True), "count is True"),
        (lambda: load_images(None, 4), "None"),
        (lambda: load_model(None), "None"),
        (lambda: OnePixelAttack(lambda x: x, {"population": 8}), "config is a dict"),
    ],
)
def test_what_is_of_a_wrong_type_is_one_sentence(asked, word: str) -> None:
    with pytest.raises(InputError, match=re.escape(word)):
        asked()


def test_several_images_are_no_stream() -> None:
    attack = OnePixelAttack(load_model("cifar10-resnet20-vanilla"))
    with pytest.raises(InputError, match=r"one image.*\(2, 3, 32, 32\)"):
        next(attack.stream(*load_images("cifar10", 2)))


def test_bench_is_refused_with_any_option_where_it_is_not(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.cli.bench", None)
    for options in ([], ["--overhead"], ["--load", "30"], ["--help"]):
        assert main(["bench", *options]) == 2
        assert "checkout" in capsys.readouterr().err
