"""`certify` of one picture: a test image, or a person's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apr_core.cli import main
from apr_core.data.images import to_png
from apr_core.data.registry import find_dataset

MODEL = "cifar10-resnet20-apr"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["certify", "--model", MODEL, *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_picture_has_the_verdict_of_the_test_image_that_it_is(tmp_path: Path, capsys) -> None:
    image, label = find_dataset().test_image(9)
    own = tmp_path / "own.png"
    own.write_bytes(to_png(image))
    known = told(capsys, "--index", "9")
    found = told(capsys, "--image", str(own))
    assert (known["verdict"], known["label"]) == ("certified", label)
    assert found == known | {"index": -1}
    assert known["agreeing"] == known["predictions"] == 16 + 120


def test_another_true_class_is_a_wrong_answer(tmp_path: Path, capsys) -> None:
    own = tmp_path / "own.png"
    own.write_bytes(to_png(find_dataset().test_image(9)[0]))
    found = told(capsys, "--image", str(own), "--label", "cat")
    assert (found["verdict"], found["class"]) == ("wrong", "cat")
    assert main(["certify", "--model", MODEL, "--image", str(own), "--label", "cat"]) == 0
    assert "takes this cat for an automobile" in capsys.readouterr().out


def test_one_picture_is_certified_against_patches(capsys) -> None:
    words = ("--index", "11", "--patch", "2")
    found = told(capsys, *words)
    assert (found["patch"], found["masks"], found["spacing"]) == (2, 6, 0)
    assert (found["verdict"], found["predictions"]) == ("certified", 36 + 630)
    assert main(["certify", "--model", MODEL, *words]) == 0
    said = capsys.readouterr().out
    assert "Behind 6 × 6 square masks, the model is certified to answer truck" in said
    assert "no patch of 2 × 2 pixels, anywhere, of any content, can change the answer of" in said


@pytest.mark.parametrize("words", [("--index", "9", "--label", "cat"), ("--label", "cat")])
def test_a_label_goes_with_a_picture_of_ones_own(words: tuple[str, ...], capsys) -> None:
    assert main(["certify", "--model", MODEL, *words]) == 2
    assert "--label goes with --image" in capsys.readouterr().err


def test_one_picture_leaves_no_record(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    told(capsys, "--index", "9")
    assert not list(tmp_path.rglob("*"))
