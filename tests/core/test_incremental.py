"""Incremental inference: windows give the logits that whole images give, whatever the network."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import Perturbations, apply_edits
from apr_core.attacks.search import Search
from apr_core.base.types import Stop
from apr_core.models import SMALL, Classifier, build_model
from apr_core.models.clamp_front import NeighbourhoodFront
from apr_core.models.incremental import engine as engines
from apr_core.models.incremental.costs import Costs, measure
from apr_core.models.incremental.engine import DENSE, EditEngine, choose_engine
from apr_core.models.incremental.graph import UntraceableError, trace
from apr_core.models.incremental.maps import CleanMaps, Layout
from apr_core.models.incremental.network import IncrementalNetwork, Split
from apr_core.models.inputs import as_input
from apr_core.serving.requests import AttackRequest
from apr_core.serving.service import AttackService
from tests.conftest import PATIENCE, answers, noise, wait_until

CPU = torch.device("cpu")


def network_of(model: nn.Module, shape: tuple[int, ...], **settings) -> IncrementalNetwork:
    with torch.no_grad():
        return IncrementalNetwork(trace(model.eval(), shape), CPU, **settings)


def edits_of(
    shape: tuple[int, ...], count: int, pixels: int, seed: int = 0, images: int = 2
) -> Perturbations:
    """Edits at random; the first in the corners, others side by side, and twice at one place."""
    channels, height, width = shape
    chance = torch.Generator().manual_seed(seed)
    places = torch.rand(count, pixels, 2, generator=chance) * torch.tensor([width, height])
    places = places.long()
    corners = [[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]]
    places[:4, 0] = torch.tensor(corners)
    near = places[:, :1] + torch.randint(-2, 3, (count, pixels, 2), generator=chance)
    limits = torch.tensor([width - 1, height - 1])
    places[::2, 1:] = torch.minimum(near.clamp(min=0), limits)[::2, 1:]
    if pixels > 1:
        places[5, 1] = places[5, 0]
    return Perturbations(
        torch.randint(0, 256, (images, *shape), generator=chance, dtype=torch.uint8),
        torch.arange(count) % images,
        places,
        torch.randint(0, 256, (count, pixels, channels), generator=chance),
    )


def asked(edits: Perturbations) -> tuple[Tensor, ...]:
    return edits.images, edits.owner, edits.positions, edits.colours


@torch.no_grad()
def dense(model: nn.Module, edits: Perturbations) -> Tensor:
    images = apply_edits(edits.images[edits.owner], edits.positions, edits.colours)
    return model.eval()(as_input(images))


@torch.no_grad()
def check(model: nn.Module, shape: tuple[int, ...], pixels: int, cuts=None) -> IncrementalNetwork:
    """Windows and whole images give the same logits, wherever the network is cut."""
    network, edits = network_of(model, shape), edits_of(shape, 11, pixels)
    expected = dense(model, edits)
    scale = float(expected.abs().max()) + 1e-3
    for cut in range(network.most_cut + 1) if cuts is None else cuts(network.most_cut):
        found = network.answer(*asked(edits), Split(cut, 8, 4))
        torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=2e-5)
    return network


def lively(model: nn.Module) -> nn.Module:
    """Batch norms with statistics of their own, as training leaves them."""
    chance = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=chance) / 10)
            module.running_var.copy_(torch.rand(module.num_features, generator=chance) + 0.5)
    return model


# ---------------------------------------------------------------- Networks at random


class Skip(nn.Module):
    """What a layer makes of a map, with the map itself: added, or beside it."""

    def __init__(self, layer: nn.Module, beside: bool) -> None:
        super().__init__()
        self.layer, self.beside = layer, beside

    def forward(self, features: Tensor) -> Tensor:
        made = self.layer(features)
        return torch.cat([features, made], 1) if self.beside else made + features


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, int, int]]:
    """Small networks of any kernels, strides, paddings, dilations, groups and skips."""
    channels = draw(st.sampled_from([1, 3]))
    shape = (channels, draw(st.integers(12, 22)), draw(st.integers(12, 22)))
    torch.manual_seed(draw(st.integers(0, 1000)))
    layers: list[nn.Module] = []
    width = channels
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["conv", "conv", "depthwise", "skip", "pool", "pad", "act"]))
        kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
        padding = (kernel[0] // 2, kernel[1] // 2)
        if kind == "conv":
            made = draw(st.sampled_from([2, 4]))
            dilation = draw(st.integers(1, 2)) if max(kernel) < 4 else 1
            layers.append(nn.Conv2d(width, made, kernel, stride, padding, dilation))
            layers.append(nn.BatchNorm2d(made))
            width = made
        elif kind == "depthwise":
            layers.append(nn.Conv2d(width, width, kernel, stride, padding, groups=width))
        elif kind == "skip":
            beside = draw(st.booleans())
            layers.append(Skip(nn.Conv2d(width, width, 3, padding=1), beside))
            width *= 1 + beside
        elif kind == "pool":
            ceil = draw(st.booleans())
            pools = [nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil), nn.AvgPool2d(2, 2)]
            layers.append(draw(st.sampled_from(pools)))
        elif kind == "pad":
            layers.append(nn.ZeroPad2d(draw(st.tuples(*[st.integers(0, 3)] * 4))))
        else:
            acts = [nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.Sigmoid(), nn.LeakyReLU(), nn.Hardswish()]
            layers.append(draw(st.sampled_from(acts)))
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)]
    return lively(nn.Sequential(*layers, *end)).eval(), shape


@settings(max_examples=40, deadline=None, derandomize=True)
@given(networks(), st.integers(1, 3))
def test_windows_of_any_network_give_its_logits(
    drawn: tuple[nn.Module, tuple[int, int, int]], pixels: int
) -> None:
    model, shape = drawn
    with torch.no_grad():
        try:
            model(torch.zeros(1, *shape))
        except RuntimeError:  # a kernel larger than what is left of the map
            return
    check(model, shape, pixels)


# ---------------------------------------------------------------- The zoo's architectures


def some(most: int) -> list[int]:
    return sorted({0, 1, most // 2, most})


@pytest.mark.parametrize("pixels", [1, 3])
@pytest.mark.parametrize("name", SMALL)
def test_windows_of_small_architectures_give_their_logits(name: str, pixels: int) -> None:
    network = check(lively(build_model(name)), (3, 32, 32), pixels, some)
    assert network.most_cut > 5


@pytest.mark.parametrize("name", ["resnet50", "vgg19"])
def test_windows_of_large_architectures_give_their_logits(name: str) -> None:
    network = check(lively(build_model(name)), (3, 96, 80), 1, some)
    assert network.most_cut > 10


@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("pixels", [1, 4])
def test_windows_behind_the_clamp_and_the_gate_give_their_logits(
    clamp: bool, attention: bool, pixels: int
) -> None:
    front = NeighbourhoodFront(clamp, attention)
    network = check(build_model("resnet20", front), (3, 32, 32), pixels, some)
    assert network.graph.steps[0].kind == "front"


def test_a_depthwise_network_with_lopsided_padding_gives_its_logits() -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("tf_efficientnet_lite0", num_classes=7)
    network = check(lively(model), (3, 96, 64), 2, some)
    assert network.most_cut > 15


def test_a_squeeze_of_the_whole_map_is_where_windows_end() -> None:
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 3, padding=1)
            self.second = nn.Conv2d(4, 3, 3, padding=1)

        def forward(self, images: Tensor) -> Tensor:
            features = self.first(images)
            gated = features * features.mean((2, 3), keepdim=True).sigmoid()
            return self.second(gated).mean((2, 3))

    network = check(Squeeze(), (3, 16, 16), 2)
    assert network.most_cut == 1


def test_means_over_all_places_need_no_whole_map() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    network = check(model, (3, 20, 24), 1)
    joined: list[str] = []
    network.whole = lambda name, *parts: joined.append(name)
    network.answer(*asked(edits_of((3, 20, 24), 5, 1)), Split(network.most_cut, 8, 8))
    assert joined == []


def test_the_windows_grow_by_the_kernels() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 2, 5, 2, 2), nn.MaxPool2d(2))
    with torch.no_grad():
        network = network_of(nn.Sequential(model, nn.Flatten(), nn.Linear(128, 2)), (3, 32, 32))
    assert [axes[0].size for axes in network.axes.values()][:4] == [1, 3, 4, 3]


# ---------------------------------------------------------------- What cannot be traced


class Deciding(nn.Module):
    """Goes by what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        found = self.conv(images).mean((2, 3))
        return found if found.sum() > 0 else -found


