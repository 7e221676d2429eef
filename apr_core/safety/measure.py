"""Measuring a pipeline: clean, attacked by one who does not know it, and by one who does.

The unknowing attacker is the attack ladder at one pixel on the bare model; what records of it hold
is taken from them. The knowing one is `apr_core.safety.attack`, which tries the ladder's edit too:
its rate is never the lower one. Resumable, as evaluations are.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial

import torch
from torch import Tensor

from apr_core.attacks.ladder import LadderConfig, Verdict, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.perturbation import apply_edits
from apr_core.attacks.result import from_rgb, to_edits
from apr_core.base import schema
from apr_core.base.provenance import provenance
from apr_core.evaluation.images import choose_images, choose_indices, indices_sha256
from apr_core.evaluation.journal import Entries, Journal, dispatch_in_turn
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.protocol import EvalProgress, setting_for
from apr_core.evaluation.record import Record, load_records
from apr_core.models import Classifier
from apr_core.safety.attack import Budget, attack_pipeline
from apr_core.safety.build import HELD_OUT, SET, build_words, held_out
from apr_core.safety.calibration import brier
from apr_core.safety.decision import Sight
from apr_core.safety.detection import FALSE_ALARMS, Detection, detect
from apr_core.safety.pipeline import Pipeline
from apr_core.safety.record import (
    ADAPTIVE,
    CLEAN,
    STATES,
    SUSPICION,
    UNKNOWING,
    GuardRecord,
    GuardSetting,
    Outcome,
    Seen,
    area_of,
    broken_rate,
    calibration_of,
    risks_of,
    suspicion,
)
from apr_core.safety.redundancy import transfer_rates

LADDER = "ladder"
Report = Callable[[EvalProgress], None]


def guard_setting(
    pipeline: Pipeline, images: int = 200, seed: int = 0, budget: Budget | None = None
) -> GuardSetting:
    """A checked setting.

    Raises:
        InputError: there are not so many images beside those that the pipeline was set on.
    """
    target, config = pipeline.target, pipeline.config
    indices = choose_indices(target.data, images)
    if config.held_out:
        held_out(target.data, config.held_out, images)
    return GuardSetting(
        config,
        target.name,
        target.sha256,
        images,
        indices_sha256(indices),
        seed,
        budget or Budget(),
        target.data.name,
        target.data_sha256,
        target.data_size,
    )


def measure(
    pipeline: Pipeline, setting: GuardSetting, report: Report = lambda progress: None
) -> GuardRecord:
    """Measure the first images of the fixed order, or go on with what was begun.

    Raises:
        InputError: an unfinished measurement of the same name has other settings.
    """
    indices = choose_indices(pipeline.data, setting.images)
    outcome_of = partial(schema.build, Outcome)
    journal = Journal(setting.name, asdict(setting), setting.sha256, check=outcome_of)
    known, sources = _known(pipeline, setting, load_records()[0])
    attempt = partial(_attempt, pipeline, setting, known)
    for seconds, left in journal.work_through(indices, pipeline.device, dispatch_in_turn(attempt)):
        outcomes = [outcome_of(entry) for entry in journal.entries.values()]
        rate = broken_rate(outcomes, ADAPTIVE)
        done = EvalProgress(len(outcomes), setting.images, rate.count, rate.total, seconds, left)
        report(done)
    outcomes = [outcome_of(journal.entries[index]) for index in indices.tolist()]
    record = _record(pipeline, setting, outcomes, sources, journal.seconds)
    journal.delete()
    return record


def _known(
    pipeline: Pipeline, setting: GuardSetting, records: Sequence[Record]
) -> tuple[dict[int, Verdict], list[str]]:
    """What records of the ladder at one pixel hold, by index, and their names.

    In half precision or of an earlier version, too: a flip that was found is one however it was
    found, and the pipeline is asked about it anew.
    """
    wanted = setting_for(pipeline.target, LADDER, (1,), setting.images, setting.seed)
    found: dict[int, Verdict] = {}
    names = []
    for record in records if setting.sha256 else []:
        theirs = replace(record.setting, half=False, compiled=False, pixels=(1,))
        theirs = replace(theirs, attack_version=wanted.attack_version)
        if theirs != wanted.on_images_of(theirs) or record.level(1) is None:
            continue
        found = {verdict.index: verdict for verdict in record.verdicts} | found
        names.append(record.setting.name)
    return found, names


def _attempt(
    pipeline: Pipeline, setting: GuardSetting, known: dict[int, Verdict], group: Tensor
) -> Entries:
    """The outcomes of a group, at some places of the fixed order, by index."""
    everyone = choose_images(pipeline.data, setting.images)
    images, labels, indices = (part[group].to(pipeline.device) for part in everyone)
    clean = pipeline.see(images)
    outcomes = {
        row: Outcome(int(indices[row]), int(labels[row]), {CLEAN: one}, {})
        for row, one in enumerate(_told(pipeline, clean, labels))
    }
    rows = (clean.labels == labels).nonzero()[:, 0]
    if len(rows):
        attacked = images[rows], labels[rows], indices[rows]
        edit = _ladder(pipeline, setting, known, *attacked)
        found = attack_pipeline(pipeline, *attacked, edit, setting.budget, setting.seed)
        edits = {UNKNOWING: edit, ADAPTIVE: (found.positions, found.colours)}
        for state, (positions, colours) in edits.items():
            pictures = apply_edits(attacked[0], positions, colours)
            seen = _told(pipeline, pipeline.see(pictures, many=True), attacked[1])
            for at, row in enumerate(rows.tolist()):
                outcomes[row].states[state] = seen[at]
                (outcomes[row].edits[state],) = to_edits(positions[at], colours[at])
        for at, row in enumerate(rows.tolist()):
            queries, shown = int(found.queries[at]), int(found.shown[at])
            outcomes[row] = replace(outcomes[row], queries=queries, shown=shown)
    for one in outcomes.values():
        for state in STATES:
            one.states.setdefault(state, one.states[CLEAN])
    return {one.index: json.loads(json.dumps(asdict(one))) for one in outcomes.values()}


def _ladder(
    pipeline: Pipeline,
    setting: GuardSetting,
    known: dict[int, Verdict],
    images: Tensor,
    labels: Tensor,
    indices: Tensor,
) -> tuple[Tensor, Tensor]:
    """The ladder's edit of each image, positions (B, 1, 2) and colours (B, 1, C)."""
    missing = [row for row, index in enumerate(indices.tolist()) if not _has_edit(known, index)]
    if missing:
        stages = setting_for(pipeline.target, LADDER, (1,), setting.images, setting.seed).stages
        model = pipeline.target.model
        oracle = ModelOracle(model, checked=isinstance(model, Classifier), incremental=True)
        rest = images[missing], labels[missing], indices[missing]
        found = climb(LadderConfig(stages, (1,), setting.seed), oracle, *rest)
        known |= {verdict.index: verdict for verdict in found if verdict.rungs}
    fallback = torch.zeros(1, 2, dtype=torch.int64), images[:, :, 0, 0].cpu().long()
    positions, colours = [], []
    for row, index in enumerate(indices.tolist()):
        verdict = known.get(index)
        edits = verdict.rungs[0].edits if verdict and verdict.rungs else ()
        place = torch.tensor([[edit.x, edit.y] for edit in edits]) if edits else fallback[0]
        colour = torch.tensor([edit.rgb for edit in edits]) if edits else fallback[1][row][None]
        positions.append(place)
        colours.append(from_rgb(colour, images.shape[1]))
    return torch.stack(positions).to(images.device), torch.stack(colours).to(images.device)


