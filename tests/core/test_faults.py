"""What goes wrong in the service ends the runs concerned with a plain sentence, and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from apr_core import OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations
from apr_core.attacks.search import Search
from apr_core.base.tickets import known_claim
from apr_core.base.types import InputError
from apr_core.models.outputs import ModelError, out_of_memory
from apr_core.serving.requests import (
    MOST_HISTORY,
    AttackRequest,
    MapRequest,
    Phase,
    View,
    history_bytes,
)
from apr_core.serving.service import AttackService
from apr_core.serving.wait_estimate import WaitEstimator, in_words
from tests.conftest import LinearModel, answers
from tests.core.test_service import (  # noqa: F401  its fixtures
    LONG,
    ONE_SENTENCE,
    SHORT,
    end_of,
    gated,
    request_for,
    serve,
    until,
)

# Out of memory


class Narrow(nn.Module):
    """A linear model that takes so many images at once, and remembers how many it was shown."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self.model, self.room, self.error = LinearModel(), room, error
        self.shown: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(len(images))
        if len(images) > self.room:
            raise self.error
        return self.model(images)


NO_MEMORY = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    "python": MemoryError(),
}


def edits(count: int) -> Perturbations:
    generator = torch.Generator().manual_seed(2)
    return Perturbations(
        torch.randint(0, 256, (1, 3, 6, 6), dtype=torch.uint8, generator=generator),
        torch.zeros(count, dtype=torch.int64),
        torch.randint(0, 6, (count, 1, 2), generator=generator),
        torch.randint(0, 256, (count, 1, 3), generator=generator),
    )


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
def test_a_chunk_too_big_is_halved_for_good(error: Exception) -> None:
    model = Narrow(5, error)
    oracle = ModelOracle(model, chunk=32)
    wanted = ModelOracle(model.model, chunk=32).query(edits(50))
    assert torch.allclose(oracle.query(edits(50)), wanted)
    assert model.shown[:4] == [32, 16, 8, 4]
    assert set(model.shown[4:-1]) == {4}
    assert oracle.chunk == 4
    model.shown.clear()
    oracle.query(edits(8))
    assert model.shown == [4, 4]


def test_looks_at_few_images_are_halved_apart() -> None:
    model = Narrow(3, NO_MEMORY["cuda"])
    oracle = ModelOracle(model, chunk=2, checked=True)
    images = torch.zeros(20, 3, 6, 6, dtype=torch.uint8)
    assert oracle.verify_float32(images).shape == (20, 3)
    assert model.shown[:3] == [8, 4, 2]
    assert oracle.chunk == 2


def test_memory_for_nothing_is_a_sentence_and_leaves_the_chunk() -> None:
    oracle = ModelOracle(Narrow(0, NO_MEMORY["cuda"]), chunk=32)
    with pytest.raises(InputError, match="out of memory with a single picture") as caught:
        oracle.query(edits(50))
    assert ONE_SENTENCE.fullmatch(str(caught.value))
    assert oracle.chunk == 32


def test_a_run_goes_the_same_way_in_smaller_chunks(serve, request_for) -> None:  # noqa: F811
    narrow = Narrow(5, NO_MEMORY["cuda"])
    small, large = serve({"m": narrow}), serve({"m": narrow.model})
    views = [end_of(one, one.submit(request_for(0)).run_id) for one in (small, large)]
    assert views[0].outcome == views[1].outcome
    assert 1 <= small._scorers["m"].chunk <= 5


def test_memory_for_nothing_fails_the_runs_of_that_model_alone(
    serve, request_for, linear_model  # noqa: F811
) -> None:  # fmt: skip
    service = serve({"m": Narrow(0, NO_MEMORY["cuda"]), "other": linear_model})
    tickets = [service.submit(request_for(0, model=name)) for name in ("m", "other")]
    views = [end_of(service, ticket.run_id) for ticket in tickets]
    assert [view.phase for view in views] == [Phase.FAILED, Phase.ENDED]
    assert "out of memory" in views[0].error
    assert ONE_SENTENCE.fullmatch(views[0].error)


