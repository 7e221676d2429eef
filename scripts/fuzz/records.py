"""Records, recordings, kept runs and notes: everything else that is read from a file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.ladder import Verdict
from apr_core.attacks.result import AttackResult, Outcome, Snapshot, edit_image
from apr_core.attacks.scoring import Scorer
from apr_core.base import schema as strict
from apr_core.base.types import InputError, Stop
from apr_core.data.sample import load_test_image
from apr_core.defences.recipe import TrainConfig
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.classes import rates_by_class
from apr_core.evaluation.journal import Journal
from apr_core.evaluation.record import Record, results_folder
from apr_core.models import Classifier, build_model
from apr_core.report.printing import in_print
from apr_core.report.tables import make_tables
from apr_core.serving.archive.archive_format import FORMAT, Head, pack, weights_of
from apr_core.serving.archive.store import Archive, runs_folder
from apr_core.serving.gallery import load_gallery, request_of
from apr_core.serving.requests import AttackRequest
from apr_core.serving.run_export import load_recording, to_csv
from apr_core.training.service import TrainingService
from apr_core.training.trainer import TrainRequest, training_folder
from apr_core.zoo.checkpoints import Card, save_checkpoint
from apr_ui.player import player_data
from apr_ui.player.standalone import standalone_page
from apr_ui.results.charts import caught_bars, lattice_costs, success_curves
from scripts.fuzz.boundary import Attempt, Boundary
from scripts.fuzz.hostile import spoiled_bytes, spoiled_json

ROOT = Path(__file__).parents[2]
MODEL = "cifar10-resnet20-vanilla"
_MOST = 3
"""Entries that are kept of a list longer than a few: the rest says no more to a reader."""


def good_records(pattern: str) -> tuple[Any, ...]:
    """The project's own records, each with its lists cut short."""
    found = tuple(_short(json.loads(path.read_text())) for path in sorted(ROOT.glob(pattern)))
    assert found, f"there is no {pattern} to begin with"
    return found


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_short(inner) for inner in (value[:_MOST] if len(value) > 15 else value)]
    return value


def _shipped_zoo() -> None:
    """The one model that the records are of, so that they are taken for its."""
    card = json.loads((ROOT / "checkpoints" / f"{MODEL}.json").read_text())
    folder = Path(results_folder()).parent / "APR_CHECKPOINTS"
    for suffix in (".json", ".safetensors"):
        (folder / f"{MODEL}{suffix}").write_bytes(
            (ROOT / "checkpoints" / f"{card['name']}{suffix}").read_bytes()
        )


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


@contextmanager
def _with_evaluations(folder: Path) -> Iterator[Attempt]:
    _shipped_zoo()
    path = results_folder() / "evaluations" / "one.json"
    path.parent.mkdir()

    def attempt(text: str) -> None:
        path.write_bytes(_encoded(text))
        in_print(make_tables(), "text")
        record = Record.from_json(text)
        Record.from_json(record.to_json())
        rates_by_class(record, 1)
        success_curves([record])
        caught_bars([record])
        for verdict in record.verdicts:
            for rung in verdict.rungs:
                edit_image(load_test_image(0)[0], rung.edits)

    yield attempt


@contextmanager
def _with_certificates(folder: Path) -> Iterator[Attempt]:
    _shipped_zoo()
    path = results_folder() / "certificates" / "one.json"
    path.parent.mkdir()

    def attempt(text: str) -> None:
        path.write_bytes(_encoded(text))
        in_print(make_tables(), "markdown")
        record = CertRecord.from_json(text)
        CertRecord.from_json(record.to_json())
        lattice_costs([record])

    yield attempt


@contextmanager
def _with_overheads(folder: Path) -> Iterator[Attempt]:
    def attempt(text: str) -> None:
        (results_folder() / "overhead-resnet20.json").write_bytes(_encoded(text))
        in_print(make_tables(), "latex")

    yield attempt


@contextmanager
def _with_gallery(folder: Path) -> Iterator[Attempt]:
    path = folder / "gallery.json"

    def attempt(text: str) -> None:
        path.write_bytes(_encoded(text))
        for entry in load_gallery(path):
            request_of(entry)
            str(entry.title)

    yield attempt


@contextmanager
def _with_recording(folder: Path) -> Iterator[Attempt]:
    path = folder / "run.json"

    def attempt(text: str) -> None:
        path.write_bytes(_encoded(text))
        recording = load_recording(path)
        page = standalone_page(recording)
        assert page.count("</script>") == 2, "A recording ends the page's script."

    yield attempt


@contextmanager
def _with_results(folder: Path) -> Iterator[Attempt]:
    def attempt(text: str) -> None:
        AttackResult.from_json(AttackResult.from_json(text).to_json())

    yield attempt


@contextmanager
def _with_journal(folder: Path) -> Iterator[Attempt]:
    place = results_folder() / "unfinished" / "work"
    place.mkdir(parents=True)

    def attempt(data: bytes) -> None:
        (place / "0-of-1.jsonl").write_bytes(data)
        Journal("work", {"name": "work"}, sha256="a" * 64, check=partial(strict.build, Verdict))

    yield attempt


def _verdict() -> dict[str, Any]:
    (record, *_) = good_records("results/evaluations/*vanilla-corners*.json")
    verdict: dict[str, Any] = record["verdicts"][0]
    return verdict


