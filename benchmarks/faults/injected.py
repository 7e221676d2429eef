"""The faults, each injected into a service of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from apr_core.attacks.oracle import ModelOracle
from apr_core.base.types import InputError
from apr_core.serving.archive.store import INTERRUPTED, Archive, runs_folder
from apr_core.serving.requests import AttackRequest, Phase
from apr_core.serving.service import AttackService
from apr_core.zoo.checkpoints import load_model
from benchmarks.faults.setting import (
    ENDLESS,
    MODEL,
    PATIENCE,
    Borne,
    Narrow,
    Touchy,
    UnborneError,
    end_of,
    expect,
    magic_request,
    request,
    serving,
)

ROOT = Path(__file__).parents[2]


def killed() -> Borne:
    """A server is killed with a run ended, one under way, and one on a person's own picture."""
    ended, running, own = request(0), request(2, ENDLESS), magic_request(ENDLESS)
    child = subprocess.Popen([sys.executable, "-m", "benchmarks.faults", "--victim"], cwd=ROOT)
    names = [runs_folder() / f"{one.run_id}.json.gz" for one in (ended, running, own)]
    archive = Archive()
    deadline = time.monotonic() + PATIENCE
    while not (all(name.exists() for name in names) and _has_ended(archive, ended)):
        expect(time.monotonic() < deadline, "the server never got so far")
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    began = time.monotonic()
    with serving(archive=archive) as service:
        found = service.view(ended.run_id)
        seconds = time.monotonic() - began
        expect(found is not None and found.phase is Phase.ENDED, "an ended run was lost")
        cut = service.view(running.run_id)
        expect(cut is not None and cut.error == INTERRUPTED, "no word of the interruption")
        head = service.lost(own.run_id)
        expect(head is not None and head.config == own.config, "the own picture's settings")
        expect(service.view(own.run_id) is None, "an own picture was kept")
        ticket = service.submit(running)
        expect(service.view(ticket.run_id) is not cut, "it was not run again")
        service.cancel(ticket.run_id, ticket.token)
        end_of(service, ticket.run_id)
    return Borne(
        "killed with SIGKILL and restarted", f"ended run back whole; {INTERRUPTED}", seconds
    )


def _has_ended(archive: Archive, asked: AttackRequest) -> bool:
    view = archive.view(asked.run_id)
    return view is not None and view.phase is Phase.ENDED


def victim() -> None:
    """The server that `killed` kills."""
    service = AttackService(archive=Archive())
    asked = [request(0), request(2, ENDLESS), magic_request(ENDLESS)]
    tickets = [service.submit(one) for one in asked]
    while True:
        for ticket in tickets:
            service.view(ticket.run_id, ticket.token)
        time.sleep(0.1)


def _raise(error: BaseException) -> Callable[[Tensor], Tensor]:
    def trouble(logits: Tensor) -> Tensor:
        raise error

    return trouble


def _in_trouble(fault: str, trouble: Callable[[Tensor], Tensor]) -> Borne:
    """One run's model comes to grief, beside two that must go as they go alone."""
    others = [request(2), request(2, model="another")]
    alone = []
    for other in others:
        with serving(Touchy(trouble)) as service:
            alone.append(end_of(service, service.submit(other).run_id))
    with serving(Touchy(trouble)) as service:
        began = time.monotonic()
        tickets = [service.submit(one) for one in (magic_request(), *others)]
        touched = end_of(service, tickets[0].run_id)
        seconds = time.monotonic() - began
        sound = [end_of(service, ticket.run_id) for ticket in tickets[1:]]
    expect(touched.phase is Phase.FAILED and touched.error.endswith("."), "no plain sentence")
    for view, wanted in zip(sound, alone, strict=True):
        expect(view.phase is Phase.ENDED, "another run failed as well")
        expect(view.outcome == wanted.outcome, "another run went another way")
    return Borne(fault, touched.error, seconds)