@pytest.mark.parametrize("error", [RuntimeError("shape '[2]' is invalid"), ValueError("memory")])
def test_other_errors_are_not_taken_for_a_lack_of_memory(error: Exception) -> None:
    assert not out_of_memory(error)
    with pytest.raises(ModelError) as caught:
        ModelOracle(Narrow(0, error), chunk=32).query(edits(50))
    assert caught.value.__cause__ is error


def test_no_memory_beside_the_model_is_a_sentence(
    serve, request_for, linear_model, monkeypatch  # noqa: F811
) -> None:  # fmt: skip
    usual = Search.ask

    def ask(search: Search) -> Perturbations:
        if search.indices[0] == 1:
            raise MemoryError
        return usual(search)

    monkeypatch.setattr(Search, "ask", ask)
    service = serve({"m": linear_model})
    tickets = [service.submit(request_for(row)) for row in (0, 1, 2)]
    views = [end_of(service, ticket.run_id) for ticket in tickets]
    assert [view.phase for view in views] == [Phase.ENDED, Phase.FAILED, Phase.ENDED]
    assert "memory" in views[1].error
    assert ONE_SENTENCE.fullmatch(views[1].error)


def test_whatever_breaks_in_a_step_the_service_goes_on(
    serve, request_for, linear_model, monkeypatch  # noqa: F811
) -> None:  # fmt: skip
    service = serve({"m": linear_model})
    monkeypatch.setattr(AttackService, "_publish_all", lambda *_: 1 / 0)
    assert end_of(service, service.submit(request_for(0)).run_id).phase is Phase.FAILED
    monkeypatch.undo()
    assert end_of(service, service.submit(request_for(1)).run_id).phase is Phase.ENDED


# What is too large


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"population": 2000, "generations": 1000}, True),
        ({"population": 2000, "generations": 1000, "pixels": 3}, False),
        ({"population": 400, "generations": 100, "pixels": 16}, True),
        ({"population": 10_000, "generations": 10_000, "pixels": 16}, False),
    ],
)
def test_a_run_too_long_to_be_shown_is_refused(
    serve, request_for, linear_model, changes: dict[str, int], fits: bool  # noqa: F811
) -> None:  # fmt: skip
    config = replace(SHORT, **changes)
    assert (history_bytes(config) <= MOST_HISTORY) == fits
    service = serve({"m": linear_model})
    ticket = service.submit(request_for(0, config))
    if fits:
        until(service, lambda: service.view(ticket.run_id).phase is not Phase.QUEUED)
        assert service.view(ticket.run_id).phase is Phase.RUNNING
        service.cancel(ticket.run_id, ticket.token)
    else:
        view = end_of(service, ticket.run_id)
        assert "MB of memory to be shown" in view.error
        assert ONE_SENTENCE.fullmatch(view.error)


def test_the_estimate_of_a_history_is_what_it_takes(network, pictures) -> None:
    config = OnePixelConfig(population=20, generations=2, pixels=3, stop="budget")
    search = Search(config, ModelOracle(network, 20), pictures[:1], torch.tensor([0]))
    search.state = replace(search.state, done=torch.tensor([False]))
    taken = 0
    while search.live:
        search.tell(search.oracle.query(search.ask()))
        shot = search.snapshot()
        tensors = (shot.positions, shot.colours, shot.fitness, shot.true, shot.moved)
        taken += sum(tensor.nbytes for tensor in tensors)
    assert taken == history_bytes(config)


def test_the_estimate_of_a_maps_history_is_what_it_takes(linear_model, small_images) -> None:
    label = int(answers(linear_model, small_images[:1])[0])
    request = MapRequest("m", small_images[0], label)
    survey, taken = request.begin(ModelOracle(linear_model, 400)), 0
    assert survey.steps == request.steps
    while survey.live:
        survey.tell(survey.oracle.query(survey.ask()))
        shot = survey.snapshot()
        taken += sum(tensor.nbytes for tensor in (shot.margins, shot.colours, shot.broken))
    assert taken == request.steps * request.step_bytes


