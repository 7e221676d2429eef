"""From a request to a checkpoint: every recipe, several seeds, several processes, and faults."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apr_core.base.types import InputError
from apr_core.cli import main
from apr_core.cli.train import seeds_of
from apr_core.data.dataset import DataSet, Split
from apr_core.data.registry import find_dataset
from apr_core.defences import DEFENCES
from apr_core.defences.input_transform import InputTransform
from apr_core.defences.recipe import TrainConfig
from apr_core.models import ARCHITECTURES, build_model
from apr_core.models.clamp_front import NeighbourhoodFront
from apr_core.models.pixel_attention import PixelAttention
from apr_core.training.fit import Progress
from apr_core.training.monitor import PROBED, TrainingMonitor, count_correct
from apr_core.training.trainer import TrainRequest, find_finished, seed_requests, train
from apr_core.zoo.checkpoints import is_own, load_card, load_model, model_names
from tests.conftest import PATIENCE, ROOT, answers
from tests.core.small import QUICK, PlainNet, red_and_blue_data, small_network

CPU = torch.device("cpu")
VANILLA = "cifar10-small-vanilla"


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("APR_TRAINING", str(tmp_path / "training"))
    monkeypatch.setitem(ARCHITECTURES._entries, "small", small_network)
    monkeypatch.setitem(ARCHITECTURES._entries, "plain", PlainNet)
    return tmp_path


@pytest.fixture
def data() -> DataSet:
    return red_and_blue_data()


def request_for(
    defence: str, ship: bool = True, name: str = "", **settings: object
) -> TrainRequest:
    return TrainRequest("small", defence, replace(QUICK, **settings), name, ship)


class KilledError(Exception):
    """The end of a process, as far as a test can have one."""


def killed_in_epoch(number: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.epoch == number:
            raise KilledError

    return report


def test_a_cards_accuracy_is_that_of_the_weights_as_they_load(data: DataSet) -> None:
    request = request_for("apr", epochs=6, subset=32, seed=4)
    card = train(request, data, CPU, notes="A test.")
    assert card == load_card("cifar10-small-apr")
    model = load_model(card.name)
    test = data.load("test")
    correct = int((answers(model, test.images) == test.labels).sum())
    assert (card.correct, card.tested) == (correct, 20)
    assert card.clean_accuracy == correct / 20 > 0.5
    assert (card.seed, card.epochs, len(card.history)) == (4, 6, 6)
    assert card.recipe["subset"] == 32
    assert card.recipe["defence"]["alpha"] == 0.7
    assert not request.state_file.exists()


@pytest.mark.parametrize("defence", DEFENCES.names)
def test_every_recipe_makes_a_checkpoint_that_loads(data: DataSet, defence: str) -> None:
    train(request_for("vanilla"), data, CPU)
    card = train(request_for(defence), data, CPU)
    assert json.loads(json.dumps(card.recipe)) == load_card(card.name).recipe
    model = load_model(card.name)
    test = data.load("test")
    assert card.correct == int((answers(model, test.images) == test.labels).sum())
    plus = defence.startswith("apr-plus")
    gated = defence.startswith("apr") and not plus and defence != "apr-no-attention"
    assert isinstance(model.front, PixelAttention) == gated
    assert isinstance(model.front, NeighbourhoodFront) == plus
    assert isinstance(model.front, InputTransform) == (defence == "it")
    losses = [line["loss"] for line in card.history]
    assert defence == "it" or losses[-1] < losses[0]


def test_distillation_and_transformation_build_on_the_vanilla_model(data: DataSet) -> None:
    for defence in ("dd", "it"):
        with pytest.raises(InputError, match=f"no model '{VANILLA}'"):
            train(request_for(defence), data, CPU)
    vanilla = train(request_for("vanilla"), data, CPU)
    taught = train(request_for("dd"), data, CPU)
    assert taught.recipe["defence"]["teacher"] == f"{VANILLA} {vanilla.sha256[:12]}"
    wrapped = train(request_for("it"), data, CPU)
    assert (wrapped.base, wrapped.sha256, wrapped.history) == (VANILLA, vanilla.sha256, [])


@pytest.mark.parametrize(
    ("architecture", "defence", "name"),
    [("resnet99", "apr", ""), ("resnet20", "prayer", ""), ("resnet20", "apr", "../x"),
     ("resnet20", "apr", "My Model")],
)  # fmt: skip
def test_a_request_that_cannot_be_met_is_refused_before_it_is_trained(
    architecture: str, defence: str, name: str
) -> None:
    with pytest.raises(InputError):
        TrainRequest(architecture, defence, QUICK, name)


# One's own


def test_ones_own_run_never_takes_the_place_of_another(data: DataSet) -> None:
    shipped = train(request_for("vanilla"), data, CPU)
    own = train(request_for("vanilla", ship=False, seed=1), data, CPU)
    assert re.fullmatch(rf"{VANILLA}-[0-9a-f]{{6}}", own.name)
    assert (is_own(VANILLA), is_own(own.name)) == (False, True)
    assert load_card(VANILLA) == shipped
    names = {request_for(d, ship=False, seed=s).name for d in ("vanilla", "apr") for s in (0, 1)}
    assert len(names) == 4
    assert own.name in names
    with pytest.raises(InputError, match=f"{VANILLA} is the name of a model that came with"):
        request_for("vanilla", ship=False, name=VANILLA)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("pictures/mine", "cifar10-resnet20-vanilla"),
        ("gtsrb", "cifar10-own"),
        ("cifar10", "fashion-mnist-own"),
    ],
)
def test_a_name_does_not_say_another_data_set_than_the_models(data: str, name: str) -> None:
    """Tables, and commands without --data, know a model's data set by what its name begins with."""
    known = name.removesuffix("-own").removesuffix("-resnet20-vanilla")
    with pytest.raises(InputError, match=f"a model of {known}, and the data are {data}"):
        TrainRequest("resnet20", "vanilla", TrainConfig(), name, data=data)


