"""Data sets by name and by path: their figures, where they come from, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from apr_core.base.paths import shipped
from apr_core.base.types import InputError
from apr_core.cli import main
from apr_core.data import arrays, fashion_mnist, folder, gtsrb, imagenet, medmnist
from apr_core.data.dataset import DataSet, tensor_sha256
from apr_core.data.imagenet_sample import class_list, whole
from apr_core.data.registry import DATASETS, find_dataset, load_images
from apr_core.data.variogram import REACH, mean_and_std, measure_variogram
from apr_core.evaluation.images import choose_images, image_order
from apr_core.training.monitor import are_correct
from apr_core.zoo.library import LITE0
from apr_core.zoo.target import load_model
from scripts.draw_signs import drawn_signs
from tests.conftest import shared_data

ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
MEASURED = ["gtsrb", "breastmnist", "retinamnist"]


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder with nothing in it."""
    monkeypatch.setenv("APR_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def refused(call: Callable[[], object]) -> str:
    """The one sentence that a call is refused with."""
    with pytest.raises(InputError) as caught:
        call()
    assert ONE_SENTENCE.fullmatch(str(caught.value)), str(caught.value)
    return str(caught.value)


def noise(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draw(path: Path, width: int = 40, height: int = 40, grey: bool = False) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if grey else (height, width, 3)
    Image.fromarray(noise(*shape, seed=len(str(path)))).save(path)
    return path


def shared_file(name: str) -> str:
    known = {"gtsrb": "gtsrb-32.npz"}
    return str(shared_data() / known.get(name, f"{name}.npz"))


# All that are known


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_data_set_says_what_it_is(name: str) -> None:
    found = find_dataset(name)
    assert found.name == name
    assert len(found.mean) == len(found.std) == found.channels in (1, 3)
    assert all(0 < mean < 1 for mean in found.mean)
    assert all(0 < std < 0.5 for std in found.std)
    assert found.title
    assert found.source.startswith("https://")
    assert found.licence
    assert found.citation
    assert len(found.classes) >= 2
    assert found.tested > 0
    assert not found.here()


@pytest.mark.parametrize("name", [name for name, one in ((n, DATASETS.get(n)) for n in DATASETS)
                                  if one.sample])  # fmt: skip
def test_a_shipped_sample_fits_its_data_set(name: str) -> None:
    found = find_dataset(name)
    sample = found.shipped_sample()
    assert sample.images.shape[1:] == (found.channels, *found.size)
    assert sample.images.dtype == torch.uint8
    assert len(sample.labels) == len(sample.images)
    assert 0 <= int(sample.labels.min()) <= int(sample.labels.max()) < len(found.classes)
    images, labels = load_images(name, 3)
    assert images.shape == (3, found.channels, *found.size)
    assert labels.tolist() == sample.labels[:3].tolist()


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "fashion-mnist"])
def test_a_shipped_variogram_grows_with_the_distance(name: str) -> None:
    gamma = find_dataset(name).variogram()
    assert gamma.shape == (2 * REACH + 1, 2 * REACH + 1)
    assert torch.equal(gamma, gamma.flip(0, 1))
    assert bool((gamma[REACH, REACH:].diff() > 0).all())
    assert float(gamma[REACH, REACH]) == 0


def test_the_command_lists_all_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(DATASETS)
    for line in lines:
        found = find_dataset(line.split()[0])
        assert found.licence in line
        assert f"{found.tested:,}" in line
        assert line.endswith("not here")


def test_samples_of_small_medical_pictures_are_the_first_of_the_test_set() -> None:
    breast = find_dataset("breastmnist").shipped_sample()
    assert breast.indices.tolist() == list(range(156))
    assert breast.labels.bincount().tolist() == [42, 114]
    retina = find_dataset("retinamnist").shipped_sample()
    assert retina.indices.tolist() == list(range(200))


# GTSRB and MedMNIST


@pytest.mark.parametrize("name", MEASURED)
def test_the_figures_are_those_of_the_training_pictures(name: str) -> None:
    find_dataset(name).fetch(shared_file(name), lambda _: None)
    found = find_dataset(name)
    train, test = found.load("train"), found.load("test")
    mean, std = mean_and_std(train.images)
    assert mean == pytest.approx(found.mean, abs=1e-8)
    assert std == pytest.approx(found.std, abs=1e-8)
    assert len(test) == found.tested == {"gtsrb": 3000}.get(name, DATASETS.get(name).tested)
    assert sorted(set(train.labels.tolist())) == list(range(len(found.classes)))
    chosen = train.take(torch.arange(0, len(train), 10))
    near = measure_variogram(chosen)[REACH, REACH + 1]
    assert float(near) == pytest.approx(float(found.variogram()[REACH, REACH + 1]), rel=0.1)
    index = found.tested - 1
    assert torch.equal(found.test_image(index)[0], test.images[index])
    if found.sample and not found.shipped_sample().drawn:
        sample = found.shipped_sample()
        assert torch.equal(sample.images, test.take(sample.indices))
        assert torch.equal(sample.labels, test.labels[sample.indices])