def _has_edit(known: dict[int, Verdict], index: int) -> bool:
    return index in known and bool(known[index].rungs)


def _told(pipeline: Pipeline, seen: Sight, labels: Tensor) -> list[Seen]:
    """What was seen, a value for each image."""
    raw = seen.logits.softmax(1)
    tempered = (seen.logits / (pipeline.config.temperature or 1.0)).softmax(1)
    briers, raw_briers = brier(tempered, labels), brier(raw, labels)
    told = []
    for row in range(len(labels)):
        withholding = (name for name, excess in seen.excess.items() if float(excess[row]) > 0)
        told.append(
            Seen(
                int(seen.labels[row]),
                next(withholding, ""),
                float(seen.confidence[row]),
                float(raw[row].amax()),
                float(briers[row]),
                float(raw_briers[row]),
                float(seen.worst[row]),
                {name: float(scores[row]) for name, scores in seen.scores.items()},
                {name: int(votes[row]) for name, votes in seen.votes.items()},
            )
        )
    return told


def _record(
    pipeline: Pipeline,
    setting: GuardSetting,
    outcomes: Sequence[Outcome],
    sources: Sequence[str],
    seconds: float,
) -> GuardRecord:
    right = [one for one in outcomes if one.right]
    answered = [one for one in outcomes if one.answered]
    turned = [one for one in right if one.fooled(UNKNOWING)]
    attacked = max(1, len(right))
    timing = {False: "after", True: "before"}
    return GuardRecord(
        setting=setting,
        about=_about(setting, sources),
        adaptive=broken_rate(outcomes, ADAPTIVE),
        unknowing=broken_rate(outcomes, UNKNOWING),
        bare=rate_of(len(turned), len(right)),
        right=rate_of(len(answered), len(outcomes)),
        withheld=rate_of(len(right) - len(answered), len(right)),
        detections=_detections(pipeline, right, turned, setting.images),
        risks={state: risks_of(outcomes, state) for state in STATES},
        areas={state: area_of(outcomes, state, setting.seed) for state in STATES},
        calibration={
            f"{state}, {words}": calibration_of(outcomes, state, raw)
            for state in STATES
            for raw, words in timing.items()
        },
        transfers=_transfers(pipeline, turned),
        queries=sum(one.queries for one in right) / attacked,
        shown=sum(one.shown for one in right) / attacked,
        outcomes=tuple(outcomes),
        **provenance(pipeline.device, command_of(setting), seconds),
    )


