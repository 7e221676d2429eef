"""Images of 224 x 224, or of any height and width, and models of a thousand classes."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from apr_core import OnePixelAttack, OnePixelConfig
from apr_core.attacks import enumeration
from apr_core.attacks.enumeration import corners_of, gradient_corners, is_large
from apr_core.attacks.ladder import LADDER, LARGE_LADDER, LadderConfig, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.search import Search
from apr_core.attacks.stages import STAGES, sparse_rs
from apr_core.attacks.truth_map import SAMPLE, TruthMap, TruthMapSearch
from apr_core.base.types import InputError, Stop
from apr_core.certification.lattice_masking import LatticeMasking, certify
from apr_core.data.dataset import Sample
from apr_core.data.registry import find_dataset
from apr_core.evaluation.protocol import setting_for
from apr_core.explain.attributions import attribute
from apr_core.explain.curves import deletion_curve
from apr_core.explain.methods import METHODS
from apr_core.explain.task import AttributionConfig, rows_for
from apr_core.models import Classifier, build_model
from apr_core.models.inference import default_chunk, prepare
from apr_core.models.outputs import logit_margin
from apr_core.serving.archive import archive_format
from apr_core.serving.archive.archive_format import FORMAT, Head, pack, read_frames
from apr_core.serving.frame import archived_frame
from apr_core.serving.memory_limits import MAX_BYTES
from apr_core.serving.requests import (
    MOST_HISTORY,
    AttackRequest,
    MapRequest,
    check_size,
    history_bytes,
)
from apr_core.zoo.target import TargetModel
from apr_ui.permalink import from_params
from benchmarks.speed.case import BenchConfig, Case, peak_memory
from benchmarks.speed.engines import forward_works
from benchmarks.speed.measure import measure
from tests.conftest import answers, noise

HEIGHT, WIDTH = 72, 66
SMALL = AttributionConfig(steps=4, draws=4, probes=4)


class Weighing(nn.Module):
    """Two classes by a weighted sum of pixels, so that the gradient's order is the true one."""

    def __init__(self, height: int = HEIGHT, width: int = WIDTH) -> None:
        super().__init__()
        self.weight = nn.Parameter(noise(3, height, width, seed=4) - 0.5)

    def forward(self, images: Tensor) -> Tensor:
        score = (images.double() * self.weight).sum((1, 2, 3))[:, None]
        return torch.cat([-score, score], 1).to(images.dtype)


class Narrow(nn.Module):
    """A model that memory suffices for a few images of."""

    def __init__(self, model: nn.Module, most: int) -> None:
        super().__init__()
        self.model, self.most = model, most
        self.shown: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(len(images))
        if len(images) > self.most:
            raise RuntimeError("can't allocate memory: you tried")
        return self.model(images)


