"""Precomputed results: what earlier records hold, so that it is not measured again.

The result of an image does not depend on the images beside it: its random numbers come from the
seed and its index. So a record of more images holds the results of fewer, and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from apr_core.attacks.ladder import SparsityLevelResult, Verdict
from apr_core.attacks.stages import STAGES
from apr_core.evaluation.images import choose_indices
from apr_core.evaluation.record import Record, Setting

Precomputed = dict[str, dict[tuple[int, int], SparsityLevelResult]]
"""By stage, and by image and pixels."""


def precomputed_for(setting: Setting, records: Sequence[Record]) -> tuple[Precomputed, list[str]]:
    """Results of single stages that an evaluation of several stages need not measure again.

    Returns:
        The results, and a sentence for each record that was used.
    """
    known: Precomputed = {}
    sources = []
    usable = len(setting.stages) > 1 and setting.sha256
    for record in records if usable else []:
        name = record.setting.attack
        if name not in setting.stages or not STAGES.get(name).cold_start:
            continue
        same = replace(setting, attack=name, stages=(name,), leave=record.setting.leave)
        same = replace(same, pixels=record.setting.pixels)
        if record.setting == same.on_images_of(record.setting):
            known[name] = _searches_of(record) | known.get(name, {})
            sources.append(f"{name}: from the record {record.setting.name}.")
    return known, sources


def _searches_of(record: Record) -> dict[tuple[int, int], SparsityLevelResult]:
    """A record's levels by image and pixels, each with the queries of its own search alone.

    After its first flip an image was not searched again, so later levels hold no result.
    """
    searches = {}
    for verdict in record.verdicts:
        before = 0
        for rung in verdict.rungs:
            searches[verdict.index, rung.pixels] = replace(rung, queries=rung.queries - before)
            before = rung.queries
            if rung.flipped:
                break
    return searches


@dataclass
class ReusedResults:
    """Results of an evaluation's images that other records hold.

    Attributes:
        verdicts: by the image's index.
        seconds: that they took.
        sources: a sentence for each record that was used.
    """

    verdicts: dict[int, Verdict] = field(default_factory=dict)
    seconds: float = 0.0
    sources: list[str] = field(default_factory=list)


def reuse_records(setting: Setting, records: Sequence[Record]) -> ReusedResults:
    """Verdicts on these images from records of the same setting on another number of images.

    A record of the same number is not used: to ask for it again is to have it measured again. Nor
    is one of another version of the attack, which the setting names: it may find something else.
    """
    earlier = ReusedResults()
    wanted = set(choose_indices(setting.dataset, setting.images).tolist())
    for record in records if setting.sha256 else []:
        theirs = record.setting
        if theirs != setting.on_images_of(theirs) or theirs.images == setting.images:
            continue
        new = {
            verdict.index: verdict
            for verdict in record.verdicts
            if verdict.index in wanted - earlier.verdicts.keys()
        }
        if new:
            earlier.verdicts |= new
            earlier.seconds += record.seconds * len(new) / len(record.verdicts)
            earlier.sources.append(
                f"{len(new)} images: from the record {theirs.name}, made on {record.hardware}."
            )
    return earlier
