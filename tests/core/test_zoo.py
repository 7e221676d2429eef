"""Checkpoints: what is saved comes back, and what is damaged is refused in one sentence."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from apr_core.base.files import file_sha256
from apr_core.base.types import InputError
from apr_core.models import build_model
from apr_core.zoo.checkpoints import (
    OLD_PENALTY,
    Card,
    caution_of,
    is_own,
    list_cards,
    load_card,
    load_model,
    model_names,
    save_checkpoint,
    write_card,
)

NAME = "cifar10-resnet20-apr"
OTHER = "cifar10-resnet20-vanilla"
ONE_SENTENCE = re.compile(r"(?:(?![.!?]\s)[^\n])+\.")
CARD = Card(
    name=NAME,
    dataset="cifar10",
    architecture="resnet20",
    defence="apr",
    recipe={"defence": {"alpha": 0.7}},
    seed=3,
    epochs=2,
    data_sha256="0" * 64,
    clean_accuracy=0.5,
    correct=5000,
    tested=10_000,
    hardware="a test",
    wall_time=1.5,
    versions={"torch": torch.__version__},
    history=[{"epoch": 1, "loss": 2.25}],
    attack=[{"n": 10, "rate": 0.3}],
    notes="Made by a test.",
)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty zoo."""
    path = tmp_path / "zoo"
    path.mkdir()
    monkeypatch.setenv("APR_CHECKPOINTS", str(path))
    return path


@pytest.fixture
def zoo(folder: Path, network) -> Path:
    """A zoo with the test network in it."""
    save_checkpoint(network, CARD)
    return folder


def said_of(name: str) -> str:
    """The sentence that loading a model is refused with."""
    with pytest.raises(InputError) as caught:
        load_model(name)
    assert ONE_SENTENCE.fullmatch(str(caught.value)), str(caught.value)
    return str(caught.value)


def test_a_model_comes_back_in_half_precision(zoo: Path, network) -> None:
    model = load_model(NAME)
    assert not model.training
    saved, loaded = network.state_dict(), model.state_dict()
    assert saved.keys() == loaded.keys()
    for name, tensor in saved.items():
        assert torch.equal(loaded[name], tensor.half().to(tensor.dtype)), name
    assert all(t.dtype == torch.float16 for t in load_file(zoo / f"{NAME}.safetensors").values())


def test_a_model_loaded_and_saved_again_is_the_same_file(zoo: Path) -> None:
    first = (zoo / f"{NAME}.safetensors").read_bytes()
    card = save_checkpoint(load_model(NAME), load_card(NAME))
    assert (zoo / f"{NAME}.safetensors").read_bytes() == first
    assert card == load_card(NAME)


def test_a_card_comes_back_with_the_hash_of_its_weights(zoo: Path) -> None:
    card = load_card(NAME)
    assert card == replace(CARD, sha256=file_sha256(zoo / f"{NAME}.safetensors"))
    assert list_cards() == [card]
    assert sorted(path.name for path in zoo.iterdir()) == [f"{NAME}.json", f"{NAME}.safetensors"]


def test_cards_are_listed_by_name(zoo: Path, network) -> None:
    for name in ("cifar10-vgg16-apr", OTHER):
        save_checkpoint(network, replace(CARD, name=name))
    assert model_names() == (NAME, OTHER, "cifar10-vgg16-apr")


# What is damaged


def resign(folder: Path, **changes: object) -> None:
    """Make the card fit its weights again, but for `changes`."""
    sha256 = file_sha256(folder / f"{NAME}.safetensors")
    write_card(replace(load_card(NAME), sha256=sha256, **changes))


def read(folder: Path) -> dict[str, torch.Tensor]:
    """The weights, copied: what the file gives lies in the file, which is about to change."""
    tensors = load_file(folder / f"{NAME}.safetensors")
    return {name: tensor.clone() for name, tensor in tensors.items()}


def truncate(folder: Path) -> None:
    path = folder / f"{NAME}.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def empty(folder: Path) -> None:
    (folder / f"{NAME}.safetensors").write_bytes(b"")


def flip_a_byte(folder: Path) -> None:
    path = folder / f"{NAME}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(bytes(data))


def remove(folder: Path) -> None:
    (folder / f"{NAME}.safetensors").unlink()


def truncate_and_resign(folder: Path) -> None:
    truncate(folder)
    resign(folder)


def empty_and_resign(folder: Path) -> None:
    empty(folder)
    resign(folder)