def test_the_known_copy_of_gtsrb_is_called_by_its_name() -> None:
    said: list[str] = []
    find_dataset("gtsrb").fetch(shared_file("gtsrb"), said.append)
    found = find_dataset("gtsrb")
    assert found.source.endswith(gtsrb.TWO_THIRDS)
    assert found is find_dataset("gtsrb")
    assert DATASETS.get("gtsrb").tested == gtsrb.TESTED == 12_630
    assert "13,036" in said[-1]
    assert not found.hashes


def traffic_signs(path: Path, **changed: Any) -> Path:
    """An `.npz` of the right kind, or with other arrays."""
    content: dict[str, Any] = {
        "train_images": noise(86, 3, 32, 32), "train_labels": np.arange(86) % 43,
        "test_images": noise(50, 3, 32, 32, seed=1), "test_labels": np.arange(50) % 43,
    }  # fmt: skip
    content |= changed
    np.savez(path, **{name: array for name, array in content.items() if array is not None})
    return path


def test_another_copy_of_gtsrb_has_its_own_count_and_hash(tmp_path: Path) -> None:
    path = traffic_signs(tmp_path / "signs.npz")
    find_dataset("gtsrb").fetch(str(path), lambda _: None)
    found = find_dataset("gtsrb")
    assert found.tested == 50
    assert "signs.npz" in found.source
    first = found.load("test").sha256
    find_dataset("gtsrb").fetch("auto", lambda _: None)  # it is here already
    other = traffic_signs(tmp_path / "other.npz", test_labels=(np.arange(50) + 1) % 43)
    find_dataset("gtsrb").fetch(str(other), lambda _: None)
    assert find_dataset("gtsrb").load("test").sha256 != first


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"test_labels": None}, "test_labels"),
        ({"test_images": noise(50, 28, 28)}, "(50, 1, 28, 28)"),
        ({"test_images": noise(50, 3)}, "(50, 3)"),
        ({"test_images": noise(50, 3, 32, 32).astype("float32")}, "float32"),
        ({"test_labels": np.arange(50)}, "49"),
        ({"test_labels": np.arange(50) - 1}, "-1"),
        ({"test_labels": np.arange(49) % 43}, "49 labels"),
        ({"test_labels": np.arange(50) / 50}, "50 labels"),
    ],
)
def test_an_npz_that_is_not_gtsrb_is_refused(
    tmp_path: Path, data: Path, changed: dict[str, Any], said: str
) -> None:
    path = traffic_signs(tmp_path / "signs.npz", **changed)
    assert said in refused(lambda: find_dataset("gtsrb").fetch(str(path), lambda _: None))
    assert not (data / "gtsrb.safetensors").exists()


def test_gtsrb_comes_by_torchvision_and_each_picture_is_resized_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = Image.fromarray(noise(50, 60, 3))

    def official(root: str, split: str, download: bool) -> list[tuple[Image.Image, int]]:
        assert download
        return [(picture, 3), (picture.resize((20, 30)), 42)] * (2 if split == "train" else 1)

    monkeypatch.setattr("torchvision.datasets.GTSRB", official)
    find_dataset("gtsrb").fetch("auto", lambda _: None)
    found = find_dataset("gtsrb")
    assert (len(found.load("train")), found.tested) == (4, 2)
    image, label = found.test_image(0)
    assert label == 3
    wanted = np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(image.permute(1, 2, 0).numpy(), wanted)
    assert "torchvision" in found.source


