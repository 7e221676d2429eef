"""What is to be done, in order of worth, and how to tell that it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from apr_core.base.types import InputError
from apr_core.defences.recipe import PRESETS
from apr_core.evaluation.record import results_folder
from apr_core.training.trainer import TrainRequest, find_finished
from apr_core.zoo.checkpoints import checkpoint_folder, is_own, load_card, model_names

ARCHITECTURES = ("resnet18", "vgg16")
"""The paper's, in order of worth; ResNet-20's rows are trained on processors."""
RECIPE = replace(PRESETS.get("fast"), epochs=40, batch_size=512, learning_rate=0.4)
TOY = replace(PRESETS.get("fast"), epochs=1, subset=128, batch_size=64)
ROWS = ("vanilla", "apr", "apr-plus", "at", "dd", "it")
BUILT = ("dd", "it")
"""On the vanilla model, which therefore comes first."""
SEEDED = ("vanilla", "apr", "apr-plus")
SEEDS = 5
"""The paper's independent runs."""
PLUS = "apr-plus"
SMALL, LARGE = (1000, 200), (10_000, 1000)
"""Images that are certified, and that are attacked."""
TOY_SIZES = {SMALL: (2, 1), LARGE: (3, 2)}
"""The same in a rehearsal."""
LADDER_QUERIES, DE_QUERIES, SWEEP_QUERIES = 57_000, 41_000, 8192
"""Forwards of an image that withstands one pixel: of the ladder, of differential evolution, and of
the corner colours."""
ONE_MASK = 16
"""Forwards of a query behind the lattice, where the masks agree; a few more where they do not."""


@dataclass(frozen=True)
class Work:
    """How much a job is, in the units that `speeds` measures.

    Attributes:
        architecture: whose speeds count.
        defence, trained: images that are trained on, in all epochs.
        searched: forwards of a search, in half precision.
        certified: images.
        seconds: of what is none of these.
    """

    architecture: str
    defence: str = ""
    trained: int = 0
    searched: int = 0
    certified: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """One command of `apr_core`.

    Attributes:
        done: whether its result is there, of today's weights.
        ready: whether what it builds on is there.
    """

    name: str
    arguments: list[str]
    work: Work
    done: Callable[[], bool]
    ready: Callable[[], bool] = lambda: True


def jobs(toy: bool) -> list[Job]:
    """What is to be done, the most useful first: by cell of the tables, not by model.

    All rows of a network are trained before any is measured, and all are measured on few images
    before any on many: a table with one row missing compares nothing.
    """
    networks = ("resnet20",) if toy else ARCHITECTURES
    first, *_ = networks
    listed = [job for network in networks for job in _network(network, toy)]
    listed += _seeds(first, toy)
    listed += [job for network in networks for job in _measured(network, toy, LARGE)]
    listed += [_overhead(network, toy) for network in networks]
    return [*listed, *_further(first, toy)]


def _network(network: str, toy: bool) -> list[Job]:
    """Every row trained, then every row measured on few images."""
    return [
        *(_training(network, defence, toy) for defence in ROWS),
        *_measured(network, toy, SMALL),
    ]


def _measured(network: str, toy: bool, sizes: tuple[int, int]) -> list[Job]:
    certified, attacked = TOY_SIZES[sizes] if toy else sizes
    rows = ROWS[:1] if toy and sizes == LARGE else ROWS
    return [
        *(_certification(network, defence, certified, toy) for defence in rows),
        *(_evaluation(network, defence, attacked, toy) for defence in rows),
    ]


def _training(network: str, defence: str, toy: bool) -> Job:
    request = TrainRequest(network, defence, TOY if toy else RECIPE, ship=True)
    return Job(
        f"train {network} {defence}",
        _arguments(request),
        _training_work(request),
        lambda: is_trained(request),
        _is_there(f"cifar10-{network}-vanilla", toy) if defence in BUILT else lambda: True,
    )


def _training_work(request: TrainRequest) -> Work:
    images = request.config.epochs * (request.config.subset or 50_000)
    trained = 0 if request.defence == "it" else images
    return Work(request.architecture, request.defence, trained=trained)


