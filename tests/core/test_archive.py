"""Runs on disk: what ended is found again to the bit, and what is damaged is no run."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from apr_core import OnePixelConfig, Status, Stop
from apr_core.attacks.oracle import ModelOracle
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import find_dataset
from apr_core.models import Classifier
from apr_core.serving.archive.store import INTERRUPTED, Archive, runs_folder
from apr_core.serving.requests import AttackRequest, MapRequest, Phase, RunView
from apr_core.serving.service import AttackService
from apr_core.zoo.checkpoints import load_card, write_card
from tests.conftest import answers
from tests.core.test_service import GatedModel, end_of, same
from tests.core.test_zoo import CARD, save_checkpoint

NAME = CARD.name
CONFIG = OnePixelConfig(population=12, generations=3, pixels=2, stop=Stop.BUDGET)


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, network: Classifier) -> None:
    for variable in ("APR_RUNS", "APR_CHECKPOINTS"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    save_checkpoint(network, CARD)


@pytest.fixture
def serve(network: Classifier) -> Iterator[Callable[..., AttackService]]:
    """Services on one archive's folder, as a server has them one after the other."""
    made: list[AttackService] = []

    def make(model: torch.nn.Module = network, **settings: Any) -> AttackService:
        service = AttackService(lambda name: ModelOracle(model, 16), archive=Archive(), **settings)
        made.append(service)
        return service

    yield make
    for service in made:
        if service._thread.is_alive():
            service.close()


def request_on(network: Classifier, index: int = 0, **changes: Any) -> AttackRequest:
    image, _ = find_dataset().test_image(index)
    label = int(answers(network, image[None])[0])
    return AttackRequest(NAME, image, label, index, replace(CONFIG, **changes))


def finish(service: AttackService, request: AttackRequest) -> RunView:
    view = end_of(service, service.submit(request).run_id)
    service._archive.flush()
    return view


def path_of(request: AttackRequest) -> Path:
    return runs_folder() / f"{request.run_id}.json.gz"


def test_an_ended_run_is_found_after_a_restart_to_the_bit(serve, network) -> None:
    request = request_on(network)
    before = serve()
    view = finish(before, request)
    before.close()
    after = serve(GatedModel(network))  # nothing is asked of its model
    ticket = after.submit(request)
    found = after.view(ticket.run_id, ticket.token)
    assert found.phase is Phase.ENDED
    assert found.outcome == view.outcome
    assert found.seconds == view.seconds
    assert len(found.snapshots) == len(view.snapshots) == CONFIG.generations + 1
    assert all(map(same, found.snapshots, view.snapshots))
    assert torch.equal(found.request.image, request.image)


def test_an_id_alone_finds_it(serve, network) -> None:
    request = request_on(network)
    before = serve()
    finish(before, request)
    assert serve().view(request.run_id).outcome is not None


def test_what_was_under_way_says_so_and_is_run_again_when_asked(serve, network) -> None:
    request = request_on(network)
    gated = GatedModel(network)
    killed = serve(gated)
    killed.submit(request)
    gated.wait()
    gated.let(1)
    killed._archive.flush()
    after = serve()
    view = after.view(request.run_id)
    assert (view.phase, view.error, view.outcome) == (Phase.FAILED, INTERRUPTED, None)
    assert view.request.config == request.config
    again = finish(after, request).outcome
    gated.let_all()
    first = end_of(killed, request.run_id).outcome
    assert (again.edits, again.queries) == (first.edits, first.queries)


