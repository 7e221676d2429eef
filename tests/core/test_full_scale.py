"""The run on a GPU, as far as it can be held without one: its order, its budget, what it packs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apr_core.base.types import InputError
from apr_core.cli import make_parser
from apr_core.cli.train import requests_of
from apr_core.data.cifar10 import Cifar10, unpack_sprites
from apr_core.defences import DEFENCES
from apr_core.defences.recipe import constants
from apr_core.evaluation.record import results_folder
from apr_core.training.trainer import TrainRequest
from apr_core.zoo.checkpoints import Card, checkpoint_folder, write_card
from scripts.full_scale import __main__ as full_scale
from scripts.full_scale import parcels, smoke, worker
from scripts.full_scale.jobs import RECIPE, ROWS, Job, Work, jobs
from scripts.full_scale.parcels import join, pack
from scripts.full_scale.plan import choose, schedule
from scripts.full_scale.speeds import STARTUP, Speeds
from scripts.full_scale.sprites import write_sprites
from tests.conftest import noise

H100 = Speeds(dict.fromkeys(ROWS, 30_000.0), 100_000.0, 60.0)
"""What an H100 may be expected to do with ResNet-18."""
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("checkpoints", "results", "training", "data"):
        monkeypatch.setenv(f"APR_{kind.upper()}", str(tmp_path / kind))
        (tmp_path / kind).mkdir()


def job(name: str) -> Job:
    (found,) = [job for job in jobs(toy=False) if job.name == name]
    return found


def add_card(defence: str, recipe: dict[str, object], sha256: str = "a" * 64, **more) -> Card:
    settings = {
        "name": f"cifar10-resnet18-{defence}", "dataset": "cifar10", "architecture": "resnet18",
        "defence": defence, "recipe": recipe, "seed": 0, "epochs": 40, "data_sha256": "0" * 64,
        "clean_accuracy": 0.9, "correct": 9000, "tested": 10_000, "hardware": "a test",
        "wall_time": 0.0, "versions": {}, "sha256": sha256,
    }  # fmt: skip
    card = Card(**(settings | more))
    write_card(card)
    (checkpoint_folder() / f"{card.name}.safetensors").touch()
    return card


def recipe_of(defence: str, **changed: object) -> dict[str, object]:
    kept = constants(DEFENCES.get(defence))
    return {"defence": kept, **vars(RECIPE), **changed}


# Which jobs, and in which order


@pytest.mark.parametrize("toy", [False, True])
def test_each_job_is_a_command(toy: bool) -> None:
    parser = make_parser()
    names = [job.name for job in jobs(toy)]
    assert len(set(names)) == len(names)
    for each in jobs(toy):
        parser.parse_args(each.arguments)


@pytest.mark.parametrize("network", ["resnet18", "vgg16"])
def test_all_rows_are_trained_before_any_is_measured_and_on_few_images_before_many(
    network: str,
) -> None:
    mine = [job.name for job in jobs(toy=False) if network in job.name]
    kinds = ["".join(name.split()[0]) + name.rpartition(" on ")[2] for name in mine]
    trained = [place for place, kind in enumerate(kinds) if kind.startswith("train")]
    few = [place for place, kind in enumerate(kinds) if kind in ("certify1000", "evaluate200")]
    many = [place for place, kind in enumerate(kinds) if kind in ("certify10000", "evaluate1000")]
    assert trained == list(range(len(ROWS)))
    assert few[: 2 * len(ROWS)] == list(range(len(ROWS), 3 * len(ROWS)))
    assert len(many) == 2 * len(ROWS)
    assert min(many) >= 3 * len(ROWS)


def test_the_first_network_is_measured_before_the_second_is_trained() -> None:
    names = [job.name for job in jobs(toy=False)]
    second = names.index("train vgg16 vanilla")
    assert names[: len(ROWS)] == [f"train resnet18 {defence}" for defence in ROWS]
    assert names.index("evaluate cifar10-resnet18-it by ladder at 1 on 200") < second
    assert second < names.index("certify cifar10-resnet18-vanilla on 10000")


@pytest.mark.parametrize("defence", ["vanilla", "apr", "apr-plus"])
def test_the_first_of_several_seeds_is_the_model_that_is_there(defence: str) -> None:
    """Else it would be trained anew under the shipped name, after all was measured of it."""
    training, seeds = job(f"train resnet18 {defence}"), job(f"seed 4 of resnet18 {defence}")
    (one,) = requests_of(make_parser().parse_args(training.arguments))
    first, *others = requests_of(make_parser().parse_args(seeds.arguments))
    assert first == one == TrainRequest("resnet18", defence, RECIPE, ship=True)
    assert [request.config.seed for request in others] == [1, 2, 3, 4]
    assert not any(request.ship for request in others)


def test_a_seed_is_trained_after_the_one_before_it() -> None:
    card = add_card("apr", recipe_of("apr"))
    record = results_folder() / f"seeds-{card.name}.json"
    first, second = job("seed 1 of resnet18 apr"), job("seed 2 of resnet18 apr")
    assert first.ready()
    assert not second.ready()
    runs = [{"name": card.name, "sha256": card.sha256}, {"name": "other", "sha256": "b" * 64}]
    record.write_text(json.dumps({"runs": runs}))
    assert first.done()
    assert second.ready()
    assert not second.done()
    write_card(replace(card, sha256="c" * 64))  # trained anew: all seeds are to be
    assert not first.done()


def test_a_model_of_another_recipe_is_trained_anew() -> None:
    training, certified = job("train resnet18 vanilla"), "certify cifar10-resnet18-vanilla on 1000"
    assert not training.done()
    add_card("vanilla", recipe_of("vanilla", batch_size=128, learning_rate=0.2))
    assert not training.done()
    assert not job(certified).ready()
    add_card("vanilla", recipe_of("vanilla"))
    assert training.done()
    assert job(certified).ready()
    (checkpoint_folder() / "cifar10-resnet18-vanilla.safetensors").unlink()
    assert training.done()
    assert not job(certified).ready()  # its card alone was sent here
    assert not job("train resnet18 dd").ready()


def test_so_is_one_of_the_old_penalty() -> None:
    kept = constants(DEFENCES.get("apr"))
    del kept["paired"]
    add_card("apr", recipe_of("apr") | {"defence": kept})
    assert not job("train resnet18 apr").done()


def test_so_is_a_student_of_another_teacher() -> None:
    assert not job("train resnet18 dd").ready()
    add_card("vanilla", recipe_of("vanilla"), "a" * 64)
    taught = constants(DEFENCES.get("dd")) | {"teacher": f"cifar10-resnet18-vanilla {'a' * 12}"}
    add_card("dd", recipe_of("dd") | {"defence": taught})
    assert job("train resnet18 dd").ready()
    assert job("train resnet18 dd").done()
    add_card("vanilla", recipe_of("vanilla"), "b" * 64)
    assert not job("train resnet18 dd").done()


def test_so_is_a_defence_on_another_base() -> None:
    base = add_card("vanilla", recipe_of("vanilla"), "a" * 64)
    add_card("it", {"defence": constants(DEFENCES.get("it"))}, base=base.name)
    assert job("train resnet18 it").done()
    write_card(replace(base, sha256="b" * 64))
    assert not job("train resnet18 it").done()


def test_a_record_of_other_weights_is_none() -> None:
    certified = job("certify cifar10-resnet18-vanilla on 1000")
    card = add_card("vanilla", recipe_of("vanilla"))
    path = results_folder() / "certificates" / f"{card.name}-lattice4-n1000.json"
    path.parent.mkdir()
    for sha256, done in (("b" * 64, False), (card.sha256, True)):
        path.write_text(json.dumps({"setting": {"sha256": sha256}}))
        assert certified.done() is done


def test_a_name_that_no_job_has_is_refused(capsys) -> None:
    assert full_scale.main(["--list", "--only", "resnet99"]) == 2
    assert "'resnet99'" in capsys.readouterr().err


def test_what_there_is_to_do_is_listed(capsys) -> None:
    add_card("vanilla", recipe_of("vanilla"))
    assert full_scale.main(["--list", "--only", "train resnet18 v"]) == 0
    assert capsys.readouterr().out == "done   train resnet18 vanilla\n"


# The budget


def of(name: str, seconds: float, done: bool = False, ready: bool = True) -> Job:
    return Job(name, [name], Work("resnet18", seconds=seconds), lambda: done, lambda: ready)


def seconds_of(each: Job) -> float:
    return each.work.seconds


def test_the_first_that_fits_is_next() -> None:
    listed = [
        of("there", 1, done=True),
        of("later", 1, ready=False),
        of("long", 60),
        of("short", 5),
    ]
    assert choose(listed, 100, seconds_of).name == "long"
    assert choose(listed, 30, seconds_of).name == "short"
    assert choose(listed, 3, seconds_of).name == "long"  # none fits: what is begun is not lost
    assert choose(listed, 30, seconds_of, {"short"}).name == "long"
    assert choose(listed, 30, seconds_of, {"short", "long"}) is None
    assert choose(listed, 0, seconds_of) is None


def test_nine_minutes_of_a_gpu_train_every_row_of_the_first_network() -> None:
    planned = schedule(jobs(toy=False), 9 * 60, lambda job: H100.seconds(job.work))
    names = [job.name for job in planned]
    assert names[: len(ROWS)] == [f"train resnet18 {defence}" for defence in ROWS]
    assert "certify cifar10-resnet18-it on 1000" in names
    assert sum(H100.seconds(job.work) for job in planned) <= 9 * 60


def test_a_job_takes_as_long_as_its_work_at_the_measured_speeds() -> None:
    training = H100.seconds(job("train resnet18 apr").work)
    assert training == pytest.approx(STARTUP + 40 * 50_000 / 30_000)
    assert H100.seconds(job("train resnet18 it").work) == STARTUP
    certified = H100.seconds(job("certify cifar10-resnet18-apr on 1000").work)
    assert certified == pytest.approx(STARTUP + 1000 / 60)


# Failures


@pytest.fixture
def failures(tmp_path: Path) -> Path:
    return tmp_path / "failures.json"


def run_jobs(listed: list[Job], failures: Path, monkeypatch, command: Callable) -> int:
    monkeypatch.setattr(worker.cli, "main", command)
    monkeypatch.setattr(worker.time, "monotonic", lambda: 0.0)
    return worker._do_all(listed, 100.0, failures, seconds_of)


def test_a_command_that_refuses_is_passed_over(failures, monkeypatch) -> None:
    called = []

    def command(arguments: list[str]) -> int:
        called.extend(arguments)
        return 2 if arguments == ["one"] else 0

    assert run_jobs([of("one", 1), of("two", 1)], failures, monkeypatch, command) == 0
    assert called == ["one", "two"]
    assert worker.read_names(failures) == ["one"]


def test_a_job_that_breaks_ends_the_process_and_is_not_begun_again(failures, monkeypatch) -> None:
    called = []

    def command(arguments: list[str]) -> int:
        called.extend(arguments)
        if arguments == ["one"]:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return 0

    listed = [of("one", 1), of("two", 1)]
    assert run_jobs(listed, failures, monkeypatch, command) == worker.JOB_FAILED
    assert called == ["one"]
    assert run_jobs(listed, failures, monkeypatch, command) == 0
    assert called == ["one", "two"]


class Processes:
    """In place of `subprocess.run`: what each process in turn leaves in the file of failures, and
    its exit code, or None for one whose time was up."""

    def __init__(self, *ends: tuple[list[str], int | None]) -> None:
        self.ends = list(ends)
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], timeout: float, **more) -> object:
        self.commands.append(command)
        names, code = self.ends.pop(0)
        Path(command[command.index("--failures") + 1]).write_text(json.dumps(names))
        if code is None:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, code)


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([([], 0)], 0),
        ([(["one"], worker.JOB_FAILED), (["one"], 0)], 1),
        ([(["one"], -11), (["one"], 0)], 1),  # killed by its GPU's library
        ([(["one"], None)], 0),  # cut off is not failed
        ([([], worker.SMOKE_FAILED)], worker.SMOKE_FAILED),
        ([([], 1)], 1),  # it failed before any job: no use in another
    ],
)
def test_another_process_goes_on_after_one_that_broke(ends, code: int, monkeypatch) -> None:
    processes = Processes(*ends)
    monkeypatch.setattr(full_scale.subprocess, "run", processes)
    assert full_scale.main(["--minutes", "5"]) == code
    assert processes.ends == []
    assert ["--no-smoke" in command for command in processes.commands] == (
        [False] + [True] * (len(ends) - 1)
    )


# The paths of a GPU


@pytest.mark.parametrize(
    "check",
    [
        smoke._float32_is_float32,
        smoke._the_folded_copy,
        smoke._half_precision,
        smoke._chunks_of_every_size,
        smoke._jpeg_on_the_device,
        smoke._a_certificate,
    ],
)
def test_a_path_works_as_far_as_a_processor_can_stand_in(check: smoke.Check) -> None:
    with smoke.as_on_a_gpu():
        check(CPU)


def test_a_path_that_is_wrong_stops_the_run(monkeypatch, failures, capsys) -> None:
    round_trip = smoke.jpeg.jpeg_round_trip
    answers = iter([0, 1])
    monkeypatch.setattr(
        smoke.jpeg, "jpeg_round_trip", lambda *given: round_trip(*given) ^ next(answers)
    )
    monkeypatch.setattr(smoke, "CHECKS", (smoke._jpeg_on_the_device,))
    monkeypatch.setattr(worker, "_do_all", lambda *given: pytest.fail("a job was begun"))
    assert worker.work([], 100.0, failures, toy=True, smoke=True) == worker.SMOKE_FAILED
    assert "JPEG" in capsys.readouterr().err


def test_what_rounds_too_much_or_is_no_number_is_noticed() -> None:
    smoke._near("It", torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.001]), 1e-3)
    for wrong in (torch.tensor([1.0, 2.01]), torch.tensor([1.0, float("nan")])):
        with pytest.raises(smoke.PathError):
            smoke._near("It", wrong, torch.tensor([1.0, 2.0]), 1e-3)


# What comes back


def make_something(size: int = 1000) -> dict[str, bytes]:
    """A record, and two models; by their names from the project's root."""
    files = {"results/evaluations/a-record-here.json": b"{}"}
    for name in ("a-model-one", "a-model-two"):
        files |= {f"checkpoints/{name}.json": b"{}", f"checkpoints/{name}.safetensors": b"w" * size}
    for place, (name, content) in enumerate(files.items()):
        kind, _, rest = name.partition("/")
        path = (checkpoint_folder() if kind == "checkpoints" else results_folder()) / rest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if place % 2 else content + str(place).encode())
        files[name] = path.read_bytes()
    return files


