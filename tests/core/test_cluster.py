"""Two replicas of Ray Serve on this machine: the same results, and none lost when one is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from apr_core import OnePixelConfig, Stop
from apr_core.attacks.oracle import QueryOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.base.types import InputError
from apr_core.cli import main
from apr_core.data.registry import find_dataset
from apr_core.serving.model_loader import load_oracle
from apr_core.serving.ray.start import LOCAL, Replicas, score_on
from apr_core.serving.ray.tasks import spread
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest, Phase, RunView
from apr_core.serving.service import AttackService
from tests.conftest import ROOT, wait_until
from tests.core.small import double

MODEL = "cifar10-resnet20-vanilla"
BUDGET = OnePixelConfig(population=60, generations=20, stop=Stop.BUDGET)
ray = pytest.importorskip("ray", reason="Ray is an extra: requirements-cluster.txt")


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], QueryOracle]]:
    """Scorers that ask two replicas."""
    yield apart(score_on, LOCAL, Replicas(2, 2))
    ray.serve.shutdown()
    ray.shutdown()


def apart(function: Callable[..., Any], *given: Any) -> Any:
    """What a function returns in a thread of its own, as in the service: the browser's tests leave
    an event loop in this one, where Ray's handles refuse to wait."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function, *given).result()


def replicas() -> list[int]:
    """The processes that score."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if words.startswith(b"ray::ServeReplica:apr-lab:scoring"):
            found.append(int(folder.name))
    return found


def request(row: int, config: OnePixelConfig = BUDGET) -> AttackRequest:
    sample = find_dataset().shipped_sample()
    label, index = int(sample.labels[row]), int(sample.indices[row])
    return AttackRequest(MODEL, sample.images[row], label, index, config)


def run(
    load: Callable[[str], QueryOracle], rows: range, trouble: Callable[[], None]
) -> list[RunView]:
    """The runs' ends, `trouble` having befallen them on the way."""
    service = AttackService(load)
    try:
        ids = [service.submit(request(row)).run_id for row in rows]
        wait_until(lambda: all(_view(service, one).snapshots for one in ids))
        trouble()
        wait_until(lambda: not any(_view(service, one).live for one in ids))
        return [_view(service, one) for one in ids]
    finally:
        service.close()


def _view(service: AttackService, run_id: str) -> RunView:
    view = service.view(run_id)
    assert view is not None
    return view


def kill(count: int) -> None:
    victims = replicas()
    assert len(victims) == 2
    for victim in victims[:count]:
        os.kill(victim, signal.SIGKILL)


def edits(count: int) -> Perturbations:
    """Edits of three images, more than one replica is asked for at once."""
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randint, generator=generator)
    images, owner = find_dataset().shipped_sample().images[:3], draw(0, 3, (count,))
    return Perturbations(images, owner, draw(0, 32, (count, 2, 2)), draw(0, 256, (count, 2, 3)))


def test_replicas_say_what_this_process_says(load) -> None:
    here, there = load_oracle(MODEL), apart(load, MODEL)
    asked, images = edits(1234), find_dataset().shipped_sample().images[:30]
    assert torch.equal(apart(there.query, asked), here.query(asked))
    assert torch.equal(apart(there.verify_float32, images), here.verify_float32(images))
    there._piece = 7  # many flips are confirmed in pieces, as candidates are scored
    assert torch.equal(apart(there.verify_float32, images), here.verify_float32(images))
    assert (there.exact, there.repeatable) == (here.exact, here.repeatable)
    assert apart(there.certified_pixels, images[:1], torch.tensor([0])) is None


def test_a_proof_comes_from_afar(load) -> None:
    name = MODEL + BEHIND_LATTICE
    image, label = (
        find_dataset().shipped_sample().images[:1],
        find_dataset().shipped_sample().labels[:1],
    )
    here = load_oracle(name).certified_pixels(image, label)
    there = apart(apart(load, name).certified_pixels, image, label)
    assert here is not None
    assert there is not None
    assert here.shape == (1, 32, 32)
    assert torch.equal(here, there)


