"""Trainings for many callers: a queue, a log to follow, and runs that outlive the service."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from apr_core.base.files import Claim, write_whole
from apr_core.base.tickets import new_token
from apr_core.base.types import InputError
from apr_core.cli import make_parser
from apr_core.cli.train import config_of, requests_of
from apr_core.defences.recipe import TrainConfig
from apr_core.models import ARCHITECTURES
from apr_core.training.fit import Progress
from apr_core.training.jobs import TrainPhase, holder_of
from apr_core.training.service import TrainingService, train_command
from apr_core.training.trainer import TrainRequest
from apr_core.zoo.checkpoints import is_own, load_card, load_model
from tests.conftest import ROOT, wait_until
from tests.core.small import QUICK, small_network

WORKER = str(ROOT / "tests" / "core" / "slow_worker.py")
Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("APR_TRAINING", str(tmp_path / "training"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setitem(ARCHITECTURES._entries, "small", small_network)
    return tmp_path


def small_command(request: TrainRequest, log: Path) -> list[str]:
    """The real command, on a network and pictures that take no time."""
    return [sys.executable, WORKER, *train_command(request, log)[3:]]


def request_for(defence: str = "vanilla", **settings: object) -> TrainRequest:
    return TrainRequest("small", defence, replace(QUICK, **settings))


@pytest.fixture
def service() -> Iterator[TrainingService]:
    service = TrainingService(small_command)
    yield service
    service.close()


def phase(service: TrainingService, request: TrainRequest) -> TrainPhase:
    view = service.view(request.name)
    assert view is not None
    return view.phase


def ended(service: TrainingService, request: TrainRequest) -> bool:
    assert phase(service, request) is not TrainPhase.FAILED, service.view(request.name).error
    return phase(service, request) is TrainPhase.ENDED


def test_a_training_is_followed_to_its_checkpoint(service: TrainingService) -> None:
    request = request_for("apr", epochs=2)
    service.submit(request)
    wait_until(lambda: ended(service, request))
    view = service.view(request.name)
    assert view.card == load_card(request.name)
    assert is_own(request.name)
    load_model(request.name)
    places = [(report.epoch, report.step) for report in view.progress]
    assert places == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [report.found for report in view.progress if report.step == 2] == [
        {name: line[name] for name in ("test_accuracy", "probed", "flipped")}
        for line in view.card.history
    ]
    assert [path.suffix for path in request.state_file.parent.iterdir()] == [".lock"]
    later = TrainingService(small_command)
    remembered = later.view(request.name)
    later.close()
    assert (remembered.request, remembered.phase) == (request, TrainPhase.ENDED)
    assert remembered.card == view.card
    ends = [(report.epoch, report.loss, report.found) for report in view.progress[-1:]]
    assert [(r.epoch, r.loss, r.found) for r in remembered.progress[-1:]] == ends


def test_one_trains_while_the_others_wait(service: TrainingService) -> None:
    first, second = request_for(epochs=1000), request_for(epochs=2, seed=1)
    tickets = [service.submit(request) for request in (first, second)]
    wait_until(lambda: phase(service, first) is TrainPhase.RUNNING)
    assert service.view(second.name).queue_place == 1
    assert [view.request for view in service.views()] == [second, first]
    wait_until(lambda: bool(service.view(first.name).progress))
    assert service.cancel(first.name, tickets[0].token)
    wait_until(lambda: phase(service, first) is TrainPhase.INTERRUPTED)
    wait_until(lambda: ended(service, second))


def test_a_cancelled_training_goes_on_where_it_was(service: TrainingService) -> None:
    request = request_for(epochs=12)
    ticket = service.submit(request)
    wait_until(request.state_file.exists)
    service.cancel(request.name, ticket.token)
    wait_until(lambda: phase(service, request) is TrainPhase.INTERRUPTED)
    before = service.view(request.name).progress
    assert before
    service.submit(request)
    wait_until(lambda: ended(service, request))
    places = [(report.epoch, report.step) for report in service.view(request.name).progress]
    assert places == [(epoch, step) for epoch in range(1, 13) for step in (1, 2)]
    assert service.view(request.name).progress[0] == before[0]


def test_only_a_claim_cancels_and_only_the_last_one(service: TrainingService) -> None:
    request = request_for(epochs=1000)
    mine, yours = service.submit(request), service.submit(request)
    wait_until(lambda: phase(service, request) is TrainPhase.RUNNING)
    assert not service.cancel(request.name, "guess")
    assert not service.cancel("cifar10-no-such", mine.token)
    assert service.view(request.name, yours.token).live  # looking
    assert not service.cancel(request.name, mine.token)
    assert phase(service, request) is TrainPhase.RUNNING
    assert service.view(request.name, mine.token).live  # watching, and no more than that
    assert service.cancel(request.name, yours.token)
    wait_until(lambda: phase(service, request) is TrainPhase.INTERRUPTED)


def test_the_tabs_of_one_visitor_cancel_a_training_together(service: TrainingService) -> None:
    request = request_for(epochs=1000)
    one, other = service.submit(request, "ada"), service.submit(request, "ada")
    assert not service.release(request.name, one.token)
    assert service.cancel(request.name, other.token)
    wait_until(lambda: phase(service, request) is TrainPhase.INTERRUPTED)


def test_who_cancelled_a_training_may_cancel_it_again_once_it_was_resumed(
    service: TrainingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(epochs=1000)
    mine = service.submit(request)
    assert service.cancel(request.name, mine.token)
    wait_until(lambda: phase(service, request) is TrainPhase.INTERRUPTED)
    service.submit(request)
    wait_until(lambda: phase(service, request) is TrainPhase.RUNNING)
    assert not service.cancel(request.name, mine.token)
    monkeypatch.setattr("apr_core.training.service.CLAIM_SECONDS", 0.0)
    assert service.cancel(request.name, mine.token)
    wait_until(lambda: phase(service, request) is TrainPhase.INTERRUPTED)


def test_a_cancelled_training_is_discarded_by_its_visitor_and_leaves_nothing(
    service: TrainingService,
) -> None:
    request = request_for(epochs=1000)
    ticket = service.submit(request, "ada")
    wait_until(request.state_file.exists)
    with pytest.raises(InputError, match="not an unfinished training"):
        service.discard(request.name, ticket.token)
    service.cancel(request.name, ticket.token)
    wait_until(lambda: phase(service, request) is TrainPhase.INTERRUPTED)
    with pytest.raises(InputError, match="Someone else"):
        service.discard(request.name, new_token("bo"))
    assert request.state_file.exists()
    service.discard(request.name, new_token("ada"))  # after a reload, say
    assert service.view(request.name) is None
    assert list(request.state_file.parent.iterdir()) == []
    with pytest.raises(InputError, match="not an unfinished training"):
        service.discard(request.name, ticket.token)


def test_what_an_earlier_service_left_is_discarded_unless_it_goes_on(
    service: TrainingService,
) -> None:
    request = request_for(epochs=1000)
    write_whole(request.state_file.with_suffix(".order"), json.dumps(asdict(request)))
    later = TrainingService(small_command)
    elsewhere = Claim(request.state_file)
    try:
        assert elsewhere.take()
        with pytest.raises(InputError, match="is being trained"):
            later.discard(request.name, new_token())
        elsewhere.release()
        later.discard(request.name, new_token())
        assert later.views() == []
    finally:
        later.close()
    assert list(request.state_file.parent.iterdir()) == []


def test_a_training_that_was_killed_can_be_resumed(service: TrainingService) -> None:
    request = request_for(epochs=12)
    service.submit(request)
    wait_until(request.state_file.exists)
    os.kill(holder_of(request), signal.SIGKILL)
    wait_until(lambda: phase(service, request) is TrainPhase.INTERRUPTED)
    service.submit(request)
    wait_until(lambda: ended(service, request))


def test_what_the_command_says_is_told(service: TrainingService) -> None:
    request = request_for("dd")
    service.submit(request)
    wait_until(lambda: phase(service, request) is TrainPhase.FAILED)
    assert service.view(request.name).error.startswith("There is no model 'cifar10-small-vanil")


@pytest.mark.parametrize("code", ["print(1 / 0)", "raise SystemExit(9)"])
def test_a_command_that_breaks_off_is_told(code: str) -> None:
    service = TrainingService(lambda request, log: [sys.executable, "-c", code])
    request = request_for()
    service.submit(request)
    wait_until(lambda: phase(service, request) is TrainPhase.FAILED)
    assert service.view(request.name).error.startswith("The training broke off (")
    service.close()


def test_a_command_that_cannot_start_is_told() -> None:
    service = TrainingService(lambda request, log: ["/no/such/program"])
    request = request_for()
    service.submit(request)
    wait_until(lambda: phase(service, request) is TrainPhase.FAILED)
    assert "could not start" in service.view(request.name).error
    service.close()


def test_a_new_service_finds_what_the_old_one_left() -> None:
    """One run still goes on by itself, one was cut off, one was never begun."""
    going, cut, waiting = (request_for(epochs=1000, seed=seed) for seed in range(3))
    old = TrainingService(small_command, at_once=2)
    for request in (going, cut, waiting):
        old.submit(request)
    wait_until(lambda: going.state_file.exists() and cut.state_file.exists())
    old._closed.set()  # killed: nothing is interrupted
    old._thread.join()
    os.kill(holder_of(cut), signal.SIGKILL)
    wait_until(lambda: not holder_of(cut))
    new = TrainingService(small_command)
    try:
        phases = [phase(new, request) for request in (going, cut, waiting)]
        assert phases == [TrainPhase.RUNNING, TrainPhase.INTERRUPTED, TrainPhase.INTERRUPTED]
        assert new.view(going.name).progress
        ticket = new.submit(going)
        assert new.cancel(going.name, ticket.token)
        wait_until(lambda: phase(new, going) is TrainPhase.INTERRUPTED)
        new.submit(waiting)
        wait_until(waiting.state_file.exists)
    finally:
        new.close()
        for run in old._runs.values():
            if run.process:
                run.process.wait()


def test_a_damaged_order_is_passed_over(folders: Path) -> None:
    (folders / "training").mkdir()
    for number, text in enumerate(("", "{}", "[]", '{"config": {}}', "null")):
        (folders / "training" / f"{number}.order").write_text(text)
    service = TrainingService(small_command)
    assert service.views() == []
    service.close()


def test_another_run_of_the_same_name_is_refused(service: TrainingService) -> None:
    config = replace(QUICK, epochs=1000)
    request = TrainRequest("small", "vanilla", config, "cifar10-my-model")
    ticket = service.submit(request)
    with pytest.raises(InputError, match="unfinished run with other settings is called"):
        service.submit(replace(request, defence="apr"))
    service.cancel(request.name, ticket.token)


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(weight_decay=1e-3, optimizer="adam", one_cycle=False, subset=7, seed=3),
        TrainConfig(preset="paper", learning_rate=0.3, mixed_precision=True, batch_size=9),
    ],
)
def test_the_command_asks_for_all_that_was_requested(tmp_path: Path, config: TrainConfig) -> None:
    """Handed case 13: none of these settings is what its preset puts back."""
    asked = TrainRequest("vgg16", "apr-exact", config, "cifar10-my-model")
    args = make_parser().parse_args(train_command(asked, tmp_path / "log")[3:])
    assert requests_of(args) == [asked]
    assert config_of(args) == config
    assert (args.probe, args.json, args.log) == (True, True, tmp_path / "log")


@pytest.mark.parametrize("given", ["", "{}", "[1]", '{"architecture": "resnet20", "defence": 3}'])
def test_a_request_that_is_none_is_told(given: str) -> None:
    args = make_parser().parse_args(["train", "--request", given])
    with pytest.raises(InputError, match="--request"):
        requests_of(args)


def test_what_nobody_foresaw_ends_one_run_and_not_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def command(request: TrainRequest, log: Path) -> list[str]:
        if request.config.seed == 0:
            raise RuntimeError("no such luck")
        return small_command(request, log)

    service = TrainingService(command)
    broken, sound = request_for(epochs=1), request_for(epochs=1, seed=1)
    try:
        service.submit(broken)
        service.submit(sound)
        wait_until(lambda: phase(service, broken) is TrainPhase.FAILED)
        assert "no such luck" in service.view(broken.name).error
        wait_until(lambda: ended(service, sound))
    finally:
        service.close()


def test_a_half_written_line_is_read_when_it_is_whole(service: TrainingService) -> None:
    request = request_for(epochs=1000)
    service._closed.set()  # nothing is started: the log is this test's
    service._thread.join()
    service.submit(request)
    log = request.state_file.with_suffix(".log")
    lines = [json.dumps(asdict(Progress(epoch, 9, step, 40, 1.0, {}, 0.5, 1.0, 1.0)))
             for epoch, step in ((1, 20), (1, 40), (2, 20), (2, 20))]  # fmt: skip
    log.write_text(lines[0] + "\n" + lines[1][:30])
    assert [one.step for one in service.view(request.name).progress] == [20]
    log.write_text("\n".join(lines) + "\n")
    told = [(one.epoch, one.step) for one in service.view(request.name).progress]
    assert told == [(1, 20), (1, 40), (2, 20)]
