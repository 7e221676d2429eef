"""Checkpoints: weights verified by hash, each with a model card.

A checkpoint is `NAME.safetensors`, in half precision, and `NAME.json`, its card. Nothing is
unpickled, and weights whose hash is not the card's are refused. What comes with the project lies in
`checkpoints/`, and what people train for themselves in `checkpoints/own/`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from apr_core.base import schema
from apr_core.base.files import file_sha256, write_whole
from apr_core.base.paths import readable, written
from apr_core.base.registry import unknown_name
from apr_core.base.types import InputError, shown
from apr_core.data.dataset import DataSet
from apr_core.data.fitting import described
from apr_core.data.registry import DATASETS, find_dataset
from apr_core.defences import has_old_penalty, restore_front
from apr_core.models import Classifier, build_model

NAME_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
"""Names are dataset-architecture-defence, and so can never lead out of the folder."""
MOST_CARD_BYTES = 2**20
"""Of a card, and of the names and shapes in a file of weights."""
OLD_PENALTY = "trained with a penalty that measured batch normalisation rather than slope"
CAUTION = "old penalty"
"""The same as a mark beside a model, where a sentence has no room."""


@dataclass(frozen=True)
class Card:
    """What a checkpoint is and how it came to be.

    Attributes:
        name: dataset-architecture-defence.
        clean_accuracy: share of all test images, in [0, 1], of the weights as saved.
        correct, tested: the counts it comes from.
        recipe: the defence and its constants, and every training setting.
        data_sha256: of the training images.
        attack: attack success rates measured so far, each with n, interval and command.
        certificates: certified shares measured so far, likewise.
        wall_time: seconds of training.
        sha256: of the weights' file.
        data: of a person's own data set, what the model must know of it (`describe`).
        base: the checkpoint whose weights these are, where a defence has none of its own.
    """

    name: str
    dataset: str
    architecture: str
    defence: str
    recipe: dict[str, Any]
    seed: int
    epochs: int
    data_sha256: str
    clean_accuracy: float
    correct: int
    tested: int
    hardware: str
    wall_time: float
    versions: dict[str, str]
    sha256: str = ""
    base: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    attack: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[dict[str, Any]] = field(default_factory=list)
    notes: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Card:
        """The card in a file.

        Raises:
            InputError: the file is not a card.
        """
        try:
            card = schema.build(cls, schema.read(path, MOST_CARD_BYTES))
            if not (0 <= card.correct <= card.tested and 0 <= card.clean_accuracy <= 1):
                raise ValueError(f"{card.correct} of {card.tested} is no accuracy")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path.name} is not a model card ({error}); restore it or delete it."
            ) from None
        if card.name != path.stem:
            raise InputError(
                f"{path.name} says that it is of '{shown(card.name)}'; rename it or restore it."
            )
        return card


def checkpoint_folder(own: bool = False) -> Path:
    """Where checkpoints lie: the first of the `readable` folders.

    Args:
        own: the folder in it for what people train for themselves.
    """
    return written("checkpoints") / "own" if own else readable("checkpoints")[0]


def model_names() -> tuple[str, ...]:
    """Every checkpoint that has a card, by name: the shipped ones, then people's own."""
    shipped = _names_in(checkpoint_folder())
    own = _names_in(checkpoint_folder(own=True))
    return shipped + tuple(name for name in own if name not in shipped)


def _names_in(folder: Path) -> tuple[str, ...]:
    names = (path.stem for path in folder.glob("*.json"))
    return tuple(sorted(filter(NAME_PATTERN.fullmatch, names)))


def zoo_fingerprint() -> tuple[tuple[str, int], ...]:
    """Differs whenever a card has come, gone or changed: each card's file and its time."""
    folders = (checkpoint_folder(), checkpoint_folder(own=True))
    paths = (path for folder in folders for path in sorted(folder.glob("*.json")))
    return tuple((str(path), path.stat().st_mtime_ns) for path in paths)


def is_own(name: str) -> bool:
    """Whether a checkpoint was trained by a person here, and did not come with the project."""
    return name not in _names_in(checkpoint_folder())


def _path(name: str, suffix: str) -> Path:
    return checkpoint_folder(is_own(name)) / f"{name}{suffix}"


def list_cards() -> list[Card]:
    """Every card."""
    return [load_card(name) for name in model_names()]


def load_card(name: str) -> Card:
    """The card of one checkpoint.

    Raises:
        InputError: there is none, or it is damaged.
    """
    if name not in model_names():
        raise InputError(unknown_name("model", str(name), model_names()))
    return Card.read(_path(name, ".json"))


def caution_of(card: Card) -> str:
    """What is wrong with the weights of a checkpoint, to be shown beside its figures; "" if
    nothing is known to be."""
    constants = card.recipe.get("defence")
    if not has_old_penalty(card.defence, constants if isinstance(constants, dict) else {}):
        return ""
    remedy = "train it again" if is_own(card.name) else "being trained again"
    return f"{OLD_PENALTY}; {remedy}"


