"""The Results page: its charts say what its tables and records say."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from apr_core.data.registry import DATASETS
from apr_core.evaluation.metrics import rate_of
from apr_core.evaluation.record import load_records, save_record
from apr_core.report.speeds import read_speeds
from apr_core.report.tables import make_tables
from apr_core.zoo.checkpoints import OLD_PENALTY, caution_of, list_cards
from apr_ui.results.charts import trade_off
from apr_ui.results.view import in_a_word
from tests.app.pages import go, open_page, run

PLUS = "cifar10-resnet20-apr-plus"


def test_what_is_bought_and_what_is_proven_are_shares_of_all_images() -> None:
    row = next(row for row in make_tables()[0].rows if row.label == "APR+")
    (cell,) = [cell for cell in row.cells if cell.model == PLUS]
    proven, bought = trade_off([cell]).data
    assert proven.y[0] == cell.certified.count / cell.certified.total
    survivors = cell.asr.total - cell.asr.count
    assert bought.y[0] == survivors / cell.images
    assert cell.images > cell.asr.total


def test_a_record_of_which_nothing_was_attacked_has_no_rate() -> None:
    """Handed case k02."""
    record = load_records()[0][0]
    level = replace(record.levels[0], asr=rate_of(0, 0))
    assert in_a_word(replace(record, levels=(level,))).endswith("no rate of 0")


def test_the_curves_that_were_picked_are_still_picked_on_the_way_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = open_page("results")
    noted = any(OLD_PENALTY in caption.value for caption in app.caption)
    assert noted == any(map(caution_of, list_cards()))
    first = app.multiselect(key="results.curves").value
    assert len(first) == 6
    run(app.multiselect(key="results.curves").set_value(first[:2]))
    with caplog.at_level(logging.WARNING):
        go(app, "start", "results")
    assert app.multiselect(key="results.curves").value == first[:2]
    assert not [line for line in caplog.messages if "created with a default value" in line]


def test_records_on_other_data_are_no_curve_before_somebody_picks_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record = load_records()[0][0]
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    own = replace(record.setting, model="a.onnx", data="breastmnist", sha256="")
    for setting in (record.setting, own):
        save_record(replace(record, setting=setting, verdicts=()))
    app = open_page("results")
    curves = app.multiselect(key="results.curves")
    assert curves.options == [own.name, record.setting.name]
    assert curves.value == [record.setting.name]
    caution = DATASETS.get("breastmnist").caution
    before = [caption.value for caption in app.caption].count(caution)
    run(curves.set_value([own.name]))
    assert [caption.value for caption in app.caption].count(caution) == before + 1 == 2


def test_the_speeds_are_a_table_where_they_were_measured(monkeypatch, tmp_path: Path) -> None:
    app = open_page("results")
    expected = bool(read_speeds())
    assert ("Speed of the attack" in [head.value for head in app.subheader]) == expected
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    record = {
        "model": "vgg19",
        "random_weights": True,
        "shape": [3, 224, 224],
        "hardware": "a machine",
        "rounds": 3,
        "versions": {"torch": "2.15.0"},
        "rates": {"forward": {"value": 3.0, "spread": [2.9, 3.1]}},
        "ratios": {},
        "other_engine": "",
        "aims": [],
    }
    (tmp_path / "bench-cpu-vgg19.json").write_text(json.dumps(record))
    app = open_page("results")
    assert "Speed of the attack" in [head.value for head in app.subheader]
    frames = [frame.value for frame in app.dataframe]
    assert any("vgg19, 224×224, random weights" in frame.to_numpy() for frame in frames)
