"""Redundancy: an ensemble's vote and agreement, and how far attacks transfer within it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from apr_core.base.types import InputError
from apr_core.data.dataset import DataSet
from apr_core.evaluation.metrics import Rate, rate_of


def vote(labels: Tensor) -> Tensor:
    """What most of M models say, (M, B) -> (B,); where several are even, the lowest class."""
    return labels.mode(0).values


def agreement(labels: Tensor) -> Tensor:
    """Share of M models that say what the first of them says, (M, B) -> (B,)."""
    return (labels == labels[0]).float().mean(0)


def check_classes_alike(data: Mapping[str, DataSet]) -> None:
    """Raise InputError unless all models, by name, tell the same classes of pictures apart."""
    (first, known), *others = data.items()
    for name, its in others:
        if (its.classes, its.size, its.channels) != (known.classes, known.size, known.channels):
            raise InputError(
                f"{name} tells {len(its.classes):,} classes of {its.title} apart, and {first} "
                f"{len(known.classes):,} of {known.title}; choose models with the same classes."
            )


def transfer_rates(
    labels: Tensor, clean: Mapping[str, Tensor], edited: Mapping[str, Tensor]
) -> dict[str, Rate]:
    """What share of one model's adversarial images fools each other model.

    Args:
        labels: true classes of the images that fool the one model, (N,).
        clean, edited: by model, what it says of them without and with the edit, (N,). Images that
            it gets wrong without the edit are left out.
    """
    rates = {}
    for name, after in edited.items():
        right = clean[name] == labels
        fooled = right & (after != labels)
        rates[name] = rate_of(int(fooled.sum()), int(right.sum()))
    return rates
