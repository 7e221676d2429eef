"""The Results page: its charts say what its tables and records say."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from apr_core.data.registry import DATASETS, DEFAULT
from apr_core.evaluation.metrics import rate_of
from apr_core.evaluation.record import load_records, save_record
from apr_core.evaluation.verdicts import Holds
from apr_core.report.speeds import read_speeds
from apr_core.report.tables import make_tables
from apr_core.zoo.checkpoints import OLD_PENALTY, caution_of, list_cards
from apr_ui.charts import SHARE
from apr_ui.model_names import model_title
from apr_ui.results.charts import LINE, MARGINS, PLOT_HEIGHT, Mark, summary
from apr_ui.results.html_table import cell
from apr_ui.results.names import in_a_word, record_titles, subject_title, with_titles
from apr_ui.results.summary import CERTIFIED, SUCCESS, VIEWS, marks, measured_cells
from tests.app.pages import go, open_page, run

PLUS = "cifar10-resnet20-apr-plus"


def tables_of(app: AppTest) -> list[str]:
    """The page's own tables, as HTML."""
    html = [each.proto.body for each in app.get("html")]
    return [body for body in html if "results-table" in body]


def test_the_summary_draws_the_rates_of_the_records() -> None:
    cells = measured_cells(make_tables())
    for view, field in ((SUCCESS, "asr"), (CERTIFIED, "certified")):
        main, others = marks(cells, VIEWS[view][0])
        assert [mark.title for mark in main] == [
            "Undefended ResNet-20", "APR", "APR+", "Adversarial training", "Input transformation",
            "Defensive distillation",
        ]  # fmt: skip
        assert others
        assert not {mark.title for mark in main} & {mark.title for mark in others}
        plus = main[2]
        assert plus.rate == getattr(cells[PLUS], field)
        figure = summary(main, others, view)
        faint, *named = figure.data
        assert list(faint.x) == [mark.clean.share for mark in others]
        assert faint.marker.opacity <= 0.5
        assert (named[2].x[0], named[2].y[0]) == (plus.clean.share, plus.rate.share)
        assert named[2].error_y.array[0] == plus.rate.high - plus.rate.share
        assert named[2].error_x.arrayminus[0] == plus.clean.share - plus.clean.low
        assert {note.text for note in figure.layout.annotations} == {mark.title for mark in main}


def test_a_label_of_the_summary_keeps_off_other_intervals() -> None:
    """It stands on the left, where the other mark has its interval, and goes to that one's end."""
    left, tall = Mark("A defence by its name", rate_of(96, 100), rate_of(50, 100)), rate_of(52, 100)
    crossed = Mark("B", rate_of(88, 100), tall)
    figure = summary([left, crossed], [], SUCCESS)
    floor, ceiling = figure.layout.yaxis.range
    scale = (PLOT_HEIGHT - MARGINS) / (ceiling - floor)
    places = {
        note.text: scale * note.y - note.ay
        for note in figure.layout.annotations
        if note.xanchor == "right"
    }
    near = (scale * tall.low - LINE / 2, scale * tall.high + LINE / 2)
    assert any(places[left.title] == pytest.approx(end) for end in near)


def test_labels_of_the_summary_do_not_cover_each_other() -> None:
    rates = [(900, 20), (902, 21), (901, 21), (899, 22), (990, 60), (985, 60)]
    main = [
        Mark(f"Model {number}", rate_of(clean, 1000), rate_of(broken, 100))
        for number, (clean, broken) in enumerate(rates)
    ]
    figure = summary(main, [], SUCCESS)
    bottom, top = figure.layout.yaxis.range
    scale = (figure.layout.height - 50) / (top - bottom)
    for side in ("left", "right"):
        heights = sorted(
            scale * note.y - note.ay for note in figure.layout.annotations if note.xanchor == side
        )
        assert all(b - a >= LINE - 0.01 for a, b in pairwise(heights))
    assert {note.xanchor for note in figure.layout.annotations} == {"left", "right"}
    assert figure.layout.yaxis.tickformat == SHARE["tickformat"]


def test_the_tables_have_the_papers_rates_beside_ours() -> None:
    app = open_page("results")
    first = next(html for html in tables_of(app) if 'aria-label="Table 1"' in html)
    (asr,) = [row.cells[0].asr for row in make_tables()[0].rows if row.label == "IT"]
    row = next(line for line in first.split("<tr>") if "Input transformation" in line)
    assert row.index("38.76%") < row.index(cell(asr)) < row.index("89.1%")
    assert "ASR" not in first
    assert "McNemar" not in first
    run(app.toggle(key="results.table-1.all").set_value(True))
    first = next(html for html in tables_of(app) if 'aria-label="Table 1"' in html)
    assert "McNemar" in first
    assert "DE alone" in first
    assert not re.search(r"cifar10-\w+", "".join(tables_of(app)))