class Small(nn.Module):
    """A convolutional network for any size, with a thousand classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 7, stride=4)
        self.act = nn.ReLU(inplace=True)
        self.deep = nn.Conv2d(8, 8, 3, stride=2)
        self.last = nn.ReLU(inplace=True)
        self.linear = nn.Linear(8, 1000)

    def forward(self, images: Tensor) -> Tensor:
        features = self.last(self.deep(self.act(self.conv(images))))
        return self.linear(features.mean((2, 3))) * 20


@pytest.fixture
def weighing() -> Weighing:
    return Weighing().eval()


@pytest.fixture
def large() -> Tensor:
    return (noise(3, 3, HEIGHT, WIDTH, seed=7) * 255).to(torch.uint8)


def wide_network() -> Classifier:
    """A ResNet-20 of random weights with a thousand classes."""
    torch.manual_seed(0)
    data = replace(find_dataset(), name="wide", classes=tuple(map(str, range(1000))))
    return build_model("resnet20", data=data).eval()


@pytest.mark.parametrize(
    ("size", "a_thread"),
    [((32, 32), 50), ((28, 28), 50), ((6, 6), 50), ((64, 64), 12), ((224, 224), 4), ((640, 48), 4)],
)
def test_a_chunk_is_as_many_images_as_their_size_allows(size, a_thread: int) -> None:
    device, threads = torch.device("cpu"), torch.get_num_threads()
    assert default_chunk(device, *size) == a_thread * threads
    oracle = ModelOracle(Small())
    oracle.query_images(torch.zeros(1, 3, max(31, size[0]), max(31, size[1]), dtype=torch.uint8))
    expected = default_chunk(device, max(31, size[0]), max(31, size[1]))
    assert oracle.chunk == expected
    assert rows_for(torch.zeros(1, 3, 32, 32)) == 32
    assert rows_for(torch.zeros(1, 3, 224, 224)) == 4


def test_a_chunk_that_the_caller_chose_holds_for_any_size() -> None:
    model = Narrow(Small(), 10**6)
    oracle = ModelOracle(model, chunk=7, checked=True)
    oracle.query_images(torch.zeros(20, 3, 224, 200, dtype=torch.uint8))
    assert model.shown == [7, 7, 6]


def test_logits_of_own_networks_do_not_depend_on_company_at_any_size() -> None:
    network = wide_network()
    images = (noise(7, 3, 60, 100, seed=2) * 255).to(torch.uint8)
    oracle = ModelOracle(network)
    together = oracle.query_images(images)
    alone = torch.cat([oracle.query_images(one[None]) for one in images])
    assert torch.equal(together, alone)
    assert together.shape == (7, 1000)


def test_a_norm_with_its_activation_inside_is_not_folded() -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    backbone = timm.create_model("tf_efficientnet_lite0", num_classes=10)
    model = Classifier(backbone).eval()
    images = noise(2, 3, 64, 64, seed=3)
    with torch.no_grad():
        torch.testing.assert_close(prepare(model)(images), model(images), rtol=1e-3, atol=1e-4)


def test_the_lattice_halves_its_chunk_where_memory_lacks(large) -> None:
    model = Small().eval()
    narrow = Narrow(model, 1)
    wrapper = LatticeMasking(narrow, 2).eval()
    images = large.float() / 255
    found = wrapper.one_mask_logits(images)
    wanted = LatticeMasking(model, 2).eval().one_mask_logits(images)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert narrow.shown[:6] == [12, 10, 5, 2, 1, 1]
    narrow.shown.clear()
    wrapper.one_mask_logits(images)
    assert set(narrow.shown) == {1}
    with pytest.raises(InputError, match="out of memory with a single picture"):
        LatticeMasking(Narrow(model, 0), 2).eval().one_mask_logits(images)


@pytest.mark.parametrize("size", [(45, 70), (70, 45)])
def test_certificates_of_pictures_that_are_not_square(size) -> None:
    model = Weighing(*size).eval()
    with torch.no_grad():
        model.weight.add_(0.3)
    images = (noise(2, 3, *size, seed=8) * 255).to(torch.uint8)
    wrapper = LatticeMasking(model, 3).eval()
    labels = answers(model, images)
    for image, label, one in zip(images, labels, certify(wrapper, images, labels), strict=True):
        assert one.verdict == "certified"
        edited = image.repeat(8, 1, 1, 1)
        edited[:, :, size[0] - 1, size[1] - 1] = corners_of(3).to(torch.uint8)
        assert set(answers(wrapper, edited).tolist()) == {int(label)}


def test_the_query_cache_does_not_grow_with_the_classes() -> None:
    network, images = wide_network(), find_dataset().shipped_sample().images[:2]
    config = OnePixelConfig(population=20, generations=6, stop=Stop.BUDGET)
    search = Search(config, ModelOracle(network), images, answers(network, images))
    queried = 0
    while search.live:
        edits = search.ask()
        queried += len(edits)
        search.tell(search.oracle.query(edits))
    assert search._cache is not None
    assert 0 < search._cache.size <= 32 * queried


@pytest.mark.parametrize(("pixels", "label"), [(1, 0), (3, 999)])
def test_a_thousand_classes_targeted_and_not(pixels: int, label: int) -> None:
    model = Small().eval()
    images = (noise(2, 3, 40, 90, seed=5) * 255).to(torch.uint8)
    for target in (None, label):
        config = OnePixelConfig(pixels, population=12, generations=3, target=target)
        outcomes = OnePixelAttack(model, config).run(images, answers(model, images)).outcomes
        for image, outcome in zip(images, outcomes, strict=True):
            said = int(answers(model, outcome.apply(image)[None]))
            assert said == outcome.label_after
            assert all(edit.x < 90 and edit.y < 40 for edit in outcome.edits)


def test_a_hundred_and_fifty_pixels_are_set_and_confirmed() -> None:
    model = Small().eval()
    images = (noise(1, 3, 100, 80, seed=5) * 255).to(torch.uint8)
    config = OnePixelConfig(150, population=8, generations=2)
    (outcome,) = OnePixelAttack(model, config).run(images, answers(model, images)).outcomes
    assert len(outcome.edits) == 150
    found = sparse_rs(
        ModelOracle(model), images, answers(model, images), torch.tensor([0]), 150, 0, 20
    )
    assert found.positions.shape == (1, 150, 2)


def test_links_and_pages_stay_at_sixteen_pixels() -> None:
    link = {"model": "cifar10-resnet20-vanilla", "index": "0"}
    assert from_params({**link, "pixels": "16"}).config.pixels == 16
    with pytest.raises(InputError, match="pixels is 17"):
        from_params({**link, "pixels": "17"})


def test_the_ladder_is_chosen_by_the_size_of_the_data() -> None:
    model, data = Small(), find_dataset()
    assert setting_for(TargetModel("m", model, data)).stages == LADDER
    huge = replace(data, size=(224, 224))
    setting = setting_for(TargetModel("m", model, huge), pixels=(1, 5, 20))
    assert setting.stages == LARGE_LADDER
    assert set(LARGE_LADDER) < set(STAGES)
    assert not is_large(64, 64)
    assert is_large(64, 65)


def test_the_gradient_names_the_worst_corners_of_a_linear_model(weighing, large) -> None:
    labels = answers(weighing, large)
    found = gradient_corners(ModelOracle(weighing), large, labels, 5)
    worst = _lowest_margins(weighing, large, labels)
    torch.testing.assert_close(found.margin, worst, rtol=1e-4, atol=1e-4)
    assert set(found.queries[~found.flipped].tolist()) <= {5}


def _lowest_margins(model: Weighing, images: Tensor, labels: Tensor) -> Tensor:
    """Of each image, the least margin over every corner colour of every pixel, in closed form."""
    clean = logit_margin(model(images.float() / 255), labels)
    seen, weight = images.double() / 255, model.weight.double()
    sign = torch.where(labels == 1, 1.0, -1.0)[:, None, None, None]
    change = torch.minimum(sign * weight * (0 - seen), sign * weight * (1 - seen)).sum(1)
    return (clean + 2 * change.flatten(1).amin(1)).float().detach()


def test_the_large_ladder_states_its_budgets_and_adds_three_pixels_by_gradient(
    weighing, large, monkeypatch
) -> None:
    with torch.no_grad():  # so sure that nothing turns it
        weighing.weight.fill_(1.0)
    labels, tried = answers(weighing, large), []
    real = enumeration._try_in_turn

    def counted(*args):
        tried.append(args[4])
        return real(*args)

    monkeypatch.setattr(enumeration, "_try_in_turn", counted)
    config = LadderConfig(LARGE_LADDER[:1], pixels=(1, 5))
    verdicts = climb(config, ModelOracle(weighing), large[:1], labels[:1], torch.arange(1))
    assert tried == [1000] * 3
    assert [rung.queries for rung in verdicts[0].rungs] == [1000, 3000]
    assert [len(rung.edits) for rung in verdicts[0].rungs] == [1, 3]
    assert len({(edit.x, edit.y) for edit in verdicts[0].rungs[1].edits}) == 3
    monkeypatch.undo()
    for name, queries in (("sparse-rs-2000", 2000), ("de-margin-100x20", 2100)):
        few = LadderConfig((name,))
        (verdict,) = climb(few, ModelOracle(weighing), large[:1], labels[:1], torch.arange(1))
        assert verdict.rungs[0].queries == queries


def test_the_truth_map_of_a_large_image_is_a_sample_that_says_so(weighing, large) -> None:
    label = int(answers(weighing, large)[0])
    survey = TruthMapSearch(ModelOracle(weighing), large[0], label)
    steps = survey.steps
    truth = _to_its_end(survey)
    assert truth.sampled == SAMPLE == int(truth.margins.isfinite().sum())
    assert (truth.done, survey.step) == (1.0, steps)
    assert steps == MapRequest("m", large[0], label).steps
    worst = _lowest_margins(weighing, large[:1], torch.tensor([label]))
    torch.testing.assert_close(truth.margins.min(), worst[0], rtol=1e-4, atol=1e-4)
    small = large[0, :, :20, :30].contiguous()
    model = Weighing(20, 30).eval()
    whole = _to_its_end(TruthMapSearch(ModelOracle(model), small, int(answers(model, small[None]))))
    assert (whole.sampled, whole.done) == (0, 1.0)


def test_without_a_gradient_the_truth_map_samples_at_random(weighing, large) -> None:
    def model(images: Tensor) -> Tensor:
        return weighing(images.detach()).detach()

    label = int(answers(weighing, large)[0])
    truth = _to_its_end(TruthMapSearch(ModelOracle(model), large[0], label))
    assert truth.sampled == SAMPLE == int(truth.margins.isfinite().sum())


def _to_its_end(survey: TruthMapSearch) -> TruthMap:
    while survey.live:
        survey.tell(survey.oracle.query(survey.ask()))
    return survey.result()


def test_snapshots_at_224_take_what_is_planned_for_and_fit(monkeypatch) -> None:
    """A run of 400 candidates and 100 generations: in memory, and as an archived file."""
    data = replace(find_dataset(), size=(224, 200), classes=tuple(map(str, range(1000))))
    monkeypatch.setattr(archive_format, "data_behind", lambda model: data)
    model = Small().eval()
    image = (noise(3, 224, 200, seed=5) * 255).to(torch.uint8)
    label = int(answers(model, image[None]))
    config = OnePixelConfig(population=400, generations=1, stop=Stop.BUDGET)
    search = Search(config, ModelOracle(model), image[None], torch.tensor([label]))
    snapshots = []
    while search.live:
        search.tell(search.oracle.query(search.ask()))
        snapshots.append(search.snapshot())
    request = AttackRequest("m", image, label, 0, config)
    for one in snapshots:
        parts = (one.positions, one.colours, one.fitness, one.true, one.moved)
        assert sum(part.nbytes for part in parts) == request.step_bytes
    whole = replace(config, generations=100)
    assert history_bytes(whole) == 101 * request.step_bytes < MOST_HISTORY / 40
    assert request.step_bytes == 400 * 16
    for pixels in (16, 50):
        check_size(replace(whole, pixels=pixels))
    with pytest.raises(InputError, match="150 pixels"):
        check_size(replace(whole, pixels=150))
    head = Head(FORMAT, request.run_id, "m", "", label, 0, config, True, outcome=search.result())
    lines = gzip.compress(b"".join(map(pack, snapshots)))
    again = list(read_frames(head, gzip.GzipFile(fileobj=io.BytesIO(lines))))
    assert [archived_frame(one) for one in again] == [archived_frame(one) for one in snapshots]
    assert int(again[0].positions[..., 1].max()) > 200  # rows go further than columns


def test_the_history_of_a_large_truth_map_fits_into_memory() -> None:
    request = MapRequest("m", torch.zeros(3, 224, 224, dtype=torch.uint8), 0)
    assert request.steps * request.step_bytes < MAX_BYTES / 8


SQUARES = {(32, 32): (4, 2), (20, 90): (4, 2), (224, 224): (28, 14), (224, 96): (12, 6)}


@pytest.mark.parametrize(("size", "square"), SQUARES.items())
def test_the_square_of_occlusion_grows_with_the_picture(size, square) -> None:
    assert AttributionConfig().square(*size) == square


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_explains_a_large_picture_of_a_network_it_does_not_know(method: str) -> None:
    model, images = Small().eval(), noise(2, 3, 96, 128, seed=3)
    labels, told = model(images).argmax(1), []
    found = attribute(
        model, images, labels, method, SMALL, report=lambda *progress: told.append(progress)
    )
    assert found.maps.shape == (2, 96, 128)
    assert bool(found.maps.isfinite().all())
    assert told[-1][0] == told[-1][1]
    assert model.act.inplace
    assert deletion_curve(model, images, labels, found.maps, 4).probabilities.shape == (2, 5)


@pytest.mark.parametrize("kind", [nn.ReLU6, nn.SiLU, nn.Hardswish])
def test_deeplift_adds_up_through_other_activations(kind) -> None:
    model = Small().eval()
    model.act, model.last = kind(inplace=True), kind(inplace=True)
    images = noise(2, 3, 96, 128, seed=3) * 20 % 1
    found = attribute(model, images, model(images).argmax(1), "deeplift", SMALL)
    assert bool((found.figure.abs() < 1e-3 * found.scale).all())


def test_gradcam_of_another_network_is_of_its_last_features() -> None:
    """Held against the definition: gradients averaged over places weigh the features."""
    model, images = Small().eval(), noise(1, 3, 96, 128, seed=3)
    label = model(images).argmax(1)
    features = model.last(model.deep(model.act(model.conv(images)))).detach().requires_grad_()
    (model.linear(features.mean((2, 3))) * 20)[0, label].sum().backward()
    coarse = (features.grad.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).relu()
    expected = nn.functional.interpolate(coarse, (96, 128), mode="bilinear")
    found = attribute(model, images, label, "gradcam", SMALL)
    torch.testing.assert_close(found.maps, expected[:, 0].detach(), rtol=1e-4, atol=1e-6)


def test_bench_tries_small_batches_of_large_images_and_tells_the_memory(weighing, large) -> None:
    config = BenchConfig(1, 0, 1, population=4, seconds=1e-4)
    labels = answers(weighing, large)
    works = forward_works(Case(weighing, large[:1], labels[:1], config))
    assert {forward.batch for forward in works} == {4, 16}
    data = replace(find_dataset(), sample=lambda: sample_of(large, labels))
    result = measure(weighing, config, data=data)
    assert 10**7 < result.attack_peak_bytes <= peak_memory(torch.device("cpu"))
    assert result.queries["attack"] == 4


def sample_of(images: Tensor, labels: Tensor) -> Sample:
    return Sample(images, labels, torch.arange(len(images)))


@pytest.fixture(scope="module")
def lite0() -> nn.Module:
    """EfficientNet-Lite0 of random weights."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0").eval()


@pytest.mark.parametrize("pixels", [1, 16])
def test_efficientnet_is_attacked_and_mapped_at_224(lite0, pixels: int) -> None:
    images = (noise(1, 3, 224, 224, seed=5) * 255).to(torch.uint8)
    config = OnePixelConfig(pixels, population=6, generations=2, fitness="margin")
    (outcome,) = OnePixelAttack(lite0, config).run(images, answers(lite0, images)).outcomes
    assert outcome.queries > 0
    assert int(answers(lite0, outcome.apply(images[0])[None])) == outcome.label_after
    found = gradient_corners(ModelOracle(lite0), images, answers(lite0, images), 8)
    assert int(found.queries) <= 8


def test_efficientnet_is_certified_and_explained_at_224(lite0) -> None:
    images = (noise(1, 3, 224, 224, seed=5) * 255).to(torch.uint8)
    labels = answers(lite0, images)
    (one,) = certify(LatticeMasking(lite0, 2).eval(), images, labels)
    assert one.label == int(labels)
    assert one.predictions in (4, 10)
    for method in ("gradcam", "saliency"):
        assert attribute(lite0, images, labels, method, SMALL).maps.shape == (1, 224, 224)