class Mixing(nn.Module):
    """Takes the batch for a picture of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images).mean((2, 3)) * images.shape[0]


@pytest.mark.parametrize("model", [Deciding(), Mixing()])
def test_a_model_that_cannot_be_traced_goes_dense_with_a_line_in_the_log(
    model: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UntraceableError):
        trace(model, (3, 8, 8))
    oracle = ModelOracle(model.eval(), checked=True, incremental=True)
    edits = edits_of((3, 8, 8), 9, 1)
    with caplog.at_level(logging.INFO):
        logits = oracle.query(edits)
    assert logits.shape == (9, 3)
    assert [line.message for line in caplog.records if "goes dense" in line.message] != []


@pytest.mark.parametrize("library", ["mkldnn", "cudnn", "nnpack"])
def test_no_library_is_switched_off_for_other_threads_while_it_is_traced(
    library: str, model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    switched: list[object] = []
    monkeypatch.setattr(getattr(torch.backends, library), "set_flags", switched.append)
    trace(model, (3, 32, 32))
    assert not switched


NOTED: list[str] = []


class Beside(nn.Module):
    """Has another thread call a function of the kind of `torch.manual_seed` while it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(PATIENCE)
        return self.conv(images).mean((2, 3))


@torch._dynamo.disable
def look() -> None:
    """What stands in the notes that all threads share."""
    NOTED.append(str(fx.traceback.current_meta))


