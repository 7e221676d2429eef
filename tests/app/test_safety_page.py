"""The Safety net page: pictures that pass it, thresholds, the attack, the link."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from apr_core import InputError
from apr_core.attacks.result import PixelEdit
from apr_core.data.images import OWN_PICTURE, picture_of
from apr_core.data.registry import find_dataset
from apr_core.safety.config import CertificateLayer, Confidence, Ensemble, PipelineConfig
from apr_core.safety.decision import Decision, LayerVerdict
from apr_core.safety.record import (
    ADAPTIVE,
    CLEAN,
    UNKNOWING,
    GuardRecord,
    GuardSetting,
    load_guards,
)
from apr_ui.choose_picture import UPLOAD, Choice
from apr_ui.jobs import Job
from apr_ui.safety import nets, search
from apr_ui.safety.attack_view import ending_words, plan_words
from apr_ui.safety.flow import LIVE, answer_words, cost_words
from apr_ui.safety.link import open_link, to_params
from apr_ui.safety.worth import risk_curves, roc_curves, worst, worth_words
from tests.app.pages import address_of, open_page, run, said
from tests.conftest import PATIENCE


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
        assert f"**{nets.TITLES[layer]}**: answer withheld" in said(app)
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
    assert plan_words(recorded=True) in said(app)
    made = attacked(app, index)
    assert made.success
    assert (made.seed, made.recorded) == (0, True)
    assert "**The net was turned** by" in said(app)
    assert "the pixel that was recorded for this picture: the search tries it first" in said(app)
    put_in(app, LIVE)
    assert "**Wrong, and not withheld.**" in said(app)


def attacked(app: AppTest, index: int) -> search.NetAttack:
    """Press the button, and wait for the end of the search that it begins."""
    before = searches_of(index)
    run(app.button(key="safety.attack").click())
    (new,) = [job for job in searches_of(index) if job not in before]
    assert new.wait(PATIENCE)
    run(app)
    made = new.made
    assert isinstance(made, search.NetAttack)
    return made


def searches_of(index: int) -> list[Job]:
    """Each visitor's latest on each net."""
    image, label = find_dataset().test_image(index)
    key = Choice(image, label, index, "").key
    return [job for one, job in search._jobs()._jobs.items() if one[2] == key]


def test_a_second_press_searches_anew_with_another_seed(
    shown: GuardRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "current_viewer", lambda: "eve")
    index = small_index(shown)
    app = at(shown, index, confidence="0.000", checks="0.990")  # a net of this test's own
    attacked(app, index)
    assert "search anew with seed 1, without the recorded pixel" in said(app)
    again = attacked(app, index)
    assert (again.seed, again.recorded) == (1, False)
    assert again.queries > 1
    reloaded = at(shown, index, confidence="0.000", checks="0.990")
    assert "(seed 1)" in said(reloaded)


