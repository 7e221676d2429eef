"""The service: many callers on one device, each with exactly the run they would have had alone."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from torch import Tensor, nn

from apr_core import OnePixelAttack, OnePixelConfig, Snapshot, Status, Stop, Strategy
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.truth_map import TruthMap
from apr_core.base.types import InputError, Method
from apr_core.certification.lattice_masking import LatticeMasking, behind_lattice
from apr_core.serving.archive.store import Archive
from apr_core.serving.model_loader import load_oracle
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest, MapRequest, Phase, RunView
from apr_core.serving.run_export import UNWATCHED, status_of
from apr_core.serving.service import CLAIM_SECONDS, AttackService
from apr_core.zoo.library import LITE0
from tests.conftest import PATIENCE, ConstantModel, LinearModel, answers

"""Seconds until a wait gives up: none is near it unless something hangs."""
ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
LONG = OnePixelConfig(population=8, generations=5000, stop=Stop.BUDGET)
SHORT = OnePixelConfig(population=8, generations=2, stop=Stop.BUDGET)


class GatedModel(nn.Module):
    """Another model that answers only as often as it is let."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.allowed = threading.Semaphore(0)
        self.arrivals = threading.Semaphore(0)
        self.open = False

    def forward(self, images: Tensor) -> Tensor:
        self.arrivals.release()
        if not self.open:
            assert self.allowed.acquire(timeout=PATIENCE), "the test never let the model answer"
        return self.model(images)

    def let(self, answers: int) -> None:
        """Let it answer so often, and wait until it is asked once more."""
        for _ in range(answers):
            self.allowed.release()
        for _ in range(answers):
            assert self.arrivals.acquire(timeout=PATIENCE), "the model was not asked again"

    def wait(self) -> None:
        """Wait until it is first asked."""
        assert self.arrivals.acquire(timeout=PATIENCE), "the model was never asked"

    def let_all(self) -> None:
        self.open = True
        self.allowed.release()


