"""Precomputed results: what earlier records hold, so that it is not measured again.

Nothing that is found of an image depends on the images beside it: its random numbers come from the
seed and its index. So a record of more images has those of fewer, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from apr_core.attacks.ladder import SparsityLevelResult, Verdict
from apr_core.attacks.stages import STAGES
from apr_core.evaluation.images import choose_indices
from apr_core.evaluation.record import Record, Setting, load_records

Precomputed = dict[str, dict[tuple[int, int], SparsityLevelResult]]
"""By stage, and by image and pixels."""


def precomputed_for(setting: Setting) -> tuple[Precomputed, list[str]]:
    """What records of single stages say that an evaluation of several would find again.

    Returns:
        What is known, and a sentence for each record that was used.
    """
    known: Precomputed = {}
    sources = []
    usable = len(setting.stages) > 1 and setting.sha256
    for record in load_records()[0] if usable else []:
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
    """A record's rungs by image and pixels, each with the queries of its own search alone.

    An image that has left has been searched no more, and its later rungs tell nothing.
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
    """What other records have of an evaluation's images.

    Attributes:
        verdicts: by the image's index.
        seconds: that they took.
        sources: a sentence for each record that was used.
    """

    verdicts: dict[int, Verdict] = field(default_factory=dict)
    seconds: float = 0.0
    sources: list[str] = field(default_factory=list)


def reuse_records(setting: Setting) -> ReusedResults:
    """What records of the same work on another number of images have of these.

    A record of as many is not looked at: who asks for it again wants it measured again. Nor is one
    of another version of the attack, which may find otherwise: the setting says which.
    """
    earlier = ReusedResults()
    wanted = set(choose_indices(setting.images).tolist())
    for record in load_records()[0] if setting.sha256 else []:
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
