"""Weights, cards and states of training that somebody else made."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from apr_core.base.files import file_sha256
from apr_core.defences.recipe import TrainConfig
from apr_core.defences.vanilla import Vanilla
from apr_core.models import build_model
from apr_core.models.pixel_attention import PixelAttention
from apr_core.report.tables import make_tables
from apr_core.training.fit import Run
from apr_core.training.jobs import remember
from apr_core.zoo.checkpoints import (
    checkpoint_folder,
    list_cards,
    load_card,
    load_model,
    save_checkpoint,
    write_card,
)
from tests.core.test_zoo import CARD as BARE
from tests.core.test_zoo import NAME, OTHER
from tests.fuzz.conftest import Fuzz
from tests.fuzz.hostile import spoiled_bytes, spoiled_json

CARD = replace(
    BARE,
    recipe={"defence": {"alpha": 0.7, "beta": 0.01, "attention": True}, "epochs": 2},
    history=[{"epoch": 1, "loss": 2.25, "seconds": 1.0}],
)
PICKLE = b"cposix\nsystem\n(S'touch ../opened'\ntR."
"""Would write a file beside the folder if it were unpickled."""
FIELDS: dict[str, tuple[Any, ...]] = {
    "dtype": ("F64", "F16", "BF16", "I8", "U64", "BOOL", "F8_E4M3", "C64", "XX", 5, None),
    "shape": ([], [0], [2**62], [2**31, 2**31], [-1], [3, 3], "x", [1.5], [[1]], [1] * 40),
    "data_offsets": ([0, 0], [0, 2**62], [-1, 1], [10, 2], [], ["a", 1], [0, 1, 2], None),
    "name": ("", "x" * 5000, "backbone.extra", "../x", "__metadata__", "\x00"),
    "drop": (None,),
}
"""Changes to a tensor's entry in the header of a safetensors file."""
LENGTHS = (0, 1, 2**20, 2**40, 2**63, 2**64 - 1)


@st.composite
def other_headers(draw: st.DrawFn, data: bytes) -> bytes:
    """The file with up to three changes to its header; the tensors' bytes stay."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    for _ in range(draw(st.integers(0, 3))):
        name, field = draw(st.sampled_from(list(header))), draw(st.sampled_from(list(FIELDS)))
        value = draw(st.sampled_from(FIELDS[field]))
        if field == "drop":
            del header[name]
        elif field == "name":
            header[value] = header.pop(name)
        else:
            header[name][field] = value
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def weights(data: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.just(data),
        other_headers(data),
        spoiled_bytes(data),
        st.sampled_from(LENGTHS).map(lambda length: struct.pack("<Q", length) + data[8:]),
        st.sampled_from((b"", PICKLE, b"PK\x03\x04" + data[:90], data * 2, b"{}", data[:9])),
    )


@pytest.fixture
def path(folder: Path) -> Path:
    """Where the weights of a zoo of two models lie."""
    for name, front in ((NAME, PixelAttention()), (OTHER, None)):
        torch.manual_seed(0)
        save_checkpoint(build_model("resnet20", front), replace(CARD, name=name))
    return checkpoint_folder() / f"{NAME}.safetensors"


def test_weights(fuzz: Fuzz, path: Path) -> None:
    valid = path.read_bytes()

    def load(data: bytes) -> None:
        path.write_bytes(data)
        write_card(replace(CARD, sha256=file_sha256(path)))
        assert sum(value.numel() for value in load_model(NAME).parameters()) > 10**5

    fuzz(weights(valid), load, valid)


def test_cards(fuzz: Fuzz, path: Path) -> None:
    card, mine = path.with_suffix(".json"), f"{NAME}-mine"
    checkpoint_folder(own=True).mkdir()
    own = checkpoint_folder(own=True) / f"{mine}.json"
    valid = json.loads(card.read_text())
    recipe = {"defence": {"bits": 5, "quality": 75}}
    based = {**valid, "defence": "it", "recipe": recipe, "base": NAME}

    def load(text: str) -> None:
        card.write_bytes(text.encode())
        own.write_bytes(text.replace(NAME, mine).encode())
        json.dumps(asdict(load_card(NAME)))
        list_cards()
        remember(mine)
        make_tables()
        load_model(NAME)

    fuzz(spoiled_json(valid, based), load, json.dumps(valid))


def small_training() -> Run:
    """A training that has not begun."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
    return Run(model, Vanilla(), TrainConfig(epochs=3), torch.device("cpu"))


def test_states_of_training(fuzz: Fuzz, folder: Path) -> None:
    path, run = folder / "state.safetensors", small_training()
    for value in run.model.parameters():
        value.grad = torch.ones_like(value)
    run.optimizer.step()
    run.epoch, run.history = 1, [{"epoch": 1, "loss": 2.0}]
    run.save(path)

    def restore(data: bytes) -> None:
        path.write_bytes(data)
        again = small_training()
        again.restore(path)
        again.save(path)

    valid = path.read_bytes()
    fuzz(weights(valid), restore, valid)
