"""Evaluation protocol: attacks on a fixed set of images, from setting to record, resumable.

Images are attacked in groups. The results of a group are appended to a file at once, and a group
that is in the file is not attacked again. No result depends on the groups: every random number
comes from the seed and an image's index.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from torch import Tensor, nn

from apr_core.attacks.enumeration import is_large
from apr_core.attacks.gradient import EPSILON
from apr_core.attacks.ladder import LADDER, LARGE_LADDER, PATCH_LADDER, LadderConfig, Verdict, climb
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.patch import check_side
from apr_core.attacks.stages import PGD_STEPS, STAGES
from apr_core.base import schema
from apr_core.base.provenance import provenance
from apr_core.base.types import InputError
from apr_core.base.version import ATTACK_VERSION
from apr_core.certification.lattice_masking import LatticeMasking, behind_lattice
from apr_core.data.dataset import DataSet
from apr_core.data.registry import DEFAULT
from apr_core.evaluation.images import choose_images, choose_indices, indices_sha256
from apr_core.evaluation.journal import Dispatcher, Entries, Journal, dispatch_in_turn
from apr_core.evaluation.metrics import Rate, rate_of
from apr_core.evaluation.precomputed import Precomputed, precomputed_for, reuse_records
from apr_core.evaluation.record import (
    Record,
    Setting,
    data_words,
    epsilon_words,
    levels_of,
    load_records,
)
from apr_core.models import Classifier
from apr_core.training.monitor import count_correct
from apr_core.training.workers import ALONE, Workers
from apr_core.zoo.target import TargetModel

MOST_COUNTED = 10_000
"""Test images on which the clean accuracy of a model without a card is counted."""


@dataclass(frozen=True)
class EvalProgress:
    """How far an evaluation is; `seconds_left` is None before its first group."""

    done: int
    total: int
    broken: int
    attacked: int
    seconds: float
    seconds_left: float | None


@dataclass(frozen=True)
class EvalTask:
    """The work on one group of an evaluation's images; it can be sent to other machines.

    Attributes:
        known: results that need not be measured again; see `precomputed_for`.
        data: whose images they are, with the model's labels. Another machine has a copy of its
            own, that of the model as it is loaded there.
    """

    setting: Setting
    known: Precomputed
    data: DataSet

    def oracle(self, model: nn.Module) -> ModelOracle:
        """The model as it is attacked."""
        setting = self.setting
        masked = behind_lattice(model, setting.lattice, self.data) if setting.lattice else model
        own = isinstance(model, Classifier)  # behind a lattice, a check of it would take long
        return ModelOracle(
            masked,
            eot_samples=setting.draws,
            half=setting.half,
            compiled=setting.compiled,
            checked=own,
            incremental=not setting.lattice,
        )

    def __call__(self, oracle: ModelOracle, places: Tensor) -> Entries:
        """Results by index of the images at some places (n,) of the fixed order."""
        setting = self.setting
        images, labels, indices = (
            part[places] for part in choose_images(self.data, setting.images)
        )
        oracle.fit(images)
        config = LadderConfig(
            setting.stages,
            setting.pixels,
            setting.seed,
            setting.leave,
            setting.epsilon,
            setting.side,
            setting.steps,
            setting.restarts,
        )
        verdicts = climb(config, oracle, images, labels, indices, self.known)
        return {verdict.index: asdict(verdict) for verdict in verdicts}


Report = Callable[[EvalProgress], None]
Spread = Callable[[EvalTask], Dispatcher]
"""Runs a task on other machines, group by group."""


def setting_for(
    target: TargetModel,
    attack: str = "ladder",
    pixels: tuple[int, ...] = (1,),
    images: int = 200,
    seed: int = 0,
    stop_on_success: bool = True,
    draws: int = 1,
    half: bool = False,
    lattice: int = 0,
    compiled: bool = False,
    epsilon: float | None = None,
    side: int = 0,
    steps: int = PGD_STEPS,
    restarts: int = 1,
) -> Setting:
    """A checked setting.

    Args:
        epsilon: None for `EPSILON`.

    Raises:
        InputError: an unknown attack, or numbers that cannot be.
    """
    if lattice:
        LatticeMasking(target.model, lattice, target.data)
    stages: tuple[str, ...] = (attack,)
    if attack == "ladder":
        stages = LARGE_LADDER if is_large(*target.data.size) else LADDER
        stages = PATCH_LADDER if side else stages
    reach = EPSILON if epsilon is None else epsilon
    LadderConfig(stages, pixels, seed, stop_on_success, reach, side, steps, restarts)
    check_side(side, *target.data.size)
    if not 1 <= draws <= 1000:
        raise InputError(f"draws is {draws}, but must lie between 1 and 1000.")
    indices = choose_indices(target.data, images)
    setting = Setting(
        model=target.name,
        sha256=target.sha256,
        attack=attack,
        stages=stages,
        pixels=pixels,
        images=images,
        indices_sha256=indices_sha256(indices),
        seed=seed,
        leave=stop_on_success,
        draws=draws,
        half=half,
        lattice=lattice,
        compiled=compiled,
        attack_version=ATTACK_VERSION,
        data=target.data.name,
        data_sha256=target.data_sha256,
        data_size=target.data_size,
        epsilon=reach,
        side=side,
        steps=steps,
        restarts=restarts,
    )
    if "pgd" not in stages and (steps, restarts) != (PGD_STEPS, 1):
        raise InputError(
            f"steps is {steps} and restarts is {restarts}, but {attack} has neither; leave them "
            "out, or choose pgd."
        )
    if (setting.sparse or side) and epsilon is not None:
        raise InputError(
            f"epsilon is {epsilon:.4g}, but {attack} changes pixels by any amount; "
            "leave it out, or choose --attack fgsm or pgd."
        )
    if setting.bytes > schema.MOST_BYTES:
        raise InputError(
            f"The record of {images:,} images at {len(pixels)} numbers of pixels would be larger "
            "than records may be; ask for fewer of either."
        )
    return setting


def evaluate(
    target: TargetModel,
    setting: Setting,
    report: Report = lambda progress: None,
    workers: Workers = ALONE,
    spread: Spread | None = None,
) -> Record | None:
    """Evaluate, or go on with what was begun.

    Args:
        workers: the processes that share the groups.
        spread: runs the groups on other machines; by default this process does.

    Returns:
        The record; None for a worker that is not the first.

    Raises:
        InputError: the model cannot be attacked, or an unfinished evaluation is damaged.
    """
    indices = choose_indices(target.data, setting.images)
    setting, notes = _without_gradient(setting, target.model)
    earlier = load_records()[0] if setting.sha256 else []
    known, sources = precomputed_for(setting, earlier)
    notes += sources
    task = EvalTask(setting, known, target.data)
    oracle = task.oracle(target.model)
    deal = spread(task) if spread else dispatch_in_turn(partial(task, oracle))
    verdict_of = partial(schema.build, Verdict)
    journal = Journal(setting.name, asdict(setting), setting.sha256, workers, check=verdict_of)
    notes += _fill(journal, setting, workers, earlier)
    weight = max(1, setting.lattice)
    for seconds, left in journal.work_through(indices, oracle.device, deal, workers, weight):
        report(_progress(journal, setting, seconds, left))
    workers.wait()
    if not workers.first:
        return None
    journal.read()
    everyone = tuple(verdict_of(journal.entries[index]) for index in indices.tolist())
    record = _record(target, task, everyone, oracle, journal.seconds, notes)
    journal.delete()
    return record


def _fill(
    journal: Journal, setting: Setting, workers: Workers, records: Sequence[Record]
) -> list[str]:
    """Add to the journal what other records hold of the images; a sentence for each one used."""
    earlier = reuse_records(setting, records)
    missing = {
        index: asdict(verdict)
        for index, verdict in earlier.verdicts.items()
        if index not in journal.entries
    }
    workers.wait()
    if missing and workers.first:
        journal.add(missing, earlier.seconds * len(missing) / len(earlier.verdicts))
    workers.wait()
    journal.read()
    workers.wait()  # who reads on while another writes would deal otherwise
    return earlier.sources


def _without_gradient(setting: Setting, model: nn.Module) -> tuple[Setting, list[str]]:
    """Leave out, of a ladder, the stages that need what the model has not."""
    blind = not getattr(model, "differentiable", True)
    left_out = [name for name in setting.stages if blind and STAGES.get(name).gradient]
    if not left_out:
        return setting, []
    stages = tuple(name for name in setting.stages if name not in left_out)
    if not stages:
        raise InputError(
            f"{setting.model} gives no gradient, and {setting.attack} needs one; choose another "
            "attack."
        )
    return replace(setting, stages=stages), [f"Without a gradient: {', '.join(left_out)}."]


def _progress(
    journal: Journal, setting: Setting, seconds: float, left: float | None
) -> EvalProgress:
    last = [entry["rungs"][-1]["flipped"] for entry in journal.entries.values() if entry["rungs"]]
    return EvalProgress(len(journal.entries), setting.images, sum(last), len(last), seconds, left)


def _record(
    target: TargetModel,
    task: EvalTask,
    verdicts: tuple[Verdict, ...],
    oracle: ModelOracle,
    seconds: float,
    notes: list[str],
) -> Record:
    setting = task.setting
    correct = sum(verdict.correct for verdict in verdicts)
    if not correct:
        notes = [
            *notes,
            f"The model labels 0 of {len(verdicts)} images right, so none was attacked; check the "
            "order of its classes, and how it wants images scaled.",
        ]
    return Record(
        setting=setting,
        clean=rate_of(correct, len(verdicts)),
        clean_all=None if setting.lattice else _clean_on_all(target),
        levels=levels_of(setting, verdicts),
        verdicts=verdicts,
        notes=notes,
        **provenance(oracle.device, command_of(setting), seconds),
    )


def _clean_on_all(target: TargetModel) -> Rate | None:
    """The bare model's clean accuracy on all test images: its card's or, of a model without one
    and on other data than the card's, counted here. None where that would take long, and of
    CIFAR-10, which records of such models have not."""
    if target.card and target.card.dataset == target.data.name:
        return rate_of(target.card.correct, target.card.tested)
    data = target.data
    if data.name == DEFAULT or data.tested > MOST_COUNTED or not data.here():
        return None
    test = data.load("test")
    return rate_of(count_correct(target.model, test), len(test))


def command_of(setting: Setting) -> str:
    """The command line that makes a setting's record."""
    words = ["python", "-m", "apr_core", "evaluate", "--model", setting.model]
    words += data_words(setting.model, setting.data)
    words += ["--attack", setting.attack]
    words += ["--side", str(setting.side)] if setting.side else []
    words += [] if setting.side else ["--pixels", ",".join(map(str, setting.pixels))]
    words += ["--images", str(setting.images), "--seed", str(setting.seed)]
    words += [] if setting.leave else ["--all"]
    words += ["--draws", str(setting.draws)] if setting.draws > 1 else []
    words += ["--half"] if setting.half else []
    words += ["--compile"] if setting.compiled else []
    words += [] if setting.sparse or setting.side else ["--epsilon", epsilon_words(setting.epsilon)]
    words += ["--steps", str(setting.steps)] if setting.steps != PGD_STEPS else []
    words += ["--restarts", str(setting.restarts)] if setting.restarts > 1 else []
    words += ["--lattice", str(setting.lattice)] if setting.lattice else []
    return shlex.join(words)