def test_nothing_of_an_own_picture_is_written(serve, network) -> None:
    image = torch.arange(3 * 32 * 32).view(3, 32, 32).to(torch.uint8)
    label = int(answers(network, image[None])[0])
    request = AttackRequest(NAME, image, label, OWN_PICTURE, CONFIG, named=False)
    assert request.run_id != replace(request, named=True).run_id
    before = serve()
    view = finish(before, request)
    assert view.outcome is not None
    text = gzip.decompress(path_of(request).read_bytes())
    kept = json.loads(text)
    assert set(kept) == {
        "format", "run", "model", "weights", "label", "index", "config", "ended", "seconds",
        "outcome", "named",
    }  # fmt: skip
    assert kept["outcome"] is None
    assert len(text.splitlines()) == 1
    assert before.lost(request.run_id) is None  # it is in memory
    after = serve()
    assert after.view(request.run_id) is None
    head = after.lost(request.run_id)
    assert (head.config, head.label, head.own_picture) == (CONFIG, label, True)
    assert not head.named


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_a_run_that_came_to_nothing_is_forgotten(serve, network, how: str) -> None:
    request = request_on(network)
    if how == "failed":
        request = replace(request, label=11)
    gated = GatedModel(network)
    service = serve(gated)
    ticket = service.submit(request)
    gated.wait()
    if how == "cancelled":
        assert service.cancel(ticket.run_id, ticket.token)
    gated.let_all()
    end_of(service, ticket.run_id)
    service._archive.flush()
    assert not path_of(request).exists()


def test_a_map_is_not_kept(serve, network) -> None:
    request = request_on(network)
    archive = Archive()
    archive.begin(MapRequest(NAME, request.image, request.label))
    archive.close()
    assert not runs_folder().exists()


def test_a_run_is_of_the_weights_that_were_attacked(serve, network) -> None:
    """A card that changes while a run is under way is another model's."""
    request, card = request_on(network), load_card(NAME)
    gated = GatedModel(network)
    service = serve(gated)
    service.submit(request)
    gated.wait()
    write_card(replace(card, sha256="f" * 64))
    gated.let_all()
    end_of(service, request.run_id)
    later = request_on(network, seed=1)
    finish(service, later)
    assert serve().view(request.run_id) is None
    write_card(card)
    assert serve().view(request.run_id).phase is Phase.ENDED
    assert serve().view(later.run_id).phase is Phase.ENDED


def test_a_run_asked_for_again_keeps_its_mark_when_the_cancelled_one_ends(serve, network) -> None:
    request = request_on(network)
    gated = GatedModel(network)
    service = serve(gated)
    ticket = service.submit(request)
    gated.wait()  # the first run looks at its clean image
    assert service.cancel(ticket.run_id, ticket.token)
    service.submit(request)
    gated.let(1)  # the first has ended, and the second looks at the image
    service._archive.flush()
    view = serve().view(request.run_id)
    assert view is not None
    assert view.error == INTERRUPTED
    gated.let_all()
    assert end_of(service, request.run_id).outcome.status is not Status.CANCELLED
    service._archive.flush()
    assert serve().view(request.run_id).phase is Phase.ENDED


def test_a_run_on_other_weights_is_not_shown(serve, network) -> None:
    request = request_on(network)
    before = serve()
    finish(before, request)
    before.close()
    write_card(replace(load_card(NAME), sha256="f" * 64))
    assert serve().view(request.run_id) is None


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))


def in_head(**changes: Any) -> Callable[[list[dict[str, Any]]], object]:
    return lambda lines: lines[0].update(changes)


def in_frame(**changes: Any) -> Callable[[list[dict[str, Any]]], object]:
    return lambda lines: lines[2].update(changes)


def tensor(kind: torch.dtype, *values: float) -> str:
    return base64.b64encode(torch.tensor(values, dtype=kind).numpy().tobytes()).decode()