def test_each_visitor_has_a_search_of_their_own(
    shown: GuardRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = small_index(shown)
    where = {"confidence": "0.000", "checks": "0.980"}
    monkeypatch.setattr(search, "current_viewer", lambda: "ada")
    mine = at(shown, index, **where)
    attacked(mine, index)
    monkeypatch.setattr(search, "current_viewer", lambda: "bo")
    other = at(shown, index, **where)
    assert "**The net was turned**" not in said(other)
    assert attacked(other, index).seed == 0
    monkeypatch.setattr(search, "current_viewer", lambda: "ada")
    assert "**The net was turned**" in said(at(shown, index, **where))  # after a reload, too


def test_what_is_said_of_the_measured_thresholds_is_what_was_measured(record: GuardRecord) -> None:
    words = worth_words(record, record.setting.pipeline)
    for rate in (record.withheld, record.unknowing, record.adaptive, record.bare):
        assert re.search(rf"{rate.count} of {rate.total} [a-z ]*\({rate.share:.1%}", words)
    wrong = [one for one in record.outcomes if one.fooled(CLEAN)]
    passing = sum(one.broken(CLEAN) for one in wrong)
    assert f"and let {passing} of {len(wrong)} wrong answers (" in words
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
    assert ending_words(None).startswith("**Stopped before its end.**")
    held = search.NetAttack(None, False, 900, 12, 3)
    assert ending_words(held) == (
        "**The net held** against 900 edits of one pixel; 12 of them fooled the model itself and "
        "were shown to the net (seed 3). Another search may find more. Press the button again to "
        "search anew with seed 4."
    )
    assert "1 of them fooled the model itself and was shown to" in ending_words(
        replace(held, shown=1)
    )
    assert "; none of them fooled the model itself (" in ending_words(replace(held, shown=0))
    assert "one pixel, the recorded one first; 12" in ending_words(replace(held, recorded=True))
    assert "is a proof" in ending_words(held, proof=True)
    turned = replace(held, edit=PixelEdit(1, 2, (3, 4, 5)), success=True)
    assert ending_words(turned).endswith("search anew with seed 4.")
    assert "every seed leads to this pixel" in ending_words(replace(turned, queries=300))


def test_the_answer_agrees_with_how_the_attack_ended(record: GuardRecord) -> None:
    passed = Decision(5, 5, 0.9, "", "", ())
    verdict = LayerVerdict("confidence", 0.2, 0.5, True, "It is doubtful.")
    withheld = Decision(None, 5, 0.2, "confidence", "", (verdict,))
    assert answer_words(passed, None, False)[2] == "success"
    assert answer_words(passed, 5, False)[2] == "success"
    for known, words in ((True, "Wrong, and not withheld."), (False, "Turned, and not withheld.")):
        said, _, tone = answer_words(passed, 3, known)
        assert tone == "error"
        assert said.startswith(f"**{words}** The net answers dog;")
    assert answer_words(withheld, 3, True)[0].endswith("The model's answer was wrong.")
    assert answer_words(withheld, 3, False)[0].endswith("The attack turned the model's answer.")


def test_the_attack_on_a_picture_of_ones_own_is_told_the_same_twice(shown: GuardRecord) -> None:
    index = small_index(shown)
    image, _ = find_dataset().test_image(index)
    app = at(shown, index, confidence="0.000", checks="1.000")
    state = {"attack.source": UPLOAD, "attack.picture": picture_of(image)}
    for name, value in state.items():
        app.session_state[name] = value
    run(app)
    assert "recorded" not in said(app)
    run(app.button(key="safety.attack").click())
    choice = Choice(image, None, OWN_PICTURE, "")
    (job,) = [one for key, one in search._jobs()._jobs.items() if key[2] == choice.key]
    assert job.wait(PATIENCE)
    run(app)
    assert "**The net was turned** by" in said(app)
    put_in(app, LIVE)
    assert "**Turned, and not withheld.**" in said(app)
    assert "**The net answers:" not in said(app)


def test_the_pickers_titles_begin_with_what_tells_nets_apart(record: GuardRecord) -> None:
    setting = record.setting
    config = setting.pipeline
    assert config.confidence is not None

    def titles(*configs: PipelineConfig) -> list[str]:
        return nets.net_titles([setting_of(one) for one in configs])

    def setting_of(one: PipelineConfig) -> GuardSetting:
        return replace(setting, pipeline=one, model=one.model)

    wider = replace(config, ensemble=Ensemble(("cifar10-resnet20-apr",)))
    assert titles(config, wider) == [
        "Confidence, input checks",
        "Second opinions, confidence, input checks",
    ]
    other = replace(config, model="cifar10-resnet20-apr")
    assert titles(config, other) == [
        "Confidence, input checks · Undefended ResNet-20",
        "Confidence, input checks · APR",
    ]
    assert titles(config, replace(config, false_alarms=0.01)) == [
        "Confidence, input checks · 5% false alarms a layer",
        "Confidence, input checks · 1% false alarms a layer",
    ]
    twin = replace(config, confidence=Confidence(0.5))
    assert len(set(titles(config, twin))) == 2
    assert nets.net_words(setting_of(wider)) == (
        "Around Undefended ResNet-20. The second opinions are those of APR. The thresholds of "
        "input checks and confidence were each set for 5% false alarms, so together they may give "
        "more."
    )
    alone = nets.net_words(setting_of(replace(config, checks=None)))
    assert alone.endswith("The threshold of confidence was set for 5% false alarms.")


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
    assert "No safety net was measured for “CIFAR-10”; choose another kind of picture" in said(app)
    command = "`python -m apr_core guard measure --model cifar10-resnet20-vanilla`"
    assert command in said(app)


def test_without_a_model_the_command_has_a_place_for_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nets, "all_cards", lambda: ({}, []))
    assert "guard measure --model NAME`." in nets.none_measured(find_dataset("gtsrb"))


def test_a_photographs_net_is_measured_on_photographs() -> None:
    words = nets.none_measured(find_dataset("nips2017"))
    assert "for “Photographs”;" in words
    assert "--model imagenet-efficientnet-lite0 --data nips2017`." in words


def test_each_kind_of_picture_has_its_own_nets(shown: GuardRecord) -> None:
    app = at(shown, small_index(shown))
    run(choice_of(app, "Kind of picture").set_value("gtsrb"))
    assert "No safety net was measured for “Traffic signs”;" in said(app)
    assert "guard measure --model gtsrb-resnet20-vanilla`" in said(app)
    assert not address_of(app)  # it named a net of other pictures
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
    assert app.selectbox(key="safety.net").options == ["Confidence, input checks"]
    assert "Around Undefended EfficientNet-Lite0." in said(app)
    (table,) = [one.proto.body for one in app.get("html") if "results-table" in one.proto.body]
    assert table.count("<b>No defence</b>") == 1
    assert table.count("<b>No defence + temperature, checks, confidence</b>") == 1
