"""The finite-difference penalty of APR and APR+, on a network with batch norm in training mode."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apr_core.defences import DEFENCES, apr, apr_plus, has_old_penalty
from apr_core.defences.apr import APR, LEAST_EDIT, Regularizer, finite_difference
from apr_core.defences.recipe import constants
from apr_core.models import build_model
from tests.conftest import noise

PENALISED = ("apr", "apr-no-adversarial", "apr-plus", "apr-plus-no-adversarial")
COUNT = 24


class Watched(nn.Module):
    """A network that keeps its last input and its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        self.images, self.logits = images.detach(), self.network(images)
        return self.logits


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_model("resnet20", DEFENCES.get(name).make_front())


def penalty_of(name: str, model: nn.Module, images: Tensor) -> Tensor:
    labels = torch.arange(len(images)) % 10
    generator = torch.Generator().manual_seed(1)
    _, parts = DEFENCES.get(name).loss(model, images, labels, generator)
    return parts["penalty"]


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", PENALISED)
def test_an_edit_of_nothing_has_no_penalty(
    monkeypatch: pytest.MonkeyPatch, name: str, training: bool, mixed: bool
) -> None:
    """Handed case 12: in training mode it was 231,813, against 4.1 for a real edit."""

    def unedited(images: Tensor, *_: object) -> Tensor:
        return images.clone()

    monkeypatch.setattr(apr, "worst_pixel_examples", unedited)
    monkeypatch.setattr(apr_plus, "worst_pixels_examples", unedited)
    model = network(name).train(training)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        assert penalty_of(name, model, noise(COUNT, 3, 16, 16)) < 1e-6


@pytest.mark.parametrize("name", PENALISED)
def test_the_penalty_of_an_edit_is_that_of_float64(name: str) -> None:
    """The reference: the same images in one pass of the network in double precision."""
    model = Watched(network(name)).train()
    fresh = copy.deepcopy(model.network).double()
    images = noise(COUNT, 3, 16, 16)
    found = penalty_of(name, model, images)
    share, pairs = 7, 2  # round(0.3 * 24) and round(0.25 * 7)
    edited = share if DEFENCES.get(name).adversarial else pairs
    seen = model.images.double()
    logits = fresh(seen)
    rise = logits[:pairs] - logits[edited : edited + pairs]
    edit = seen[:pairs] - images[:pairs].double()
    length = edit.square().sum((1, 2, 3)).clamp(LEAST_EDIT)
    expected = (rise.square().sum(1) / length).mean()
    assert torch.equal(seen[edited : edited + pairs], images[:pairs].double())
    assert expected > 1e-3
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-6)


def test_the_gradient_of_the_penalty_flows_through_both_logits() -> None:
    before, after = noise(3, 4).double(), noise(3, 4, seed=1).double()
    images, edited = noise(3, 3, 2, 2).double(), noise(3, 3, 2, 2, seed=1).double()
    ends = (before.requires_grad_(), after.requires_grad_())
    assert torch.autograd.gradcheck(lambda *both: finite_difference(*both, images, edited), ends)


def test_the_pass_of_a_batch_has_as_many_images_as_the_batch() -> None:
    model = Watched(network("apr")).train()
    penalty_of("apr", model, noise(COUNT, 3, 16, 16))
    assert len(model.images) == COUNT


def test_the_finite_difference_is_the_squared_slope_along_the_edit() -> None:
    images, edited = torch.zeros(1, 3, 1, 1), torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    before, after = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]])
    assert finite_difference(before, after, images, edited).item() == pytest.approx(5 / 1.25)


def test_a_tiny_edit_is_divided_by_the_least_length() -> None:
    images = torch.ones(1, 3, 1, 1)
    before, after = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]])
    found = finite_difference(before, after, images, images).item()
    assert found == pytest.approx(5 / LEAST_EDIT)


FINITE = {"apr", "apr-no-attention", "apr-no-adversarial", "apr-plus", "apr-plus-no-clamp",
          "apr-plus-no-attention", "apr-plus-no-adversarial", "apr-plus-no-masks"}  # fmt: skip


@pytest.mark.parametrize("name", DEFENCES.names)
def test_weights_of_the_penalty_of_two_passes_are_known_by_their_constants(name: str) -> None:
    """REVIEW.md, C1: such a card says nothing of pairs, which are in one pass today."""
    today = constants(DEFENCES.get(name))
    assert not has_old_penalty(name, today)
    before = {constant: value for constant, value in today.items() if constant != "paired"}
    assert has_old_penalty(name, before) == (name in FINITE)


def test_constants_that_a_card_lacks_are_the_defences_own() -> None:
    assert has_old_penalty("apr", {})
    assert not has_old_penalty("apr", {"beta": 0.0})
    assert not has_old_penalty("apr", {"regularizer": "exact"})
    assert not has_old_penalty("a-defence-of-mine", {})


def test_apr_without_examples_and_penalty_is_the_clean_loss() -> None:
    """An empty batch of examples would be no input for batch norm in training mode."""
    defence = APR(adversarial=False, regularizer=Regularizer.NONE)
    images, labels = noise(COUNT, 3, 16, 16), torch.arange(COUNT) % 10
    loss, parts = defence.loss(network("apr").train(), images, labels, torch.Generator())
    expected = F.cross_entropy(network("apr").train()(images), labels)
    torch.testing.assert_close(loss, expected)
    assert parts.keys() == {"accuracy"}
