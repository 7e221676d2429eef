"""Evaluation record: every result of an evaluation, and the setting to reproduce it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from apr_core.attacks.gradient import EPSILON
from apr_core.attacks.ladder import Verdict
from apr_core.attacks.stages import PGD_STEPS, STAGES
from apr_core.base import schema
from apr_core.base.files import write_whole
from apr_core.base.paths import readable, written
from apr_core.base.provenance import Provenance
from apr_core.base.types import InputError, Threat
from apr_core.data.dataset import DataSet
from apr_core.data.registry import DATASETS, DEFAULT, find_dataset
from apr_core.evaluation.metrics import Rate, rate_of, success_curve
from apr_core.zoo.external import is_external

_SHADES = frozenset(range(256))


def results_folder() -> Path:
    """Where records are written; see `written`."""
    return written("results")


def find_records(pattern: str) -> list[Path]:
    """Records by name, such as `evaluations/*.json`: written here, or shipped with the project.

    Of one that is in both places, what was written here.
    """
    found = {
        path.relative_to(folder): path
        for folder in readable("results")
        for path in folder.glob(pattern)
    }
    return [found[name] for name in sorted(found)]


def file_name(model: str) -> str:
    """A model's name, or a path, as part of a file's name."""
    return "".join(c if c.isalnum() or c == "-" else "-" for c in model)


def is_own_data(model: str, data: str) -> bool:
    """Whether a data set goes without saying beside a model's name."""
    return data == DEFAULT or (model.startswith(f"{data}-") and not is_external(model))


def data_words(model: str, data: str) -> list[str]:
    """`--data` on a command line, where the model's name does not say it."""
    return [] if is_own_data(model, data) else ["--data", data]


def on_data(model: str, data: str) -> str:
    """ " on DATA" after a model's name in a sentence, where the name does not say it."""
    return "" if is_own_data(model, data) else f" on {data}"


def subject_name(model: str, data: str, pictures: str) -> str:
    """A model on a data set as part of a file's name; its own goes without saying.

    Args:
        pictures: their SHA-256, part of the name where they are a person's own and may change.
    """
    if is_own_data(model, data):
        return file_name(model)
    version = f"-{pictures[:8]}" if pictures and data not in DATASETS else ""
    return f"{file_name(model)}-{file_name(data)}{version}"


def epsilon_words(epsilon: float) -> str:
    """A reach as people write it, as in "8/255"."""
    return f"{255 * epsilon:.4g}/255"