def test_a_folder_that_is_called_as_a_data_set_is_another() -> None:
    asked = TrainRequest("resnet20", "vanilla", TrainConfig(), ship=True, data="pictures/gtsrb")
    assert asked.name == "own-gtsrb-resnet20-vanilla"


# Several seeds


def test_each_seed_has_a_run_of_its_own_and_the_first_is_shipped(data: DataSet) -> None:
    requests = seed_requests(request_for("vanilla"), [0, 1, 2])
    cards = [train(request, data, CPU) for request in requests]
    assert [card.name for card in cards] == [VANILLA, f"{VANILLA}-seed1", f"{VANILLA}-seed2"]
    assert [is_own(card.name) for card in cards] == [False, True, True]
    assert [card.seed for card in cards] == [0, 1, 2]
    assert len({card.sha256 for card in cards}) == 3
    assert [find_finished(request) for request in requests] == cards
    assert find_finished(replace(requests[0], config=replace(QUICK, epochs=4))) is None
    assert find_finished(request_for("apr")) is None
    other = replace(requests[0], architecture="vgg16")
    assert other.name == VANILLA
    assert find_finished(other) is None


def test_a_defence_with_other_constants_is_another(data: DataSet, monkeypatch) -> None:
    card = train(request_for("apr"), data, CPU)
    assert find_finished(request_for("apr")) == card
    monkeypatch.setitem(DEFENCES._entries, "apr", replace(DEFENCES.get("apr"), beta=0.02))
    assert find_finished(request_for("apr")) is None


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("7", [7]), ("3,1,3", [1, 3]), ("2-2", [2])]
)
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "4-0", "a", "1,", "-1", "0-1000000", "1.5", "0 - 4"])
def test_seeds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--seeds is .*; write 0-4"):
        seeds_of(text)


@pytest.fixture
def commanded(monkeypatch: pytest.MonkeyPatch, data: DataSet) -> list[str]:
    """A `train` command of a small run."""
    monkeypatch.setattr("apr_core.cli.train.find_dataset", lambda name: data)
    return ["train", "--architecture", "small", "--epochs", "2", "--batch-size", "16",
            "--no-mixed-precision", "--device", "cpu"]  # fmt: skip


