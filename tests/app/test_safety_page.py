"""The Safety net page: pictures that pass it, thresholds, the attack, the link."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from apr_core import InputError
from apr_core.data.registry import find_dataset
from apr_core.safety.config import CertificateLayer, Confidence, Ensemble, PipelineConfig
from apr_core.safety.record import ADAPTIVE, CLEAN, UNKNOWING, GuardRecord, load_guards
from apr_ui.choose_picture import Choice
from apr_ui.safety import nets
from apr_ui.safety.attack_view import ending_words
from apr_ui.safety.flow import LIVE, cost_words
from apr_ui.safety.link import open_link, to_params
from apr_ui.safety.worth import risk_curves, roc_curves, worst, worth_words
from tests.app.pages import address_of, open_page, run, said


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APR_DATA", str(tmp_path))


@pytest.fixture(scope="module")
def record() -> GuardRecord:
    """Of checks and confidence around the undefended ResNet-20."""
    (found,) = [
        one
        for one in load_guards()[0]
        if one.setting.model == "cifar10-resnet20-vanilla"
        and one.setting.pipeline.layers == ("temperature", "checks", "confidence")
    ]
    return found


@pytest.fixture
def shown(record: GuardRecord, monkeypatch: pytest.MonkeyPatch) -> GuardRecord:
    """As the only one."""
    pipeline = record.setting.pipeline
    monkeypatch.setattr(nets, "guards", lambda: ([record], []))
    monkeypatch.setattr("apr_ui.safety.link.guards", lambda: ([record], []))
    return replace(record, setting=replace(record.setting, pipeline=pipeline))


def small_index(record: GuardRecord) -> int:
    """Of a picture that comes with the project, answered rightly, that the ladder turned."""
    known = set(find_dataset().shipped_sample().indices.tolist())
    turned = (one for one in record.outcomes if one.answered and one.fooled(UNKNOWING))
    return next(one.index for one in turned if one.index in known)


def at(record: GuardRecord, index: int, **more: str) -> AppTest:
    where = {"net": record.setting.pipeline.sha256[:8], "index": str(index), **more}
    return open_page("safety", where)


def put_in(app: AppTest, state: str) -> AppTest:
    return run(choice_of(app, "What goes in").set_value(state))


def choice_of(app: AppTest, label: str):
    (found,) = [one for one in app.get("button_group") if one.label == label]
    return found


def test_a_clean_and_an_attacked_picture_go_through_the_net(shown: GuardRecord) -> None:
    index = small_index(shown)
    app = at(shown, index)
    assert "**The net answers:" in said(app)
    for title in ("Calibration", "Input checks", "Confidence"):
        assert f"**{title}**" in said(app)
    put_in(app, UNKNOWING)
    outcome = next(one for one in shown.outcomes if one.index == index)
    layer = outcome.states[UNKNOWING].layer
    assert ("**Ask a person.**" in said(app)) == bool(layer)
    if layer:
        assert f"**{nets.TITLES[layer]}** withholds" in said(app)
        assert "The model's answer was wrong." in said(app)


def test_a_threshold_that_is_moved_changes_the_answer_and_the_link(shown: GuardRecord) -> None:
    index = small_index(shown)
    app = at(shown, index)
    before = said(app)
    name = f"safety.confidence-{shown.setting.pipeline.sha256[:8]}"
    run(app.slider(key=name).set_value(1.0))
    assert "**Ask a person.**" in said(app)
    assert address_of(app)["confidence"] == "1.000"
    assert said(app) != before
    again = open_page("safety", address_of(app))
    assert again.slider(key=name).value == 1.0
    assert "**Ask a person.**" in said(again)


def test_the_net_is_attacked_and_the_edit_goes_in(shown: GuardRecord) -> None:
    index = small_index(shown)
    app = at(shown, index, confidence="0.000", checks="1.000")  # nothing is withheld
    run(app.button(key="safety.attack").click())
    (job,) = [one for key, one in nets._jobs()._jobs.items() if key.endswith(_key_of(index))]
    job.wait(None)
    assert job.made is not None
    assert job.made.success
    run(app)
    assert "**The net was turned** by" in said(app)
    put_in(app, LIVE)
    assert "**Wrong, and not withheld.**" in said(app)


def _key_of(index: int) -> str:
    image, label = find_dataset().test_image(index)
    return Choice(image, label, index, "").key


def test_what_is_said_of_the_measured_thresholds_is_what_was_measured(record: GuardRecord) -> None:
    words = worth_words(record, record.setting.pipeline)
    for rate in (record.withheld, record.unknowing, record.adaptive, record.bare):
        assert f"{rate.count} of {rate.total} ({rate.share:.1%}" in words
    assert "at least" not in words
    config = record.setting.pipeline
    assert config.checks is not None
    open_to_all = replace(
        config, confidence=Confidence(0.0), checks=replace(config.checks, threshold=1.0)
    )
    loose, bare = worth_words(record, open_to_all), record.bare
    assert "withhold 0 of " in loose
    assert f"knows the net turns at least {bare.count} of {bare.total} (" in loose


def test_curves_are_of_the_record_and_marks_of_the_thresholds(record: GuardRecord) -> None:
    config = record.setting.pipeline
    for one in record.outcomes:
        for state in (CLEAN, UNKNOWING, ADAPTIVE):
            seen = one.states[state]
            assert worst(config, seen.scores, seen.confidence) == pytest.approx(
                seen.excess, abs=1e-6
            )
    figure, told = risk_curves(record, config)
    answered = sum(not one.states[CLEAN].layer for one in record.outcomes) / len(record.outcomes)
    marks = [one for one in figure.data if one.mode == "markers"]
    assert marks[0].x[0] == pytest.approx(answered)
    assert "answered" in told
    figure, told = roc_curves(record, config, ("checks", "confidence"))
    (found,) = [
        one for one in record.detections if (one.score, one.false_alarms) == ("confidence", 0.05)
    ]
    mark = [one for one in figure.data if one.mode == "markers"][1]
    assert (mark.x[0], mark.y[0]) == pytest.approx((found.false.share, found.detected.share))
    for line in (one for one in figure.data if one.mode == "lines"):
        assert list(line.x) == sorted(line.x)
        assert (line.x[0], line.y[0], line.x[-1], line.y[-1]) == (0, 0, 1, 1)


def test_what_a_decision_costs_is_counted() -> None:
    config = PipelineConfig("m", confidence=Confidence(0.5))
    assert "takes 1 forward pass;" in cost_words(config)
    more = replace(config, ensemble=Ensemble(("a", "b")), certificate=CertificateLayer(4))
    assert "takes 3 forward passes, and 16 to 136 more for the certificate" in cost_words(more)


def test_endings_are_told() -> None:
    assert ending_words(None).startswith("**Cancelled.**")
    held = nets.NetAttack(None, False, 900, 12, True)
    assert "**The net held** against 900 edits of one pixel, of which 12" in ending_words(held)
    assert ending_words(held).endswith("Another search may find more.")
    assert "is a proof" in ending_words(held, proof=True)


def test_there_is_nothing_to_turn_where_the_model_is_wrong(shown: GuardRecord) -> None:
    known = set(find_dataset().shipped_sample().indices.tolist())
    wrong = next(one.index for one in shown.outcomes if not one.right and one.index in known)
    app = at(shown, wrong)
    run(app.button(key="safety.attack").click())
    assert "without any attack, so there is nothing to turn" in said(app)


def test_the_page_begins_with_a_net_whose_thresholds_move() -> None:
    net = open_page("safety").selectbox(key="safety.net").value
    (found,) = [one for one in load_guards()[0] if one.setting.pipeline.sha256 == net]
    assert found.setting.pipeline.confidence
    assert found.setting.pipeline.checks


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"net": "00000000"}, "There is no measured safety net '00000000'"),
     ({"index": "x"}, "The link's index is 'x'"),
     ({"confidence": "2"}, "The link's confidence is '2'"),
     ({"checks": "x"}, "The link's checks is 'x'")],
)  # fmt: skip
def test_a_link_that_cannot_be_is_refused(shown: GuardRecord, wrong: dict, words: str) -> None:
    params = {"net": shown.setting.pipeline.sha256[:8], "index": "3", **wrong}
    with pytest.raises(InputError, match=words):
        open_link(params)
    assert words in said(open_page("safety", params))


def test_without_a_measured_net_it_says_how_to_measure_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "guards", lambda: ([], []))
    app = open_page("safety")
    assert "No safety net was measured for CIFAR-10; `python -m apr_core guard measure`" in said(
        app
    )


def test_each_kind_of_picture_has_its_own_nets(shown: GuardRecord) -> None:
    app = at(shown, small_index(shown))
    run(choice_of(app, "Kind of picture").set_value("gtsrb"))
    assert "No safety net was measured for GTSRB" in said(app)
    run(choice_of(app, "Kind of picture").set_value("cifar10"))
    assert "**The net answers:" in said(app)


def test_a_picture_of_ones_own_is_not_in_the_link(record: GuardRecord) -> None:
    config = record.setting.pipeline
    own = Choice(torch.zeros(3, 32, 32, dtype=torch.uint8), None, -1, "")
    assert to_params(config, config, own) == {"net": config.sha256[:8]}


def test_a_librarys_network_stands_beside_its_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APR_DENSE", "1")
    app = open_page("safety")
    run(choice_of(app, "Kind of picture").set_value("nips2017"))
    title = "Undefended EfficientNet-Lite0: calibration, input checks, confidence, 5% false alarms"
    assert title in app.selectbox(key="safety.net").options
    (table,) = [one.proto.body for one in app.get("html") if "results-table" in one.proto.body]
    assert table.count("<b>No defence</b>") == 1
    assert table.count("<b>No defence + temperature, checks, confidence</b>") == 1