@dataclass(frozen=True)
class Setting:
    """What was evaluated and how: two evaluations with the same setting find the same.

    Attributes:
        model: its name, or where a user's own came from.
        sha256: of the weights; "" where nothing tells whether the model is still the same.
        attack: a stage's name, or "ladder".
        stages: what that stands for.
        pixels: the k reported, in order.
        images: how many, the first of the fixed order.
        indices_sha256: of those images' indices.
        draws: answers of the model that are averaged, for one that is random.
        half: whether the search ran in half precision; flips are confirmed in float32 always.
        lattice: spacing of the lattice that the model was masked with, end to end; 0 for none.
        compiled: whether the search ran on machine code made of the model, which rounds otherwise.
        attack_version: `ATTACK_VERSION` of the attack; a record without one is of the first.
        data: the data set, or where a person's own came from.
        data_sha256: of its pictures and labels, where its name does not fix them.
        data_size: height and width that a person's own pictures were brought to, else None.
        epsilon: how far every pixel may be changed, by attacks that change them all.
        side: of the square, for attacks that replace one; else 0.
        steps, restarts: of PGD.
    """

    model: str
    sha256: str
    attack: str
    stages: tuple[str, ...]
    pixels: tuple[int, ...]
    images: int
    indices_sha256: str
    seed: int
    leave: bool = True
    draws: int = 1
    half: bool = False
    lattice: int = 0
    compiled: bool = False
    attack_version: int = 1
    data: str = DEFAULT
    data_sha256: str = ""
    data_size: tuple[int, int] | None = None
    epsilon: float = EPSILON
    side: int = 0
    steps: int = PGD_STEPS
    restarts: int = 1

    @property
    def dataset(self) -> DataSet:
        """The data set itself.

        Raises:
            InputError: it is a person's own, and no longer there.
        """
        return find_dataset(self.data, self.data_size)

    @property
    def subject(self) -> str:
        """What was attacked, in words: the model, and the lattice that it stood behind."""
        behind = f" behind a lattice of {self.lattice}" if self.lattice else ""
        return f"{self.model}{behind}{on_data(self.model, self.data)}"

    @property
    def name(self) -> str:
        """What the record's file is called."""
        model = subject_name(self.model, self.data, self.data_sha256)
        model += f"-lattice{self.lattice}" if self.lattice else ""
        pixels = "-".join(map(str, self.pixels))
        tail = "" if self.leave else "-all"
        tail += f"-draws{self.draws}" if self.draws > 1 else ""
        tail += f"-steps{self.steps}" if self.steps != PGD_STEPS else ""
        tail += f"-restarts{self.restarts}" if self.restarts > 1 else ""
        tail += "-half" if self.half else ""
        tail += "-compiled" if self.compiled else ""
        reach = f"k{pixels}" if self.sparse else f"eps{255 * self.epsilon:.4g}"
        reach = f"side{self.side}" if self.side else reach
        return f"{model}-{self.attack}-{reach}-n{self.images}-seed{self.seed}{tail}"

    @property
    def sparse(self) -> bool:
        """Whether k pixels are changed, and neither a square nor all of them."""
        return all(
            name not in STAGES or STAGES.get(name).threat is Threat.L0 for name in self.stages
        )

    def reach(self, pixels: int) -> str:
        """What is changed of a picture, in words, where `pixels` is k."""
        if self.side:
            return f"a patch of {self.side} × {self.side} pixels"
        if not self.sparse:
            return f"every pixel by {epsilon_words(self.epsilon)}"
        return "1 pixel" if pixels == 1 else f"{pixels} pixels"

    def like(self, other: Setting) -> bool:
        """Whether the same was tried: rates may differ by the model and the images alone.

        And by how a compiled search rounds, which chooses what is confirmed.
        """
        same = replace(other, model=self.model, sha256=self.sha256, pixels=self.pixels)
        same = replace(same, lattice=self.lattice, compiled=self.compiled)
        return self == same.on_images_of(self)

    def on_images_of(self, other: Setting) -> Setting:
        """The same, tried on the images of another."""
        return replace(self, images=other.images, indices_sha256=other.indices_sha256)

    @property
    def bytes(self) -> int:
        """About how large the record will be."""
        told = [
            140 + 45 * (self.side**2 or pixels) + (0 if self.leave else 20 * len(self.stages))
            for pixels in self.pixels
        ]
        return self.images * (40 + sum(told))


@dataclass(frozen=True)
class Level:
    """What k pixels do to a model.

    Attributes:
        asr: attack success rate: flipped of those that the model got right.
        robust: share of all images that it gets right and that withstood.
        caught: by stage, how many images it was the first to flip.
        alone: by stage, how many it flips by itself with one pixel; empty for more, which begin
            with what all stages found, and unless every stage tried every image.
        curve: share broken within so many queries.
    """

    pixels: int
    asr: Rate
    robust: Rate
    caught: dict[str, int]
    alone: dict[str, int]
    curve: list[tuple[int, float]]


