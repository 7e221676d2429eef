"""The command line: the same JSON every time, and one plain sentence for whatever is wrong."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from apr_core import OnePixelAttack, OnePixelConfig, Status
from apr_core.cli import main
from apr_core.data.images import to_png
from apr_core.data.registry import find_dataset
from apr_core.models import build_model
from apr_core.zoo.checkpoints import Card, half_precision, load_model, save_checkpoint
from tests.conftest import answers

FRAGILE, STURDY = "cifar10-resnet20-fragile", "cifar10-resnet20-sturdy"
CAT = 3
ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
COMMANDS = ("models", "data", "train", "attack", "bench")
QUICK = ["--population", "8", "--generations", "2", "--device", "cpu"]
KEYS = {
    "model", "success", "queries", "generations", "pixels", "label_before", "label_after",
    "confidence_before", "confidence_after", "seed",
}  # fmt: skip
"""What issue 2 wants at least."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two untrained models that call test image 0 a cat: one just barely, one come what may."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    model = build_model("resnet20")
    model.load_state_dict(half_precision(model), strict=False)
    image, label = find_dataset().test_image(0)
    assert label == CAT
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setenv("APR_CHECKPOINTS", str(folder))
        model.backbone.linear.bias -= model.eval()(image[None].float() / 255)[0]
        for name, gap in ((FRAGILE, 0.01), (STURDY, 100.0)):
            model.backbone.linear.bias[CAT] += gap
            save_checkpoint(model, card_of(name))
    return folder


