"""The run on a GPU, as far as it can be held without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from apr_core.cli import make_parser
from apr_core.cli.train import requests_of
from apr_core.defences import DEFENCES
from apr_core.trainer import TrainRequest
from apr_core.training.recipes import constants
from apr_core.zoo import Card, write_card
from scripts import full_scale
from scripts.full_scale import RECIPE, Job, jobs


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("APR_CHECKPOINTS", "APR_RESULTS", "APR_TRAINING", "APR_DATA"):
        monkeypatch.setenv(variable, str(tmp_path))


def job(name: str) -> Job:
    (found,) = [job for job in jobs(toy=False) if job.name == name]
    return found


def add_card(defence: str, recipe: dict[str, object], sha256: str = "a" * 64, **more) -> Card:
    settings = {
        "name": f"cifar10-resnet20-{defence}", "dataset": "cifar10", "architecture": "resnet20",
        "defence": defence, "recipe": recipe, "seed": 0, "epochs": 40, "data_sha256": "0" * 64,
        "clean_accuracy": 0.9, "correct": 9000, "tested": 10_000, "hardware": "a test",
        "wall_time": 0.0, "versions": {}, "sha256": sha256,
    }  # fmt: skip
    card = Card(**(settings | more))
    write_card(card)
    return card


def recipe_of(defence: str, **changed: object) -> dict[str, object]:
    kept = constants(DEFENCES.get(defence))
    return {"defence": kept, **vars(RECIPE), **changed}


@pytest.mark.parametrize("toy", [False, True])
def test_each_job_is_a_command(toy: bool) -> None:
    parser = make_parser()
    names = [job.name for job in jobs(toy)]
    assert len(set(names)) == len(names)
    for each in jobs(toy):
        parser.parse_args(each.arguments)


@pytest.mark.parametrize("defence", ["vanilla", "apr", "apr-plus"])
def test_the_first_of_several_seeds_is_the_model_that_is_there(defence: str) -> None:
    """Else it would be trained anew under the shipped name, after all was measured of it."""
    training, seeds = (job(f"{verb} resnet20 {defence}") for verb in ("train", "seeds"))
    (one,) = requests_of(make_parser().parse_args(training.arguments))
    first, *others = requests_of(make_parser().parse_args(seeds.arguments))
    assert first == one == TrainRequest("resnet20", defence, RECIPE, ship=True)
    assert [request.config.seed for request in others] == [1, 2, 3, 4]
    assert not any(request.ship for request in others)


def test_a_model_of_another_recipe_is_trained_anew() -> None:
    training = job("train resnet20 vanilla")
    assert not training.done()
    add_card("vanilla", recipe_of("vanilla", batch_size=128, learning_rate=0.2))
    assert not training.done()
    add_card("vanilla", recipe_of("vanilla"))
    assert training.done()


def test_so_is_a_student_of_another_teacher() -> None:
    add_card("vanilla", recipe_of("vanilla"), "a" * 64)
    taught = constants(DEFENCES.get("dd")) | {"teacher": f"cifar10-resnet20-vanilla {'a' * 12}"}
    add_card("dd", recipe_of("dd") | {"defence": taught})
    assert job("train resnet20 dd").done()
    add_card("vanilla", recipe_of("vanilla"), "b" * 64)
    assert not job("train resnet20 dd").done()


def test_so_is_a_defence_on_another_base() -> None:
    base = add_card("vanilla", recipe_of("vanilla"), "a" * 64)
    add_card("it", {"defence": constants(DEFENCES.get("it"))}, base=base.name)
    assert job("train resnet20 it").done()
    write_card(replace(base, sha256="b" * 64))
    assert not job("train resnet20 it").done()


def test_a_name_that_no_job_has_is_refused(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["full_scale", "--list", "--only", "resnet99"])
    with pytest.raises(SystemExit, match="2"):
        full_scale.main()
    assert "No job has 'resnet99' in its name" in capsys.readouterr().err


def test_the_data_come_first_whatever_is_asked_for(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["full_scale", "--list", "--only", "seeds resnet20 dd"])
    assert full_scale.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "== data: to do", "== seeds resnet20 dd: to do"
    ]  # fmt: skip