@dataclass(frozen=True)
class Record(Provenance):
    """One evaluation.

    Attributes:
        clean: on the images of the evaluation.
        clean_all: correct and tested of the card: all 10,000 test images; None without a card.
    """

    setting: Setting
    clean: Rate
    clean_all: Rate | None
    levels: tuple[Level, ...]
    verdicts: tuple[Verdict, ...]
    notes: list[str] = field(default_factory=list)

    def broken(self, pixels: int) -> dict[int, bool]:
        """By index, whether each attacked image was broken by so many pixels."""
        return {
            verdict.index: rung.flipped
            for verdict in self.verdicts
            for rung in verdict.rungs
            if rung.pixels == pixels
        }

    def level(self, pixels: int) -> Level | None:
        """What `pixels` pixels did, None if that was not tried."""
        return next((level for level in self.levels if level.pixels == pixels), None)

    def to_json(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Undo `to_json`.

        Raises:
            InputError: the text is no record of an evaluation.
        """
        try:
            entry = schema.parse(text)
            record = schema.build(cls, entry)
            _check(record)
            return record if "compiled" in entry["setting"] else _of_old(record)
        except ValueError as error:
            raise InputError(
                f"This is no record of an evaluation ({error}); make one with `python -m apr_core "
                "evaluate`."
            ) from None


def _of_old(record: Record) -> Record:
    """A record from when the command alone said whether the search was compiled."""
    compiled = "--compile" in shlex.split(record.command)
    return replace(record, setting=replace(record.setting, compiled=compiled))


def check_rate(rate: Rate) -> None:
    """Raise ValueError unless the shares are shares."""
    if not 0 <= rate.count <= rate.total:
        raise ValueError(f"{rate.count} of {rate.total} is no share")
    if not all(0 <= share <= 1 for share in (rate.rate or 0.0, rate.low, rate.high)):
        raise ValueError(f"a rate of {rate.rate} ({rate.low} to {rate.high}) is no share")


def _check(record: Record) -> None:
    """Raise ValueError where a record says what cannot be."""
    if not record.levels or [level.pixels for level in record.levels] != list(
        record.setting.pixels
    ):
        raise ValueError("its levels are not those of its setting")
    for rate in (record.clean, record.clean_all, *(level.asr for level in record.levels)):
        if rate is not None:
            check_rate(rate)
    _check_verdicts(record)


def _check_verdicts(record: Record) -> None:
    """That every image, class and edit is of the data set, if it is one that is known here."""
    data = record.setting.data
    known = DATASETS.get(data) if data in DATASETS else None
    tested, classes = (known.tested, len(known.classes)) if known else (2**31, 2**31)
    height, width = known.size if known else (2**15, 2**15)
    for verdict in record.verdicts:
        if not (0 <= verdict.index < tested and 0 <= verdict.label < classes):
            raise ValueError(f"no test image {verdict.index} is of class {verdict.label}")
        for edit in (edit for rung in verdict.rungs for edit in rung.edits):
            inside = 0 <= edit.x < width and 0 <= edit.y < height
            if not (inside and set(edit.rgb) <= _SHADES):
                raise ValueError(f"{edit} is no edit of a picture")


def levels_of(setting: Setting, verdicts: tuple[Verdict, ...]) -> tuple[Level, ...]:
    """The rates of each k, from what became of every image."""
    return tuple(
        _summed_up(setting, pixels, place, verdicts) for place, pixels in enumerate(setting.pixels)
    )


def _summed_up(setting: Setting, pixels: int, place: int, verdicts: tuple[Verdict, ...]) -> Level:
    rungs = [verdict.rungs[place] for verdict in verdicts if verdict.rungs]
    flipped = [rung for rung in rungs if rung.flipped]
    counts = {name: sum(rung.stage == name for rung in flipped) for name in setting.stages}
    alone = {name: sum(name in rung.caught for rung in rungs) for name in setting.stages}
    return Level(
        pixels=pixels,
        asr=rate_of(len(flipped), len(rungs)),
        robust=rate_of(len(rungs) - len(flipped), len(verdicts)),
        caught=counts,
        alone={} if setting.leave or pixels > 1 else alone,
        curve=success_curve([rung.queries for rung in flipped], max(1, len(rungs))),
    )


def save_record(record: Record) -> Path:
    """Write a record, whole or not at all; returns where."""
    path = results_folder() / "evaluations" / f"{record.setting.name}.json"
    return write_whole(path, record.to_json())


def records_fingerprint() -> tuple[tuple[str, int], ...]:
    """Differs whenever a record has come, gone or changed: each file and its time."""
    return tuple((str(path), path.stat().st_mtime_ns) for path in find_records("**/*.json"))


def load_records() -> tuple[list[Record], list[str]]:
    """Every record of an evaluation, by name, and a sentence for each that is damaged."""
    return load_all("evaluations", Record.from_json)


Kind = TypeVar("Kind")


def load_all(folder: str, read: Callable[[str], Kind]) -> tuple[list[Kind], list[str]]:
    """Every record in a folder of the results, by name, and a sentence for each damaged one."""
    records, damaged = [], []
    for path in find_records(f"{folder}/*.json"):
        try:
            records.append(read(schema.text(path)))
        except (OSError, ValueError) as error:
            damaged.append(f"{path.name}: {error}")
    return records, damaged
