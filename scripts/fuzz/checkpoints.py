"""Weights, cards and states of training that somebody else made."""

from __future__ import annotations

import json
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import save
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
    Card,
    checkpoint_folder,
    half_precision,
    list_cards,
    load_card,
    load_model,
    save_checkpoint,
    write_card,
)
from scripts.fuzz.boundary import Attempt, Boundary, BoundError
from scripts.fuzz.hostile import spoiled_bytes, spoiled_json

NAME = "cifar10-resnet20-apr"
CARD = Card(
    name=NAME,
    dataset="cifar10",
    architecture="resnet20",
    defence="apr",
    recipe={"defence": {"alpha": 0.7, "beta": 0.01, "attention": True}, "epochs": 2},
    seed=3,
    epochs=2,
    data_sha256="0" * 64,
    clean_accuracy=0.5,
    correct=5000,
    tested=10_000,
    hardware="a fuzz",
    wall_time=1.5,
    versions={"torch": "2"},
    sha256="@weights@",
    history=[{"epoch": 1, "loss": 2.25, "seconds": 1.0}],
    attack=[{"n": 10, "rate": 0.3}],
    notes="Made by a fuzz.",
)
PICKLE = b"cposix\nsystem\n(S'touch ../opened'\ntR."
"""What would leave a file beside the folder, were it unpickled."""
_BASED = replace(CARD, defence="it", recipe={"defence": {"bits": 5, "quality": 75}}, base=NAME)


@st.composite
def _headers(draw: st.DrawFn) -> list[tuple[str, str, Any]]:
    """Changes to the header of a file of weights: which tensor, which field, to what."""
    values = {
        "dtype": ("F64", "F16", "BF16", "I8", "U64", "BOOL", "F8_E4M3", "C64", "XX", 5, None),
        "shape": ([], [0], [2**62], [2**31, 2**31], [-1], [3, 3], "x", [1.5], [[1]], [1] * 40),
        "data_offsets": ([0, 0], [0, 2**62], [-1, 1], [10, 2], [], ["a", 1], [0, 1, 2], None),
        "name": ("", "x" * 5000, "backbone.extra", "../x", "__metadata__", "\x00"),
        "drop": (None,),
    }
    field = st.sampled_from(list(values))
    one = field.flatmap(
        lambda name: st.tuples(
            st.integers(0, 200).map(str), st.just(name), st.sampled_from(values[name])
        )
    )
    return draw(st.lists(one, max_size=3))


def _changed(data: bytes, changes: list[tuple[str, str, Any]]) -> bytes:
    """The file with its header changed; the tensors' bytes stay."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    for place, field, value in changes:
        names = list(header)
        name = names[int(place) % len(names)]
        if field == "drop":
            del header[name]
        elif field == "name":
            header[value] = header.pop(name)
        else:
            header[name][field] = value
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


_LENGTHS = st.sampled_from((0, 1, 2**20, 2**40, 2**63, 2**64 - 1)).map(
    lambda n: struct.pack("<Q", n)
)


def _weights(data: bytes) -> st.SearchStrategy[bytes]:
    return (
        st.just(data)
        | _headers().map(lambda changes: _changed(data, changes))
        | spoiled_bytes((data,))
        | _LENGTHS.map(lambda start: start + data[8:])
        | st.sampled_from((b"", PICKLE, b"PK\x03\x04" + data[:90], data * 2, b"{}", data[:9]))
    )


def _network(front: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return build_model("resnet20", PixelAttention() if front else None)


@contextmanager
def _with_weights(folder: Path) -> Iterator[Attempt]:
    path = checkpoint_folder() / f"{NAME}.safetensors"

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        write_card(replace(CARD, sha256=file_sha256(path)))
        model = load_model(NAME)
        if sum(value.numel() for value in model.parameters()) < 10**5:
            raise BoundError("The model that was loaded is another one.")

    yield attempt


@contextmanager
def _with_card(folder: Path) -> Iterator[Attempt]:
    save_checkpoint(_network(), CARD)
    save_checkpoint(_network(front=False), replace(CARD, name="cifar10-resnet20-vanilla"))
    path = checkpoint_folder() / f"{NAME}.json"
    sha256 = file_sha256(path.with_suffix(".safetensors"))
    mine = f"{NAME}-mine"
    checkpoint_folder(own=True).mkdir()

    def attempt(text: str) -> None:
        data = text.replace("@weights@", sha256).encode(errors="surrogatepass")
        path.write_bytes(data)
        own = data.replace(NAME.encode(), mine.encode())
        (checkpoint_folder(own=True) / f"{mine}.json").write_bytes(own)
        card = load_card(NAME)
        json.dumps(asdict(card))
        list_cards()
        remember(mine)
        make_tables()
        load_model(NAME)

    yield attempt


def _run() -> Run:
    """A small training that has not begun."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten())
    return Run(model, Vanilla(), TrainConfig(epochs=3), torch.device("cpu"))


def _state() -> bytes:
    """What such a training keeps after an epoch."""
    run = _run()
    for value in run.model.parameters():
        value.grad = torch.ones_like(value)
    run.optimizer.step()
    run.epoch, run.history = 1, [{"epoch": 1, "loss": 2.0}]
    with tempfile.TemporaryDirectory() as folder:
        run.save(Path(folder) / "state.safetensors")
        return (Path(folder) / "state.safetensors").read_bytes()


@contextmanager
def _with_state(folder: Path) -> Iterator[Attempt]:
    path = folder / "state.safetensors"

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        run = _run()
        run.restore(path)
        run.save(path)

    yield attempt


def boundaries() -> Iterator[Boundary]:
    """Weights, cards, states of training."""
    weights = save(half_precision(_network()))
    yield Boundary("checkpoints", _weights(weights), _with_weights)
    yield Boundary("cards", spoiled_json((asdict(CARD), asdict(_BASED))), _with_card)
    yield Boundary("training states", _weights(_state()), _with_state)