def data_of(card: Card) -> DataSet:
    """The data set of a checkpoint; a person's own is known by what the card keeps of it.

    Raises:
        InputError: the card does not say.
    """
    if card.dataset in DATASETS:
        return find_dataset(card.dataset)
    return described(card.dataset, card.data)


def missing_weights(card: Card) -> str:
    """How to get the weights of a checkpoint of which only the card is here; "" if both are.

    Large ones do not come with an installed package.
    """
    weights = _weights_path(card)
    if weights.exists():
        return ""
    return (
        f"The weights of {card.name} are not at {weights}; restore {weights.name} there from "
        "checkpoints/ of the project's repository, or train them with `python -m apr_core train "
        f"--data {card.dataset} --architecture {card.architecture} --defence {card.defence}`."
    )


def _weights_path(card: Card) -> Path:
    """The file of a checkpoint's weights: beside its card, or in the user's folder."""
    name = card.base or card.name
    beside = _path(name, ".safetensors")
    return beside if beside.exists() or is_own(name) else written("checkpoints") / beside.name


def load_model(name: str, device: str | torch.device = "cpu") -> Classifier:
    """A trained classifier in evaluation mode, in float32, its weights verified.

    Args:
        name: of a checkpoint, as `model_names` lists them.

    Returns:
        Images (B, C, H, W) float in [0, 1] -> logits (B, K), of the data set that the card names.

    Raises:
        InputError: no such model, a weights' file that is missing or not what its card says.
    """
    card = load_card(name)
    if card.base:
        load_card(card.base)
    if missing := missing_weights(card):
        raise InputError(missing)
    weights = _weights_path(card)
    found = file_sha256(weights)
    if found != card.sha256:
        raise InputError(
            f"The weights of {name} are damaged: their SHA-256 begins {found[:12]}, and the card "
            f"says {card.sha256[:12]}; restore {weights.name} from the repository."
        )
    data = data_of(card)
    front = restore_front(card.defence, card.recipe.get("defence", {}), data.channels)
    model = build_model(card.architecture, front, data)
    _load_weights(model, weights)
    return model.to(device).eval()


def _load_weights(model: nn.Module, path: Path) -> None:
    most = sum(4 * tensor.numel() for tensor in model.state_dict().values()) + MOST_CARD_BYTES
    if path.stat().st_size > most:
        raise InputError(
            f"{path.name} has {path.stat().st_size:,} bytes, and its card's architecture at most "
            f"{most:,}; restore both files."
        )
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
        model.load_state_dict(tensors, strict=False)
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip().rstrip(".")
        raise InputError(
            f"{path.name} does not fit its card's architecture ({reason}); restore both files."
        ) from None
    known = set(model.state_dict())
    if missing := known - set(tensors) - _uncounted(model):
        raise InputError(f"{path.name} lacks {min(missing)}; restore both files.")
    if unknown := set(tensors) - known:
        raise InputError(f"{path.name} has a stray {min(unknown)}; restore both files.")


def _uncounted(model: nn.Module) -> set[str]:
    """Batch norm's batch counters: no part of what the model computes."""
    return {name for name in model.state_dict() if name.endswith("num_batches_tracked")}


def check_name(name: str) -> None:
    """Raise InputError unless `name` can name a checkpoint."""
    if not NAME_PATTERN.fullmatch(name):
        raise InputError(
            f"'{shown(name)}' cannot name a model; use small letters and digits in two or more "
            "parts, with a hyphen between them, as in cifar10-resnet20-vanilla."
        )


def save_checkpoint(model: nn.Module, card: Card, own: bool = False) -> Card:
    """Write weights in half precision and the card; returns the card with the weights' hash.

    Args:
        own: keep it among people's own checkpoints. What has a `base` gets no weights' file.
    """
    check_name(card.name)
    if card.base:
        card = replace(card, sha256=load_card(card.base).sha256)
    else:
        weights = checkpoint_folder(own) / f"{card.name}.safetensors"
        write_whole(weights, save(half_precision(model)))
        card = replace(card, sha256=file_sha256(weights))
    write_card(card, own)
    return card


def checkpoint_files(name: str) -> dict[str, bytes]:
    """A checkpoint's card and weights by the files' names, to be sent elsewhere."""
    paths = [_path(name, suffix) for suffix in (".safetensors", ".json")]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def receive_checkpoint(files: dict[str, bytes], own: bool) -> None:
    """Keep a checkpoint that was made elsewhere, unless it lies here already.

    Args:
        files: as `checkpoint_files` has them, the card last.
    """
    for name, data in files.items():
        path = checkpoint_folder(own) / Path(name).name
        if not path.exists() or path.read_bytes() != data:
            write_whole(path, data)


def half_precision(model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors a checkpoint holds."""
    skipped = _uncounted(model)
    return {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in skipped
    }


def write_card(card: Card, own: bool = False) -> None:
    """Write or replace a card, whole or not at all."""
    path = checkpoint_folder(own) / f"{card.name}.json"
    write_whole(path, json.dumps(asdict(card), indent=1) + "\n")
