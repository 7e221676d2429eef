"""A person's own data from folder to record: trained on, measured, and used when they are gone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from apr_core.base.types import InputError
from apr_core.cli import main
from apr_core.data.fitting import describe, described, fit_to
from apr_core.data.registry import find_dataset
from apr_core.evaluation.protocol import evaluate, setting_for
from apr_core.evaluation.record import data_words
from apr_core.zoo.checkpoints import load_card
from apr_core.zoo.target import TargetModel, load_model

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in ("checkpoints", "training", "results", "data"):
        (tmp_path / kind).mkdir()
        monkeypatch.setenv(f"APR_{kind.upper()}", str(tmp_path / kind))
    return tmp_path


def picture(bright: bool, channels: int = 1) -> np.ndarray:
    low = 150 if bright else 20
    shape = (12, 14) if channels == 1 else (12, 14, channels)
    return RNG.integers(low, low + 80, shape).astype(np.uint8)


def a_folder(place: Path, names: tuple[str, str] = ("bright", "dark"), channels: int = 1) -> Path:
    """Six pictures a class to train on, four to test on; the first class is the bright one."""
    for split, count in (("train", 6), ("test", 4)):
        for number, name in enumerate(names):
            folder = place / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(picture(number == 0, channels)).save(folder / f"{index}.png")
    return place


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def trained(place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    words = [
        "train",
        "--data",
        str(place),
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--name",
        "own-net",
    ]
    assert main([*words, "--learning-rate", "0.05", "--defence", "apr"]) == 0
    return "own-net"


def test_the_clean_accuracy_on_other_data_is_not_the_cards(folders: Path, capsys) -> None:
    """On a person's own pictures, a model's record once had its accuracy on its own test set."""
    name = trained(a_folder(folders / "pictures"), capsys)
    card = load_card(name)
    other = folders / "other" / "test"
    for number, label in enumerate(("bright", "dark")):
        (other / label).mkdir(parents=True)
        for index in range(3):  # all of them dark
            Image.fromarray(picture(False)).save(other / label / f"{number}{index}.png")
    words = ("evaluate", "--model", name, "--images", "2", "--attack", "top-gradient")
    clean = told(capsys, *words, "--data", str(folders / "other"))["clean_all"]
    assert (clean["count"], clean["total"]) == (3, 6)
    shown = told(capsys, *words)
    assert shown["clean_all"]["total"] == card.tested == 8


def test_a_grey_model_of_two_classes_is_trained_and_measured(folders: Path, capsys) -> None:
    place = a_folder(folders / "pictures")
    name = trained(place, capsys)
    card = load_card(name)
    assert (card.dataset, card.tested) == (str(place), 8)
    shown = told(capsys, "evaluate", "--model", name, "--images", "8", "--attack", "top-gradient")
    assert shown["setting"]["data"] == str(place)
    assert shown["setting"]["data_sha256"] == find_dataset(str(place)).load("test").sha256
    assert shown["setting"]["data_size"] == [12, 14]
    assert shown["clean"]["total"] == 8
    proven = told(capsys, "certify", "--model", name, "--images", "4")
    assert proven["setting"]["data_sha256"] == shown["setting"]["data_sha256"]
    assert len(list((folders / "results" / "evaluations").iterdir())) == 1


def test_a_record_of_changed_pictures_leaves_the_one_before(folders: Path, capsys) -> None:
    place = a_folder(folders / "pictures")
    words = ("evaluate", "--model", trained(place, capsys), "--images", "4", "--attack", "corners")
    before = told(capsys, *words)
    again = told(capsys, *words)
    Image.fromarray(picture(True)).save(place / "test" / "bright" / "4.png")
    after = told(capsys, *words)
    assert before["setting"] == again["setting"] != after["setting"]
    assert len(list((folders / "results" / "evaluations").iterdir())) == 2


def test_a_model_works_when_its_pictures_are_gone(folders: Path, capsys) -> None:
    place = a_folder(folders / "pictures")
    name = trained(place, capsys)
    photo = folders / "photo.png"
    Image.fromarray(picture(True)).save(photo)
    attack = ("attack", "--model", name, "--image", str(photo), "--population", "8")
    before = told(capsys, *attack, "--generations", "1")
    shutil.rmtree(place)
    again = told(capsys, *attack, "--generations", "1")
    assert again | {"seconds": 0} == before | {"seconds": 0}
    assert again["class_before"] in ("bright", "dark")
    assert main(["evaluate", "--model", name, "--images", "2"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert load_model(name).normalize.mean.shape == (1, 1, 1, 1)


def test_a_card_keeps_what_its_model_must_know(folders: Path) -> None:
    data = find_dataset(str(a_folder(folders / "pictures")))
    kept = described("gone/pictures", json.loads(json.dumps(describe(data))))
    with pytest.raises(InputError, match="gone/pictures cannot be read"):
        kept.test_image(0)
    for field in ("classes", "size", "channels", "mean", "std"):
        assert getattr(kept, field) == getattr(data, field)
    assert torch.equal(kept.variogram(), data.variogram())


@pytest.mark.parametrize(
    "change", [{"classes": 3}, {"size": [0, 4]}, {"channels": 2}, {"mean": []}, {"variogram": "x"}]
)
def test_a_card_that_does_not_describe_its_data_is_named(folders: Path, change: dict) -> None:
    data = find_dataset(str(a_folder(folders / "pictures")))
    with pytest.raises(InputError, match="does not describe its data"):
        described("gone", describe(data) | change)


def test_classes_are_found_by_the_models_names(folders: Path) -> None:
    data = find_dataset(str(a_folder(folders / "pictures", ("Dog", "cat"), channels=3)))
    fitted = fit_to(data, find_dataset())
    assert fitted.classes == find_dataset().classes
    assert fitted.load("test").labels.tolist() == [5] * 4 + [3] * 4
    assert torch.equal(fitted.load("test").images, data.load("test").images)


def test_a_model_is_attacked_by_its_own_labels_and_channels(
    folders: Path, capsys, monkeypatch
) -> None:
    """Not by those that the folder has: dark is class 0 there, and class 1 of the model."""
    place = a_folder(folders / "pictures", ("light", "dark"))
    made_for = replace(find_dataset(), classes=("light", "dark"), size=(12, 14), channels=3)
    data = fit_to(find_dataset(str(place)), made_for)

    class Bright(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            mean = images.expand(-1, 3, -1, -1).mean((1, 2, 3))[:, None]
            assert images.shape[1] == 3
            return torch.cat([mean - 0.4, 0.4 - mean], 1) * 9

    target = TargetModel("bright", Bright().eval(), data)
    record = evaluate(target, setting_for(target, "corners", images=8))
    assert (record.clean.count, record.clean.total) == (8, 8)
    assert (record.clean_all.count, record.clean_all.total) == (8, 8)
    assert {verdict.label for verdict in record.verdicts} == {0, 1}


def test_imagenets_classes_are_found_by_their_ids(folders: Path) -> None:
    data = find_dataset(str(a_folder(folders / "pictures", ("n01440764", "n01443537"), channels=3)))
    assert fit_to(data, find_dataset("imagenet")).load("test").labels.tolist() == [0] * 4 + [1] * 4


def test_a_table_of_some_of_imagenets_labels_is_found_by_its_classes_names(folders: Path) -> None:
    (folders / "few").mkdir()
    rows = ["file,label,class_name", "0.png,874,trolleybus", "1.png,309,bee"]
    for index in range(3):
        Image.fromarray(picture(True, 3)).save(folders / "few" / f"{index}.png")
    (folders / "few" / "images.csv").write_text("\n".join(rows))
    data = fit_to(find_dataset(str(folders / "few")), find_dataset("imagenet"))
    assert data.load("test").labels.tolist() == [874, 309]
    (folders / "few" / "images.csv").write_text("\n".join([*rows, "2.png,5,"]))
    data = fit_to(find_dataset(str(folders / "few")), find_dataset("imagenet"))
    with pytest.raises(InputError, match="has a class class 5, which is none of ImageNet's"):
        data.load("test")


def test_grey_pictures_are_shown_to_a_model_of_colours(folders: Path) -> None:
    data = find_dataset(str(a_folder(folders / "pictures", ("cat", "dog"))))
    fitted = fit_to(data, find_dataset())
    assert (data.channels, fitted.channels) == (1, 3)
    images = fitted.load("test").images
    assert torch.equal(images, data.load("test").images.expand(-1, 3, -1, -1))


def test_a_class_that_the_model_lacks_is_named(folders: Path) -> None:
    data = find_dataset(str(a_folder(folders / "pictures", ("cat", "giraffe"), channels=3)))
    with pytest.raises(InputError, match="has a class giraffe, which is none of CIFAR-10's"):
        fit_to(data, find_dataset())


def bright_or_dark(onnx: Any, path: Path) -> None:
    """A network that tells by the mean of a grey picture, as an ONNX file."""
    make, from_array = onnx.helper, onnx.numpy_helper.from_array
    nodes = [
        make.make_node("GlobalAveragePool", ["images"], ["mean"]),
        make.make_node("Flatten", ["mean"], ["flat"]),
        make.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
    ]
    weights = {"w": [[9.0, -9.0]], "b": [-3.6, 3.6]}
    graph = make.make_graph(
        nodes,
        "net",
        [make.make_tensor_value_info("images", 1, ["n", 1, 12, 14])],
        [make.make_tensor_value_info("logits", 1, ["n", 2])],
        [from_array(np.array(value, np.float32), name) for name, value in weights.items()],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)


def test_an_onnx_file_and_an_npz_give_a_record(folders: Path, capsys, monkeypatch) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(folders)
    images = np.stack([picture(index % 2 == 0) for index in range(10)])
    np.savez("mine.npz", images=images, labels=np.arange(10) % 2)

    bright_or_dark(onnx, Path("mine.onnx"))
    words = ("evaluate", "--model", "mine.onnx", "--data", "mine.npz", "--images", "10")
    shown = told(capsys, *words, "--attack", "corners")
    assert (shown["clean"]["count"], shown["clean"]["total"]) == (10, 10)
    assert shown["clean_accuracy"] == 1.0
    assert shown["setting"]["data"] == "mine.npz"
    assert shown["setting"]["data_sha256"] == find_dataset("mine.npz").load("test").sha256
    assert "--data mine.npz" in shown["command"]


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ("gtsrb-net.onnx", "gtsrb", ["--data", "gtsrb"]),
        ("signs-net.pt2", "signs", ["--data", "signs"]),
        ("gtsrb-resnet20-apr", "gtsrb", []),
        ("imagenet-efficientnet-lite0", "imagenet", []),
        ("net.onnx", "cifar10", []),
    ],
)
def test_a_file_that_is_called_as_its_data_still_names_them(model, data, words) -> None:
    """By its name alone, the command that repeats a record would take CIFAR-10."""
    assert data_words(model, data) == words
