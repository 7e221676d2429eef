"""Training that begins with trained weights: `train --from`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from apr_core.base.types import InputError
from apr_core.data.registry import find_dataset
from apr_core.defences.recipe import TrainConfig
from apr_core.models import build_model
from apr_core.training import trainer
from apr_core.training.trainer import TORCHVISION, TrainRequest, start_from
from apr_core.zoo.checkpoints import load_model

VANILLA = "cifar10-resnet20-vanilla"


def request(data: str = "cifar10", architecture: str = "resnet20", start: str = VANILLA):
    return TrainRequest(architecture, "vanilla", TrainConfig(), data=data, start=start)


def test_a_network_of_the_same_classes_takes_all_weights() -> None:
    model = build_model("resnet20")
    start_from(model, request())
    for name, tensor in load_model(VANILLA).backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor)


def test_a_last_layer_of_other_classes_stays_fresh() -> None:
    signs = find_dataset("gtsrb")
    model = build_model("resnet20", data=signs)
    fresh = model.backbone.linear.weight.clone()
    start_from(model, request("gtsrb"))
    assert torch.equal(model.backbone.linear.weight, fresh)
    assert torch.equal(model.backbone.conv.weight, load_model(VANILLA).backbone.conv.weight)


@pytest.mark.parametrize(
    ("data", "architecture"), [("cifar10", "vgg16"), ("breastmnist", "resnet20")]
)
def test_weights_of_another_network_are_refused(data: str, architecture: str) -> None:
    model = build_model(architecture, data=find_dataset(data))
    with pytest.raises(InputError, match="do not fit"):
        start_from(model, request(data, architecture))


def test_torchvisions_weights_go_into_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = build_model("resnet50", data=find_dataset("gtsrb")).backbone
    asked = []

    def load(name: str) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace(backbone=theirs)

    monkeypatch.setattr(trainer, "load_library", load)
    model = build_model("resnet50")
    start_from(model, request(architecture="resnet50", start=TORCHVISION))
    assert asked == ["torchvision:resnet50"]
    assert torch.equal(model.backbone.conv1.weight, theirs.conv1.weight)
    assert model.backbone.fc.weight.shape == (10, 2048)


def test_another_start_is_another_run() -> None:
    assert request().name != request(start="").name
