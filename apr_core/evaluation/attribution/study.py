"""Attribution study: the measurement behind an agreement record, image by image, resumable.

Every image that the model gets right is explained by each method for its true class, and held
against the model's gate, against its truth map, and against the model itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor, nn

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.truth_map import TruthMap, TruthMapSearch
from apr_core.base import random
from apr_core.base.provenance import provenance
from apr_core.base.types import InputError
from apr_core.base.version import ATTACK_VERSION
from apr_core.data.dataset import DataSet
from apr_core.evaluation.attribution.agreement import (
    CENTRE,
    NOISE,
    AgreementRecord,
    AgreementSetting,
    AttributionScores,
    ImageStudy,
    image_study_from,
)
from apr_core.evaluation.images import image_order, indices_sha256
from apr_core.evaluation.journal import Entries, Journal, dispatch_in_turn
from apr_core.evaluation.metrics import rate_of
from apr_core.evaluation.protocol import EvalProgress
from apr_core.evaluation.record import data_words
from apr_core.explain.agreement import (
    TOP,
    percentile_rank,
    rank_correlation,
    top_overlap,
    vulnerability_correlation,
)
from apr_core.explain.attention import ATTENTION, attention_of, has_attention
from apr_core.explain.attributions import attribute
from apr_core.explain.curves import STEPS, Curve, deletion_curve, insertion_curve
from apr_core.explain.methods import METHODS
from apr_core.explain.task import AttributionConfig
from apr_core.models.inputs import as_input
from apr_core.zoo.target import TargetModel

DIGITS = 5
"""Decimal places that the record keeps."""


def even_indices(data: DataSet, count: int) -> Tensor:
    """Test-set indices (N,): of each class as many as of any other, within one, the first of them
    in the order of evaluation; of the sample, if evaluations begin with one, or of all.

    Raises:
        InputError: there are not so many, or they are not here.
    """
    leading = len(data.leading_indices())
    order = image_order(data)[: leading or len(data.load("test"))]
    if not 1 <= count <= len(order):
        whose = "the shipped sample's" if leading else "the test set's"
        raise InputError(f"images is {count}, but must lie between 1 and {len(order)}, {whose}.")
    labels = data.test_part(order).labels
    by_class, sizes = labels.argsort(stable=True), labels.bincount()
    rank = torch.empty_like(order)  # of an image among those of its class
    rank[by_class] = torch.arange(len(order)) - (sizes.cumsum(0) - sizes)[labels[by_class]]
    return order[rank.argsort(stable=True)[:count]]


def agreement_setting(target: TargetModel, images: int) -> AgreementSetting:
    """A checked setting.

    Raises:
        InputError: a number of images that cannot be.
    """
    return AgreementSetting(
        target.name,
        target.sha256,
        images,
        indices_sha256(even_indices(target.data, images)),
        TOP,
        min(STEPS, target.data.size[0] * target.data.size[1]),
        asdict(AttributionConfig()),
        target.data.name,
        target.data_sha256,
    )


def measure_agreement(
    target: TargetModel,
    setting: AgreementSetting,
    report: Callable[[EvalProgress], None] = lambda progress: None,
) -> AgreementRecord:
    """Look at the images, or go on with what was begun.

    Raises:
        InputError: an unfinished run of the same name has other settings.
    """
    data, oracle = target.data, ModelOracle(target.model, incremental=True)
    indices = even_indices(data, setting.images)
    chosen = data.test_part(indices)
    images, labels = chosen.images, chosen.labels
    journal = Journal(
        f"agreement-{setting.name}",
        asdict(setting) | {"attack_version": ATTACK_VERSION},
        setting.sha256,
        check=lambda entry: image_study_from(entry) if entry else None,
    )

    def attempt(group: Tensor) -> Entries:
        found: Entries = {index: {} for index in indices[group].tolist()}
        said = oracle.verify_float32(images[group].to(oracle.device)).argmax(1).cpu()
        right = group[said == labels[group]]
        if len(right):
            looked = examine(oracle, images[right], labels[right], indices[right], setting)
            found |= {one.index: asdict(one) for one in looked}
        return found

    for seconds, left in journal.work_through(indices, oracle.device, dispatch_in_turn(attempt)):
        report(_progress(journal, setting, seconds, left))
    entries = [journal.entries[index] for index in indices.tolist()]
    looked = tuple(image_study_from(entry) for entry in entries if entry)
    record = _record(setting, looked, oracle.device, journal.seconds)
    journal.delete()
    return record


def _progress(
    journal: Journal, setting: AgreementSetting, seconds: float, left: float
) -> EvalProgress:
    looked = [entry for entry in journal.entries.values() if entry]
    broken = sum(entry["broken"] > 0 for entry in looked)
    return EvalProgress(len(journal.entries), setting.images, broken, len(looked), seconds, left)


def examine(
    oracle: ModelOracle, images: Tensor, labels: Tensor, indices: Tensor, setting: AgreementSetting
) -> list[ImageStudy]:
    """Look at images uint8 (B, 3, H, W) that the model gets right.

    Args:
        labels: (B,), the classes that are explained.
        indices: (B,), of the test images; noise depends on them alone.
    """
    seen = as_input(images)
    maps = maps_of(oracle.model, seen, labels, AttributionConfig(**setting.config))  # type: ignore[arg-type]
    keys = random.keys_for(0, indices)
    height, width = images.shape[2:]
    maps[NOISE] = random.uniform(keys, 0, (height, width))
    maps[CENTRE] = nearness(height, width).expand(len(images), -1, -1)
    truths = [truth_of(oracle, *one) for one in zip(images, labels.tolist(), strict=True)]
    figures: dict[str, list[AttributionScores]] = {}
    for method, values in maps.items():
        asked = (oracle.model, seen, labels, values, setting.steps)
        curves = deletion_curve(*asked), insertion_curve(*asked)
        gate = maps.get(ATTENTION) if method != ATTENTION else None
        figures[method] = _figures(values, gate, truths, curves, setting.top)
    return [
        ImageStudy(
            index, label, int(truth.broken.sum()), {name: figures[name][row] for name in maps}
        )
        for row, (index, label, truth) in enumerate(
            zip(indices.tolist(), labels.tolist(), truths, strict=True)
        )
    ]


def maps_of(
    model: nn.Module, seen: Tensor, labels: Tensor, config: AttributionConfig
) -> dict[str, Tensor]:
    """The gate, if there is one, and every attribution of images in [0, 1]: (B, H, W) each."""
    maps = {ATTENTION: attention_of(model, seen)} if has_attention(model) else {}
    for method in METHODS:
        maps[method] = attribute(model, seen, labels, method, config).maps
    return maps


def nearness(height: int, width: int) -> Tensor:
    """How near each pixel is to the middle, (H, W): 1 there, 0 in the corners."""
    down, across = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return 1 - torch.hypot(down[:, None], across) / 2**0.5


def truth_of(oracle: ModelOracle, image: Tensor, label: int) -> TruthMap:
    """The truth map of an image uint8 (3, H, W), from its beginning to its end."""
    survey = TruthMapSearch(oracle, image, label)
    while survey.live:
        survey.tell(oracle.query(survey.ask()))
    return survey.result()


def _figures(
    maps: Tensor,
    gate: Tensor | None,
    truths: list[TruthMap],
    curves: tuple[Curve, Curve],
    top: float,
) -> list[AttributionScores]:
    """One method's figures, an image each; `maps` and `gate` are (B, H, W)."""
    weights = maps.abs()
    none = (None,) * len(maps)
    alike = none if gate is None else rank_correlation(weights, gate)
    shared = none if gate is None else top_overlap(weights, gate, top)
    found = []
    for row, truth in enumerate(truths):
        flips, both = truth.flips()[:1], shared[row]
        outweighed = percentile_rank(weights[row], flips[0].x, flips[0].y) if flips else None
        found.append(
            AttributionScores(
                with_attention=_rounded(alike[row]),
                overlap=_rounded(both.shared if both else None),
                with_truth=_rounded(vulnerability_correlation(weights[row : row + 1], truth)[0]),
                outweighs=_rounded(outweighed),
                deletion=round(float(curves[0].areas[row]), DIGITS),
                insertion=round(float(curves[1].areas[row]), DIGITS),
            )
        )
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _record(
    setting: AgreementSetting, looked: tuple[ImageStudy, ...], device: torch.device, seconds: float
) -> AgreementRecord:
    words = ["python", "-m", "apr_core", "agreement", "--model", setting.model]
    words += data_words(setting.model, setting.data)
    return AgreementRecord(
        setting=setting,
        right=rate_of(len(looked), setting.images),
        looked=looked,
        **provenance(device, shlex.join([*words, "--images", str(setting.images)]), seconds),
    )