class Tripwire:
    """What would show that it was unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("A pickle was loaded.",)


def pickle_instead(folder: Path) -> None:
    (folder / f"{NAME}.safetensors").write_bytes(pickle.dumps(Tripwire()))
    resign(folder)


def torch_file_instead(folder: Path) -> None:
    torch.save(read(folder), folder / f"{NAME}.safetensors")
    resign(folder)


def change_a_shape(folder: Path) -> None:
    tensors = read(folder)
    tensors["backbone.linear.weight"] = tensors["backbone.linear.weight"][:7].clone()
    save_file(tensors, folder / f"{NAME}.safetensors")
    resign(folder)


def drop_a_tensor(folder: Path) -> None:
    tensors = read(folder)
    del tensors["backbone.bn.running_var"]
    save_file(tensors, folder / f"{NAME}.safetensors")
    resign(folder)


def add_a_tensor(folder: Path) -> None:
    save_file({**read(folder), "backbone.extra": torch.zeros(1)}, folder / f"{NAME}.safetensors")
    resign(folder)


def write(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / f"{NAME}.json").write_text(text) and None


def edit(**changes: object) -> Callable[[Path], None]:
    """A card with fields changed, added, or (None) removed."""

    def damage(folder: Path) -> None:
        entry = {**asdict(load_card(NAME)), **changes}
        entry = {name: value for name, value in entry.items() if value is not None}
        (folder / f"{NAME}.json").write_text(json.dumps(entry))

    return damage


DAMAGES = {
    "weights cut short": (truncate, "are damaged.*restore"),
    "weights empty": (empty, "are damaged.*restore"),
    "weights with one bit changed": (flip_a_byte, "are damaged.*restore"),
    "weights missing": (remove, "are not at .*restore"),
    "weights cut short, hash to match": (truncate_and_resign, "restore"),
    "weights empty, hash to match": (empty_and_resign, "restore"),
    "a pickle for weights": (pickle_instead, "restore"),
    "a torch file for weights": (torch_file_instead, "restore"),
    "a tensor of another shape": (change_a_shape, "does not fit its card.*restore"),
    "a tensor missing": (drop_a_tensor, r"backbone\.bn\.running_var.*restore"),
    "a tensor too many": (add_a_tensor, r"backbone\.extra.*restore"),
    "card empty": (write(""), "not a model card.*restore"),
    "card cut short": (write('{"name": "cifar10-resn'), "not a model card.*restore"),
    "card not JSON": (write("resnet20\n"), "not a model card.*restore"),
    "card a list": (write("[1, 2]"), "not a model card.*restore"),
    "card null": (write("null"), "not a model card.*restore"),
    "card with an unknown field": (edit(colour="red"), "not a model card.*restore"),
    "card without a field": (edit(architecture=None), "not a model card.*restore"),
    "card of another name": (edit(name=OTHER), f"says that it is of '{OTHER}'"),
    "card of another architecture": (edit(architecture="vgg16"), "restore"),
    "card of a wider architecture": (edit(architecture="resnet18"), "restore"),
    "card of an unknown architecture": (edit(architecture="resnet99"), "no architecture"),
    "card that forgets the attention": (edit(defence="vanilla", recipe={}), "stray front"),
    "card with a constant that the defence has not": (
        edit(recipe={"defence": {"gamma": 1}}),
        "do not fit.*restore",
    ),
    "card with no constants but a number": (edit(recipe={"defence": 3}), "do not fit.*restore"),
    "card with a word for a constant": (
        edit(defence="it", recipe={"defence": {"bits": "five"}}),
        "do not fit.*restore",
    ),
    "card with a base that is not there": (edit(base=OTHER), f"no model '{OTHER}'"),
    "card with a base outside the folder": (edit(base=f"../{NAME}"), "no model"),
    "card with another hash": (edit(sha256="f" * 64), "are damaged.*ffffffffffff"),
    "card with a number for a hash": (edit(sha256=5), "not a model card"),
    "card with a word for a number": (edit(clean_accuracy="high"), "not a model card"),
    "card with a list for a name": (edit(architecture=["resnet20"]), "not a model card"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_refused(zoo: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(zoo)
    assert re.search(said, said_of(NAME))


def test_a_card_that_is_no_text_is_refused(zoo: Path) -> None:
    (zoo / f"{NAME}.json").write_bytes(b"\xff\xfe\x00")
    assert "not a model card" in said_of(NAME)


def test_attention_missing_from_the_weights_is_noticed(zoo: Path) -> None:
    save_checkpoint(build_model("resnet20"), replace(CARD, name=OTHER))
    assert "lacks front." in said_of(OTHER)


# Names


def test_an_unknown_name_lists_the_known_and_suggests_the_nearest(zoo: Path, network) -> None:
    save_checkpoint(network, replace(CARD, name=OTHER))
    said = said_of("cifar10-resnet20-vanila")
    assert f"{NAME}, {OTHER}" in said
    assert said.count(f"'{OTHER}'") == 1
    assert "'" not in said_of("zzz").replace("'zzz'", "")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "../secret/cifar10-resnet20-apr",
        f"../{NAME}",
        f"./{NAME}",
        f"{NAME}.json",
        f"{NAME}/",
        f"{NAME}\n",
        NAME.upper(),
        "resnet20",
        "",
        "-",
        "*",
        "cifar10-*",
        "cifar10\x00-x",
    ],
)
def test_names_cannot_leave_the_folder(zoo: Path, network, name: str) -> None:
    secret = zoo.parent / "secret"
    secret.mkdir()
    for path in zoo.iterdir():
        (secret / path.name).write_bytes(path.read_bytes())
    for load in (load_model, load_card):
        with pytest.raises(InputError, match="There is no model"):
            load(name)
    with pytest.raises(InputError, match="cannot name a model") as caught:
        save_checkpoint(network, replace(CARD, name=name))
    assert caught.value.args[0].endswith(".")
    assert sorted(path.name for path in zoo.iterdir()) == [f"{NAME}.json", f"{NAME}.safetensors"]


def test_what_people_train_lies_apart_and_comes_last(zoo: Path, network) -> None:
    mine = "cifar10-resnet20-apr-1a2b3c"
    save_checkpoint(network, replace(CARD, name=mine), own=True)
    assert model_names() == (NAME, mine)
    assert (is_own(NAME), is_own(mine)) == (False, True)
    assert load_card(mine).name == mine
    assert torch.equal(
        load_model(mine).backbone.linear.weight, load_model(NAME).backbone.linear.weight
    )
    assert sorted(path.name for path in (zoo / "own").iterdir()) == [
        f"{mine}.json", f"{mine}.safetensors",
    ]  # fmt: skip


def test_a_wrapper_has_its_bases_weights_and_a_front_of_its_own(folder: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(
        build_model("resnet20"), replace(CARD, name=OTHER, defence="vanilla", recipe={})
    )
    wrapped = "cifar10-resnet20-it"
    recipe = {"defence": {"bits": 3, "quality": 40}}
    card = replace(CARD, name=wrapped, defence="it", recipe=recipe, base=OTHER)
    save_checkpoint(load_model(OTHER), card)
    assert [path.name for path in folder.glob("*-it.*")] == [f"{wrapped}.json"]
    model = load_model(wrapped)
    assert (model.front.bits, model.front.quality) == (3, 40)
    assert torch.equal(model.backbone.linear.weight, load_model(OTHER).backbone.linear.weight)
    save_checkpoint(build_model("resnet20"), replace(load_card(OTHER)))
    assert "are damaged" in said_of(wrapped)  # its accuracy was measured with other weights


def test_an_empty_zoo_says_so(folder: Path) -> None:
    assert said_of(NAME) == f"There is no model '{NAME}'; the known ones are: none so far."
    assert list_cards() == []


def test_a_zoo_that_is_not_there_is_an_empty_one(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "missing"))
    assert model_names() == ()
    assert "none so far" in said_of(NAME)


def test_a_json_file_that_is_no_card_is_no_model(zoo: Path) -> None:
    (zoo / "README.json").write_text("{}")
    assert model_names() == (NAME,)
    assert [card.name for card in list_cards()] == [NAME]


def test_a_card_of_the_old_penalty_has_a_caution(zoo: Path) -> None:
    (name,) = model_names()
    card = replace(load_card(name), defence="apr", recipe={"defence": {"beta": 0.01}})
    assert caution_of(card).startswith(OLD_PENALTY)
    own = replace(card, name=f"{name}-mine")  # which nobody but its owner trains again
    assert caution_of(own) != caution_of(card)
    assert not caution_of(replace(card, recipe={"defence": {"beta": 0.01, "paired": 0.25}}))
    assert not caution_of(replace(card, defence="vanilla"))
    assert caution_of(replace(card, recipe={"defence": "damaged"})).startswith(OLD_PENALTY)