def test_what_another_thread_does_while_a_network_is_traced_is_not_noted() -> None:
    """Its note would be lost when tracing replaces them, and the thread would end in an error."""
    trace(Beside().eval(), (3, 8, 8))
    assert NOTED
    assert not [notes for notes in NOTED if "look" in notes]


def test_a_network_that_answers_otherwise_when_it_is_traced_goes_dense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "measure", lambda *_: FAST)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    honest = choose_engine(model.eval(), (3, 16, 16), model, 4)
    assert honest is not None
    assert choose_engine(model.eval(), (3, 16, 16), lambda x: model(x) + x[0, 0, 0, 0], 4) is None


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "measure", lambda *_: FAST)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert choose_engine(model, (3, 16, 16), model, 4) is not None
    monkeypatch.setenv(DENSE, "1")
    assert choose_engine(model, (3, 16, 16), model, 4) is None


# ---------------------------------------------------------------- Memory


def test_clean_maps_are_bounded_and_the_one_seen_longest_ago_goes() -> None:
    layout = Layout("images", (1, 1, 1, 1), 0.0, (3, 6, 6))
    computed: list[int] = []

    def compute(image: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
        computed.append(int(image[0, 0, 0, 0]))
        return {"images": image.float()}

    maps = CleanMaps([layout], compute, 3 * 3 * 36 * 4)
    assert maps.most == 3
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 4, 4)
    assert maps.slots(images[:3]) == [0, 1, 2]
    maps.slots(images[:1])
    assert maps.slots(images[[3, 0]]) == [1, 0]  # in place of the second
    assert computed == [0, 1, 2, 3]
    rows = maps.rows(layout).view(3, 6, 6, 3)
    assert rows[1, 1:5, 1:5].eq(3).all()
    assert rows[1, 0].eq(0).all()


def test_more_images_than_there_is_memory_for_give_the_same_logits() -> None:
    model, shape = lively(build_model("resnet20")), (3, 32, 32)
    edits = edits_of(shape, 30, 1, images=7)
    network = network_of(model, shape)
    expected = network.answer(*asked(edits), Split(5, 8, 8))
    tight = network_of(model, shape, most_bytes=1)
    assert tight.maps([5]).most == 1
    assert torch.equal(tight.answer(*asked(edits), Split(5, 8, 8)), expected)