def _lines(documents: tuple[Any, ...]) -> st.SearchStrategy[bytes]:
    lines = st.lists(spoiled_json(documents).map(_encoded), min_size=1, max_size=3)
    return lines.map(lambda found: b"".join(line + b"\n" for line in found))


@contextmanager
def _with_orders(folder: Path) -> Iterator[Attempt]:
    request = _request()

    def attempt(given: tuple[str, bytes]) -> None:
        order, log = given
        for path in training_folder().iterdir():
            path.unlink()
        request.state_file.with_suffix(".order").write_bytes(_encoded(order))
        request.state_file.with_suffix(".log").write_bytes(log)
        service = TrainingService(command=lambda one, path: ["false"])
        try:
            service.views()
        finally:
            service.close()

    yield attempt


def _request() -> TrainRequest:
    return TrainRequest("resnet20", "vanilla", TrainConfig(epochs=2))


_REPORT = {
    "epoch": 1, "epochs": 2, "step": 1, "steps": 2, "loss": 2.0, "parts": {"penalty": 0.5},
    "accuracy": 0.5, "seconds": 1.0, "seconds_left": 1.0, "found": {},
}  # fmt: skip


_KEPT = "cifar10-resnet20-kept"
_WEIGHTS = "@weights@"


def _network() -> Classifier:
    torch.manual_seed(0)
    return build_model("resnet20").eval()


def _kept_run() -> tuple[Any, ...]:
    """A run's lines as they are kept, but for the mark of the weights."""
    config = OnePixelConfig(population=5, generations=2, pixels=2, stop=Stop.BUDGET)
    image, _ = load_test_image(0)
    scorer = Scorer(_network().eval(), 8)
    label = int(scorer.confirm(image[None]).argmax())
    request = AttackRequest(_KEPT, image, label, 0, config)
    search = request.begin(scorer)
    lines: list[Head | Snapshot] = []
    while search.live:
        search.advance(scorer.score(search.propose()))
        lines.append(search.snapshot())
    known = (FORMAT, request.run_id, _KEPT, _WEIGHTS, label, 0, config, True, 1.0)
    lines.insert(0, Head(*known, outcome=search.result()))
    return tuple(json.loads(pack(line)) for line in lines)


def _with_one_spoiled(lines: tuple[Any, ...]) -> st.SearchStrategy[bytes]:
    """The lines, of which one is not as it was; or not even lines."""

    def of(place: int) -> st.SearchStrategy[bytes]:
        texts = [json.dumps(line) for line in lines]
        return spoiled_json((lines[place],)).map(
            lambda text: _encoded("\n".join([*texts[:place], text, *texts[place + 1 :]]) + "\n")
        )

    good = _encoded("".join(json.dumps(line) + "\n" for line in lines))
    return st.integers(0, len(lines) - 1).flatmap(of) | spoiled_bytes((good,))


@contextmanager
def _with_kept_runs(folder: Path) -> Iterator[Attempt]:
    blank: tuple[Any, ...] = ("0" * 64, 0.5, 1, 2, "a fuzz", 0.0, {})
    card = Card(_KEPT, "cifar10", "resnet20", "vanilla", {}, 0, 0, *blank)
    save_checkpoint(_network(), card)
    weights = weights_of(_KEPT).encode()
    archive = Archive()

    def attempt(given: tuple[bytes, bytes, str]) -> None:
        lines, packed, run_id = given
        (runs_folder() / f"{run_id}.json.gz").write_bytes(
            packed or gzip.compress(lines.replace(_WEIGHTS.encode(), weights), 1)
        )
        archive.lost(run_id)
        view = archive.view(run_id)
        if view is None:
            raise InputError("It is no run.")
        player_data(view)
        to_csv(view)

    try:
        yield attempt
    finally:
        archive.close()


def _results() -> tuple[Any, ...]:
    """Two results as `attack --json` writes them."""
    (entry, *_) = good_records("assets/gallery.json")[0]
    outcome = Outcome.from_dict(entry["outcome"])
    result = AttackResult(MODEL, OnePixelConfig(), (outcome,), 1.0, {"torch": "2"})
    return (json.loads(result.to_json()),)


def boundaries() -> Iterator[Boundary]:
    """Everything else that is read from a file."""
    for name, pattern, ready in (
        ("evaluations", "results/evaluations/*vanilla*.json", _with_evaluations),
        ("certificates", "results/certificates/*vanilla-lattice4*.json", _with_certificates),
        ("overheads", "results/overhead-resnet20.json", _with_overheads),
        ("gallery", "assets/gallery.json", _with_gallery),
        ("recordings", "assets/start-run.json", _with_recording),
    ):
        yield Boundary(name, spoiled_json(good_records(pattern)), ready)
    yield Boundary("attack results", spoiled_json(_results()), _with_results)
    journal = {"setting": {"name": "work"}, "seconds": 1.0, "entries": {"0": _verdict()}}
    yield Boundary("journals", _lines((journal,)), _with_journal)
    order = {**asdict(_request()), "config": asdict(_request().config)}
    orders = st.tuples(spoiled_json((order,)), _lines((_REPORT,)))
    yield Boundary("training orders", orders, _with_orders)
    lines = _kept_run()
    whole = gzip.compress(_encoded("".join(json.dumps(line) + "\n" for line in lines)), mtime=0)
    packed = st.just(b"") | st.just(b"") | spoiled_bytes((whole, b""))
    kept = st.tuples(_with_one_spoiled(lines), packed, st.just(lines[0]["run"]))
    yield Boundary("kept runs", kept, _with_kept_runs)
