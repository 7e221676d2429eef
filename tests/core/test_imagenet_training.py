"""Recipes for ImageNet on a tiny folder: torchvision's network, fine-tuned with each defence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from apr_core.cli import main
from apr_core.data.registry import find_dataset
from apr_core.models import build_model
from apr_core.training import trainer
from apr_core.zoo.checkpoints import load_card, load_model
from apr_core.zoo.library import LibraryEntry, LibraryModel
from tests.conftest import ROOT

WNIDS = ("n01440764", "n01443537")
"""Of ImageNet's first two classes."""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ImageNet's own layout, of three pictures a class to train on and one to test on."""
    for kind in ("checkpoints", "training", "results", "data"):
        (tmp_path / kind).mkdir()
        monkeypatch.setenv(f"APR_{kind.upper()}", str(tmp_path / kind))
    draw = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 1)):
        for wnid in WNIDS:
            folder = tmp_path / "imagenet" / split / wnid
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 256, (240, 260, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{wnid}_{number}.JPEG")
    return tmp_path / "imagenet"


@pytest.fixture
def torchvisions(monkeypatch: pytest.MonkeyPatch) -> LibraryModel:
    """A network of torchvision's with drawn weights, in place of those that are fetched."""
    torch.manual_seed(7)
    imagenet = find_dataset("imagenet")
    backbone = build_model("resnet50", data=imagenet).backbone
    entry = LibraryEntry(
        "torchvision:resnet50", (224, 224), 3, 1000, imagenet.mean, imagenet.std,
        lambda: (backbone, "7" * 64),
    )  # fmt: skip
    model = LibraryModel(entry, backbone, "7" * 64).eval()
    monkeypatch.setattr(trainer, "load_library", lambda name, device="cpu": model)
    return model


@pytest.mark.parametrize("defence", ["apr", "at", "dd"])
def test_a_defence_is_fine_tuned_on_a_folder(copy: Path, torchvisions, defence: str) -> None:
    assert main(["data", "imagenet", "--source", str(copy)]) == 0
    words = ["train", "--data", "imagenet", "--architecture", "resnet50", "--from", "torchvision"]
    words += ["--defence", defence, "--epochs", "1", "--batch-size", "2", "--name", "imagenet-tiny"]
    assert main([*words, "--learning-rate", "1e-6", "--no-mixed-precision"]) == 0
    card = load_card("imagenet-tiny")
    assert (card.dataset, card.tested) == ("imagenet", 2)
    assert card.recipe["start"] == "torchvision"
    if defence == "dd":
        assert card.recipe["defence"]["teacher"] == "torchvision:resnet50 777777777777"
    tuned = load_model("imagenet-tiny").backbone.conv1.weight
    theirs = torchvisions.backbone.conv1.weight
    assert 0 < float((tuned - theirs).detach().abs().max()) < 1e-2  # one step, in half precision


@pytest.mark.long
def test_processes_train_a_folder_together(copy: Path) -> None:
    words = ["train", "--data", str(copy), "--architecture", "resnet50", "--epochs", "1"]
    words += ["--batch-size", "4", "--name", "folder-together", "--defence", "apr"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launch, "-m", "apr_core", *words], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert load_card("folder-together").tested == 2
