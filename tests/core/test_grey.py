"""Grey pictures: a model of one channel is attacked, certified and explained as it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from apr_core import OnePixelAttack, OnePixelConfig
from apr_core.attacks.enumeration import CORNERS, GRID, corner_sweep, corners_of, grid_of
from apr_core.attacks.gradient import EPSILON
from apr_core.attacks.ladder import LadderConfig, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import AttackResult, PixelEdit, edit_image, to_edits
from apr_core.attacks.stages import STAGES, sparse_rs
from apr_core.attacks.transfer import Effect, transfer_matrix
from apr_core.attacks.truth_map import TruthMapSearch
from apr_core.base.types import InputError, Stop, Threat
from apr_core.certification.lattice_masking import LatticeMasking, Verdict, certify
from apr_core.data.images import from_png, to_png
from apr_core.data.registry import find_dataset
from apr_core.explain.attributions import attribute
from apr_core.explain.curves import deletion_curve, insertion_curve
from apr_core.explain.methods import METHODS
from apr_core.explain.regions import object_region
from apr_core.models import Classifier, build_model
from apr_core.models.inputs import as_uint8
from apr_core.serving.frame import archived_frame, to_snapshot
from apr_core.serving.requests import AttackRequest
from apr_core.serving.run_export import record
from apr_core.serving.service import AttackService
from tests.conftest import answers, noise, wait_until

HEIGHT, WIDTH = 5, 7
QUICK = OnePixelConfig(population=20, generations=4, stop=Stop.BUDGET)


class Weighing(nn.Module):
    """Two classes by a weighted sum of grey pixels: the best edit is known."""

    def __init__(self, height: int = HEIGHT, width: int = WIDTH) -> None:
        super().__init__()
        self.weight = nn.Parameter(noise(1, height, width, seed=4) * 2 - 1)

    def forward(self, images: Tensor) -> Tensor:
        score = (images.double() * self.weight).sum((1, 2, 3))[:, None]
        return torch.cat([-score, score], 1).to(images.dtype)


def grey_network() -> Classifier:
    """A ResNet-20 of random weights for pictures of one channel."""
    torch.manual_seed(0)
    data = replace(find_dataset(), name="grey", channels=1, mean=(0.5,), std=(0.25,))
    return build_model("resnet20", data=data).eval()


@pytest.fixture
def grey() -> Tensor:
    return (noise(6, 1, HEIGHT, WIDTH, seed=7) * 255).to(torch.uint8)


@pytest.fixture
def weighing() -> Weighing:
    return Weighing().eval()


def turned_by(model: nn.Module, image: Tensor, label: int, values: list[int]) -> set[PixelEdit]:
    """Every edit to one of some greys that turns the model, by trying them all."""
    places = list(product(range(HEIGHT), range(WIDTH), values))
    edited = image.repeat(len(places), 1, 1, 1)
    for row, (y, x, value) in enumerate(places):
        edited[row, 0, y, x] = value
    wrong = answers(model, edited) != label
    return {
        PixelEdit(x, y, (value,) * 3)
        for (y, x, value), hit in zip(places, wrong.tolist(), strict=True)
        if hit
    }


def test_corners_and_grid_of_one_channel_and_of_three() -> None:
    assert corners_of(1).tolist() == [[0], [255]]
    assert torch.equal(CORNERS, torch.tensor(list(product((0, 255), repeat=3))))
    assert torch.equal(GRID, torch.tensor(list(product((0, 64, 128, 191, 255), repeat=3))))
    assert grid_of(1).shape == (125, 1)
    assert grid_of(1).unique().numel() == 125


def test_a_corner_sweep_finds_an_edit_where_there_is_one(weighing, grey) -> None:
    labels = answers(weighing, grey)
    found = corner_sweep(ModelOracle(weighing), grey, labels)
    exists = [
        bool(turned_by(weighing, one, int(label), [0, 255]))
        for one, label in zip(grey, labels, strict=True)
    ]
    assert found.flipped.tolist() == exists
    assert True in exists
    assert False in exists
    assert found.colours.shape == (6, 1, 1)
    assert int(found.queries.max()) == 2 * HEIGHT * WIDTH


def test_the_truth_map_is_what_trying_every_grey_corner_says(weighing, grey) -> None:
    for image, label in zip(grey, answers(weighing, grey).tolist(), strict=True):
        survey = TruthMapSearch(ModelOracle(weighing), image, label)
        while survey.live:
            survey.tell(survey.oracle.query(survey.ask()))
        truth = survey.result()
        turned = turned_by(weighing, image, label, [0, 255])
        assert {(edit.x, edit.y) for edit in truth.flips()} == {(e.x, e.y) for e in turned}
        assert set(truth.flips()) <= turned
        assert truth.colours.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("name", list(STAGES))
def test_every_stage_attacks_and_what_it_says_holds(name: str, weighing, grey) -> None:
    labels = answers(weighing, grey)
    side = 2 if STAGES.get(name).threat is Threat.PATCH else 0
    pixels = (1, 2) if STAGES.get(name).threat is Threat.L0 else (1,)
    config = LadderConfig((name,), pixels=pixels, side=side)
    verdicts = climb(config, ModelOracle(weighing), grey, labels, torch.arange(len(grey)))
    assert any(rung.flipped for verdict in verdicts for rung in verdict.rungs)
    for image, verdict in zip(grey, verdicts, strict=True):
        for rung in verdict.rungs:
            edited = edit_image(image, rung.edits)
            assert all(len(set(edit.rgb)) == 1 for edit in rung.edits)
            if rung.flipped and STAGES.get(name).threat is not Threat.LINF:
                assert int(answers(weighing, edited[None])) != verdict.label


def test_the_whole_ladder_with_what_is_known_already(weighing, grey) -> None:
    labels, config = answers(weighing, grey), LadderConfig(("corners", "de"), pixels=(1, 2))
    whole = climb(config, ModelOracle(weighing), grey, labels, torch.arange(len(grey)))
    alone = climb(
        LadderConfig(("de",), pixels=(1,)), ModelOracle(weighing), grey, labels, torch.arange(6)
    )
    known = {"de": {(one.index, 1): one.rungs[0] for one in alone}}
    again = climb(config, ModelOracle(weighing), grey, labels, torch.arange(len(grey)), known)
    assert [v.rungs[0].flipped for v in whole] == [v.rungs[0].flipped for v in again]
    assert [len(rung.edits) for verdict in again for rung in verdict.rungs] == [1, 2] * 6


def test_sparse_rs_with_all_pixels_turns_everything(weighing, grey) -> None:
    """With every pixel black or white, the sum can have either sign."""
    labels = answers(weighing, grey)
    found = sparse_rs(ModelOracle(weighing), grey, labels, torch.arange(6), HEIGHT * WIDTH)
    assert bool(found.flipped.all())
    assert bool((answers(weighing, found.edited(grey)) != labels).all())


@pytest.mark.parametrize("pixels", [1, 3])
def test_the_attack_takes_pictures_and_gives_pictures_of_one_channel(
    pixels: int, weighing, grey
) -> None:
    labels = answers(weighing, grey)
    attack = OnePixelAttack(weighing, OnePixelConfig(pixels, population=40, generations=10))
    result = attack.run(grey, labels)
    adversarial = attack(grey, labels)
    assert adversarial.shape == (6, 1, HEIGHT, WIDTH)
    assert torch.equal(result.adversarial(grey), as_uint8(adversarial))
    assert result.success_rate > 0
    for image, outcome in zip(grey, result.outcomes, strict=True):
        changed = outcome.apply(image) != image
        assert int(changed.sum()) <= pixels
        if outcome.success:
            assert int(answers(weighing, outcome.apply(image)[None])) == outcome.label_after
    assert AttackResult.from_json(result.to_json()) == result


def test_an_own_network_of_one_channel_is_searched_folded_and_confirmed() -> None:
    model = grey_network()
    images = (noise(3, 1, 20, 28, seed=1) * 255).to(torch.uint8)
    labels = answers(model, images)
    result = OnePixelAttack(model, QUICK).run(images, labels)
    assert not ModelOracle(model).exact
    for image, outcome in zip(images, result.outcomes, strict=True):
        said = int(answers(model, outcome.apply(image)[None]))
        assert said == outcome.label_after


def test_a_run_is_shown_kept_and_exported_in_three_equal_channels(weighing, grey) -> None:
    label = int(answers(weighing, grey)[0])
    service = AttackService(load=lambda name: ModelOracle(weighing))
    try:
        ticket = service.submit(AttackRequest("m", grey[0], label, 0, QUICK))
        wait_until(lambda: not service.view(ticket.run_id).live)
        view = service.view(ticket.run_id)
    finally:
        service.close()
    assert view.error == ""
    for snapshot in view.snapshots:
        assert snapshot.colours.shape == (20, 1, 3)
        assert bool((snapshot.colours == snapshot.colours[..., :1]).all())
        assert snapshot.walk is None or len(snapshot.walk.child[0].rgb) == 3
    assert len(record(view)["frames"]) == QUICK.generations + 1
    entry = archived_frame(view.snapshots[1])
    assert len(entry["rgb"]) == 4 * 20  # base64 of 3 x 20 bytes
    assert callable(to_snapshot)


def test_edits_are_three_equal_values_or_refused(grey) -> None:
    assert to_edits(torch.tensor([[2, 1]]), torch.tensor([[9]])) == (PixelEdit(2, 1, (9, 9, 9)),)
    edited = edit_image(grey[0], (PixelEdit(2, 1, (9, 9, 9)),))
    assert edited.shape == (1, HEIGHT, WIDTH)
    assert int(edited[0, 1, 2]) == 9
    with pytest.raises(InputError, match=r"grey.*\(9, 9, 8\)"):
        edit_image(grey[0], (PixelEdit(2, 1, (9, 9, 8)),))


def test_transfer_between_models_of_one_channel(weighing, grey) -> None:
    label = int(answers(weighing, grey)[0])
    edit = next(iter(turned_by(weighing, grey[0], label, [0, 255])), PixelEdit(0, 0, (0, 0, 0)))
    (row,) = transfer_matrix([ModelOracle(weighing)], grey[0], label, [(edit,)])
    said = int(answers(weighing, edit_image(grey[0], (edit,))[None]))
    assert (row[0].label, row[0].effect is Effect.BREAKS) == (said, said != label)


def test_a_grey_picture_survives_png(grey) -> None:
    again = from_png(to_png(grey[0]))
    assert torch.equal(again, grey[0].expand(3, -1, -1))


def test_fgsm_and_pgd_stay_within_reach(weighing, grey) -> None:
    """Both turn exactly the pictures whose sum lies within reach, for the model is linear."""
    labels = answers(weighing, grey)
    near = weighing(grey.float() / 255)[:, 1].abs() < EPSILON * weighing.weight.abs().sum()
    for name in ("fgsm", "pgd"):
        config = LadderConfig((name,))
        verdicts = climb(config, ModelOracle(weighing), grey, labels, torch.arange(6))
        flipped = torch.tensor([verdict.rungs[0].flipped for verdict in verdicts])
        assert bool((flipped <= near).all())


def test_certificates_hold_against_every_grey(grey) -> None:
    model = Weighing().eval()
    with torch.no_grad():
        model.weight.mul_(20).add_(1)
    wrapper = LatticeMasking(model, 3).eval()
    labels = answers(model, grey)
    found = certify(wrapper, grey, labels)
    assert Verdict.CERTIFIED in {one.verdict for one in found}
    for image, label, one in zip(grey, labels.tolist(), found, strict=True):
        if one.verdict is Verdict.CERTIFIED:
            assert turned_by(wrapper, image, label, [0, 64, 128, 255]) == set()


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_explains_one_channel(method: str) -> None:
    model = grey_network()
    images = noise(2, 1, 16, 20, seed=3)
    labels = model(images).argmax(1)
    found = attribute(model, images, labels, method)
    assert found.maps.shape == (2, 16, 20)
    assert found.raw is not None
    assert torch.allclose(found.raw[:, 0], found.maps)
    assert bool(found.maps.isfinite().all())
    for curve in (deletion_curve, insertion_curve):
        assert curve(model, images, labels, found.maps, 4).probabilities.shape == (2, 5)


def test_the_object_of_a_grey_picture_is_what_stands_out() -> None:
    image = torch.full((1, 20, 24), 40, dtype=torch.uint8)
    image[:, 6:14, 8:18] = 220
    region = object_region(image)
    assert region is not None
    assert torch.equal(region, image[0] > 100)


def test_a_model_in_colour_says_how_it_takes_grey_pictures(linear_model, network) -> None:
    for model, size in ((linear_model, 6), (network.backbone, 32)):
        with pytest.raises(InputError, match=r"images.repeat\(1, 3, 1, 1\)"):
            OnePixelAttack(model, QUICK).run(torch.zeros(1, 1, size, size), [0])
    with pytest.raises(InputError, match="1 or 3 channels"):
        OnePixelAttack(linear_model, QUICK).run(torch.zeros(1, 4, 6, 6), [0])