def test_big_runs_wait_until_there_is_memory(
    serve, request_for, gated, monkeypatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr("apr_core.serving.memory_limits.MAX_BYTES", int(2.5 * history_bytes(LONG)))
    service = serve({"m": gated})
    tickets = [service.submit(request_for(0, LONG))]
    gated.wait()
    gated.let(1)
    tickets += [service.submit(request_for(row, LONG)) for row in (1, 2)]
    gated.let(3)
    views = [service.view(ticket.run_id) for ticket in tickets]
    assert [view.phase for view in views] == [Phase.RUNNING, Phase.RUNNING, Phase.QUEUED]
    assert views[2].queue_place == 1


def test_ended_runs_leave_memory_by_their_size(
    serve, request_for, linear_model, monkeypatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr("apr_core.serving.memory_limits.MAX_BYTES", int(2.5 * history_bytes(SHORT)))
    service = serve({"m": linear_model})
    tickets = []
    for row in range(5):
        tickets.append(service.submit(request_for(row)))
        end_of(service, tickets[-1].run_id)
    service.submit(request_for(4))
    known = [service.view(ticket.run_id) is not None for ticket in tickets]
    assert known[:2] == [False, False]
    assert known[-1]


def test_ended_maps_leave_memory_by_their_size(
    serve, small_images, linear_model, monkeypatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr("apr_core.serving.memory_limits.MAX_BYTES", int(2.5 * 6 * 6 * 8))
    service = serve({"m": linear_model})
    labels = answers(linear_model, small_images).tolist()
    asked = [MapRequest("m", *pair) for pair in zip(small_images, labels, strict=True)]
    for request in asked:
        assert end_of(service, service.submit(request).run_id).phase is Phase.ENDED
    service.submit(MapRequest("m", small_images[0].flip(2), labels[0]))
    known = [service.view(request.run_id) is not None for request in asked]
    assert known == [False, False, False, True, True]


# Queue and tokens


def test_a_place_in_the_queue_waits_as_long_as_runs_took() -> None:
    request = AttackRequest("m", torch.zeros(3, 6, 6, dtype=torch.uint8), 0, 0, SHORT)
    pace = WaitEstimator(at_once=2)
    assert pace.wait(1, []) is None
    going = [View(request, Phase.RUNNING, seconds=1.0, seconds_left=9.0)]
    assert pace.wait(1, going) == 5.0
    pace.note(View(request, Phase.ENDED, seconds=4.0))
    pace.note(View(request, Phase.ENDED, seconds=8.0))
    assert pace.wait(3, going) == 9.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.2, " in about 1 s"), (89, " in about 89 s"), (150, " in about 2 min")],
)
def test_a_wait_in_words(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words


def test_a_full_queue_tells_the_place_and_the_wait(
    serve, request_for, gated  # noqa: F811
) -> None:  # fmt: skip
    service = serve({"m": gated}, max_live=1, max_queued=2)
    service.submit(request_for(0, LONG))
    gated.wait()
    gated.let(3)
    for row in (1, 2):
        place = service.view(service.submit(request_for(row)).run_id)
        assert place.wait is not None
        assert place.wait > 0
    with pytest.raises(InputError, match=r"place 3 would start in about \d+ (s|min);") as caught:
        service.submit(request_for(3))
    assert ONE_SENTENCE.fullmatch(str(caught.value))


@pytest.mark.parametrize("token", ["", "\ud800", "x" * 10**6, "\0", "tökén"])
def test_any_token_may_be_offered(token: str) -> None:
    assert known_claim({"right": 0.0}, token) == ""


def test_to_count_runs_is_not_to_look(serve, request_for, gated) -> None:  # noqa: F811
    service = serve({"m": gated})
    ticket = service.submit(request_for(0, LONG))
    seen = service._runs[ticket.run_id].seen
    assert service.count_live([ticket.run_id, "0" * 16]) == 1
    assert service._runs[ticket.run_id].seen == seen
    service.cancel(ticket.run_id, ticket.token)
    assert service.count_live([ticket.run_id]) == 0
