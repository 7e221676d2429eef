"""Models behind a front that needs no training: `NAME+it` and `NAME+clamp`."""

from __future__ import annotations

import pytest
import torch

from apr_core.base.types import InputError
from apr_core.data.registry import find_dataset
from apr_core.models.inputs import as_input
from apr_core.zoo.fronts import split_front
from apr_core.zoo.target import dataset_of, load_model, load_target

CPU = torch.device("cpu")
BARE = "cifar10-resnet20-vanilla"


def test_an_input_transform_answers_as_the_model_that_has_it_built_in() -> None:
    images = as_input(find_dataset().shipped_sample().images[:20])
    with torch.no_grad():
        assert torch.equal(
            load_model(f"{BARE}+it")(images), load_model("cifar10-resnet20-it")(images)
        )


def test_a_clamp_takes_a_single_bright_pixel_away() -> None:
    images = torch.full((1, 3, 32, 32), 0.5)
    edited = images.clone()
    edited[:, :, 9, 9] = 1
    clamped = load_model(f"{BARE}+clamp")
    with torch.no_grad():
        assert torch.equal(clamped(edited), clamped(images))
        assert not torch.equal(load_model(BARE)(edited), load_model(BARE)(images))


def test_a_target_keeps_its_name_its_data_and_a_hash_of_both_parts() -> None:
    targets = [load_target(f"{BARE}+{front}", CPU)[0] for front in ("it", "clamp")]
    assert [target.name for target in targets] == [f"{BARE}+it", f"{BARE}+clamp"]
    assert (
        {target.data.name for target in targets} == {dataset_of(f"{BARE}+it").name} == {"cifar10"}
    )
    assert len({target.sha256 for target in targets} | {load_target(BARE, CPU)[0].sha256}) == 3
    assert all(target.card is None for target in targets)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a+it", ("a", "it")),
        ("a+b.onnx", ("a+b.onnx", "")),
        ("a+b.onnx+clamp", ("a+b.onnx", "clamp")),
        ("it", ("it", "")),
    ],
)
def test_a_front_is_what_follows_the_last_plus_sign(name: str, parts: tuple[str, str]) -> None:
    assert split_front(name) == parts


def test_an_unknown_model_behind_a_front_is_named() -> None:
    with pytest.raises(InputError, match="There is no model 'nothing-here'"):
        load_target("nothing-here+it", CPU)
