"""Records, recordings, kept runs, games and classes: everything that is read from a file."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from apr_core.attacks.config import OnePixelConfig
from apr_core.attacks.ladder import Verdict
from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import AttackResult, Outcome, PixelEdit, edit_image
from apr_core.base import schema
from apr_core.base.types import InputError, Stop
from apr_core.by_hand import export as games
from apr_core.by_hand.game import Answer, Game, Heat, Hint, Try
from apr_core.classroom.board import Classrooms
from apr_core.classroom.plan import Plan
from apr_core.data.registry import find_dataset
from apr_core.defences.recipe import TrainConfig
from apr_core.evaluation.attribution.agreement import AgreementRecord
from apr_core.evaluation.certificates import CertRecord
from apr_core.evaluation.classes import rates_by_class
from apr_core.evaluation.journal import Journal
from apr_core.evaluation.record import Record, results_folder
from apr_core.models import Classifier
from apr_core.report.printing import in_print
from apr_core.report.tables import make_tables
from apr_core.safety.record import GuardRecord
from apr_core.serving.archive.store import Archive, runs_folder
from apr_core.serving.gallery import load_gallery, request_of
from apr_core.serving.requests import AttackRequest
from apr_core.serving.run_export import load_recording, to_csv
from apr_core.serving.service import AttackService
from apr_core.training.service import TrainingService
from apr_core.training.trainer import TrainRequest, training_folder
from apr_core.zoo.checkpoints import checkpoint_folder, save_checkpoint
from apr_ui.player import player_data
from apr_ui.player.standalone import standalone_page
from apr_ui.results.charts import caught_bars, lattice_costs, success_curves
from tests.conftest import ROOT, answers
from tests.core.test_service import end_of
from tests.core.test_zoo import CARD
from tests.fuzz.conftest import Fuzz
from tests.fuzz.hostile import spoiled_bytes, spoiled_json, spoiled_lines

MODEL = "cifar10-resnet20-vanilla"
KEPT = 3
"""Entries kept of a long list in a record: the others say no more to a reader."""


def records(pattern: str) -> list[Any]:
    """The repository's own records, each with its lists cut short."""
    found = [cut(json.loads(path.read_text())) for path in sorted(ROOT.glob(pattern))]
    assert found, f"there is no {pattern} to begin with"
    return found


def cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: cut(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [cut(inner) for inner in (value[:KEPT] if len(value) > 15 else value)]
    return value


@pytest.fixture
def documents(fuzz: Fuzz) -> Callable[..., None]:
    """Fuzz a reader of JSON texts with documents, each spoiled; the first is valid."""

    def run(attempt: Callable[[str], object], *valid: Any) -> None:
        fuzz(spoiled_json(*valid), attempt, json.dumps(valid[0]))

    return run


Documents = Callable[..., None]


# Records of measurements


@pytest.fixture
def results(folder: Path) -> Path:
    """The folder of results, and the model that the records are of in the zoo."""
    for suffix in (".json", ".safetensors"):
        shutil.copy(ROOT / "checkpoints" / f"{MODEL}{suffix}", checkpoint_folder())
    for name in ("evaluations", "certificates", "safety"):
        (results_folder() / name).mkdir()
    return results_folder()


def test_evaluations(documents: Documents, results: Path) -> None:
    image = find_dataset().test_image(0)[0]

    def read(text: str) -> None:
        (results / "evaluations" / "one.json").write_bytes(text.encode())
        in_print(make_tables(), "text")
        found = Record.from_json(text)
        Record.from_json(found.to_json())
        rates_by_class(found, 1)
        success_curves([found])
        caught_bars([found])
        for rung in (rung for verdict in found.verdicts for rung in verdict.rungs):
            edit_image(image, rung.edits)

    documents(read, *records("results/evaluations/*vanilla*.json"))


def test_certificates(documents: Documents, results: Path) -> None:
    def read(text: str) -> None:
        (results / "certificates" / "one.json").write_bytes(text.encode())
        in_print(make_tables(), "markdown")
        found = CertRecord.from_json(text)
        CertRecord.from_json(found.to_json())
        lattice_costs([found])

    documents(read, *records("results/certificates/*vanilla-lattice4*.json"))


def test_pipelines(documents: Documents, results: Path) -> None:
    def read(text: str) -> None:
        (results / "safety" / "one.json").write_bytes(text.encode())
        in_print(make_tables(), "latex")
        found = GuardRecord.from_json(text)
        GuardRecord.from_json(found.to_json())

    documents(read, *records("results/safety/*vanilla*.json"))


def test_overheads(documents: Documents, results: Path) -> None:
    def read(text: str) -> None:
        (results / "overhead-resnet20.json").write_bytes(text.encode())
        in_print(make_tables(), "latex")

    documents(read, *records("results/overhead-resnet20.json"))


def test_agreements(documents: Documents) -> None:
    def read(text: str) -> None:
        found = AgreementRecord.from_json(text)
        found.summaries()
        found.summaries(3)
        AgreementRecord.from_json(found.to_json())

    documents(read, *records("results/agreements/*vanilla*.json"))


def test_journals(fuzz: Fuzz, results: Path) -> None:
    path = results / "unfinished" / "work" / "0-of-1.jsonl"
    path.parent.mkdir(parents=True)
    (known, *_) = records("results/evaluations/*vanilla-corners*.json")
    line = {"setting": {"name": "work"}, "seconds": 1.0, "entries": {"0": known["verdicts"][0]}}

    def read(data: bytes) -> None:
        path.write_bytes(data)
        Journal("work", {"name": "work"}, sha256="a" * 64, check=partial(schema.build, Verdict))

    valid = json.dumps(line).encode() + b"\n"
    fuzz(spoiled_lines(line) | spoiled_lines(line, line, line), read, valid)


# Attacks


def test_attack_results(documents: Documents) -> None:
    (entries, *_) = records("assets/gallery/*.json")
    outcome = Outcome.from_dict(entries[0]["outcome"])
    valid = AttackResult(MODEL, OnePixelConfig(), (outcome,), 1.0, {"torch": "2"})

    def read(text: str) -> None:
        AttackResult.from_json(AttackResult.from_json(text).to_json())

    documents(read, json.loads(valid.to_json()))


def test_galleries(documents: Documents, folder: Path) -> None:
    path = folder / "gallery.json"

    def read(text: str) -> None:
        path.write_bytes(text.encode())
        for entry in load_gallery(path):
            request_of(entry)

    documents(read, *records("assets/gallery/*.json"))


def test_recordings(documents: Documents, folder: Path) -> None:
    path = folder / "run.json"

    def read(text: str) -> None:
        path.write_bytes(text.encode())
        found = load_recording(path)
        page = standalone_page(found)
        assert page.count("</script>") == 2, "the recording ends the page's script"

    documents(read, *records("assets/start-run.json"))


def test_kept_runs(fuzz: Fuzz, folder: Path, network: Classifier) -> None:
    save_checkpoint(network, CARD)
    image, _ = find_dataset().test_image(0)
    config = OnePixelConfig(population=5, generations=2, pixels=2, stop=Stop.BUDGET)
    request = AttackRequest(CARD.name, image, int(answers(network, image[None])), 0, config)
    service = AttackService(lambda name: ModelOracle(network, 8), archive=Archive())
    end_of(service, service.submit(request).run_id)
    service.close()
    path, archive = runs_folder() / f"{request.run_id}.json.gz", Archive()
    packed = path.read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(packed).splitlines()]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        archive.lost(request.run_id)
        view = archive.view(request.run_id)
        if view is None:
            raise InputError("It is no run.")
        player_data(view)
        to_csv(view)

    spoiled = spoiled_lines(*lines) | spoiled_bytes(gzip.decompress(packed))
    inputs = spoiled.map(gzip.compress) | spoiled_bytes(packed, b"")
    try:
        fuzz(inputs, read, packed)
    finally:
        archive.close()