def _about(setting: GuardSetting, sources: Sequence[str]) -> str:
    budget = setting.budget
    taken = f", from {', '.join(sources)}" if sources else ""
    return (
        f"The unknowing attacker is the attack ladder at one pixel on the bare model{taken}. The "
        f"adaptive one tries the ladder's edit, scores the {budget.screened:,} corner colours that "
        "raise the models' losses most to first order on all models, shows the pipeline up to "
        f"{budget.shown:,} of these that come nearest to fooling them, and goes on from the best "
        f"with differential evolution on the combined margin, {budget.population} edits for "
        f"{budget.generations} generations; it ends at its first success."
    )


def _detections(
    pipeline: Pipeline, right: Sequence[Outcome], turned: Sequence[Outcome], measured: int
) -> tuple[Detection, ...]:
    """Detection rates of the scores that the pipeline has, thresholds set on held-out images, at
    the false-alarm rates that there are enough of them for."""
    names = [name for name in SUSPICION if name in pipeline.config.layers]
    count = pipeline.config.held_out or min(HELD_OUT, pipeline.data.tested - measured)
    if not names or not count:
        return ()
    light = replace(pipeline.config, ensemble=None, certificate=None)
    images, labels = held_out(pipeline.data, count, measured)
    seen = Pipeline(light, pipeline.target).see(images)
    kept = seen.labels == labels.to(pipeline.device)
    return tuple(
        detect(
            name,
            SUSPICION[name] * seen.scores[name][kept].cpu(),
            suspicion(right, name, CLEAN),
            suspicion(turned, name, UNKNOWING),
            false_alarms,
        )
        for name in names
        for false_alarms in FALSE_ALARMS
        if false_alarms * int(kept.sum()) >= 1
    )


def _transfers(pipeline: Pipeline, turned: Sequence[Outcome]) -> dict[str, Rate]:
    """How many of the ladder's flips fool each other model of the ensemble."""

    def votes(state: str) -> dict[str, Tensor]:
        return {
            name: torch.tensor([one.states[state].votes[name] for one in turned])
            for name in pipeline.others
        }

    labels = torch.tensor([one.label for one in turned])
    return transfer_rates(labels, votes(CLEAN), votes(UNKNOWING)) if turned else {}


def command_of(setting: GuardSetting) -> str:
    """The command line that makes a setting's record."""
    config, budget = setting.pipeline, setting.budget
    words = ["python", "-m", "apr_core", "guard", "measure"]
    if config.held_out or not SET & set(config.layers):
        words += build_words(config)
    else:  # thresholds that were chosen by hand stand in a file alone
        words += ["--pipeline", "pipeline.json"]
    words += ["--images", str(setting.images), "--seed", str(setting.seed)]
    for name, value in asdict(budget).items():
        words += [f"--{name}", str(value)] if value != getattr(Budget(), name) else []
    return shlex.join(words)