def test_verdicts_are_chosen_by_verdict_and_by_table() -> None:
    app = open_page("results")
    claims = [(table.number, claim) for table in make_tables() for claim in table.claims]

    def shown(label: str = "Claims and verdicts") -> int:
        return sum(
            html.count('<th scope="row">')
            for html in tables_of(app)
            if f'aria-label="{label}"' in html
        )

    def count(*holds: Holds, table: int = 0) -> int:
        return sum(c.holds in holds and table in (0, number) for number, c in claims)

    measured = [holds for holds in Holds if holds is not Holds.UNMEASURED]
    assert shown() == count(*measured)
    assert shown("Claims not measured yet") == count(Holds.UNMEASURED)
    run(app.pills(key="results.verdicts").set_value([str(Holds.YES), str(Holds.NO)]))
    assert shown() == count(Holds.YES, Holds.NO)
    run(app.pills(key="results.of-table").set_value(["Table 1"]))
    assert shown() == count(Holds.YES, Holds.NO, table=1)
    assert shown("Claims not measured yet") == count(Holds.UNMEASURED)


def test_models_have_their_titles_in_sentences() -> None:
    said = with_titles(f"{PLUS}-no-masks, {PLUS} 40, cifar10-resnet20-at (p = 1); own-{PLUS}-x")
    assert said == (
        f"{model_title(f'{PLUS}-no-masks')}, APR+ 40, Adversarial training (p = 1); own-{PLUS}-x"
    )


def test_every_record_has_a_title_of_its_own() -> None:
    records = load_records()[0]
    titles = record_titles(
        [*records, replace(records[0], setting=replace(records[0].setting, seed=9))]
    )
    assert len(set(titles.values())) == len(titles) == len(records) + 1
    assert next(iter(titles.values())).startswith("Undefended ResNet-20: ")
    masked = [record.setting for record in records if record.setting.lattice]
    assert masked
    assert all(", masked: " in titles[setting.name] for setting in masked)


def test_a_model_is_told_with_its_data_where_these_are_not_cifar10() -> None:
    record = load_records()[0][0]

    def title(model: str, data: str) -> str:
        setting = replace(record.setting, model=model, data=data, lattice=0)
        return subject_title(replace(record, setting=setting))

    assert title(PLUS, DEFAULT) == "APR+"
    assert title("gtsrb-resnet20-apr-plus", "gtsrb") == "APR+ on traffic signs"
    assert title("breastmnist-resnet20-vanilla", "breastmnist").endswith(" on ultrasound")
    assert title(PLUS, "folder") == "APR+ on folder"


def test_traffic_signs_and_ultrasound_have_a_table() -> None:
    (table,) = [html for html in tables_of(open_page("results")) if 'aria-label="Table 8"' in html]
    assert "APR+, traffic signs" in table
    assert "Undefended ResNet-20, ultrasound" in table


def test_table_2_shows_the_measured_success_rates_at_first() -> None:
    (table,) = [html for html in tables_of(open_page("results")) if 'aria-label="Table 2"' in html]
    assert re.search(r"<th[^>]*>1 pixel</th>", table)
    assert "Undefended EfficientNet-Lite0, masked, photographs" in table
    assert "efficientnet-lite0 on" not in table


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
    models = ("vanilla", "apr", "apr-plus", "at", "it", "dd")
    settings = {record.setting.name: record.setting for record in load_records()[0]}
    assert [settings[name].model for name in first] == [f"cifar10-resnet20-{m}" for m in models]
    assert {settings[name].attack for name in first} == {"ladder"}
    run(app.multiselect(key="results.curves").set_value(first[:2]))
    with caplog.at_level(logging.WARNING):
        go(app, "start", "results")
    assert app.multiselect(key="results.curves").value == first[:2]
    assert not [line for line in caplog.messages if "created with a default value" in line]


def test_records_on_other_data_are_no_curve_before_somebody_picks_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = [one for one in load_records()[0] if one.setting.data == DEFAULT]
    record = next(one for one in kept if one.setting.sparse)
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    own = replace(record.setting, model="a.onnx", data="breastmnist", sha256="")
    for setting in (record.setting, own):
        save_record(replace(record, setting=setting, verdicts=()))
    app = open_page("results")
    curves = app.multiselect(key="results.curves")
    assert len(curves.options) == 2
    assert curves.value == [record.setting.name]
    caution = DATASETS.get("breastmnist").caution
    before = [caption.value for caption in app.caption].count(caution)
    run(curves.set_value([own.name]))
    assert [caption.value for caption in app.caption].count(caution) == before + 1


def test_the_speeds_are_a_table_where_they_were_measured(monkeypatch, tmp_path: Path) -> None:
    app = open_page("results")
    expected = bool(read_speeds())
    assert ("Speed of the attack" in [head.value for head in app.header]) == expected
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
    assert "Speed of the attack" in [head.value for head in app.header]
    frames = [frame.value for frame in app.dataframe]
    assert any("vgg19, 224×224, random weights" in frame.to_numpy() for frame in frames)