def out_of_memory() -> Borne:
    """The device holds fewer pictures than a chunk; then the run goes as it would have gone."""
    began = time.monotonic()
    with serving(Narrow(5)) as service:
        view = end_of(service, service.submit(request(0)).run_id)
        scorer = service._scorers[MODEL]
    assert isinstance(scorer, ModelOracle)
    with serving(load_model(MODEL)) as service:
        wanted = end_of(service, service.submit(request(0)).run_id)
    assert view.outcome is not None
    assert wanted.outcome is not None
    expect(view.outcome.edits == wanted.outcome.edits, "the search went another way")
    expect(1 <= scorer.chunk <= 5, f"the chunk is {scorer.chunk}")
    found = f"went on in chunks of {scorer.chunk}, to the same end"
    return Borne("memory for five pictures", found, time.monotonic() - began)


def no_memory() -> Borne:
    """The device holds not a single picture."""
    with serving(Narrow(0)) as service:
        began = time.monotonic()
        view = end_of(service, service.submit(request(0)).run_id)
        seconds = time.monotonic() - began
        other = end_of(service, service.submit(request(0, model="another")).run_id)
    expect(view.phase is Phase.FAILED and "ran out of memory" in view.error, "no plain sentence")
    expect(other.phase is Phase.ENDED, "another run failed as well")
    return Borne("memory for no picture", view.error, seconds)


def vanished() -> Borne:
    """A viewer closes the browser."""
    with serving(idle_seconds=0.5) as service:
        ticket = service.submit(request(0, ENDLESS))
        while not service.view(ticket.run_id).snapshots:  # type: ignore[union-attr]
            time.sleep(0.01)
        began = time.monotonic()
        while service.count_live([ticket.run_id]):
            expect(time.monotonic() < began + PATIENCE, "it went on for nobody")
            time.sleep(0.01)
        seconds = time.monotonic() - began
        view = end_of(service, ticket.run_id)
    spent = view.outcome.queries if view.outcome else ENDLESS.max_queries
    expect(spent < ENDLESS.max_queries, "not reaped")
    return Borne("a viewer who vanished, reaped after 0.5 s", "reaped", seconds)


def crowded() -> Borne:
    """More runs are asked for than may wait."""
    with serving(max_live=1, max_queued=2) as service:
        end_of(service, service.submit(request(3)).run_id)  # so that the pace is known
        for index in (0, 2, 4):
            ticket = service.submit(request(index, ENDLESS))
            while index == 0 and service.view(ticket.run_id).queue_place:  # type: ignore[union-attr]
                time.sleep(0.01)
        began = time.monotonic()
        try:
            service.submit(request(5))
        except InputError as error:
            said = str(error)
        else:
            raise UnborneError("it was let in")
        seconds = time.monotonic() - began
    expect("place 3" in said and "in about" in said, f"no place and wait: {said}")
    return Borne("a full queue", said, seconds)


def unwritable() -> Borne:
    """There is no room for what is to be kept."""
    before = os.environ["APR_RUNS"]
    with tempfile.NamedTemporaryFile() as file:  # where the folder should be
        os.environ["APR_RUNS"] = file.name
        try:
            with serving(archive=Archive()) as service:
                view = end_of(service, service.submit(request(0)).run_id)
        finally:
            os.environ["APR_RUNS"] = before
    expect(view.phase is Phase.ENDED, "a run was lost")
    return Borne("a disk that takes nothing", "the run ended and is in memory", view.seconds)


def damaged() -> Borne:
    """Kept runs are overwritten with noise."""
    with serving(archive=Archive()) as service:
        asked = request(5)
        before = end_of(service, service.submit(asked).run_id)
    path = runs_folder() / f"{asked.run_id}.json.gz"
    path.write_bytes(bytes(range(256)) * 8)
    began = time.monotonic()
    with serving(archive=Archive()) as service:
        expect(service.view(asked.run_id) is None, "noise was shown")
        seconds = time.monotonic() - began
        again = end_of(service, service.submit(asked).run_id)
    expect(again.outcome == before.outcome, "the run went another way")
    return Borne("a kept run damaged", "it was run again, to the same end", seconds)


FAULTS: dict[str, Callable[[], Borne]] = {
    "killed": killed,
    "raises": lambda: _in_trouble("a model that raises", _raise(ValueError("bad shape"))),
    "exits": lambda: _in_trouble("a model that exits", _raise(SystemExit(1))),
    "nan": lambda: _in_trouble("a model that returns NaN", lambda logits: logits * float("nan")),
    "out of memory": out_of_memory,
    "no memory": no_memory,
    "vanished": vanished,
    "crowded": crowded,
    "unwritable": unwritable,
    "damaged": damaged,
}