def test_gtsrb_that_cannot_be_fetched_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def official(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torchvision.datasets.GTSRB", official)
    said = refused(lambda: find_dataset("gtsrb").fetch("auto", lambda _: None))
    assert "no route" in said
    assert "--source FILE.npz" in said
    assert "data gtsrb" in refused(lambda: find_dataset("gtsrb").load("test"))
    assert "data gtsrb" in refused(lambda: find_dataset("gtsrb").test_image(0))
    assert "data fashion-mnist" in refused(lambda: find_dataset("fashion-mnist").shipped_sample())
    assert "--sample" in refused(_sample_of_a_copy)


def _sample_of_a_copy() -> None:
    from apr_core.cli.data import _write_sample

    _write_sample(find_dataset("gtsrb"), "", 5)


def test_a_damaged_copy_is_named(tmp_path: Path, data: Path) -> None:
    find_dataset("gtsrb").fetch(str(traffic_signs(tmp_path / "signs.npz")), lambda _: None)
    kept = data / "gtsrb.safetensors"
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    assert str(kept) in refused(lambda: find_dataset("gtsrb").load("test"))
    kept.write_bytes(content[:100])
    assert str(kept) in refused(lambda: find_dataset("gtsrb"))


def test_medmnist_comes_from_its_own_record(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    content = Path(shared_file("breastmnist")).read_bytes()

    def urlopen(address: str, timeout: float) -> io.BytesIO:
        asked.append(address)
        return io.BytesIO(content)

    monkeypatch.setattr(medmnist, "urlopen", urlopen)
    find_dataset("breastmnist").fetch("auto", lambda _: None)
    assert asked == ["https://zenodo.org/records/10519652/files/breastmnist.npz?download=1"]
    found = find_dataset("breastmnist")
    assert (len(found.load("train")), len(found.load("test"))) == (546, 156)
    assert tensor_sha256(found.load("test").images) == found.hashes["test_images"]


def test_other_medical_pictures_than_the_known_are_refused(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "breastmnist.npz"
    images, labels = noise(10, 28, 28), noise(10, 1) % 2
    np.savez(path, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    fetch = find_dataset("breastmnist").fetch
    assert "SHA-256" in refused(lambda: fetch(str(path), lambda _: None))
    np.savez(path, train_images=images)
    assert "train_labels" in refused(lambda: fetch(str(path), lambda _: None))
    assert "nowhere.npz" in refused(lambda: fetch("nowhere.npz", lambda _: None))
    assert not (data / "breastmnist.safetensors").exists()


def test_a_download_that_fails_names_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(address: str, timeout: float) -> io.BytesIO:
        raise URLError("no route")

    monkeypatch.setattr(medmnist, "urlopen", urlopen)
    said = refused(lambda: find_dataset("retinamnist").fetch("auto", lambda _: None))
    assert "--source retinamnist.npz" in said


# Fashion-MNIST


@pytest.fixture
def clothes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The four archives, of noise, whose MD5s pass for the known ones."""
    from torchvision.datasets import FashionMNIST

    place, known = tmp_path / "clothes", []
    place.mkdir()
    for name, file in fashion_mnist.FILES.items():
        count = 20 if name.startswith("train") else 10
        images = name.endswith("images")
        body = noise(count, 28, 28) if images else np.arange(count, dtype=np.uint8) % 10
        packed = gzip.compress(bytes(16 if images else 8) + body.tobytes())
        (place / file).write_bytes(packed)
        known.append((file, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(FashionMNIST, "resources", known)
    return place


def test_fashion_mnist_comes_from_its_archives(clothes: Path, data: Path) -> None:
    found = find_dataset("fashion-mnist")
    found.fetch(str(clothes), lambda _: None)
    test = found.load("test")
    assert np.array_equal(test.images.numpy()[:, 0], noise(10, 28, 28))
    assert test.labels.tolist() == list(range(10))
    assert len(found.load("train")) == 20
    gamma = found.variogram()
    assert torch.equal(gamma, measure_variogram(found.load("train").images))
    (kept,) = (data / "variograms").iterdir()
    kept.write_text(json.dumps((gamma * 2).tolist()))
    assert torch.equal(found.variogram(), gamma * 2)


def test_a_changed_archive_is_refused(clothes: Path, data: Path) -> None:
    fetch = find_dataset("fashion-mnist").fetch
    file = clothes / fashion_mnist.FILES["test_labels"]
    file.write_bytes(file.read_bytes() + b"0")
    assert "MD5" in refused(lambda: fetch(str(clothes), lambda _: None))
    file.unlink()
    assert file.name in refused(lambda: fetch(str(clothes), lambda _: None))
    assert not (data / "fashion-mnist.safetensors").exists()


# ImageNet


def test_imagenet_has_a_thousand_classes_by_wordnet() -> None:
    listed = class_list()
    assert len(listed) == len({wordnet for wordnet, _ in listed}) == 1000
    assert listed[0] == ("n01440764", "tench")
    assert all(re.fullmatch(r"n\d{8}", wordnet) for wordnet, _ in listed)
    assert find_dataset("imagenet").classes == find_dataset("nips2017").classes


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A tiny ImageNet as torchvision lays it out."""
    place = tmp_path / "imagenet"
    for split, count in (("val", 2), ("train", 3)):
        for wordnet in ("n01443537", "n01440764", "n15075141"):
            for number in range(count):
                draw(place / split / wordnet / f"{number}.JPEG", 300 + 10 * number, 280)
    return place


def test_imagenet_is_read_where_it_lies(official: Path, data: Path) -> None:
    find_dataset("imagenet").fetch(str(official), lambda _: None)
    found = find_dataset("imagenet")
    assert (found.tested, found.trains) == (6, True)
    assert found is find_dataset("imagenet")
    test, train = found.load("test"), found.load("train")
    assert test.labels.tolist() == [0, 0, 1, 1, 999, 999]
    assert (len(train), train.images.shape) == (9, (9, 3, 224, 224))
    with Image.open(official / "val" / "n01440764" / "1.JPEG") as picture:
        cropped = imagenet.centre_crop(picture.convert("RGB"))
    assert np.array_equal(test.take(torch.tensor([1]))[0].permute(1, 2, 0), np.asarray(cropped))
    image, label = found.test_image(5)
    assert label == 999
    assert torch.equal(image, test.images[5])
    assert sorted(path.name for path in data.iterdir()) == ["file-hashes", "imagenet.json"]
    chosen, labels, indices = choose_images(found, 6)
    assert torch.equal(chosen, test.take(indices))
    assert torch.equal(labels, test.labels[indices])


def test_the_crop_is_torchvisions() -> None:
    from torchvision.transforms import CenterCrop, Resize

    for size in ((500, 375), (375, 500), (300, 224), (224, 224), (1000, 257), (333, 500)):
        picture = Image.fromarray(noise(size[1], size[0], 3))
        expected = CenterCrop(224)(Resize(256)(picture))
        assert np.array_equal(np.asarray(imagenet.centre_crop(picture)), np.asarray(expected))


def test_wordnet_folders_alone_are_a_validation_set(official: Path) -> None:
    find_dataset("imagenet").fetch(str(official / "val"), lambda _: None)
    found = find_dataset("imagenet")
    assert (found.tested, found.trains) == (6, False)
    assert "train/" in refused(lambda: found.load("train"))


def test_a_table_is_a_validation_set_whose_pictures_are_resized_whole(tmp_path: Path) -> None:
    place = tmp_path / "table"
    draw(place / "a.png", 299, 299)
    draw(place / "b.png", 224, 224)
    (place / "images.csv").write_text("file,label\na.png,998\nb.png,7\n")
    find_dataset("imagenet").fetch(str(place), lambda _: None)
    test = find_dataset("imagenet").load("test")
    assert test.labels.tolist() == [998, 7]
    for number, file in enumerate(("a.png", "b.png")):
        with Image.open(place / file) as picture:
            wanted = np.asarray(whole(picture))
            kept = picture.size == (224, 224)
            assert np.array_equal(wanted, np.asarray(picture)) == kept
        assert np.array_equal(test.images[number].permute(1, 2, 0), wanted)


def test_a_folder_that_changed_is_not_measured(official: Path) -> None:
    find_dataset("imagenet").fetch(str(official), lambda _: None)
    draw(official / "val" / "n01440764" / "0.JPEG", 90, 90)
    assert "changed" in refused(lambda: find_dataset("imagenet").load("test"))
    shutil.rmtree(official)
    assert not find_dataset("imagenet").here()


def test_what_is_not_imagenet_is_refused(tmp_path: Path, data: Path) -> None:
    fetch = find_dataset("imagenet").fetch
    place = tmp_path / "other"
    assert "no folder" in refused(lambda: fetch(str(place), lambda _: None))
    place.mkdir()
    assert "images.csv" in refused(lambda: fetch(str(place), lambda _: None))
    (place / "n01440764").mkdir()
    assert "no pictures" in refused(lambda: fetch(str(place), lambda _: None))
    (place / "cats").mkdir()
    assert "cats" in refused(lambda: fetch(str(place), lambda _: None))
    draw(place / "a.png")
    (place / "images.csv").write_text("file,label\na.png,1000\n")
    assert "1000" in refused(lambda: fetch(str(place), lambda _: None))
    assert "--source FOLDER" in refused(lambda: fetch("auto", lambda _: None))
    assert "data imagenet" in refused(lambda: find_dataset("imagenet").load("test"))
    assert "data imagenet" in refused(lambda: find_dataset("imagenet").test_image(0))
    assert not data.exists() or not (data / "imagenet.json").exists()


def test_the_sample_names_each_author_and_its_licence() -> None:
    sample = find_dataset("nips2017").shipped_sample()
    assert len(sample.credits) == len(sample.images) == len(set(sample.labels.tolist())) == 41
    assert all(
        one.licence == "CC BY 2.0" and "https://creativecommons.org" in one.licence_url
        for one in sample.credits
    )
    assert torch.equal(sample.images, find_dataset("imagenet").shipped_sample().images)
    assert len(find_dataset("imagenet").shipped_sample().indices) == 0
    image, label = find_dataset("nips2017").test_image(12)
    assert find_dataset("nips2017").classes[label] == "zebra"
    assert torch.equal(image, sample.images[0])


def test_the_list_of_photographs_is_complete() -> None:
    folder = shipped("assets") / "imagenet"
    entry = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
    pictures = entry["pictures"]
    assert {one["file"] for one in pictures} == {path.name for path in folder.glob("*.webp")}
    assert len({one["author"] for one in pictures}) == len(pictures)
    for one in pictures:
        assert one["author"].isprintable()
        assert "\\" not in one["author"]
        assert one["licence"] == "CC BY 2.0"
        for link in ("author_url", "original_url", "licence_url"):
            assert one[link].startswith(("https://", "http://"))
        assert one["class_name"] == find_dataset("nips2017").class_name(one["label"])
    assert "cropped and scaled" in entry["changed"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000


def test_efficientnet_gets_every_photograph_right() -> None:
    sample = find_dataset("nips2017").shipped_sample()
    assert are_correct(load_model(LITE0), sample.images, sample.labels).all()


def test_drawn_signs_stand_in_for_test_pictures_and_nothing_is_measured_on_them() -> None:
    found = find_dataset("gtsrb")
    sample = found.shipped_sample()
    assert sample.drawn
    assert int(sample.indices[0]) == gtsrb.TESTED
    assert len(found.leading_indices()) == 0
    assert "data gtsrb" in refused(found.examples)
    image, label = found.test_image(int(sample.indices[-1]))
    assert torch.equal(image, sample.images[-1])
    assert label == int(sample.labels[-1])
    drawn = drawn_signs()
    assert torch.equal(drawn.labels, sample.labels)
    first = int(sample.indices[0])
    assert [find_dataset("gtsrb").picture_name(one) for one in (0, first, first + 1)] == [
        "test image 0",
        "drawn picture 1",
        "drawn picture 2",
    ]
    assert float((drawn.images.float() - sample.images.float()).abs().mean()) < 2


def test_no_evaluation_begins_with_pictures_picked_by_hand() -> None:
    found = find_dataset("nips2017")
    order = image_order(found)
    assert sorted(order.tolist()) == list(range(600))
    picked = set(found.shipped_sample().indices.tolist())
    assert not picked & set(order[:5].tolist())
    assert "data nips2017" in refused(lambda: choose_images(found, 5))


def test_the_600_pictures_are_verified(tmp_path: Path) -> None:
    place = shared_data() / "imagenet"
    found = find_dataset("nips2017")
    found.fetch(str(place), lambda _: None)
    test, sample = found.load("test"), found.shipped_sample()
    assert (len(test), test.sha256) == (600, found.hashes["test"])
    assert (
        found.hashes["images.csv"]
        == hashlib.sha256((place / "images.csv").read_bytes()).hexdigest()
    )
    assert torch.equal(test.take(sample.indices), sample.images)
    assert torch.equal(test.labels[sample.indices], sample.labels)
    assert "has no training pictures; choose" in refused(lambda: found.load("train"))
    table = json.loads((place / "imagenet_classes.json").read_text())
    assert class_list() == tuple(tuple(table[str(label)]) for label in range(1000))
    other = tmp_path / "other"
    (other / "images").mkdir(parents=True)
    for path in place.glob("images/*"):
        (other / "images" / path.name).symlink_to(path)
    shutil.copyfile(place / "images.csv", other / "images.csv")
    with (other / "images.csv").open("a") as file:
        file.write("images/0000-874-911aebf30626ce02.webp,3,x,,,,,,,\n")
    assert "SHA-256" in refused(lambda: found.fetch(str(other), lambda _: None))


# One's own folder


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Three classes of two pictures each, all 40 x 30."""
    for name in ("dog", "cat", "ant"):
        for number in range(2):
            draw(tmp_path / "animals" / name / f"{number}.png", 40, 30)
    return tmp_path / "animals"


def test_a_folder_of_classes_is_a_data_set(animals: Path) -> None:
    (animals / "notes.txt").write_text("not a picture")
    (animals / ".hidden").mkdir()
    (animals / "cat" / "notes.txt").write_text("nor is this")
    found = find_dataset(str(animals))
    assert (found.classes, found.size, found.channels) == (("ant", "cat", "dog"), (30, 40), 3)
    assert (found.title, found.name) == ("animals", str(animals))
    assert (found.tested, found.trains, found.hashes, found.here()) == (6, False, {}, True)
    test = found.load("test")
    assert test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    with Image.open(animals / "cat" / "1.png") as picture:
        assert np.array_equal(test.take(torch.tensor([3]))[0].permute(1, 2, 0), np.asarray(picture))
    mean, std = mean_and_std(test.images)
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(std)
    assert found is find_dataset(str(animals))
    said = refused(lambda: found.load("train"))
    assert "train" in said
    found.fetch("auto", lambda _: None)
    assert "--source" in refused(lambda: found.fetch("torchvision", lambda _: None))


def test_training_and_test_pictures_lie_in_folders_of_their_own(tmp_path: Path) -> None:
    for split, classes in (("train", "abc"), ("val", "bc")):
        for name in classes:
            draw(tmp_path / "own" / split / name / "1.png", 12, 12, grey=True)
    found = find_dataset(str(tmp_path / "own"))
    assert (found.classes, found.channels, found.size) == (("a", "b", "c"), 1, (12, 12))
    assert found.load("train").labels.tolist() == [0, 1, 2]
    assert found.load("test").labels.tolist() == [1, 2]
    assert found.load("test").images.shape == (2, 1, 12, 12)
    shutil.rmtree(tmp_path / "own" / "val")
    assert "test" in refused(lambda: find_dataset(str(tmp_path / "own")))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "tram"):
        draw(tmp_path / "vehicles" / name / "1.png")
    found = find_dataset(str(tmp_path / "vehicles"))
    assert (found.classes, found.trains) == (("train", "tram"), False)


@pytest.mark.parametrize(
    ("sizes", "wanted", "expected"),
    [
        (((40, 30), (40, 30)), None, (30, 40)),
        (((40, 30), (40, 30)), (32, 32), (30, 40)),
        (((40, 30), (40, 31)), None, (32, 32)),
        (((40, 30), (40, 31)), (28, 28), (28, 28)),
        (((300, 200), (200, 300)), None, (224, 224)),
        (((300, 200), (200, 300)), (64, 48), (64, 48)),
        (((300, 200), (300, 200)), None, (200, 300)),
        (((300, 200), (300, 200)), (224, 224), (224, 224)),
        (((900, 700), (900, 700)), None, (224, 224)),
        (((96, 96), (300, 96)), None, (32, 32)),
        (((97, 97), (300, 97)), None, (224, 224)),
    ],
)
def test_the_size_is_the_pictures_own_or_what_is_wanted(
    tmp_path: Path,
    sizes: tuple[tuple[int, int], ...],
    wanted: tuple[int, int] | None,
    expected: tuple[int, int],
) -> None:
    for number, size in enumerate(sizes):
        draw(tmp_path / "own" / f"class{number}" / "1.png", *size)
    found = find_dataset(str(tmp_path / "own"), wanted)
    assert found.size == expected
    assert found.load("test").images.shape == (len(sizes), 3, *expected)


def test_a_new_picture_is_seen(animals: Path) -> None:
    before = find_dataset(str(animals))
    draw(animals / "dog" / "more.png", 40, 30)
    os.utime(animals / "dog", ns=(1, 1))  # a clock may be too coarse to tell
    after = find_dataset(str(animals))
    assert (before.tested, after.tested) == (6, 7)
    assert before.load("test").sha256 != after.load("test").sha256


def test_the_hash_is_of_names_labels_and_bytes(animals: Path, tmp_path: Path, data: Path) -> None:
    split = find_dataset(str(animals)).load("test")
    listing = folder.list_classes(animals, {"ant": 0, "cat": 1, "dog": 2})
    assert folder.listing_sha256(listing) == split.sha256
    copied = tmp_path / "copied"
    shutil.copytree(animals, copied)
    assert find_dataset(str(copied)).load("test").sha256 == split.sha256
    (copied / "cat" / "1.png").rename(copied / "cat" / "2.png")
    renamed = folder.list_classes(copied, {"ant": 0, "cat": 1, "dog": 2})
    assert folder.listing_sha256(renamed) != split.sha256
    (kept,) = [path for path in (data / "file-hashes").iterdir()
               if set(json.loads(path.read_text())) == set(listing.files)]  # fmt: skip
    kept.write_text("damaged")
    assert folder.listing_sha256(listing) == split.sha256
    draw(animals / "cat" / "1.png", 41, 30)
    assert folder.listing_sha256(listing) != split.sha256


def test_the_variogram_of_ones_own_is_measured_once(animals: Path, data: Path) -> None:
    found = find_dataset(str(animals))
    assert torch.equal(found.variogram(), measure_variogram(found.load("test").images))
    assert len(list((data / "variograms").iterdir())) == 1


@pytest.mark.parametrize("turned", [1, 6])
def test_a_turned_photograph_counts_as_it_is_seen(tmp_path: Path, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    for name in "ab":
        path = draw(tmp_path / "own" / name / "1.jpg", 50, 30)
        with Image.open(path) as picture:
            picture.save(path, exif=exif)
    assert find_dataset(str(tmp_path / "own")).size == ((30, 50) if turned == 1 else (50, 30))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_picture_is_named(animals: Path, content: bytes) -> None:
    (animals / "dog" / "broken.png").write_bytes(content)
    assert "dog/broken.png" in refused(lambda: find_dataset(str(animals)))


@pytest.mark.timeout(60)
def test_what_is_no_file_is_not_waited_for(animals: Path) -> None:
    os.mkfifo(animals / "pipe.npz")
    assert "pipe.npz is no file" in refused(lambda: find_dataset(str(animals / "pipe.npz")))
    os.mkfifo(animals / "dog" / "pipe.png")
    assert "dog/pipe.png" in refused(lambda: find_dataset(str(animals)))


def test_a_huge_picture_is_named(animals: Path) -> None:
    Image.new("1", (9000, 9000)).save(animals / "dog" / "huge.png")
    assert "dog/huge.png" in refused(lambda: find_dataset(str(animals)))


def test_a_picture_that_has_gone_is_named(animals: Path) -> None:
    test = find_dataset(str(animals)).load("test")
    (animals / "cat" / "0.png").unlink()
    assert "cat/0.png" in refused(lambda: test.take(torch.tensor([2])))


@pytest.mark.parametrize("name", ["nowhere/at-all", "nothing.npz", "a\0b/c", "x" * 300 + "/y"])
def test_a_path_to_nothing_is_refused(name: str) -> None:
    assert "cannot be read" in refused(lambda: find_dataset(name))


@pytest.mark.parametrize("name", ["", "cifar11", "x" * 5000])
def test_a_name_of_nothing_is_answered_with_those_that_are_known(name: str) -> None:
    assert "cifar10, imagenet" in refused(lambda: find_dataset(name))


def test_a_folder_without_pictures_or_with_one_class_is_refused(tmp_path: Path) -> None:
    assert "no pictures" in refused(lambda: find_dataset(str(tmp_path)))
    (tmp_path / "empty").mkdir()
    assert "no pictures" in refused(lambda: find_dataset(str(tmp_path)))
    draw(tmp_path / "own" / "alone" / "1.png")
    assert "alone" in refused(lambda: find_dataset(str(tmp_path / "own")))
    text = tmp_path / "text.txt"
    text.write_text("no data set")
    assert "no data set" in refused(lambda: find_dataset(str(text)))


# One's own table


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A folder of two pictures, without its table."""
    for name in ("a.png", "b.png"):
        draw(tmp_path / "table" / name)
    return tmp_path / "table"


def test_a_table_names_labels_and_classes(listed: Path) -> None:
    (listed / "images.csv").write_text(
        "\ufefffile,label,class_name\na.png,2,owl\nb.png,0,\n", "utf-8"
    )
    found = find_dataset(str(listed))
    assert found.classes == ("class 0", "class 1", "owl")
    assert found.load("test").labels.tolist() == [2, 0]
    (listed / "classes.txt").write_text("bat\ncat\nowl\nyak\n")
    assert find_dataset(str(listed)).classes == ("bat", "cat", "owl", "yak")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,label\n../a.png,0\nb.png,1\n", "../a.png"),
        ("file,label\n/a.png,0\nb.png,1\n", "/a.png"),
        ("file,label\n..\\a.png,0\nb.png,1\n", "..\\a.png"),
        ("file,label\nC:/a.png,0\nb.png,1\n", "C:/a.png"),
        ("file,label\n,0\nb.png,1\n", "Line 2"),
        ("file,label\na.png,-1\nb.png,1\n", "-1"),
        ("file,label\na.png,cat\nb.png,1\n", "cat"),
        ("file,label\na.png,0\nb.png,1000000\n", "Line 3"),
        ("file,label\na.png\nb.png,1\n", "line 2"),
        ("name,class\na.png,0\n", "no column file but name, class"),
        ("file,klass\na.png,0\n", "no column label but file, klass"),
        ("file;label\na.png;0\n", "no column file but file;label"),
        ("file,label\n", "no pictures"),
        ("", "no pictures"),
        ("file,label\nz.png,0\nb.png,1\n", "z.png"),
        ("file,label\na.png,0\nb.png,0\n", "one class"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(listed: Path, table: str, said: str) -> None:
    (listed / "images.csv").write_text(table)
    assert said in refused(lambda: find_dataset(str(listed)))


def test_spaces_in_a_table_do_no_harm(listed: Path) -> None:
    (listed / "images.csv").write_text("file, label\na.png, 1\nb.png, 0\n")
    assert find_dataset(str(listed)).load("test").labels.tolist() == [1, 0]


def test_a_label_outside_the_classes_is_refused(listed: Path) -> None:
    (listed / "images.csv").write_text("file,label\na.png,0\nb.png,3\n")
    (listed / "classes.txt").write_text("bat\ncat\n")
    assert "label 3" in refused(lambda: find_dataset(str(listed)))


# One's own .npz


def own(path: Path, **content: Any) -> DataSet:
    np.savez(path, **content)
    return find_dataset(str(path))


LABELS = np.arange(6) % 3


@pytest.mark.parametrize(
    ("images", "channels"),
    [
        (noise(6, 9, 8), 1),
        (noise(6, 9, 8, 1), 1),
        (noise(6, 9, 8, 3), 3),
        (noise(6, 1, 9, 8), 1),
        (noise(6, 3, 9, 8), 3),
        (noise(6, 3, 9, 8).astype(np.float32) / 255, 3),
        (noise(6, 9, 8).astype(np.float64) / 255, 1),
    ],
)
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype(np.uint8)])
def test_an_npz_is_a_data_set(tmp_path: Path, images: Any, channels: int, labels: Any) -> None:
    found = own(tmp_path / "own.npz", images=images, labels=labels)
    assert (found.channels, found.size, found.tested) == (channels, (9, 8), 6)
    assert found.classes == ("class 0", "class 1", "class 2")
    test = found.load("test")
    assert test.labels.tolist() == LABELS.tolist()
    pixels = images if images.dtype == np.uint8 else np.rint(images * 255).astype(np.uint8)
    last = pixels.ndim == 4 and pixels.shape[-1] == channels
    expected = pixels.transpose(0, 3, 1, 2) if last else pixels.reshape(6, channels, 9, 8)
    assert np.array_equal(test.images, expected)
    assert not found.trains
    assert found.std == pytest.approx(mean_and_std(test.images)[1])


def test_an_npz_may_have_training_pictures_and_names(tmp_path: Path) -> None:
    split = {"train_images": noise(6, 9, 9), "train_labels": LABELS,
             "test_images": noise(3, 9, 9, seed=1), "test_labels": LABELS[:3]}  # fmt: skip
    found = own(tmp_path / "own.npz", **split, classes=np.array(["ant", "bee", "cow", "dog"]))
    assert (found.classes, found.trains, found.tested) == (("ant", "bee", "cow", "dog"), True, 3)
    assert len(found.load("train")) == 6
    assert torch.equal(found.variogram(), measure_variogram(found.load("train").images))
    first = found.load("test").sha256
    split["test_labels"] = LABELS[1:4]
    changed = own(tmp_path / "other.npz", **split)
    assert changed.load("test").sha256 != first


def test_pictures_of_one_colour_can_be_normalised(tmp_path: Path) -> None:
    found = own(tmp_path / "own.npz", images=np.zeros((6, 9, 9), np.uint8), labels=LABELS)
    assert found.std == (1 / 255,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "no pictures to test on"),
        ({"labels": LABELS}, "no pictures to test on"),
        ({"train_images": noise(6, 9, 9), "train_labels": LABELS}, "no pictures to test on"),
        ({"images": noise(6, 9, 9)}, "no labels"),
        ({"images": noise(0, 9, 9), "labels": LABELS[:0]}, "(0, 1, 9, 9)"),
        ({"images": noise(6, 9), "labels": LABELS}, "(6, 9)"),
        ({"images": noise(6, 9, 9, 4), "labels": LABELS}, "(6, 9, 9, 4)"),
        ({"images": noise(6, 9, 9).astype(int), "labels": LABELS}, "int64"),
        ({"images": noise(6, 9, 9).astype(float), "labels": LABELS}, "255"),
        ({"images": np.full((6, 9, 9), np.nan), "labels": LABELS}, "nan"),
        ({"images": noise(6, 9, 9) > 9, "labels": LABELS}, "bool"),
        ({"images": noise(6, 9, 9), "labels": LABELS[:5]}, "(5,)"),
        ({"images": noise(6, 9, 9), "labels": LABELS / 2}, "float64"),
        ({"images": noise(6, 9, 9), "labels": LABELS - 1}, "-1"),
        ({"images": noise(6, 9, 9), "labels": LABELS * 10**6}, "2000000"),
        ({"images": noise(6, 9, 9), "labels": LABELS * 0}, "one class"),
        ({"images": noise(6, 9, 9), "labels": LABELS, "classes": np.array(["a", "b"])}, "label 2"),
        ({"images": noise(6, 9, 9), "labels": LABELS, "classes": np.arange(3)}, "int64"),
        ({"images": np.array([{}] * 6), "labels": LABELS}, "Python objects"),
        (
            {"train_images": noise(6, 9, 9), "train_labels": LABELS,
             "test_images": noise(6, 8, 9), "test_labels": LABELS},
            "(1, 8, 9)",
        ),
    ],
)  # fmt: skip
def test_an_npz_that_makes_no_sense_is_refused(
    tmp_path: Path, content: dict[str, Any], said: str
) -> None:
    assert said in refused(lambda: own(tmp_path / "own.npz", **content))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"\x80\x04}."])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    assert "own.npz" in refused(lambda: find_dataset(str(path)))


