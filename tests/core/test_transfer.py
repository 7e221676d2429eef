"""The transfer matrix against brute force on linear models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from apr_core.attacks.enumeration import CORNERS, corner_sweep
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import PixelEdit, edit_image
from apr_core.attacks.transfer import Effect, transfer_matrix
from apr_core.base.types import InputError
from tests.conftest import ConstantModel, CountingModel, LinearModel, answers


@pytest.fixture
def models() -> list[LinearModel]:
    return [LinearModel(seed=seed) for seed in range(4)]


@pytest.fixture
def edits() -> list[tuple[PixelEdit, ...]]:
    """Of one pixel, of two, of none, and of another one."""
    generator = torch.Generator().manual_seed(5)
    rows = torch.randint(0, 256, (4, 5), generator=generator).tolist()
    first, second, third, fourth = (
        PixelEdit(x % 6, y % 6, (red, green, blue)) for x, y, red, green, blue in rows
    )
    return [(first,), (second, third), (), (fourth,)]


def test_every_cell_is_what_that_model_says_of_that_edit(models, edits, small_images) -> None:
    for image in small_images:
        for label in range(3):
            found = transfer_matrix([ModelOracle(model) for model in models], image, label, edits)
            for row, edit in enumerate(edits):
                for column, model in enumerate(models):
                    with torch.no_grad():
                        clean, edited = model(
                            torch.stack([image, edit_image(image, edit)]).float() / 255
                        ).softmax(1)
                    cell = found[row][column]
                    assert cell.label == int(edited.argmax())
                    assert cell.confidence == pytest.approx(float(edited.max()), abs=1e-6)
                    assert cell.true == pytest.approx(float(edited[label]), abs=1e-6)
                    if int(clean.argmax()) != label:
                        assert cell.effect is Effect.MISREAD
                    elif not edit:
                        assert cell.effect is Effect.NO_EDIT
                    else:
                        broken = int(edited.argmax()) != label
                        assert cell.effect is (Effect.BREAKS if broken else Effect.HOLDS)


def flip_of(model: LinearModel, image: Tensor, label: int) -> tuple[PixelEdit, ...]:
    """The corner colour at one pixel that does most to a model."""
    swept = corner_sweep(
        ModelOracle(model), image[None], torch.tensor([label]), stop_on_success=False
    )
    pixel, corner = divmod(int(swept.margins[0].argmin()), 8)
    return (PixelEdit(pixel % 6, pixel // 6, tuple(CORNERS[corner].tolist())),)


def test_a_twin_falls_to_the_same_edit_and_a_constant_model_to_none(small_images) -> None:
    model = LinearModel()
    labels = answers(model, small_images).tolist()
    fallen = 0
    for image, label in zip(small_images, labels, strict=True):
        edit = flip_of(model, image, label)
        stubborn = ConstantModel([2.0 * (k == label) for k in range(3)])
        oracles = [ModelOracle(model), ModelOracle(LinearModel()), ModelOracle(stubborn)]
        ((own, twin, constant),) = transfer_matrix(oracles, image, label, [edit])
        assert own == twin
        assert constant.effect is Effect.HOLDS
        fallen += own.effect is Effect.BREAKS
    assert fallen > 0


def test_each_model_is_asked_once_about_each_picture(edits, small_images) -> None:
    counting = CountingModel(LinearModel())
    oracle = ModelOracle(counting)
    oracle.verify_float32(small_images[:1])  # which checks the model, once
    counting.count = 0
    transfer_matrix([oracle], small_images[0], 0, edits)
    assert counting.count == 1 + len(edits)


def test_a_row_does_not_depend_on_its_company(network, pictures) -> None:
    label = int(answers(network, pictures)[0])
    edits = [(PixelEdit(x, 3, (255, 0, x)),) for x in range(12)]
    together = transfer_matrix([ModelOracle(network)], pictures[0], label, edits)
    for row, edit in enumerate(edits):
        assert transfer_matrix([ModelOracle(network)], pictures[0], label, [edit]) == [
            together[row]
        ]


def test_nothing_to_compare_is_an_empty_matrix(small_images, edits) -> None:
    assert transfer_matrix([], small_images[0], 0, edits) == [[], [], [], []]
    assert transfer_matrix([ModelOracle(LinearModel())], small_images[0], 0, []) == []


def test_what_cannot_be_is_refused(small_images) -> None:
    oracle, image = ModelOracle(LinearModel()), small_images[0]
    with pytest.raises(InputError, match=r"The pixel \(6, 2\) lies outside the image of 6 × 6"):
        transfer_matrix([oracle], image, 0, [(PixelEdit(6, 2, (0, 0, 0)),)])
    with pytest.raises(InputError, match="The label 3 is not a class"):
        transfer_matrix([oracle], image, 3, [])
