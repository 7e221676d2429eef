"""Per-class results: success rates by class, and a confusion matrix of flips."""

from __future__ import annotations

import torch
from torch import Tensor

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import edit_image
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.record import Record


def rates_by_class(record: Record, pixels: int) -> list[Rate]:
    """The success rate among the images of each class that the model gets right."""
    classes = len(record.setting.dataset.classes)
    fallen, attacked = [0] * classes, [0] * classes
    for verdict in record.verdicts:
        for rung in verdict.rungs:
            if rung.pixels == pixels:
                attacked[verdict.label] += 1
                fallen[verdict.label] += rung.flipped
    return [rate_of(*counts) for counts in zip(fallen, attacked, strict=True)]


def flip_matrix(record: Record, oracle: ModelOracle, pixels: int) -> Tensor:
    """How many images of each class fell to each other class, (K, K) int64.

    The record holds the edits, and the model says again what it makes of them. What was flipped
    by an attack that changes more than pixels is not counted.

    Args:
        oracle: of the record's model, with the weights that the record names.
    """
    fallen = [
        (verdict.index, rung.edits)
        for verdict in record.verdicts
        for rung in verdict.rungs
        if rung.pixels == pixels and rung.flipped and rung.edits
    ]
    data = record.setting.dataset
    matrix = torch.zeros(len(data.classes), len(data.classes), dtype=torch.int64)
    if not fallen:
        return matrix
    known = [data.test_image(index) for index, _ in fallen]
    edited = [
        edit_image(image, edits) for (image, _), (_, edits) in zip(known, fallen, strict=True)
    ]
    said = oracle.verify_float32(torch.stack(edited).to(oracle.device)).argmax(1).tolist()
    for (_, label), after in zip(known, said, strict=True):
        if after != label:
            matrix[label, after] += 1
    return matrix