def found_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for kind in ("checkpoints", "results")
        for path in (folder / kind).rglob("*")
        if path.is_file()
    }


def test_a_parcel_arrives_whole(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parcels, "PIECE", 4096)
    files, out = make_something(), tmp_path / "out"
    monkeypatch.setattr(parcels, "PIECES", 20)
    assert set(pack(out)) == set(files)
    assert len(list(out.iterdir())) > 3
    assert all(path.stat().st_size <= 4096 for path in out.glob("piece-*"))
    here = tmp_path / "here"
    for kind in ("checkpoints", "results"):
        monkeypatch.setenv(f"APR_{kind.upper()}", str(here / kind))
    assert set(join(out)) == set(files)
    assert found_in(here) == files
    join(out)  # as often as one likes
    assert found_in(here) == files


def test_what_has_no_room_is_in_the_next_parcel(tmp_path: Path, monkeypatch) -> None:
    files = make_something(100_000)
    monkeypatch.setattr(parcels, "PIECE", 100_000)
    monkeypatch.setattr(parcels, "PIECES", 2)
    first, second, third = (pack(tmp_path / name) for name in ("one", "two", "three"))
    assert {"results/evaluations/a-record-here.json", "checkpoints/a-model-one.json"} <= set(first)
    assert {*first, *second} == set(files)
    assert not {*first} & {*second}
    assert third == []
    assert pack(tmp_path / "four", again=True) == first
    assert join(tmp_path / "three") == []