def test_memory_that_runs_out_halves_the_chunk_and_then_goes_dense(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, shape = lively(build_model("resnet20")), (3, 32, 32)
    oracle, edits = with_engine(model, shape, chunk=8), edits_of(shape, 20, 1)
    expected = dense(model, edits)
    tried: list[int] = []
    answer = oracle._engine.network.answer

    def narrow(limit: int):
        def work(*parts):
            tried.append(parts[-1].chunk)
            if parts[-1].chunk > limit:
                raise MemoryError
            return answer(*parts)

        return work

    monkeypatch.setattr(oracle._engine.network, "answer", narrow(2))
    torch.testing.assert_close(oracle.query(edits), expected, rtol=1e-4, atol=1e-5)
    assert tried == [8, 4, 2]
    monkeypatch.setattr(oracle._engine.network, "answer", narrow(0))
    torch.testing.assert_close(oracle.query(edits), expected, rtol=1e-4, atol=1e-5)
    assert oracle._engine is None


# ---------------------------------------------------------------- Which way is taken

FAST = Costs(1.0, 4, 4, (0.01,), (0.0, 0.0), (0.2, 0.2, 0.2), 1.5)


def costs(cheap: int = 6, steps: int = 10, gain: float | None = None) -> Costs:
    """Of a network whose first steps are cheap on windows, and the later ones ever dearer."""
    windows = tuple(0.001 * 3 ** max(0, step - cheap) for step in range(steps))
    found = Costs(1.2, 4, 4, windows, (0.0,) * (steps + 1), (0.1,) * (steps + 1))
    return replace(found, gain=gain or found.dense / found.seconds(found.cut()))


def test_the_cut_comes_earlier_for_more_pixels_and_then_not_at_all() -> None:
    cuts = [costs(cheap=2).cut(pixels) for pixels in (1, 3, 8, 100)]
    assert cuts == sorted(cuts, reverse=True)
    assert cuts[0] > cuts[2] > cuts[3] == 0
    assert costs().split(100).cut == 0  # whole maps, but on the traced network


def test_what_the_traced_network_is_slower_at_goes_dense() -> None:
    slow = replace(costs(), dense=1.09)
    assert slow.split(1) is not None
    assert slow.split(1000) is None


def test_a_dense_forward_that_is_as_fast_is_taken() -> None:
    assert costs(gain=1.01).split(1) is None
    assert costs().split(1) is not None


def test_what_timing_steps_alone_leaves_out_is_counted() -> None:
    assert costs().split(50) is not None
    assert costs(gain=costs().gain / 2).split(50) is None  # half as fast in turns as by its steps


def test_what_is_measured_adds_up() -> None:
    model = build_model("resnet20").eval()
    network = network_of(model, (3, 32, 32))
    found = measure(network, model, 8)
    assert found.dense > 0
    assert found.gain > 0
    assert len(found.windows) == network.most_cut == len(found.joining) - 1
    assert len(found.whole) == len(network.graph.steps)
    assert min(*found.windows, *found.whole) > 0
    least = min(found.seconds(cut) for cut in range(network.most_cut + 1))
    assert found.seconds(found.cut()) == least


def test_what_was_measured_is_not_measured_again(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("APR_SPEEDS", str(tmp_path))
    measured: list[int] = []

    def once(network: IncrementalNetwork, dense, chunk: int) -> Costs:
        measured.append(chunk)
        return replace(
            costs(steps=network.most_cut), dense=100.0, whole=(0.1,) * len(network.graph.steps)
        )

    monkeypatch.setattr(engines, "measure", once)
    model = build_model("resnet20").eval()
    first = choose_engine(model, (3, 32, 32), model, 8)
    again = choose_engine(model, (3, 32, 32), model, 8)
    assert measured == [8]
    assert first.costs == again.costs
    for file in tmp_path.iterdir():
        file.write_text("{")
    choose_engine(model, (3, 32, 32), model, 8)
    assert measured == [8, 8]


# ---------------------------------------------------------------- Searches


def with_engine(model: nn.Module, shape: tuple[int, ...], chunk: int = 16) -> ModelOracle:
    """An oracle that goes by windows, whatever the machine is fastest at."""
    oracle = ModelOracle(model.eval(), chunk, checked=True)
    oracle.fit(torch.zeros(1, *shape, dtype=torch.uint8))
    network = network_of(model, shape)
    whole = (0.1,) * len(network.graph.steps)
    joining = (0.0,) * (network.most_cut + 1)
    cheap = (0.001,) * network.most_cut
    oracle._engine = EditEngine(network, Costs(10.0, chunk, chunk, cheap, joining, whole, 5.0))
    return oracle


@pytest.fixture(scope="module")
def model() -> Classifier:
    return lively(build_model("resnet20")).eval()


@pytest.mark.parametrize("pixels", [1, 2])
def test_a_search_finds_the_same_with_it_and_without(model: Classifier, pixels: int) -> None:
    images = (noise(3, 3, 32, 32, seed=5) * 255).to(torch.uint8)
    labels = answers(model, images)
    config = OnePixelConfig(population=40, generations=12, pixels=pixels)
    found = []
    for oracle in (ModelOracle(model), with_engine(model, (3, 32, 32))):
        search = Search(config, oracle, images, labels)
        while search.live:
            search.tell(oracle.query(search.ask()))
        found.append(search.outcomes())
    for plain, ours in zip(*found, strict=True):
        assert plain.status is ours.status
        assert plain.edits == ours.edits
        assert plain.queries == ours.queries


def test_an_edit_is_answered_alike_alone_and_merged_with_edits_of_more_pixels(
    model: Classifier,
) -> None:
    oracle, shape = with_engine(model, (3, 32, 32)), (3, 32, 32)
    parts = [edits_of(shape, 23, 1, seed=1), edits_of(shape, 9, 3, seed=2)]
    parts.append(edits_of(shape, 40, 1, seed=4, images=3))
    alone = torch.cat([oracle.query(part) for part in parts])
    assert torch.equal(oracle.query(Perturbations.merge(parts)), alone)


def test_runs_that_the_service_merges_go_as_they_do_alone_to_the_bit(model: Classifier) -> None:
    oracle = with_engine(model, (3, 32, 32))
    images = (noise(4, 3, 32, 32, seed=6) * 255).to(torch.uint8)
    labels = answers(model, images).tolist()
    configs = [
        OnePixelConfig(population=12, generations=3, pixels=pixels, stop=Stop.BUDGET, seed=pixels)
        for pixels in (1, 3, 1, 2)
    ]
    requests = [
        AttackRequest("m", image, label, index, config)
        for index, (image, label, config) in enumerate(zip(images, labels, configs, strict=True))
    ]
    service = AttackService(lambda name: oracle)
    try:
        tickets = [service.submit(request) for request in requests]
        wait_until(lambda: not service.count_live(ticket.run_id for ticket in tickets))
        views = [service.view(ticket.run_id) for ticket in tickets]
    finally:
        service.close()
    for request, view in zip(requests, views, strict=True):
        search = request.begin(oracle)
        for seen in view.snapshots:
            search.tell(oracle.query(search.ask()))
            alone = search.snapshot()
            assert torch.equal(alone.fitness, seen.fitness)
            assert torch.equal(alone.positions, seen.positions)
        assert not search.live
        assert search.result() == view.outcome


def test_edits_of_too_many_pixels_go_dense_and_the_others_do_not(
    model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle, shape = with_engine(model, (3, 32, 32)), (3, 32, 32)
    split = oracle._engine.costs.split
    monkeypatch.setattr(Costs, "split", lambda self, k: None if k > 8 else split(k))
    parts = [edits_of(shape, 6, 12, seed=1), edits_of(shape, 9, 2, seed=2)]
    merged = Perturbations.merge(parts)
    expected = dense(model, merged)
    torch.testing.assert_close(oracle.query(merged), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(oracle.query_small(merged), expected, rtol=1e-4, atol=1e-5)


def test_flips_of_a_foreign_model_are_verified_once_it_goes_by_windows() -> None:
    foreign = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert ModelOracle(foreign).exact
    oracle = with_engine(foreign, (3, 16, 16))
    assert not oracle.exact
    assert oracle.repeatable


def test_half_precision_goes_by_windows_too(model: Classifier) -> None:
    network = network_of(model, (3, 32, 32), dtype=torch.bfloat16)
    edits = edits_of((3, 32, 32), 9, 2)
    found = network.answer(*asked(edits), Split(network.most_cut, 8, 8))
    assert found.dtype == torch.float32
    expected = dense(model, edits)
    spread = float((expected - expected.mean(1, keepdim=True)).abs().max())
    assert float((found - expected).abs().max()) < 0.1 * spread