def card_of(name: str) -> Card:
    return Card(
        name, "cifar10", "resnet20", "vanilla", {}, 0, 0, "0" * 64, 0.125, 1250, 10_000,
        "a test", 0.0, {},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, checkpoints: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("APR_CHECKPOINTS", str(checkpoints))
    monkeypatch.setenv("APR_DATA", str(tmp_path / "data"))


@pytest.fixture
def json_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What a command prints, read as JSON; nothing else may stand beside it."""

    def run(*arguments: str) -> Any:
        assert main([*arguments, "--json"]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return json.loads(printed.out, parse_constant=pytest.fail)

    return run


def shifted(model: str, *more: str) -> list[str]:
    """The command line of FGSM on test image 0, or of what comes after it."""
    usual = ["--index", "0", "--device", "cpu", "--method", "fgsm"]
    return ["attack", "--model", model, *usual, *more]


# models


def test_models_lists_every_card(json_of) -> None:
    listed = json_of("models")
    assert [entry["name"] for entry in listed] == [FRAGILE, STURDY]
    assert [entry["clean_accuracy"] for entry in listed] == [0.125, 0.125]
    assert all(re.fullmatch("[0-9a-f]{64}", entry["sha256"]) for entry in listed)


def test_models_prints_a_line_a_model(capsys) -> None:
    assert main(["models", "--verify"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(FRAGILE)
    assert "12.50% clean (n = 10,000)" in first
    assert second.startswith(STURDY)


def test_an_empty_zoo_says_how_to_fill_it(monkeypatch, tmp_path, capsys, json_of) -> None:
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path))
    assert main(["models"]) == 0
    assert "`python -m apr_core train`" in capsys.readouterr().out
    assert json_of("models") == []


# attack


def attack(model: str = FRAGILE, *arguments: str) -> list[str]:
    source = [] if "--image" in arguments else ["--index", "0"]
    return ["attack", "--model", model, *source, *QUICK, *arguments]


def test_the_same_seed_prints_the_same_json(json_of) -> None:
    first, second = (json_of(*attack()) for _ in range(2))
    assert first.pop("seconds") > 0
    second.pop("seconds")
    assert first == second
    other = json_of(*attack(FRAGILE, "--seed", "1"))
    assert other["pixels"] != first["pixels"]
    assert other["seed"] == 1


def test_the_json_has_all_that_was_promised(json_of) -> None:
    told = json_of(*attack(FRAGILE, "--pixels", "2"))
    assert told.keys() >= KEYS
    assert told["model"] == FRAGILE
    assert told["success"] is True
    assert told["label_before"] == CAT != told["label_after"]
    assert 0 < told["confidence_after"] <= 1
    assert 0 < told["confidence_before"] <= 1
    assert told["queries"] == 8 * (told["generations"] + 1)
    assert len(told["pixels"]) == 2
    for pixel in told["pixels"]:
        assert pixel.keys() == {"x", "y", "rgb"}
        assert all(0 <= pixel[axis] < 32 for axis in ("x", "y"))
        assert all(0 <= value <= 255 for value in pixel["rgb"])
        assert len(pixel["rgb"]) == 3


@pytest.mark.parametrize("model", [FRAGILE, STURDY])
def test_the_json_is_what_the_engine_says(json_of, model: str) -> None:
    told = json_of(*attack(model, "--seed", "7", "--strategy", "best1bin", "--fitness", "margin"))
    config = OnePixelConfig(
        population=8, generations=2, seed=7, strategy="best1bin", fitness="margin"
    )
    image, label = find_dataset().test_image(0)
    result = OnePixelAttack(load_model(model), config).run(image[None], torch.tensor([label]))
    (outcome,) = result.outcomes
    assert told["success"] == outcome.success == (model == FRAGILE)
    assert told["queries"] == outcome.queries
    assert told["true_after"] == outcome.true_after
    assert [(p["x"], p["y"], *p["rgb"]) for p in told["pixels"]] == [
        (edit.x, edit.y, *edit.rgb) for edit in outcome.edits
    ]


def test_a_survivor_is_an_answer_and_writes_no_picture(json_of, tmp_path: Path) -> None:
    told = json_of(*attack(STURDY, "--out", str(tmp_path / "a.png")))
    assert told["success"] is False
    assert told["queries"] == 24
    assert told["label_after"] == CAT
    assert not (tmp_path / "a.png").exists()


def test_the_picture_written_still_flips_when_read_back(json_of, tmp_path: Path) -> None:
    path = tmp_path / "adversarial.png"
    told = json_of(*attack(FRAGILE, "--out", str(path)))
    with Image.open(path) as picture:
        back = pil_to_tensor(picture)
    assert int(answers(load_model(FRAGILE), back[None])[0]) == told["label_after"] != CAT
    changed = (back != find_dataset().test_image(0)[0]).any(0).nonzero().tolist()
    assert changed == [[pixel["y"], pixel["x"]] for pixel in told["pixels"]]


def test_every_pixel_is_changed_within_reach(json_of, tmp_path: Path) -> None:
    """By PGD, whose picture flips the model; the JSON is what the engine says."""
    out = tmp_path / "shifted.png"
    asked = shifted(FRAGILE, "--method", "pgd", "--epsilon", "4/255", "--out", str(out))
    found = json_of(*asked)
    assert (found["attack"], found["flipped"], found["label"]) == ("PGD", True, "cat")
    assert found["config"] == {"reach": 4, "steps": 20, "seed": 0}
    image, _ = find_dataset().test_image(0)
    seen = pil_to_tensor(Image.open(out))
    change = int((seen.int() - image.int()).abs().max())
    assert found["steps"][-1]["largest_change"] == change <= 4
    with torch.no_grad():
        answer = load_model(FRAGILE)(seen[None].float() / 255).softmax(1)[0]
    assert answer.argmax() != CAT
    assert found["steps"][-1]["confidence"] == pytest.approx(float(answer.max()), abs=1e-4)


def test_a_picture_of_ones_own_is_attacked_under_the_models_label(json_of, tmp_path) -> None:
    path = tmp_path / "own.png"
    path.write_bytes(to_png(find_dataset().test_image(0)[0]))
    told = json_of(*attack(FRAGILE, "--image", str(path)))
    assert told["label"] == told["label_before"] == CAT
    assert told["success"] is True
    named = json_of(*attack(FRAGILE, "--image", str(path), "--label", "cat"))
    assert named["pixels"] == told["pixels"]
    wrong = json_of(*attack(FRAGILE, "--image", str(path), "--label", "dog"))
    assert wrong["status"] == Status.MISCLASSIFIED
    assert wrong["queries"] == 0


def test_a_target_is_reached_or_not_and_told(json_of) -> None:
    told = json_of(*attack(STURDY, "--target", "dog"))
    assert told["config"]["target"] == 5
    assert told["success"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (attack(FRAGILE), r"cat \(\d+%\) became \w+ \(\d+%\) after \d+ queries: pixel \(\d+, "),
        (attack(STURDY), r"The cat survived 24 queries; the closest was pixel .* 100\.0% cat\."),
        (attack(STURDY, "--index", "1"), "takes this ship for a cat already"),
        (shifted(FRAGILE), r"cat \(\d+%\) became \w+ \(\d+%\) after 1 step of FGSM, 8 of 255 in "),
        (shifted(STURDY, "--method", "pgd", "--steps", "3"),
         "The cat survived 3 steps of PGD, 8 of 255 in every value of a pixel at most; 100.0% cat"),
        (shifted(STURDY, "--index", "1"), "takes this ship for a cat already"),
    ],
)  # fmt: skip
def test_people_are_told_in_words(capsys, arguments: list[str], said: str) -> None:
    assert main(arguments) == 0
    assert re.search(said, capsys.readouterr().out)


# Bad input


BAD = {
    "unknown model": (attack("no-such"), "There is no model 'no-such'"),
    "model outside the folder": (attack(f"../checkpoints/{FRAGILE}"), "There is no model"),
    "index below 0": (attack(FRAGILE, "--index", "-1"), "There is no test image -1"),
    "index 10000": (attack(FRAGILE, "--index", "10000"), "There is no test image 10000"),
    "index not shipped": (attack(FRAGILE, "--index", "9999"), "not in the shipped sample"),
    "seed below 0": (attack(FRAGILE, "--seed", "-1"), "seed is -1"),
    "seed too large": (attack(FRAGILE, "--seed", str(2**31)), "seed is 2147483648"),
    "population 1": (attack(FRAGILE, "--population", "1"), "population is 1"),
    "generations below 0": (attack(FRAGILE, "--generations", "-1"), "generations is -1"),
    "pixels 0": (attack(FRAGILE, "--pixels", "0"), "pixels is 0"),
    "pixels 151": (attack(FRAGILE, "--pixels", "151"), "between 1 and 150"),
    "penalty not a number": (attack(FRAGILE, "--l2-penalty", "nan"), "l2_penalty is nan"),
    "target nonsense": (attack(FRAGILE, "--target", "zebra"), "There is no class 'zebra'"),
    "target 10": (attack(FRAGILE, "--target", "10"), "There is no class '10'"),
    "target empty": (attack(FRAGILE, "--target", ""), "There is no class ''"),
    "target is the label": (attack(FRAGILE, "--target", "cat"), "already the image's class"),
    "target number is the label": (attack(FRAGILE, "--target", "3"), "already the image's class"),
    "a method that is none": (attack(FRAGILE, "--method", "joy"), "known ones are: de, .*, pgd"),
    "epsilon above 1": (shifted(FRAGILE, "--epsilon", "2"), "--epsilon is 2, but must lie"),
    "epsilon off the grid": (shifted(FRAGILE, "--epsilon", "0.03"), "write it as 8/255"),
    "epsilon of few pixels": (attack(FRAGILE, "--epsilon", "8/255"), "which is of fgsm and pgd"),
    "pixels of fgsm": (shifted(FRAGILE, "--pixels", "3"), "--pixels means nothing to fgsm"),
    "target of fgsm": (shifted(FRAGILE, "--target", "dog"), "--target means nothing to fgsm"),
    "steps of fgsm": (shifted(FRAGILE, "--steps", "3"), "fgsm makes one step"),
    "pgd of no step": (shifted(FRAGILE, "--method", "pgd", "--steps", "0"), "steps is 0"),
    "epsilon beyond floats": (shifted(FRAGILE, "--epsilon", "1e400"), "write it as in 8/255"),
    "pgd of one step": (shifted(FRAGILE, "--method", "pgd", "--steps", "1"), "--steps is 1, but"),
    "a patch without a side": (attack(FRAGILE, "--method", "sparse-rs-patch"), "give its --side"),
    "a patch by another method": (attack(FRAGILE, "--side", "2", "--method", "de"), "of a patch"),
    "a patch too large": (attack(FRAGILE, "--side", "40"), "40 × 40 does not fit a picture of 32"),
    "label of a test image": (attack(FRAGILE, "--label", "dog"), "--label goes with --image"),
    "unknown strategy": (attack(FRAGILE, "--strategy", "rand2"), "no strategy 'rand2'"),
    "unknown fitness": (attack(FRAGILE, "--fitness", "joy"), "no fitness 'joy'"),
    "unknown stop": (attack(FRAGILE, "--stop", "never"), "no stop 'never'"),
    "unknown device": (attack(FRAGILE, "--device", "abacus"), "no device 'abacus'"),
    "device without data": (attack(FRAGILE, "--device", "meta"), "no device 'meta'"),
    "picture missing": (attack(FRAGILE, "--image", "{tmp}/no.png"), "no file at .*no.png"),
    "picture a folder": (attack(FRAGILE, "--image", "{tmp}"), "a folder at"),
    "picture a text": (attack(FRAGILE, "--image", "{tmp}/text.png"), "picture in text.png"),
    "picture empty": (attack(FRAGILE, "--image", "{tmp}/empty.png"), "nothing in empty.png"),
    "label nonsense": (
        attack(FRAGILE, "--image", "{tmp}/own.png", "--label", "zebra"),
        "There is no class 'zebra'",
    ),
    "out into a missing folder": (attack(FRAGILE, "--out", "{tmp}/no/a.png"), "no/a.png"),
    "out into a missing folder, survived": (
        attack(STURDY, "--out", "{tmp}/no/a.png"),
        "no/a.png",
    ),
    "out into a missing folder, as JSON": (
        attack(STURDY, "--json", "--out", "{tmp}/no/a.png"),
        "no/a.png",
    ),
    "out is a folder": (attack(FRAGILE, "--out", "{tmp}"), "give --out another place"),
    "data from nowhere": (["data", "cifar10", "--source", "ftp"], "no source 'ftp'"),
    "train nothing": (["train", "--architecture", "mlp"], "no architecture 'mlp'"),
    "train for nothing": (["train", "--defence", "hope"], "no defence 'hope'"),
    "train by nothing": (["train", "--preset", "magic"], "no preset 'magic'"),
    "train never": (["train", "--epochs", "0"], "epochs must be above 0, not 0"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_sentence_and_exit_code_2(
    capsys, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "text.png").write_text("This is not a picture.\n" * 50)
    (tmp_path / "empty.png").touch()
    (tmp_path / "own.png").write_bytes(to_png(find_dataset().test_image(0)[0]))
    assert main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert ONE_SENTENCE.fullmatch(printed.err.removesuffix("\n")), printed.err
    assert re.search(said, printed.err)
    assert printed.out == ""


@pytest.mark.parametrize("command", [["models", "--verify"], attack(FRAGILE)])
def test_a_damaged_checkpoint_gets_one_sentence(
    capsys, monkeypatch, tmp_path, checkpoints: Path, command: list[str]
) -> None:
    for path in checkpoints.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / f"{FRAGILE}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path))
    assert main(command) == 2
    printed = capsys.readouterr()
    assert ONE_SENTENCE.fullmatch(printed.err.strip())
    assert f"The weights of {FRAGILE} are damaged" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["attack"],
        ["attack", "--model", FRAGILE],
        ["attack", "--model", FRAGILE, "--index", "0", "--image", "a.png"],
        attack(FRAGILE, "--index", "one"),
        attack(FRAGILE, "--seed", "1.5"),
        ["data", "mnist"],
    ],
)
def test_what_cannot_be_parsed_exits_with_code_2(capsys, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert "error: " in printed.err.splitlines()[-1]
    assert printed.out == ""


# The rest


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(capsys, command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m apr_core {command}")


def test_help_lists_every_command(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^ +{command} +\S", out, re.MULTILINE) for command in COMMANDS)


def test_training_prints_nothing_but_json(capsys, monkeypatch) -> None:
    told = replace(find_dataset(), fetch=lambda source, say: say("CIFAR-10 is already here."))
    monkeypatch.setattr("apr_core.cli.train.find_dataset", lambda name: told)
    monkeypatch.setattr("apr_core.cli.train.train", lambda *arguments: card_of(FRAGILE))
    assert main(["train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == FRAGILE


def test_an_interrupted_command_exits_with_130(capsys, monkeypatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("apr_core.cli.models.list_cards", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_it_runs_as_a_module_of_python(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["apr_core", *attack("no-such")])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("apr_core", run_name="__main__")
    assert caught.value.code == 2
    assert ONE_SENTENCE.fullmatch(capsys.readouterr().err.strip())