def test_games_by_hand(documents: Documents) -> None:
    image, label = find_dataset().test_image(0)
    answer = Answer(
        label, tuple(float(number == label) for number in range(len(find_dataset().classes)))
    )
    tried = Try((PixelEdit(1, 2, (3, 4, 5)),), answer)
    hint = Hint(1, 2, Heat.WARM, 5, 1024, 0)
    valid = games.to_json(Game("m", image, label, 1, answer, (tried,), (0,), (hint,)))

    def read(text: str) -> None:
        game = games.from_json(text)
        games.to_csv(game)
        again = games.from_json(games.to_json(game))
        assert replace(again, image=game.image).tries == game.tries

    documents(read, json.loads(valid))


# Trainings and classes


def test_orders_of_trainings(fuzz: Fuzz, folder: Path) -> None:
    request = TrainRequest("resnet20", "vanilla", TrainConfig(epochs=2))
    order = {**asdict(request), "config": asdict(request.config)}
    report = {
        "epoch": 1, "epochs": 2, "step": 1, "steps": 2, "loss": 2.0, "parts": {"penalty": 0.5},
        "accuracy": 0.5, "seconds": 1.0, "seconds_left": 1.0, "found": {},
    }  # fmt: skip

    def read(given: tuple[str, bytes]) -> None:
        for path in training_folder().iterdir():
            path.unlink()
        request.state_file.with_suffix(".order").write_bytes(given[0].encode())
        request.state_file.with_suffix(".log").write_bytes(given[1])
        service = TrainingService(command=lambda one, path: ["false"])
        try:
            if not service.views():
                raise InputError("It is no order.")
        finally:
            service.close()

    logs = spoiled_lines(report) | spoiled_lines(report, report)
    fuzz(st.tuples(spoiled_json(order), logs), read, (json.dumps(order), b""))


def test_plans_of_a_class(documents: Documents) -> None:
    def read(text: str) -> None:
        plan = Plan.from_json(text)
        assert Plan.from_json(plan.to_json()) == plan

    documents(read, json.loads(Plan(9, MODEL).to_json()))


def test_files_of_classes(fuzz: Fuzz, folder: Path) -> None:
    path = folder / "classes.sqlite"
    classes = Classrooms(path)
    code = classes.open(Plan(9, MODEL), "A class").code
    classes.join(code, "Ann")
    classes._store.wipe()  # out of the log, into the file
    valid = path.read_bytes()

    def read(data: bytes) -> None:
        for old in folder.glob("classes.sqlite*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        path.write_bytes(data)
        again = Classrooms(path)
        again.room(code)
        again.board(code)

    fuzz(spoiled_bytes(valid), read, valid)