DAMAGES: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "another format": in_head(format=99),
    "another run's name": in_head(run="0" * 16),
    "another seed": lambda lines: lines[0]["config"].update(seed=5),
    "another image": in_head(index=1),
    "no test image": in_head(index=12_000),
    "a label that is none": in_head(label=10),
    "ended without an outcome": in_head(outcome=None),
    "a stray field": in_head(colour="red"),
    "a word for a number": in_head(seconds="long"),
    "too large to be shown": lambda lines: lines[0]["config"].update(
        population=10_000, generations=10_000
    ),
    "an edit outside": lambda lines: lines[0]["outcome"]["edits"][0].update(x=32),
    "a generation missing": lambda lines: lines.pop(2),
    "a generation too many": lambda lines: lines.append(lines[-1]),
    "too few candidates": in_frame(true=tensor(torch.float32, *[0.5] * 11)),
    "probabilities above 1": in_frame(true=tensor(torch.float32, *[1.5] * 12)),
    "probabilities that are none": in_frame(true=tensor(torch.float32, *[float("nan")] * 12)),
    "pixels outside": in_frame(xy=tensor(torch.int16, *[32] * 48)),
    "no base64": in_frame(rgb="***"),
    "a best that is none": in_frame(best=12),
    "a class that is none": in_frame(best_label=-1),
    "a walk outside": lambda lines: lines[2]["walk"]["child"][0].update(rgb=[0, 0, 256]),
    "another walk outside": lambda lines: lines[2]["other_walks"][0]["parent"][0].update(y=32),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_no_run_and_made_again(serve, network, damage) -> None:
    request = request_on(network)
    before = serve()
    view = finish(before, request)
    lines = lines_of(path_of(request))
    damage(lines)
    write_lines(path_of(request), lines)
    after = serve()
    assert after.view(request.run_id) is None
    assert finish(after, request).outcome == view.outcome


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", gzip.compress(b""), gzip.compress(b"{}\n"), gzip.compress(b"[" * 10**6)],
    ids=["empty", "not packed", "nothing", "no head", "deep"],
)
def test_any_file_under_a_runs_name_is_no_run(network, data: bytes) -> None:
    request = request_on(network)
    path_of(request).parent.mkdir()
    path_of(request).write_bytes(data)
    archive = Archive()
    assert archive.view(request.run_id) is None
    assert archive.lost(request.run_id) is None
    archive.close()


def test_a_file_of_version_0_1_is_read_which_follows_one_child_a_generation(serve, network) -> None:
    request = request_on(network)
    view = finish(serve(), request)
    lines = lines_of(path_of(request))
    for line in lines[1:]:
        del line["other_walks"]
    write_lines(path_of(request), lines)
    found = serve().view(request.run_id)
    assert found.outcome == view.outcome
    assert [snapshot.walk for snapshot in found.snapshots] == [s.walk for s in view.snapshots]
    assert all(snapshot.other_walks == () for snapshot in found.snapshots)


def test_a_file_that_was_cut_short_is_no_run(serve, network) -> None:
    request = request_on(network)
    finish(serve(), request)
    path_of(request).write_bytes(path_of(request).read_bytes()[:-20])
    assert serve().view(request.run_id) is None


@pytest.mark.parametrize("name", ["", "x", "../" * 5 + "etc/passwd", "0" * 15, "0" * 17, "\0" * 16])
def test_a_name_leads_nowhere_else(name: str) -> None:
    archive = Archive()
    assert archive.view(name) is None
    assert archive.lost(name) is None
    archive.close()


def test_the_runs_seen_longest_ago_make_room(serve, network) -> None:
    service = serve()
    requests = [request_on(network, seed=seed) for seed in range(4)]
    for number, request in enumerate(requests[:3]):
        finish(service, request)
        os.utime(path_of(request), (number, number))
    small = Archive(most_runs=3)
    assert small.view(requests[0].run_id) is not None  # and so it was seen
    small.end(finish(service, requests[3]))
    small.close()
    assert [path_of(request).exists() for request in requests] == [True, False, True, True]
    size = path_of(requests[0]).stat().st_size
    tiny = Archive(most_bytes=size + size // 2)
    tiny.end(service.view(requests[3].run_id))
    tiny.close()
    assert [path_of(request).exists() for request in requests] == [False, False, False, True]


def test_a_folder_that_cannot_be_written_loses_no_run(serve, network, tmp_path, caplog) -> None:
    (tmp_path / "APR_RUNS").write_text("a file where the folder should be")
    service = serve()
    request = request_on(network)
    assert finish(service, request).outcome.status is not Status.CANCELLED
    assert service.view(request.run_id).outcome is not None
    assert "not kept" in caplog.text


def test_what_is_kept_is_small(serve, network, pictures: Tensor) -> None:
    request = request_on(network, pixels=1, population=100, generations=10)
    finish(serve(), request)
    assert path_of(request).stat().st_size < 30_000