@pytest.mark.parametrize(
    "killed", [1, *(pytest.param(count, marks=pytest.mark.long) for count in (0, 2))]
)
def test_runs_end_as_they_do_in_one_process(load, killed: int) -> None:
    rows = range(3)
    alone = run(load_oracle, rows, lambda: None)
    far = run(load, rows, partial(kill, killed) if killed else lambda: None)
    assert [view.phase for view in far] == [Phase.ENDED] * 3
    assert [view.outcome for view in far] == [view.outcome for view in alone]
    for ours, theirs in zip(far, alone, strict=True):
        assert len(ours.snapshots) == BUDGET.generations + 1
        for mine, other in zip(ours.snapshots, theirs.snapshots, strict=True):
            assert torch.equal(mine.positions, other.positions)
            assert torch.equal(mine.colours, other.colours)
    wait_until(lambda: len(replicas()) == 2)


def test_a_model_that_is_not_there_ends_its_own_run(load) -> None:
    with pytest.raises(InputError, match="cifar10-no-such"):
        apart(load, "cifar10-no-such")


def test_work_is_spread_and_comes_back_by_its_place(load) -> None:
    assert dict(spread(double, [3, 1, 2], LOCAL)) == {0: 6, 1: 2, 2: 4}


def test_what_work_says_of_bad_input_is_said_here(load) -> None:
    with pytest.raises(InputError, match=r"^7 cannot be doubled; leave it out\.$"):
        list(spread(double, [7], LOCAL))


def test_an_evaluation_on_a_cluster_has_the_same_record(load, tmp_path, monkeypatch) -> None:
    def record(folder: str, *more: str) -> dict[str, Any]:
        monkeypatch.setenv("APR_RESULTS", str(tmp_path / folder))
        words = ["evaluate", "--model", MODEL, "--attack", "top-gradient", "--images", "45"]
        assert main([*words, "--json", *more]) == 0
        (path,) = (tmp_path / folder / "evaluations").glob("*.json")
        return json.loads(path.read_text())

    here, there = record("here"), record("there", "--ray")
    assert "Ray, 1 machine, each worker" in there["hardware"]
    for entry in (here, there):
        for own in ("hardware", "seconds", "date"):
            del entry[own]
    assert there == here


@pytest.mark.long
def test_seeds_are_trained_on_a_cluster(load, tmp_path, monkeypatch) -> None:
    for name in ("APR_CHECKPOINTS", "APR_TRAINING"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "browser" / "small_data"))
    words = ["train", "--epochs", "1", "--subset", "64", "--batch-size", "32"]
    words += ["--name", "cifar10-resnet20-small"]
    assert main([*words, "--seeds", "0,1", "--ray", "--json"]) == 0
    own = tmp_path / "APR_CHECKPOINTS" / "own"
    cards = {path.stem: json.loads(path.read_text()) for path in own.glob("*.json")}
    first, second = "cifar10-resnet20-small", "cifar10-resnet20-small-seed1"
    assert {name: card["seed"] for name, card in cards.items()} == {first: 0, second: 1}
    assert cards[first]["sha256"] != cards[second]["sha256"]


# What cannot be


@pytest.mark.parametrize("text", ["", "0", "-1", "2-1", "1-", "two", "1-1001", "9" * 20])
def test_a_number_of_replicas_that_cannot_be(text: str) -> None:
    with pytest.raises(InputError, match="number of replicas"):
        Replicas.read(text)


def test_a_number_of_replicas() -> None:
    assert Replicas.read("2") == Replicas(2, 2)
    assert Replicas.read("1-8") == Replicas(1, 8)


def test_ray_is_asked_for_one_seed(capsys) -> None:
    assert main(["train", "--ray"]) == 2
    assert "give --seeds" in capsys.readouterr().err


def test_workers_and_ray_exclude_each_other(capsys) -> None:
    assert main(["evaluate", "--model", MODEL, "--workers", "2", "--ray"]) == 2
    assert "leave one of them out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("hidden", "address", "said"),
    [("import sys; sys.modules['ray'] = None", LOCAL, "requirements-cluster.txt"),
     ("", "127.0.0.1:1", "No Ray cluster answers at '127.0.0.1:1'")],
)  # fmt: skip
def test_a_cluster_that_is_not_there(hidden: str, address: str, said: str) -> None:
    code = f"{hidden}\nfrom apr_core.serving.ray.start import join\njoin({address!r})"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said in found.stderr.splitlines()[-1]