def test_nothing_pickled_in_an_npz_is_run(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "run"),))

    array = np.empty(1, object)
    array[0] = Bad()
    np.savez(tmp_path / "own.npz", images=array, labels=LABELS)
    refused(lambda: find_dataset(str(tmp_path / "own.npz")))
    assert not (tmp_path / "run").exists()


def test_an_npz_that_would_unpack_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.npz"
    np.savez_compressed(path, images=np.zeros((1000, 9, 9), np.uint8), labels=np.zeros(1000, int))
    monkeypatch.setattr(arrays, "MAX_UNPACKED", 80_000)
    assert "80,000" in refused(lambda: find_dataset(str(path)))


def test_a_header_that_claims_more_than_there_is_is_not_believed(tmp_path: Path) -> None:
    import zipfile

    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 9, 9)}
    )
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", head.getvalue() + bytes(100))
    assert "images.npy" in refused(lambda: find_dataset(str(path)))


def test_mean_and_deviation_are_numpys() -> None:
    images = torch.from_numpy(noise(5, 3, 7, 6))
    pixels: Tensor = images.double() / 255
    mean, std = mean_and_std(images)
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())


def test_statistics_and_variogram_are_printed_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, images=noise(6, 9, 9), labels=LABELS)
    assert main(["data", str(path), "--statistics"]) == 0
    printed = capsys.readouterr().out
    (mean,) = find_dataset(str(path)).mean
    assert f"mean: {mean:.8f} (n = 6)" in printed
    assert main(["data", str(path), "--variogram"]) != 0
    assert "--variogram" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "label", "one", "this"),
    [
        ("cifar10", 0, "an airplane", "this airplane"),
        ("gtsrb", 14, "“stop”", "“stop”"),
        ("breastmnist", 0, "“malignant”", "“malignant”"),
    ],
)
def test_a_class_that_is_no_thing_is_quoted(data: str, label: int, one: str, this: str) -> None:
    found = find_dataset(data)
    assert (found.one_of(label), found.this_one(label)) == (one, this)
