"""Records of the bench in the documents and on the Results page: one row a model."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from apr_core import InputError
from apr_core.evaluation.model_summary import Records
from apr_core.report.speeds import Aim, Figure, Speeds, read_speeds, speed_notes, speed_table
from scripts.readme import headlines
from scripts.result_tables import numbers

RECORD = Speeds(
    model="vgg19",
    random_weights=True,
    shape=(3, 224, 224),
    hardware="a machine",
    rounds=3,
    versions={"apr_core": "1", "torch": "2.15.0", "onnxruntime": "1.31.1"},
    rates={
        "forward": Figure(3.14, (3.0, 3.2)),
        "other engine": Figure(4.0, (3.9, 4.1)),
        "attack": Figure(1234.5, (1200.0, 1300.0)),
        "art": Figure(2.0, (1.9, 2.1)),
    },
    ratios={
        "attack over forward": Figure(6.5, (6.1, 6.9)),
        "attack over plain forward": Figure(7.0, (6.9, 7.1)),
        "attack over art": Figure(5.5, (5.25, 5.75)),
        "dense attack over forward": Figure(0.9, (0.8, 1.0)),
    },
    other_engine="traced, channels last, batch 4",
    aims=(
        Aim("attack over forward", 6.0, True),
        Aim("attack over torchattacks", 6.0, None),
        Aim("attack over art", 6.0, False),
    ),
)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    return tmp_path


def write(folder: Path, name: str, record: Speeds) -> None:
    text = json.dumps(asdict(record) | {"split": {}, "forwards": []})
    (folder / f"bench-cpu-{name}.json").write_text(text)


def test_a_model_has_one_row_with_its_ratios_and_targets() -> None:
    head, (row,) = speed_table([RECORD])
    cells = dict(zip(head, row, strict=True))
    assert cells == {
        "model": "vgg19, 224×224, random weights",
        "forward pass, per second": "3.1",
        "best other engine, per second": "4.0 (traced, channels last, batch 4)",
        "dense attack, per second": "",
        "attack, per second": "1,234",
        "attack over forward pass": "6.50 (6.10 to 6.90); target 6 met",
        "attack over best other engine": "",
        "attack over dense attack": "",
        "attack over art": "5.50 (5.25 to 5.75); target 6 missed",
        "attack over torchattacks": "target 6 not measured",
    }


def test_machines_and_versions_are_told_once() -> None:
    trained = replace(RECORD, model="resnet50")
    other = replace(RECORD, model="vgg16", hardware="another")
    assert speed_notes([RECORD, trained, other]) == [
        "vgg19, resnet50: a machine, 3 alternating rounds, torch 2.15.0, onnxruntime 1.31.1.",
        "vgg16: another, 3 alternating rounds, torch 2.15.0, onnxruntime 1.31.1.",
    ]


def test_records_are_read_from_their_files_the_fastest_model_first(folder: Path) -> None:
    write(folder, "vgg19", RECORD)
    rates = {"forward": Figure(4000.0, (3900.0, 4100.0))}
    fast = replace(RECORD, model="cifar10-resnet20-vanilla", random_weights=False, rates=rates)
    write(folder, "resnet20", fast)
    assert read_speeds() == [fast, RECORD]


def test_the_one_record_of_before_is_not_read(folder: Path) -> None:
    (folder / "bench-cpu.json").write_text('{"queries_per_second": 3524.0}')
    assert read_speeds() == []


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_a_damaged_record_is_a_sentence(folder: Path, text: str) -> None:
    (folder / "bench-cpu-vgg19.json").write_text(text)
    with pytest.raises(InputError, match=r"bench-cpu-vgg19\.json is no record of a bench"):
        read_speeds()


def test_a_record_without_a_forward_is_a_sentence(folder: Path) -> None:
    write(folder, "vgg19", replace(RECORD, rates={}))
    with pytest.raises(InputError, match=r"bench-cpu-vgg19\.json is no record of a bench"):
        read_speeds()


def test_the_documents_have_a_row_a_model(folder: Path) -> None:
    none = Records([], [])
    assert "vgg19" not in headlines([], none)
    write(folder, "vgg19", RECORD)
    for lines, cells in ((headlines([], none), 4), (speed_lines(none), 10)):
        (row,) = [line for line in lines.splitlines() if line.startswith("| vgg19")]
        assert row.count("|") == cells + 1
        assert "6.50 (6.10 to 6.90); target 6 met" in row


def speed_lines(records: Records) -> str:
    return numbers([], records).partition("## Speed of the attack")[2]
