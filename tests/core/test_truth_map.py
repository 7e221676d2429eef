"""The truth map against brute force, whoever scores it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apr_core.attacks.enumeration import CORNERS, corner_sweep
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import edit_image
from apr_core.attacks.truth_map import PIXELS_A_STEP, TruthMap, TruthMapSearch
from apr_core.base.types import InputError
from tests.conftest import LinearModel, answers


def run(survey: TruthMapSearch) -> TruthMap:
    while survey.live:
        survey.tell(survey.oracle.query(survey.ask()))
    return survey.snapshot()


@pytest.fixture
def fragile(small_images: Tensor) -> tuple[LinearModel, Tensor, int]:
    """A model, an image that some pixels break and some do not, and its class."""
    model = LinearModel()
    labels = answers(model, small_images)
    swept = corner_sweep(ModelOracle(model), small_images, labels, stop_on_success=False)
    broken = (swept.margins.view(len(small_images), -1, 8).amin(2) < 0).float().mean(1)
    row = int((broken - 0.3).abs().argmin())
    assert 0 < broken[row] < 1
    return model, small_images[row], int(labels[row])


def test_the_map_is_what_every_pixel_in_every_corner_colour_does(fragile) -> None:
    model, image, label = fragile
    found = run(TruthMapSearch(ModelOracle(model), image, label))
    assert found.done == 1
    assert not found.certified.any()
    for y in range(6):
        for x in range(6):
            edited = image.repeat(8, 1, 1, 1)
            edited[:, :, y, x] = CORNERS.to(torch.uint8)
            with torch.no_grad():
                logits = model(edited.float() / 255)
            others = logits.clone()
            others[:, label] = float("-inf")
            margins = logits[:, label] - others.amax(1)
            assert found.margins[y, x].item() == pytest.approx(margins.min().item(), abs=1e-5)
            assert bool(found.broken[y, x]) == bool((logits.argmax(1) != label).any())
            worst = int(margins.argmin())
            assert torch.equal(found.colours[y, x], CORNERS[worst].to(torch.uint8))


def test_each_flip_of_the_map_flips_the_model_the_surest_first(fragile) -> None:
    model, image, label = fragile
    found = run(TruthMapSearch(ModelOracle(model), image, label))
    flips = found.flips()
    assert len(flips) == int(found.broken.sum()) > 1
    with torch.no_grad():
        for flip in flips:
            assert model(edit_image(image, (flip,))[None].float() / 255).argmax() != label
    margins = [found.margins[flip.y, flip.x].item() for flip in flips]
    assert margins == sorted(margins)


def test_a_network_of_this_package_is_mapped_as_the_corner_sweep_sees_it(network, pictures) -> None:
    small = pictures[:1, :, 8:24, 8:24]  # a quarter of the pixels, and of the work for each
    label = int(answers(network, small)[0])
    oracle = ModelOracle(network)
    found = run(TruthMapSearch(oracle, small[0], label))
    swept = corner_sweep(oracle, small, torch.tensor([label]), stop_on_success=False)
    assert torch.equal(found.margins, swept.margins.view(16, 16, 8).amin(2))


def test_certified_pixels_are_not_tried(fragile) -> None:
    model, image, label = fragile
    certified = torch.zeros(6, 6, dtype=torch.bool)
    certified[:, 1::2] = True
    survey = TruthMapSearch(ModelOracle(model), image, label, certified)
    assert survey.snapshot().done == 0.5
    tried = set()
    while survey.live:
        edits = survey.ask()
        tried |= {(y, x) for x, y in edits.positions[:, 0].tolist()}
        survey.tell(survey.oracle.query(edits))
    found = survey.snapshot()
    assert tried == {(y, x) for y, x in (~certified).nonzero().tolist()}
    assert found.done == 1
    assert found.margins[certified].isinf().all()
    assert not found.broken[certified].any()


def test_it_goes_in_steps_and_can_be_cancelled(network, pictures) -> None:
    label = int(answers(network, pictures)[0])
    survey = TruthMapSearch(ModelOracle(network), pictures[0], label)
    assert survey.steps == -(-1024 // PIXELS_A_STEP)
    survey.tell(survey.oracle.query(survey.ask()))
    early = survey.snapshot()
    assert survey.step == 1
    assert early.done == PIXELS_A_STEP / 1024
    assert int(early.margins.isfinite().sum()) == PIXELS_A_STEP
    survey.cancel()
    assert not survey.live
    survey = TruthMapSearch(
        ModelOracle(network), pictures[0], label, torch.ones(32, 32, dtype=torch.bool)
    )
    assert (survey.live, survey.snapshot().done) == (False, 1.0)


def test_an_image_that_the_model_gets_wrong_has_no_map(fragile) -> None:
    model, image, label = fragile
    with pytest.raises(InputError, match=f"takes this image for class {label} already"):
        TruthMapSearch(ModelOracle(model), image, (label + 1) % 3)
    with pytest.raises(InputError, match="The label 7 is not a class"):
        TruthMapSearch(ModelOracle(model), image, 7)