class TouchyModel(nn.Module):
    """A linear model that cannot bear pictures whose first image is dark in its last pixel."""

    def __init__(self, trouble: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = LinearModel()
        self.trouble = trouble

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        dark = images[:, :, -1, -1].sum(1) == 0
        edited = len(images) > 1  # the look at the clean image goes well
        return self.trouble(logits) if edited and bool(dark.any()) else logits


class Clock:
    """Stands in for the `time` module in the service."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The service's time, which stands still until a test moves it."""
    found = Clock()
    monkeypatch.setattr("apr_core.serving.service.time", found)
    return found


@pytest.fixture
def serve() -> Iterator[Callable[..., AttackService]]:
    """Make services that are closed, gates open, when the test ends."""
    made: list[tuple[AttackService, dict[str, nn.Module]]] = []

    def make(models: dict[str, nn.Module] | None = None, chunk: int | None = None, **settings):
        load = (
            None if models is None else lambda name: ModelOracle(models[name], chunk, checked=True)
        )
        service = AttackService(load, **settings)
        made.append((service, models or {}))
        return service

    yield make
    for service, models in made:
        for model in models.values():
            if isinstance(model, GatedModel):
                model.let_all()
        service.close()


@pytest.fixture
def gated(linear_model: LinearModel) -> GatedModel:
    return GatedModel(linear_model)


@pytest.fixture
def request_for(linear_model: LinearModel, small_images: Tensor) -> Callable[..., AttackRequest]:
    """A request for one of the small images, rightly labelled."""
    labels = answers(linear_model, small_images)

    def make(row: int = 0, config: OnePixelConfig = SHORT, model: str = "m") -> AttackRequest:
        return AttackRequest(model, small_images[row], int(labels[row]), row, config)

    return make


def until(service: AttackService, done: Callable[[], bool]) -> None:
    """Wait until `done` holds."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert service._thread.is_alive(), "the service's thread died"
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


def end_of(service: AttackService, run_id: str) -> RunView:
    until(service, lambda: not service.view(run_id).live)
    return service.view(run_id)


def same(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots agree to the bit."""
    tensors = ("positions", "colours", "fitness", "true", "moved")
    values = ("generation", "queries", "best", "best_true", "best_label", "flipped", "done")
    values += ("walk", "other_walks")
    return all(torch.equal(getattr(one, n), getattr(other, n)) for n in tensors) and all(
        getattr(one, n) == getattr(other, n) for n in values
    )


MIXED = [
    OnePixelConfig(population=12, generations=2),
    OnePixelConfig(population=20, generations=3, pixels=3, seed=5, stop=Stop.BUDGET),
    OnePixelConfig(population=9, generations=2, pixels=16, seed=2, fitness="margin"),
    OnePixelConfig(population=27, generations=2, seed=3, strategy=Strategy.BEST1BIN),
    OnePixelConfig(population=7, generations=4, pixels=2, stop=Stop.SU2019, l2_penalty=0.1),
    OnePixelConfig(population=6, generations=3, pixels=20, seed=4, method=Method.SPARSE_RS),
    OnePixelConfig(population=1, generations=9, stop=Stop.BUDGET, method=Method.SPARSE_RS),
]


@pytest.mark.parametrize("kind", ["network", "linear"])
def test_merged_equals_alone_to_the_bit(kind, serve, network, pictures, small_images) -> None:
    model, images = (network, pictures) if kind == "network" else (LinearModel(), small_images)
    labels = answers(model, images).tolist()
    requests = [
        AttackRequest("m", images[i % len(images)], labels[i % len(images)], 10 + i, config)
        for i, config in enumerate(MIXED)
    ]
    attacks = [OnePixelAttack(model, config, chunk=32) for config in MIXED]
    gated = GatedModel(ConstantModel([1.0, 0.0]))
    service = serve({"m": model, "gate": gated}, chunk=32)
    hold = service.submit(AttackRequest("gate", torch.zeros(3, 6, 6).byte(), 0, 0, SHORT))
    gated.wait()  # so that all the others start in one and the same step
    tickets = [service.submit(request) for request in requests]
    gated.let_all()
    views = [end_of(service, ticket.run_id) for ticket in tickets]
    for attack, request, view in zip(attacks, requests, views, strict=True):
        alone = list(attack.stream(request.image, request.label, request.index))
        assert len(view.snapshots) == len(alone) > 0
        assert all(map(same, view.snapshots, alone))
        labels, indices = torch.tensor([request.label]), torch.tensor([request.index])
        assert view.outcome == attack.run(request.image[None], labels, None, indices).outcomes[0]
    assert end_of(service, hold.run_id).outcome.status is Status.SURVIVED


def test_all_live_runs_of_a_model_are_scored_together(serve, gated, request_for) -> None:
    shown: list[int] = []
    gated.register_forward_pre_hook(lambda module, inputs: shown.append(len(inputs[0])))
    service = serve({"m": gated})
    tickets = [service.submit(request_for(0, LONG))]
    gated.wait()
    tickets += [service.submit(request_for(row, replace(LONG, population=20))) for row in (1, 2)]
    gated.let(1 + 1 + 2)  # a clean image; alone; the two newcomers' clean images
    assert shown == [1, 8, 1, 1, 8 + 20 + 20]  # one chunk holds all three


def test_the_first_flip_ends_a_run(serve, linear_model, request_for) -> None:
    service = serve({"m": linear_model})
    for row in range(5):
        config = OnePixelConfig(population=60, pixels=4)
        view = end_of(service, service.submit(request_for(row, config)).run_id)
        assert view.phase is Phase.ENDED
        assert view.outcome.status is Status.FLIPPED
        assert [snapshot.flipped for snapshot in view.snapshots][:-1].count(True) == 0
        assert view.snapshots[-1].flipped
        assert view.snapshots[-1].queries == view.outcome.queries
        assert len(view.snapshots) == view.outcome.flip_generation + 1


def test_cancel_takes_effect_within_a_generation(serve, gated, request_for) -> None:
    service = serve({"m": gated})
    ticket = service.submit(request_for(config=LONG))
    gated.wait()
    gated.let(4)  # the clean image and three generations; the fourth is being scored
    assert service.cancel(ticket.run_id, ticket.token)
    gated.allowed.release()
    view = end_of(service, ticket.run_id)
    assert view.phase is Phase.ENDED
    assert view.outcome.status is Status.CANCELLED
    assert not view.unwatched
    assert len(view.snapshots) == 4
    assert view.outcome.queries == 4 * LONG.population
    assert view.error == ""


def test_a_wrong_token_cancels_nothing(serve, gated, request_for) -> None:
    service = serve({"m": gated})
    ticket = service.submit(request_for(0, LONG))
    gated.wait()
    gated.let(2)
    other = service.submit(request_for(1, LONG))
    assert not service.cancel(ticket.run_id, other.token)
    assert not service.cancel(ticket.run_id, "")
    assert not service.cancel(ticket.run_id, "tökén")
    assert not service.cancel("no such run", ticket.token)
    gated.let(3)  # a generation, the other's clean image, a generation of both
    assert service.view(ticket.run_id).phase is Phase.RUNNING
    assert len(service.view(ticket.run_id).snapshots) == 3


def test_who_has_given_up_keeps_nobody_else_from_cancelling(serve, gated, request_for) -> None:
    service = serve({"m": gated})
    first, second = (service.submit(request_for(config=LONG)) for _ in range(2))
    assert not service.cancel(first.run_id, first.token)
    service.view(first.run_id, first.token)  # to watch is not to claim it again
    assert service.cancel(second.run_id, second.token)


def test_the_tabs_of_one_visitor_are_cancelled_together(serve, gated, request_for) -> None:
    service = serve({"m": gated})
    one, other = (service.submit(request_for(config=LONG), "ada") for _ in range(2))
    yours = service.submit(request_for(config=LONG), "bo")
    assert not service.cancel(one.run_id, one.token)
    assert service.view(other.run_id, other.token).live  # watching, and no more than that
    assert service.cancel(yours.run_id, yours.token)


def test_a_tab_that_goes_on_to_another_run_leaves_this_one_to_the_others(
    serve, gated, request_for
) -> None:
    service = serve({"m": gated})
    one, other = (service.submit(request_for(config=LONG), "ada") for _ in range(2))
    assert not service.release(one.run_id, one.token)
    assert service.release(other.run_id, other.token)
    gated.let_all()
    assert end_of(service, one.run_id).outcome.status is Status.CANCELLED


def test_a_token_cancels_once_the_others_let_go(serve, gated, request_for, clock) -> None:
    service = serve({"m": gated})
    before = service.submit(request_for(config=LONG))  # a page, which is then loaded anew
    clock.now += 1
    after = service.submit(request_for(config=LONG))
    gated.wait()
    assert not service.cancel(after.run_id, after.token)
    clock.now += CLAIM_SECONDS
    assert service.view(after.run_id, after.token).live
    assert service.cancel(after.run_id, after.token)
    gated.let_all()
    assert end_of(service, before.run_id).outcome.status is Status.CANCELLED


def test_who_cancelled_a_run_may_cancel_the_one_in_its_place(
    serve, gated, request_for, clock
) -> None:
    service = serve({"m": gated})
    mine = service.submit(request_for(config=LONG))
    assert service.cancel(mine.run_id, mine.token)
    yours = service.submit(request_for(config=LONG))
    assert service.view(mine.run_id, mine.token).live  # watching
    assert not service.cancel(mine.run_id, mine.token)
    clock.now += CLAIM_SECONDS + 1
    service.view(mine.run_id, mine.token)
    assert service.cancel(mine.run_id, mine.token)
    assert not service.cancel(yours.run_id, "")
    gated.let_all()
    assert end_of(service, yours.run_id).outcome.status is Status.CANCELLED


def test_two_callers_of_one_request_share_a_run(serve, gated, request_for) -> None:
    service = serve({"m": gated})
    mine, yours = (service.submit(request_for(config=LONG)) for _ in range(2))
    assert mine.run_id == yours.run_id
    assert mine.token != yours.token
    gated.wait()
    gated.let(2)
    assert not service.cancel(mine.run_id, mine.token)
    gated.let(3)
    view = service.view(yours.run_id)
    assert view.phase is Phase.RUNNING
    assert len(view.snapshots) == 4
    assert service.cancel(yours.run_id, yours.token)
    gated.let_all()
    assert end_of(service, yours.run_id).outcome.status is Status.CANCELLED


@pytest.mark.parametrize("looks", [True, False])
def test_a_claim_counts_only_while_its_holder_looks(
    serve, gated, request_for, clock, looks: bool
) -> None:
    service = serve({"m": gated})
    mine, yours = (service.submit(request_for(config=LONG)) for _ in range(2))
    gated.wait()
    clock.now += CLAIM_SECONDS - 1
    service.view(yours.run_id, yours.token if looks else "")
    clock.now += CLAIM_SECONDS - 1
    assert service.cancel(mine.run_id, mine.token) != looks
    gated.let_all() if not looks else gated.let(3)
    if looks:
        assert service.view(yours.run_id).phase is Phase.RUNNING
    else:
        assert end_of(service, yours.run_id).outcome.status is Status.CANCELLED


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"label": 1},
        {"index": 7},
        {"image": torch.zeros(3, 6, 6, dtype=torch.uint8)},
        {"config": replace(SHORT, seed=1)},
        {"config": replace(SHORT, stop=Stop.FIRST_FLIP)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_requests_share_a_run_only_if_all_is_equal(small_images, change) -> None:
    request = AttackRequest("m", small_images[0], 0, 0, SHORT)
    assert replace(request).run_id == request.run_id
    assert replace(request, **change).run_id != request.run_id


def test_an_identical_request_after_the_end_finds_the_ended_run(
    serve, linear_model, request_for
) -> None:
    service = serve({"m": linear_model})
    before = end_of(service, service.submit(request_for()).run_id)
    ticket = service.submit(request_for())
    assert service.view(ticket.run_id) is before
    assert not before.live


def test_a_request_again_after_its_cancel_starts_anew(serve, gated, request_for) -> None:
    service = serve({"m": gated})
    first = service.submit(request_for())
    gated.wait()
    gated.let(2)
    assert service.cancel(first.run_id, first.token)
    second = service.submit(request_for())
    assert service.view(second.run_id).snapshots == ()
    gated.let_all()
    view = end_of(service, second.run_id)
    assert view.outcome.status is not Status.CANCELLED
    assert len(view.snapshots) == SHORT.generations + 1


def test_a_request_again_after_a_cancelled_end_starts_anew(serve, gated, request_for) -> None:
    service = serve({"m": gated})
    first = service.submit(request_for())
    gated.wait()
    assert service.cancel(first.run_id, first.token)
    gated.let_all()
    assert end_of(service, first.run_id).outcome.status is Status.CANCELLED
    second = service.submit(request_for())
    assert end_of(service, second.run_id).outcome.status is not Status.CANCELLED


def raises(error: BaseException) -> Callable[[Tensor], Tensor]:
    def trouble(logits: Tensor) -> Tensor:
        raise error

    return trouble


TROUBLES = {
    "raises RuntimeError": raises(RuntimeError("the device is lost")),
    "raises ValueError": raises(ValueError("bad shape")),
    "raises IndexError": raises(IndexError(3)),
    "raises AssertionError": raises(AssertionError()),
    "exits": raises(SystemExit(1)),
    "returns NaN": lambda logits: logits * float("nan"),
    "returns one logit too few": lambda logits: logits[1:],
    "returns no tensor": lambda logits: [1.0],
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_model_in_trouble_fails_its_own_run_and_no_other(
    serve, small_images, trouble: Callable[[Tensor], Tensor]
) -> None:
    model = TouchyModel(trouble)
    images = small_images.clone()
    images[:, :, -1, -1] = 255
    images[1, :, -1, -1] = 0
    labels = answers(model.model, images).tolist()
    gated = GatedModel(ConstantModel([1.0, 0.0]))
    service = serve({"m": model, "other": LinearModel(), "gate": gated})
    service.submit(AttackRequest("gate", images[0], 0, 0, SHORT))
    gated.wait()
    requests = [AttackRequest("m", images[i], labels[i], i, SHORT) for i in (0, 2)]
    sound = [service.submit(request) for request in requests]
    touched = service.submit(AttackRequest("m", images[1], labels[1], 1, SHORT))
    other = service.submit(AttackRequest("other", images[3], labels[3], 3, SHORT))
    gated.let_all()
    view = end_of(service, touched.run_id)
    assert view.phase is Phase.FAILED
    assert ONE_SENTENCE.fullmatch(view.error)
    assert view.outcome is None
    for ticket in (*sound, other):
        view = end_of(service, ticket.run_id)
        assert view.phase is Phase.ENDED
        assert [snapshot.generation for snapshot in view.snapshots] == [0, 1, 2]
    undisturbed = serve({"m": LinearModel()})
    for request, ticket in zip(requests, sound, strict=True):
        alone = end_of(undisturbed, undisturbed.submit(request).run_id)
        assert service.view(ticket.run_id).outcome == alone.outcome


class LateScorer(ModelOracle):
    """Scores well, and breaks at the last look, when the outcome is drawn up."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, chunk=16)
        self.looks = 0

    def verify_float32(self, images: Tensor) -> Tensor:
        self.looks += 1
        if self.looks > 1:
            raise RuntimeError("out of memory")
        return super().verify_float32(images)


def test_a_model_that_breaks_at_the_very_end_fails_its_own_run(network, pictures) -> None:
    scorers = {"late": LateScorer(network), "m": ModelOracle(LinearModel())}
    service = AttackService(lambda name: scorers[name])
    try:
        label = int(answers(network, pictures[:1])[0])
        late = service.submit(AttackRequest("late", pictures[0], label, 0, SHORT))
        view = end_of(service, late.run_id)
        assert view.phase is Phase.FAILED
        assert ONE_SENTENCE.fullmatch(view.error)
        image = torch.zeros(3, 6, 6, dtype=torch.uint8)
        next_one = service.submit(AttackRequest("m", image, 0, 0, SHORT))
        assert end_of(service, next_one.run_id).phase is Phase.ENDED
    finally:
        service.close()


def test_a_failed_request_may_be_tried_again(serve, small_images) -> None:
    troubled = [True]
    model = TouchyModel(lambda logits: logits * (float("nan") if troubled[0] else 1))
    image = small_images[0].clone()
    image[:, -1, -1] = 0
    label = int(answers(model.model, image[None])[0])
    service = serve({"m": model})
    request = AttackRequest("m", image, label, 0, SHORT)
    assert end_of(service, service.submit(request).run_id).phase is Phase.FAILED
    troubled[0] = False
    assert end_of(service, service.submit(request).run_id).phase is Phase.ENDED


def test_an_unknown_model_is_named_and_the_service_goes_on(
    serve, monkeypatch, tmp_path, small_images
) -> None:
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path))
    service = serve()
    for name in ("no-such-model", "../x"):
        view = end_of(
            service, service.submit(AttackRequest(name, small_images[0], 0, 0, SHORT)).run_id
        )
        assert view.phase is Phase.FAILED
        assert view.error == f"There is no model '{name}'; the known ones are: {LITE0}."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": 3}, "The label 3 is not a class of this model"),
        ({"config": replace(SHORT, target=9)}, "The target 9 is not a class of this model"),
        ({"config": replace(SHORT, target=0), "label": 0}, "is already the image's class"),
        ({"image": torch.zeros(3, 5, 5, dtype=torch.uint8)}, "The model fails on images"),
        ({"label": "cat"}, "The attack broke off"),
    ],
)
def test_a_request_that_cannot_be_run_says_why(serve, linear_model, request_for, change, said):
    service = serve({"m": linear_model})
    request = replace(request_for(), **change)
    view = end_of(service, service.submit(request).run_id)
    assert view.phase is Phase.FAILED
    assert said in view.error
    assert ONE_SENTENCE.fullmatch(view.error)


def test_places_in_the_queue_count_down(serve, gated, request_for) -> None:
    service = serve({"m": gated}, max_live=1)
    tickets = [service.submit(request_for(0))]
    gated.wait()
    gated.let(1)  # the first one has started
    tickets += [service.submit(request_for(row)) for row in (1, 2, 3)]

    def places() -> list[int]:
        return [service.view(ticket.run_id).queue_place for ticket in tickets]

    assert places() == [0, 1, 2, 3]
    gated.let(1)
    assert places() == [0, 1, 2, 3]
    assert [service.view(t.run_id).phase for t in tickets] == ["running", *["queued"] * 3]
    gated.let(2 + 1)  # the first one's end; the second one's clean image
    assert places() == [0, 0, 1, 2]
    gated.let_all()
    assert all(end_of(service, ticket.run_id).phase is Phase.ENDED for ticket in tickets)


def test_a_full_queue_refuses_with_a_sentence(serve, gated, request_for) -> None:
    service = serve({"m": gated}, max_live=1, max_queued=2)
    service.submit(request_for(0, LONG))
    gated.wait()
    gated.let(1)
    waiting = [service.submit(request_for(row)) for row in (1, 2)]
    with pytest.raises(InputError, match="2 attacks are waiting already") as caught:
        service.submit(request_for(3))
    assert ONE_SENTENCE.fullmatch(str(caught.value))
    assert service.submit(request_for(2)).run_id == waiting[1].run_id  # joining needs no room


def test_cancelling_a_run_that_waits_ends_it_before_the_others(serve, gated, request_for) -> None:
    service = serve({"m": gated}, max_live=1, max_queued=2)
    running = service.submit(request_for(0, LONG))
    gated.wait()
    gated.let(1)
    waiting = [service.submit(request_for(row)) for row in (1, 2)]
    assert service.cancel(waiting[0].run_id, waiting[0].token)
    gated.let(3)
    view = service.view(waiting[0].run_id)
    assert view.phase is Phase.ENDED
    assert view.outcome is None or view.outcome.status is Status.CANCELLED
    assert service.view(running.run_id).phase is Phase.RUNNING
    assert service.view(waiting[1].run_id).queue_place == 1
    service.submit(request_for(3))  # there is room again


def test_a_run_that_nobody_views_is_ended(serve, gated, request_for, clock) -> None:
    """Case 16: nobody cancelled it, and what came of it says so."""
    service = serve({"m": gated}, idle_seconds=0.5)
    left, viewed = (service.submit(request_for(row, LONG)) for row in (0, 1))
    gated.wait()
    gated.let(3)  # two clean images and a generation
    for _ in range(3):
        clock.now += 0.4
        service.view(viewed.run_id)
    gated.let(2)
    assert service.view(left.run_id).outcome.status is Status.CANCELLED
    assert service.view(left.run_id).unwatched
    assert status_of(service.view(left.run_id)) == UNWATCHED
    assert service.view(viewed.run_id).phase is Phase.RUNNING
    assert not service.view(viewed.run_id).unwatched


def test_a_run_that_was_cancelled_and_then_left_was_cancelled(
    serve, gated, request_for, clock
) -> None:
    service = serve({"m": gated}, idle_seconds=0.5)
    ticket = service.submit(request_for(config=LONG))
    gated.wait()
    assert service.cancel(ticket.run_id, ticket.token)
    clock.now += 1
    gated.let_all()
    until(service, lambda: not service._any_live())
    assert service.view(ticket.run_id).outcome.status is Status.CANCELLED
    assert not service.view(ticket.run_id).unwatched


def test_a_reaped_run_starts_anew_though_its_ticket_was_given_up_late(
    serve, gated, request_for, clock
) -> None:
    service = serve({"m": gated}, idle_seconds=0.5)
    ticket = service.submit(request_for())
    gated.wait()
    clock.now += 1
    gated.let_all()
    until(service, lambda: not service._any_live())  # a view would keep it going
    assert service.view(ticket.run_id).unwatched
    service.cancel(ticket.run_id, ticket.token)
    again = service.submit(request_for())
    assert end_of(service, again.run_id).outcome.status is not Status.CANCELLED
    assert not service.view(again.run_id).unwatched


def test_a_misclassified_image_ends_without_snapshots(serve, linear_model, request_for) -> None:
    service = serve({"m": linear_model})
    request = request_for()
    view = end_of(service, service.submit(replace(request, label=(request.label + 1) % 3)).run_id)
    assert view.phase is Phase.ENDED
    assert view.outcome.status is Status.MISCLASSIFIED
    assert view.outcome.queries == 0
    assert view.snapshots == ()


def test_a_view_is_a_value_that_later_generations_leave_alone(serve, gated, request_for) -> None:
    service = serve({"m": gated})
    ticket = service.submit(request_for(config=LONG))
    gated.wait()
    gated.let(3)
    early = service.view(ticket.run_id)
    population = early.snapshots[-1].fitness.clone(), early.snapshots[-1].positions.clone()
    gated.let(5)
    assert len(early.snapshots) == 2
    assert torch.equal(early.snapshots[-1].fitness, population[0])
    assert torch.equal(early.snapshots[-1].positions, population[1])
    late = service.view(ticket.run_id)
    assert len(late.snapshots) == 7
    assert late.snapshots[1] is early.snapshots[1]
    with pytest.raises(FrozenInstanceError):
        early.phase = Phase.ENDED  # type: ignore[misc]


def test_seconds_left_shrink_to_none(serve, gated, request_for, clock) -> None:
    service = serve({"m": gated}, idle_seconds=1e9)
    config = replace(SHORT, generations=3)
    ticket = service.submit(request_for(config=config))
    gated.wait()
    assert service.view(ticket.run_id).seconds_left is None
    gated.let(1)
    left = []
    for _ in range(3):
        clock.now += 2.0
        gated.let(1)
        left.append(service.view(ticket.run_id).seconds_left)
    assert left == [6.0, 4.0, 2.0]
    gated.let_all()
    assert end_of(service, ticket.run_id).seconds_left is None


def test_an_unknown_run_has_no_view(serve, linear_model) -> None:
    assert serve({"m": linear_model}).view("0" * 16) is None


def test_the_most_recently_seen_ended_runs_are_kept(serve, linear_model, request_for, monkeypatch):
    monkeypatch.setattr("apr_core.serving.memory_limits.MAX_KEPT", 2)
    service = serve({"m": linear_model})

    def run(row: int) -> str:
        run_id = service.submit(request_for(row)).run_id
        end_of(service, run_id)
        return run_id

    first, second, third = run(0), run(1), run(2)
    service.view(first)
    run(3)  # whoever was seen longest ago makes room
    assert service.view(first) is not None
    assert service.view(second) is None
    assert service.view(third) is not None


def test_close_ends_the_thread_though_runs_are_live(serve, gated, request_for) -> None:
    before = set(threading.enumerate())
    service = serve({"m": gated})
    (thread,) = set(threading.enumerate()) - before
    ticket = service.submit(request_for(config=LONG))
    gated.wait()
    gated.let(2)
    closing = threading.Thread(target=service.close)
    closing.start()
    gated.let_all()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert not thread.is_alive()
    assert service.view(ticket.run_id).phase is Phase.RUNNING


# Truth maps, and models behind their lattice


def alone(model: nn.Module, request: MapRequest) -> TruthMap:
    """The map as nobody else has it made."""
    survey = request.begin(ModelOracle(model))
    while survey.live:
        survey.tell(survey.oracle.query(survey.ask()))
    return survey.result()


def test_a_map_is_made_beside_an_attack_as_it_is_alone(serve, request_for, linear_model) -> None:
    service = serve({"m": linear_model})
    attack = service.submit(request_for(0, replace(SHORT, generations=40)))
    wanted = MapRequest("m", request_for(1).image, request_for(1).label)
    view = end_of(service, service.submit(wanted).run_id)
    expected = alone(linear_model, wanted)
    assert view.phase is Phase.ENDED
    assert view.outcome.done == view.snapshots[-1].done == 1
    for name in ("margins", "colours", "broken", "certified"):
        assert torch.equal(getattr(view.outcome, name), getattr(expected, name))
    assert end_of(service, attack.run_id).outcome is not None


def test_a_map_of_a_misread_image_is_a_sentence(serve, request_for, linear_model) -> None:
    asked = request_for(0)
    wrong = MapRequest("m", asked.image, (asked.label + 1) % 3)
    service = serve({"m": linear_model})
    view = end_of(service, service.submit(wrong).run_id)
    assert view.phase is Phase.FAILED
    assert "a map is of an image that it gets right" in view.error


def test_what_a_lattice_proves_is_not_tried(serve) -> None:
    class Timid(nn.Module):
        """Bright images are class 1, and no pixel or two change that."""

        def forward(self, images: Tensor) -> Tensor:
            bright = images.mean((1, 2, 3)) * 100
            return torch.stack([50 - bright, bright - 50], dim=1)

    model = behind_lattice(Timid(), 2)
    wanted = MapRequest("m", torch.full((3, 6, 6), 250, dtype=torch.uint8), 1)
    service = serve({"m": model})
    view = end_of(service, service.submit(wanted).run_id)
    assert view.outcome.certified.all()
    assert view.snapshots == ()
    assert not view.outcome.broken.any()


def test_maps_and_attacks_do_not_share_a_run(request_for) -> None:
    attack = request_for(0)
    first = MapRequest("m", attack.image, attack.label)
    assert first.run_id == MapRequest("m", attack.image.clone(), attack.label).run_id
    others = [attack, MapRequest("n", attack.image, attack.label)]
    others += [
        MapRequest("m", attack.image, attack.label + 1),
        replace(first, image=attack.image + 1),
    ]
    assert len({first.run_id, *(other.run_id for other in others)}) == 5


def test_a_name_may_ask_for_the_lattice() -> None:
    bare = load_oracle("cifar10-resnet20-vanilla")
    masked = load_oracle("cifar10-resnet20-vanilla" + BEHIND_LATTICE)
    assert isinstance(masked.model, LatticeMasking)
    assert not isinstance(bare.model, LatticeMasking)
    with pytest.raises(InputError, match="no model"):
        load_oracle("cifar10-no-such" + BEHIND_LATTICE)


@pytest.mark.parametrize("step", ["_reap", "_admit", "_publish_all"])
def test_what_nobody_foresaw_ends_the_runs_at_hand_and_not_the_service(
    serve, request_for, linear_model, monkeypatch, step: str
) -> None:
    service = serve({"m": linear_model})
    act, left = getattr(service, step), [1]

    def broken(*given: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("no such luck")
        return act(*given)

    monkeypatch.setattr(service, step, broken)
    failed = end_of(service, service.submit(request_for(0)).run_id)
    assert failed.phase is Phase.FAILED
    assert failed.error
    assert end_of(service, service.submit(request_for(1)).run_id).phase is Phase.ENDED


def test_a_run_that_cannot_be_kept_on_disk_ends_all_the_same(
    serve, request_for, linear_model, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("APR_RUNS", str(tmp_path))
    archive = Archive()
    monkeypatch.setattr(archive, "end", lambda view: 1 / 0)
    service = serve({"m": linear_model}, archive=archive)
    for row in (0, 1):
        assert end_of(service, service.submit(request_for(row)).run_id).phase is Phase.ENDED