def test_what_the_project_has_already_is_not_packed(tmp_path: Path, monkeypatch) -> None:
    files = make_something()
    shipped = tmp_path / "project" / "checkpoints"
    shipped.mkdir(parents=True)
    for suffix in (".json", ".safetensors"):
        name = f"a-model-one{suffix}"
        (shipped / name).write_bytes(files[f"checkpoints/{name}"])
    monkeypatch.setattr(parcels, "ROOT", tmp_path / "project")
    assert not any("a-model-one" in name for name in pack(tmp_path / "out"))


def test_a_parcel_that_was_damaged_on_its_way_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make_something()
    pack(out)
    piece = out / "piece-1.bin"
    whole = piece.read_bytes()
    piece.write_bytes(whole[:-1] + b"!")
    with pytest.raises(InputError, match="damaged"):
        join(out)
    piece.unlink()
    with pytest.raises(InputError, match="no whole parcel"):
        join(out)
    piece.write_bytes(whole)
    listed = json.loads((out / "parcel.json").read_text())
    listed["files"].popitem()
    (out / "parcel.json").write_text(json.dumps(listed))
    with pytest.raises(InputError, match="other files"):
        join(out)
    assert parcels.main(["join", str(tmp_path / "nowhere")]) == 2


@pytest.mark.parametrize("name", ["app.py", "results/../app.py", "results", "/etc/passwd"])
def test_a_file_of_a_parcel_lies_in_the_two_folders(name: str) -> None:
    with pytest.raises(InputError, match="is no file of"):
        parcels._place(name)


def test_the_data_arrive_as_they_were(tmp_path: Path) -> None:
    train, test = (noise(count, 3, 32, 32).mul(50).to(torch.uint8) for count in (10, 4))
    data = Cifar10(train, torch.arange(10), test, torch.arange(4))
    paths = write_sprites(data, tmp_path)
    assert len(paths) == 8
    arrays = unpack_sprites(lambda name: (tmp_path / name).read_bytes())
    for name, expected in vars(data).items():
        assert torch.equal(arrays[name].long(), expected.long())