def _arguments(request: TrainRequest) -> list[str]:
    config = request.config
    arguments = ["train", "--architecture", request.architecture, "--defence", request.defence]
    arguments += ["--ship", "--epochs", str(config.epochs), "--batch-size", str(config.batch_size)]
    arguments += ["--learning-rate", str(config.learning_rate)]
    return [*arguments, *(["--subset", str(config.subset)] if config.subset else [])]


def is_trained(request: TrainRequest) -> bool:
    """Whether the model is there, by this very recipe and on the vanilla model of today."""
    card = find_finished(request)
    if card is None:
        return False
    vanilla = f"cifar10-{request.architecture}-vanilla"
    teacher = card.recipe["defence"].get("teacher")
    if not (card.base or teacher):
        return True
    if vanilla not in model_names():
        return False
    sha256 = load_card(vanilla).sha256
    return card.sha256 == sha256 if card.base else teacher == f"{vanilla} {sha256[:12]}"


def has_weights(name: str) -> bool:
    """Whether a model's weights lie here, and not its card alone."""
    if name not in model_names():
        return False
    weights = load_card(name).base or name
    return (checkpoint_folder(is_own(weights)) / f"{weights}.safetensors").exists()


def _is_there(name: str, toy: bool) -> Callable[[], bool]:
    """Whether a model is there by the recipe of these jobs, or by its name for another seed."""
    _, network, defence = name.split("-", 2)

    def ready() -> bool:
        if "-seed" in defence:
            return has_weights(name)
        config = TOY if toy else RECIPE
        return is_trained(TrainRequest(network, defence, config, ship=True)) and has_weights(name)

    return ready


def _certification(network: str, defence: str, images: int, toy: bool) -> Job:
    name = f"cifar10-{network}-{defence}"
    record = results_folder() / "certificates" / f"{name}-lattice4-n{images}.json"
    return Job(
        f"certify {name} on {images}",
        ["certify", "--model", name, "--images", str(images)],
        Work(network, defence, certified=images),
        _fresh(record, name),
        _is_there(name, toy),
    )


def _evaluation(network: str, defence: str, images: int, toy: bool, more: str = "") -> Job:
    """The ladder at one pixel; a cheap attack in a rehearsal.

    Args:
        more: what the model's name ends with, of a run of another seed.
    """
    attack, queries = ("top-gradient", 10) if toy else ("ladder", LADDER_QUERIES)
    return _attack(f"cifar10-{network}-{defence}{more}", attack, "1", images, queries, toy)


def _attack(name: str, attack: str, pixels: str, images: int, queries: int, toy: bool) -> Job:
    stem = f"{name}-{attack}-k{pixels.replace(',', '-')}-n{images}-seed0-half"
    arguments = ["evaluate", "--model", name, "--attack", attack, "--images", str(images)]
    return Job(
        f"evaluate {name} by {attack} at {pixels} on {images}",
        [*arguments, "--pixels", pixels, "--half"],
        Work(name.split("-")[1], searched=images * queries),
        _fresh(results_folder() / "evaluations" / f"{stem}.json", name),
        _is_there(name, toy),
    )


def _fresh(record: Path, name: str) -> Callable[[], bool]:
    """Whether a record is there, of the checkpoint's present weights."""

    def done() -> bool:
        if not record.exists() or name not in model_names():
            return False
        found = json.loads(record.read_text())["setting"]["sha256"]
        return bool(found == load_card(name).sha256)

    return done


def _seeds(network: str, toy: bool) -> list[Job]:
    """More runs of the rows that claims are about, one at a time, each measured like the first."""
    numbers = range(1, 2 if toy else SEEDS)
    rows = SEEDED[:1] if toy else SEEDED
    trained = [_seed(network, defence, seed, toy) for seed in numbers for defence in rows]
    images = 1 if toy else SMALL[1]
    return trained + [
        _evaluation(network, defence, images, toy, f"-seed{seed}")
        for seed in numbers
        for defence in rows
    ]