def test_the_command_trains_seeds_and_writes_their_figures(
    commanded: list[str], tmp_path: Path, capsys, monkeypatch
) -> None:
    out = tmp_path / "results" / "seeds.json"
    command = [*commanded, "--seeds", "0-2", "--ship", "--out", str(out), "--json"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    record = json.loads(out.read_text())
    assert [run["seed"] for run in record["runs"]] == [0, 1, 2]
    assert [run["clean_accuracy"] for run in record["runs"]] == [
        load_card(card["name"]).clean_accuracy for card in printed
    ]
    monkeypatch.setattr("apr_core.cli.train.train", pytest.fail)  # all is there already
    assert main(command) == 0
    assert json.loads(out.read_text()) == record


def test_the_command_appends_its_progress_to_a_log(commanded: list[str], tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert main([*commanded, "--log", str(log)]) == 0
    lines = [Progress(**json.loads(line)) for line in log.read_text().splitlines()]
    assert [(line.epoch, line.step) for line in lines] == [(1, 1), (1, 2), (2, 1), (2, 2)]


# Several processes


def run_workers(count: int, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`train` under torchrun, on a data set of red and blue pictures."""
    command = [
        sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", "--standalone",
        str(ROOT / "tests" / "core" / "worker.py"), *arguments,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(  # noqa: PLW1510  its exit code is what is tested
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )


def test_two_processes_make_what_one_makes(folders: Path, data: DataSet) -> None:
    """Without batch norm, the averaged gradients of two halves are the gradient of the whole."""
    done = run_workers(2, "plain", "vanilla", folder=folders)
    assert done.returncode == 0, done.stderr
    assert model_names() == ("cifar10-plain-vanilla",)
    together = load_model("cifar10-plain-vanilla")
    request = TrainRequest("plain", "vanilla", QUICK, "cifar10-plain-alone")
    alone = load_model(train(request, data, CPU).name)
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-4)  # of half precision
    losses = [[line["loss"] for line in load_card(name).history] for name in model_names()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.long
def test_two_processes_train_one_model_with_the_exact_regulariser(
    folders: Path, data: DataSet
) -> None:
    """Batch norm, an input gradient and its own gradient, under DistributedDataParallel."""
    done = run_workers(2, "small", "apr-exact", folder=folders)
    assert done.returncode == 0, done.stderr
    model = load_model("cifar10-small-apr-exact")
    assert len(load_card("cifar10-small-apr-exact").history) == QUICK.epochs
    assert list((folders / "training").glob("*.safetensors")) == []
    test = data.load("test")
    assert int((answers(model, test.images) == test.labels).sum()) > 14


# Faults


def test_a_full_disk_ends_the_run_and_keeps_its_state(monkeypatch, data: DataSet) -> None:
    request = request_for("vanilla", epochs=4)
    write, left = Path.write_bytes, 2

    def write_until_full(path: Path, content: bytes) -> int:
        nonlocal left
        left -= path.name.startswith(request.state_file.name)
        if left < 0:
            write(path, b"the first few bytes")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(InputError, match=r"Epoch 3 cannot be written.*No space left.*make room"):
        train(request, data, CPU)
    assert sorted(path.suffix for path in request.state_file.parent.iterdir()) == [
        ".lock", ".safetensors",
    ]  # fmt: skip
    assert model_names() == ()
    monkeypatch.undo()


def test_a_run_that_was_killed_goes_on(data: DataSet) -> None:
    straight = train(request_for("apr", name="cifar10-small-straight"), data, CPU)
    request = request_for("apr")
    with pytest.raises(KilledError):
        train(request, data, CPU, killed_in_epoch(3))
    assert request.state_file.exists()
    epochs = []
    card = train(request, data, CPU, lambda progress: epochs.append(progress.epoch))
    assert set(epochs) == {3}
    assert card.sha256 == straight.sha256


def test_two_runs_of_one_name_at_a_time_are_refused(data: DataSet) -> None:
    request = request_for("vanilla")
    said = []

    def start_again(progress: Progress) -> None:
        if not said:
            with pytest.raises(InputError, match="is being trained already") as caught:
                train(request, data, CPU)
            said.append(caught.value)

    train(request, data, CPU, start_again)
    assert len(said) == 1
    train(request, data, CPU)


# A look after each epoch


def test_looking_at_a_model_does_not_change_its_training(data: DataSet) -> None:
    plain = train(request_for("apr"), data, CPU)
    watched = train(request_for("apr", name="cifar10-small-watched"), data, CPU, probe=True)
    assert watched.sha256 == plain.sha256
    for line in watched.history:
        assert 0 <= line["flipped"] <= line["probed"] <= PROBED
        assert 0 <= line["test_accuracy"] <= 1


def test_a_probe_reports_what_the_model_does() -> None:
    torch.manual_seed(0)
    model = build_model("resnet20")
    found = TrainingMonitor(model, find_dataset())()
    sample = find_dataset().shipped_sample()
    correct = count_correct(model, Split.in_memory(sample.images, sample.labels))
    assert found["test_accuracy"] == correct / 1000
    step = 1000 // PROBED
    chosen, truth = sample.images[::step][:PROBED], sample.labels[::step][:PROBED]
    assert found["probed"] == int((answers(model, chosen) == truth).sum())


# Constants


def test_the_papers_preset_is_the_papers() -> None:
    from apr_core.defences.recipe import PRESETS

    paper = PRESETS.get("paper")
    assert paper == TrainConfig(
        "paper", 200, 128, "adam", 1e-3, 5e-4, one_cycle=False, mixed_precision=False
    )
