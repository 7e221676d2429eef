"""Names of models for people: what a model is, in place of its file's name."""

from __future__ import annotations

from collections.abc import Iterable

from apr_core.serving.offered import offered
from apr_core.serving.requests import BEHIND_LATTICE
from apr_core.zoo.checkpoints import (
    CAUTION,
    Card,
    caution_of,
    is_own,
)
from apr_ui.resources import all_cards, cards, why_missing
from apr_ui.words import DEFENCE_WORDS, defence_title

MAIN = ("vanilla", "apr", "apr-plus", "at", "it", "dd")
"""The undefended model and the five defences, in the order in which they are listed."""
ARCHITECTURES = {
    "resnet20": "ResNet-20",
    "resnet18": "ResNet-18",
    "vgg16": "VGG-16",
    "resnet50": "ResNet-50",
    "vgg19": "VGG-19",
    "efficientnet-lite0": "EfficientNet-Lite0",
}
USUAL = "resnet20"
"""Left out of the name of a defence; the undefended model is called after it."""


def model_title(name: str) -> str:
    """What a model is called on the pages, as in "Undefended ResNet-20" or "APR+ (VGG-16)".

    One that was trained here has its own name behind it, and one whose card is not known has only
    that. Behind lattice masking (`BEHIND_LATTICE`), it says so.
    """
    bare = name.removesuffix(BEHIND_LATTICE)
    card = all_cards()[0].get(bare)
    title = bare if card is None else _title(card)
    return title + (", masked" if bare != name else "")


def model_line(name: str) -> str:
    """What a model is, in a sentence; "" where its card is not known."""
    card = all_cards()[0].get(name.removesuffix(BEHIND_LATTICE))
    if card is None or card.defence not in DEFENCE_WORDS:
        return ""
    return DEFENCE_WORDS[card.defence][1]


def model_labels() -> dict[str, str]:
    """How a picker lists each trained model."""
    return {
        name: model_title(name)
        + (f" · {card.clean_accuracy:.1%} clean" if card.tested else "")
        + (f" · {CAUTION}" if caution_of(card) else "")
        + (" · weights missing" if why_missing(card) else "")
        for name, card in cards()[0].items()
    }


def main_first(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Models to list first (the undefended one and the five defences), and the others."""
    known = all_cards()[0]
    main = [name for name in names if _rank(known.get(name)) < len(MAIN)]
    main.sort(key=lambda name: _rank(known.get(name)))
    return main, [name for name in names if name not in main]


def network_title(architecture: str) -> str:
    """What an architecture is called."""
    return ARCHITECTURES.get(architecture, architecture)


def _title(card: Card) -> str:
    network = network_title(card.architecture)
    if card.defence == "vanilla":
        title = f"Undefended {network}"
    else:
        usual = card.architecture == USUAL
        title = defence_title(card.defence) + ("" if usual else f" ({network})")
    return f"{title}, yours: {card.name}" if _is_own(card) else title


def _is_own(card: Card) -> bool:
    return is_own(card.name) and card.name not in offered()


def _rank(card: Card | None) -> int:
    usual = card is not None and card.architecture == USUAL and not _is_own(card)
    return MAIN.index(card.defence) if card and usual and card.defence in MAIN else len(MAIN)