def _seed(network: str, defence: str, seed: int, toy: bool) -> Job:
    """One more run; those before it are there already, and are not made again."""
    base = _training(network, defence, toy)
    record = results_folder() / f"seeds-cifar10-{network}-{defence}.json"
    before = [_runs(record, seed - 1)] if seed > 1 else []
    seeds = ["--seeds", f"0-{seed}", "--out", str(record)]
    return Job(
        f"seed {seed} of {network} {defence}",
        [*base.arguments, *seeds],
        base.work,
        _runs(record, seed),
        lambda: base.done() and all(there() for there in before),
    )


def _runs(record: Path, seed: int) -> Callable[[], bool]:
    """Whether a record has the runs up to a seed, the first of them of today's weights."""

    def done() -> bool:
        if not record.exists():
            return False
        runs = json.loads(record.read_text())["runs"]
        return len(runs) > seed and runs[0]["sha256"] == load_card(runs[0]["name"]).sha256

    return done


def _overhead(network: str, toy: bool) -> Job:
    record = results_folder() / f"overhead-{network}.json"
    rounds, steps, batch, inference = (1, 1, 8, 8) if toy else (11, 30, 512, 4096)
    arguments = ["bench", "--overhead", "--architecture", network]
    arguments += ["--rounds", str(rounds), "--steps", str(steps), "--batch-size", str(batch)]
    arguments += ["--inference-batch", str(inference), "--out", str(record)]
    arguments += ["--defences", "apr"] if toy else []

    def done() -> bool:
        if not record.exists():
            return False
        return toy or json.loads(record.read_text())["device"] != "cpu"

    return Job(f"overhead {network}", arguments, Work(network, seconds=120), done)


def _further(network: str, toy: bool) -> list[Job]:
    """APR+ behind its lattice attacked end to end, three pixels, the paper's attack alone, and how
    fast the attack is beside the bare forward."""
    plus, vanilla = f"cifar10-{network}-{PLUS}", f"cifar10-{network}-vanilla"
    if toy:
        return [_behind(plus, "top-gradient", 1, 10, toy), _speed(vanilla, toy)]
    names = [f"cifar10-{network}-{defence}" for defence in ROWS]
    return [
        _behind(plus, "corners", 100, SWEEP_QUERIES, toy),
        *(_attack(name, "de", "1", SMALL[1], DE_QUERIES, toy) for name in names),
        *(_attack(name, "ladder", "1,3", SMALL[1], 2 * LADDER_QUERIES, toy) for name in names),
        _speed(vanilla, toy),
    ]


def _behind(name: str, attack: str, images: int, queries: int, toy: bool) -> Job:
    record = results_folder() / "evaluations" / f"{name}-lattice4-{attack}-k1-n{images}-seed0.json"
    arguments = ["evaluate", "--model", name, "--attack", attack, "--images", str(images)]
    return Job(
        f"evaluate {name} behind its lattice on {images}",
        [*arguments, "--lattice", "4"],
        Work(name.split("-")[1], searched=2 * ONE_MASK * images * queries),  # in float32
        _fresh(record, name),
        _is_there(name, toy),
    )


def _speed(name: str, toy: bool) -> Job:
    record = results_folder() / "bench-gpu.json"
    images, generations, rounds = ("1", "0", "1") if toy else ("100", "10", "5")
    arguments = ["bench", "--model", name, "--images", images, "--generations", generations]
    return Job(
        f"speed of the attack on {name}",
        [*arguments, "--rounds", rounds, "--out", str(record)],
        Work(name.split("-")[1], seconds=60),
        record.exists,
        _is_there(name, toy),
    )


def chosen(listed: Sequence[Job], only: str) -> list[Job]:
    """The jobs with some words in their names.

    Raises:
        InputError: there is none.
    """
    found = [job for job in listed if only in job.name]
    if not found:
        raise InputError(f"No job has '{only[:60]}' in its name; --list names them all.")
    return found


def set_folders(folder: Path) -> None:
    """Have everything that is made lie in one folder."""
    for kind in ("checkpoints", "training", "results", "data"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        os.environ[f"APR_{kind.upper()}"] = str(folder / kind)
