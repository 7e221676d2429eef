"""Cached predictions: a model's answers and attention on the shipped sample, kept on disk.

Kept are the answers, which take a forward pass an image, and how much attention prefers the
object, which takes a guess at where the object is. Attention itself is not: the gate is one
convolution, and a thousand of its maps are made in a few hundredths of a second. Nor are
attributions: there would be one for every method, class and image, megabytes for each model, where
a person asks for one at a time, which takes a fraction of a second.

`assets/glances/NAME.safetensors` is of the weights and the sample that it names; where either has
changed, or the file is not there, the model is asked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from apr_core.attacks.oracle import ModelOracle
from apr_core.base.files import write_whole
from apr_core.base.paths import shipped
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.explain.attention import gate_of, has_attention
from apr_core.explain.regions import mass_inside, object_region
from apr_core.models.inputs import as_input
from apr_core.zoo.checkpoints import Card, is_own, list_cards, load_model

FOLDER = shipped("assets") / "glances"


@dataclass(frozen=True, eq=False)
class Glance:
    """A model on the N images of the sample, in its order.

    Attributes:
        answers: probabilities, (N, K) float32.
        ratios: how much attention prefers the object's region to the rest, (N,) float32, nan where
            no object stands out; None for a model without attention.
    """

    answers: Tensor
    ratios: Tensor | None


def key_of(card: Card) -> str:
    """Equal as long as the model and the sample are: a hash of all that a glance depends on."""
    model = [card.sha256, card.architecture, card.defence, card.recipe.get("defence", {})]
    digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode())
    digest.update(find_dataset().shipped_sample().images.numpy().tobytes())
    return digest.hexdigest()


def take_glance(oracle: ModelOracle, images: Tensor | None = None) -> Glance:
    """Ask the model.

    Args:
        images: uint8 (N, C, H, W); by default the sample that kept glances are of.
    """
    if images is None:
        images = find_dataset().shipped_sample().images
    answers = oracle.query_images(images.to(oracle.device)).softmax(1).float().cpu()
    if not has_attention(oracle.model):
        return Glance(answers, None)
    gates = gate_of(oracle.model, as_input(images))
    regions = [object_region(image) for image in images]
    ratios = [
        float("nan") if region is None else mass_inside(gate, region).ratio
        for gate, region in zip(gates, regions, strict=True)
    ]
    return Glance(answers, torch.tensor(ratios))


def kept_glance(card: Card) -> Glance | None:
    """The one in the file; None where there is none of these weights."""
    path = _path(card)
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") != key_of(card):
                return None
            names = set(file.keys())
            ratios = file.get_tensor("ratios") if "ratios" in names else None
            return Glance(file.get_tensor("answers"), ratios)
    except (OSError, SafetensorError):
        return None


def keep_glance(card: Card, glance: Glance) -> Path:
    """Write the file, whole or not at all; returns where."""
    tensors = {"answers": glance.answers}
    if glance.ratios is not None:
        tensors["ratios"] = glance.ratios
    metadata = {"key": key_of(card), "model": card.name, "sha256": card.sha256}
    return write_whole(_path(card), save(tensors, metadata))


def stale_glances() -> list[Card]:
    """The shipped models of the sample's data set that no file is of."""
    return [
        card
        for card in list_cards()
        if card.dataset == DEFAULT and not is_own(card.name) and kept_glance(card) is None
    ]


def refresh_glances() -> list[Path]:
    """Make the files that are missing or of other weights."""
    cards = stale_glances()
    return [keep_glance(card, take_glance(ModelOracle(load_model(card.name)))) for card in cards]


def _path(card: Card) -> Path:
    return FOLDER / f"{card.name}.safetensors"
