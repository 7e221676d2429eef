"""Table 7: pipelines beside bare models, from records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from apr_core.base.provenance import provenance
from apr_core.evaluation.metrics import rate_of
from apr_core.report.lines import NAME, lines
from apr_core.report.numbers import as_csv
from apr_core.report.printing import STYLES, in_print
from apr_core.report.tables import make_tables
from apr_core.safety.calibration import Bin, Reliability
from apr_core.safety.config import Confidence, PipelineConfig
from apr_core.safety.detection import Detection
from apr_core.safety.fallback import COVERAGES, RiskAt
from apr_core.safety.record import (
    STATES,
    Area,
    GuardRecord,
    GuardSetting,
    load_guards,
    save_guard,
)
from apr_core.zoo.checkpoints import Card
from tests.core.test_tables import add_model, add_record


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("APR_RESULTS", str(tmp_path / "results"))
    (tmp_path / "checkpoints").mkdir()


def a_record(card: Card, broken: int, images: int = 100, threshold: float = 0.5) -> GuardRecord:
    """A pipeline that answers all but ten of the images, and lets some edits through."""
    pipeline = PipelineConfig(card.name, confidence=Confidence(threshold), false_alarms=0.05)
    found = Detection("confidence", 0.05, 0.5, rate_of(4, images), rate_of(30, 40))
    return GuardRecord(
        setting=GuardSetting(pipeline, card.name, card.sha256, images, "0" * 64),
        about="The attackers are two.",
        adaptive=rate_of(broken, images - 10),
        unknowing=rate_of(2, images - 10),
        bare=rate_of(40, images),
        right=rate_of(images - 10, images),
        withheld=rate_of(10, images),
        detections=(found,),
        risks={
            state: tuple(RiskAt(one, rate_of(1, images)) for one in COVERAGES) for state in STATES
        },
        areas=dict.fromkeys(STATES, Area(0.02, 0.01, 0.03)),
        calibration={
            f"{state}, {when}": Reliability((Bin(1, 0.5, 1.0),), 0.04, 0.1, images)
            for state in STATES
            for when in ("before", "after")
        },
        transfers={},
        queries=100.0,
        shown=10.0,
        outcomes=(),
        **provenance(torch.device("cpu"), "guard measure", 1.0),
    )


def test_pipelines_stand_beside_bare_models_the_adaptive_rate_first() -> None:
    before = len(make_tables())
    card = add_model("vanilla", 9500)
    add_record(card, {1, 2, 3}, 10)
    save_guard(a_record(card, 9))
    save_guard(a_record(card, 20, images=200))
    save_guard(a_record(card, 1, threshold=0.9))
    save_guard(a_record(replace(card, sha256="b" * 64), 50, images=300))
    assert len(make_tables()) > before
    table = make_tables()[-1]
    assert table.number == 7
    assert [(row.label, row.adaptive, row.unknowing) for row in table.rows[:1]] == [
        ("No defence", rate_of(3, 10), rate_of(3, 10))
    ]
    assert {row.adaptive for row in table.rows[1:]} == {rate_of(20, 190), rate_of(1, 90)}
    columns = [name for name in lines(table)[0] if name not in ("defence", NAME, "model")]
    assert columns.index("adaptive") < columns.index("unknowing") < columns.index("clean withheld")
    printed = in_print([table], "text")
    assert "No defence + confidence" in printed
    assert "75.0% [59.8%, 85.8%] of 40" in printed
    assert "0.02 [0.01, 0.03]" in printed
    assert all(in_print([table], style) for style in STYLES)
    assert "aurc_adaptive_low" in as_csv(table)


def test_a_librarys_model_stands_bare_beside_its_pipeline() -> None:
    record = a_record(add_model("vanilla", 9500), 9)
    pipeline = replace(record.setting.pipeline, model="imagenet-efficientnet-lite0")
    named = {"model": "imagenet-efficientnet-lite0", "data": "nips2017", "sha256": "c" * 64}
    save_guard(replace(record, setting=replace(record.setting, pipeline=pipeline, **named)))
    subject = "imagenet-efficientnet-lite0 on nips2017"
    assert [(row.label, row.subject, row.adaptive) for row in make_tables()[-1].rows] == [
        ("No defence", subject, rate_of(40, 100)),
        ("No defence + confidence", subject, rate_of(9, 90)),
    ]


def test_a_damaged_record_of_a_pipeline_is_told(tmp_path: Path) -> None:
    card = add_model("vanilla", 9500)
    path = save_guard(a_record(card, 9))
    path.write_text(path.read_text().replace('"adaptive": {', '"adaptive": {"odd": 1, ', 1))
    records, damaged = load_guards()
    assert records == []
    assert "This is no record of a pipeline" in damaged[0]
