"""The bench's record: rates, what the attack's is over the others, and the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from statistics import median
from typing import Any

import torch

from apr_core.base.provenance import Environment, environment
from apr_core.models.incremental import EditEngine
from apr_core.models.inference import device_of
from apr_core.report.speeds import Aim, Figure
from apr_core.zoo.library import LITE0
from benchmarks.speed.case import Case, Timed
from benchmarks.speed.engines import ONNX, OTHERS, PLAIN, PREPARED, Forward
from benchmarks.speed.peers import peer_package
from benchmarks.speed.turns import quotients, spread

ATTACK, DENSE, SWEEP = "attack", "dense attack", "corner sweep"
FORWARD, PLAIN_FORWARD, OTHER = "forward", "plain forward", "other engine"
AIMS = {
    "cifar10-resnet20-vanilla": {FORWARD: 1.2, "torchattacks": 1.8, "art": 1.8},
    "resnet18": {FORWARD: 1.5},
    "vgg16": {FORWARD: 1.3},
    LITE0: {FORWARD: 2.0},
    "resnet50": {FORWARD: 2.2, "torchattacks": 3.0, "art": 3.0},
    "vgg19": {FORWARD: 6.0, "torchattacks": 6.0, "art": 6.0},
}
"""By model: how many times as fast as these the attack is to be."""


@dataclass(frozen=True)
class BenchResult(Environment):
    """One measurement.

    Attributes:
        random_weights: whether nobody trained the model; its labels are then its own answers.
        shape: of an image, (C, H, W).
        queries: candidates scored in one round of each attack, or images that a peer's was shown.
        rates: queries or images per second of wall time. "attack" is `OnePixelAttack.run` as a long
            search has it, incremental where that is faster; "dense attack" the same by whole
            forwards; "forward" the folded model (a user's: as it is) in eager PyTorch, at its best
            layout and batch; "plain forward" the model as it was loaded; "other engine" the best
            that is not eager; peers by their names.
        ratios: "attack over forward" and so on; the spread is of the rounds' quotients.
        other_engine: which that is, with its batch.
        forwards: every bare forward tried, with images_per_second and its spread.
        split: how edits are answered: at which step whole maps begin (`cut`, of `steps`), the
            chunks, and how many times as fast as the dense forward that was (`gain`); empty where
            they go dense.
        attack_peak_bytes: most memory in use by the end of a first attack, everything before it,
            such as torch itself, included (`peak_memory`).
        aims: the targets for this model.
    """

    model: str
    random_weights: bool
    shape: tuple[int, int, int]
    device: str
    threads: int
    config: dict[str, Any]
    rounds: int
    queries: dict[str, int]
    rates: dict[str, Figure]
    ratios: dict[str, Figure]
    other_engine: str
    forwards: tuple[dict[str, Any], ...]
    split: dict[str, Any]
    attack_peak_bytes: int
    aims: tuple[Aim, ...]


def summarise(
    case: Case,
    name: str,
    random_weights: bool,
    rounds: dict[object, list[Timed]],
    versions: dict[str, str],
    peak: int,
    engine: EditEngine | None,
) -> BenchResult:
    """The record of what was measured.

    Args:
        rounds: of each work, what `take_turns` gives.
        versions: of the peers, by their names.
        engine: which answered the attack's edits; None where they went dense.
    """
    every = {key: [count / took for count, took in timed] for key, timed in rounds.items()}
    forwards = {key: rate for key, rate in every.items() if isinstance(key, Forward)}
    attacks = {str(key): rate for key, rate in every.items() if not isinstance(key, Forward)}
    others = [key for key in forwards if key.engine in OTHERS]
    best = max(others, key=lambda key: median(forwards[key]), default="")
    plain = _fastest_of(forwards, PLAIN)
    rates = {
        FORWARD: _fastest_of(forwards, PREPARED) or plain,
        PLAIN_FORWARD: plain,
        OTHER: _fastest_of(forwards, *OTHERS),
        **attacks,
    }
    rates = {key: rate for key, rate in rates.items() if rate}
    ratios = _ratios(rates)
    device = device_of(case.model)
    packages = {peer_package(peer): found for peer, found in versions.items()}
    if any(key.engine == ONNX for key in others):
        packages[ONNX] = metadata.version(ONNX)
    return BenchResult(
        **environment(device, **packages),
        model=name,
        random_weights=random_weights,
        shape=case.shape,
        device=str(device),
        threads=torch.get_num_threads(),
        config=asdict(case.config),
        rounds=case.config.rounds,
        queries={key: int(median(count for count, _ in rounds[key])) for key in attacks},
        rates={key: Figure(median(rate), spread(rate)) for key, rate in rates.items()},
        ratios=ratios,
        other_engine=str(best),
        forwards=tuple(
            asdict(key) | {"images_per_second": median(rate), "spread": spread(rate)}
            for key, rate in forwards.items()
        ),
        split=_split(engine),
        attack_peak_bytes=peak,
        aims=aims_of(name, ratios),
    )


def _ratios(rates: dict[str, list[float]]) -> dict[str, Figure]:
    """Of the attack over all else, and of what goes dense over the forward."""
    pairs = [(ATTACK, name) for name in rates if name not in (ATTACK, SWEEP)]
    pairs += [(name, FORWARD) for name in (DENSE, SWEEP) if name in rates]
    return {
        _over(ours, theirs): Figure(
            median(rates[ours]) / median(rates[theirs]),
            spread(quotients(rates[ours], rates[theirs])),
        )
        for ours, theirs in pairs
    }


def _over(ours: str, theirs: str) -> str:
    return f"{ours} over {theirs}"


def aims_of(name: str, ratios: dict[str, Figure]) -> tuple[Aim, ...]:
    """A model's targets, held to what was measured."""
    wanted = {_over(ATTACK, other): least for other, least in AIMS.get(name, {}).items()}
    return tuple(
        Aim(what, least, ratios[what].value >= least if what in ratios else None)
        for what, least in wanted.items()
    )


def _split(engine: EditEngine | None) -> dict[str, Any]:
    split = engine.split(1) if engine else None
    if engine is None or split is None:
        return {}
    return asdict(split) | {"steps": len(engine.network.graph.steps), "gain": engine.costs.gain}


def _fastest_of(forwards: dict[Forward, list[float]], *engines: str) -> list[float]:
    return fastest([rates for key, rates in forwards.items() if key.engine in engines])


def fastest(rates: Sequence[list[float]]) -> list[float]:
    """The best of several works' rates, round by round; none if there is no work.

    Which is the best in a round, the other rounds say. Of many that are alike, the one that chance
    favours would be taken else: of ten whose rounds vary by 10 %, one that seems 7 % too fast.
    """
    rounds = range(len(rates[0])) if rates else range(0)
    return [max(rates, key=partial(_elsewhere, number))[number] for number in rounds]


def _elsewhere(number: int, rates: list[float]) -> float:
    """The median of all rounds but one, if there are others."""
    return median(rates[:number] + rates[number + 1 :] or rates)
