"""The Compare page without a browser: a race to its end, its link, and what it leaves."""

from __future__ import annotations

import html
import io
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from torch import Tensor

from apr_core import OnePixelConfig
from apr_core.attacks.result import Outcome, PixelEdit, edit_image
from apr_core.attacks.transfer import Effect, transfer_matrix
from apr_core.base.types import InputError, Status, Stop
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import find_dataset
from apr_core.serving.requests import AttackRequest, Phase, RunView
from apr_core.zoo.checkpoints import checkpoint_folder, load_card, load_model
from apr_ui.choose_picture import Choice
from apr_ui.proof.certificate import NEEDS_CLASS
from apr_ui.proof.finding import Proof
from apr_ui.race import end
from apr_ui.race.cards import named
from apr_ui.race.charts import race_curves, transfer_chart, transfer_table, transfer_words
from apr_ui.race.link import MOST_MODELS, race_from_params, race_to_params
from apr_ui.race.report import race_sheet, report_page
from apr_ui.race.view import FIRST_DEFENCES, requests_for
from apr_ui.race.words import (
    Runner,
    as_table,
    in_finish_order,
    news,
    shown_names,
    standing,
    status_words,
)
from apr_ui.resources import probabilities, scorer, service
from apr_ui.run_result import ending_of
from tests.app.pages import (
    APR,
    VANILLA,
    address_of,
    forget_all,
    open_page,
    results,
    run,
    said,
    seals,
)
from tests.conftest import figures, wait_until

SMALL = OnePixelConfig(population=40, generations=6)


def requests(index: int = 0, models: tuple[str, ...] = (VANILLA, APR), **changes):
    image, label = find_dataset().test_image(0)
    config = replace(SMALL, **changes)
    return tuple(AttackRequest(name, image, label, index, config) for name in models)


@pytest.mark.parametrize(
    "asked",
    [
        requests(),
        requests(models=(APR,)),
        requests(seed=7, pixels=3, target=5, strategy="best1bin", stop=Stop.BUDGET),
        requests(index=OWN_PICTURE, seed=1),
    ],
    ids=["two", "one", "settings", "picture"],
)
def test_a_link_starts_the_same_race(asked) -> None:
    again = race_from_params(race_to_params(asked))
    assert [request.run_id for request in again] == [request.run_id for request in asked]
    assert torch.equal(again[0].image, asked[0].image)


def test_a_link_names_its_models_and_leaves_defaults_out() -> None:
    image, label = find_dataset().test_image(3)
    asked = [AttackRequest(name, image, label, 3, OnePixelConfig()) for name in (APR, VANILLA)]
    assert race_to_params(asked) == {"models": f"{APR},{VANILLA}", "index": "3"}


@pytest.mark.parametrize("params", [{}, {"model": VANILLA, "index": "0"}, {"models": VANILLA}])
def test_an_address_that_names_no_race_is_none(params: dict[str, str]) -> None:
    assert race_from_params(params) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"models": ","}, "names 0 models"),
        ({"models": ",".join(f"a-b-{n}" for n in range(MOST_MODELS + 1))}, "names 7 models"),
        ({"models": f"{VANILLA},gtsrb-resnet20-apr"}, "CIFAR-10 and GTSRB"),
        ({"index": "10000"}, "no test image"),
        ({"population": "2"}, "population is 2"),
    ],
)
def test_a_damaged_link_is_one_plain_error(changed: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        race_from_params({"models": VANILLA, "index": "0"} | changed)


def test_a_model_named_twice_races_once() -> None:
    again = race_from_params({"models": f"{VANILLA},{APR},{VANILLA}", "index": "0"})
    assert [request.model for request in again] == [VANILLA, APR]


def test_a_picture_without_a_class_has_the_first_models_for_all() -> None:
    image, _ = find_dataset().test_image(0)
    asked = requests_for(Choice(image, None, OWN_PICTURE, ""), (APR, VANILLA), SMALL)
    said = int(probabilities(APR, [image])[0].argmax())
    assert [(request.model, request.label) for request in asked] == [(APR, said), (VANILLA, said)]


# ---------------------------------------------------------------- The page


def run_to_the_end(app: AppTest) -> list[RunView]:
    tickets = app.session_state["compare.race"].tickets
    wait_until(lambda: not any(service().view(ticket.run_id).live for ticket in tickets))
    run(app)
    return [service().view(ticket.run_id) for ticket in tickets]


def test_at_first_one_of_each_defence_is_to_race() -> None:
    app = open_page("compare")
    assert not app.exception
    chosen = app.multiselect(key="compare.models").value
    assert [load_card(name).architecture for name in chosen] == ["resnet20"] * len(chosen)
    defences = [load_card(name).defence for name in chosen]
    assert defences == [name for name in FIRST_DEFENCES if name in defences]
    assert {"vanilla", "at", "it", "dd", "apr"} <= set(defences)


def test_a_race_runs_to_its_end_and_is_compared() -> None:
    app = open_page("compare")
    app.multiselect(key="compare.models").set_value([VANILLA, APR])
    app.number_input(key="attack.population").set_value(60)
    app.number_input(key="attack.generations").set_value(8)
    run(app)
    run(app.button(key="compare.go").click())
    views = run_to_the_end(app)
    assert len(results(app)) == 2
    asked = [view.request for view in views]
    assert address_of(app) == race_to_params(asked)
    table = app.dataframe[0].value.set_index("Checkpoint")
    for view in views:
        row = table.loc[view.request.model]
        assert row["Queries"] == view.outcome.queries
        assert row["Prediction"] == find_dataset().classes[view.outcome.label_after]
        edit = view.outcome.edits[0]
        assert row["Pixel and colour"] == f"({edit.x}, {edit.y}) rgb{edit.rgb}"
        assert row["Sure before"] == pytest.approx(view.outcome.confidence_before)
        assert row["True class after"] == pytest.approx(view.outcome.true_after)
    assert {button.key for button in app.get("download_button")} == {
        f"compare.{kind}" for kind in ("png", "csv", "html")
    }
    assert len(app.get("plotly_chart")) == 2
    for shown, view in zip(results(app), views, strict=True):
        end, before = ending_of(view), view.outcome.confidence_before
        assert (shown["verdict"], shown["tone"], shown["marked"]) == (end.verdict, end.tone, False)
        assert len(shown["edits"]) == 1
        assert shown["bars"][0]["value"] == pytest.approx(view.outcome.true_after)
        assert shown["bars"][0]["before"] == pytest.approx(before, abs=1e-4)
    _, matrix = app.session_state["compare.compared"]
    for row, view in zip(matrix, views, strict=True):
        edited = edit_image(view.request.image, view.outcome.edits)
        for cell, request in zip(row, asked, strict=True):
            with torch.no_grad():
                logits = load_model(request.model)(edited[None].float() / 255)
            assert cell.label == int(logits.argmax())
            assert cell.confidence == pytest.approx(float(logits.softmax(1).max()), abs=1e-4)


def test_a_link_is_opened_and_the_controls_follow_it() -> None:
    asked = requests(seed=11)
    app = open_page("compare", race_to_params(asked))
    assert app.multiselect(key="compare.models").value == [VANILLA, APR]
    assert app.number_input(key="attack.seed").value == 11
    views = run_to_the_end(app)
    assert [view.request.run_id for view in views] == [request.run_id for request in asked]


def test_a_picture_of_ones_own_is_found_again_by_its_runs() -> None:
    asked = requests(index=OWN_PICTURE, seed=3)
    app = open_page("compare", race_to_params(asked))
    run_to_the_end(app)
    address = address_of(app)
    assert address == {"runs": ",".join(request.run_id for request in asked)}
    again = open_page("compare", address)
    assert not again.exception
    assert any("own" in caption.value for caption in again.caption)
    assert len(again.dataframe) == 2


def test_a_race_on_a_picture_whose_class_nobody_gave_claims_none() -> None:
    asked = tuple(replace(one, named=False) for one in requests(index=OWN_PICTURE, seed=4))
    app = open_page("compare", race_to_params(asked))
    run_to_the_end(app)
    assert "own, predicted as cat" in said(app)
    assert NEEDS_CLASS in said(app)
    assert not seals(app)
    run(app.selectbox(key="attack.truth").set_value("cat"))
    assert len(seals(app)) == len(asked)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"models": "resnet50", "index": "3"}, "There is no model 'resnet50'"),
        ({"models": VANILLA, "index": "cat"}, "index is 'cat'"),
        ({"runs": "0123456789abcdef"}, "no longer in memory"),
    ],
)
def test_a_bad_link_is_answered_plainly(params: dict[str, str], said: str) -> None:
    app = open_page("compare", params)
    assert not app.exception
    assert said in app.error[0].value
    assert not app.button(key="compare.go").disabled


def test_a_race_is_cancelled_and_certified() -> None:
    app = open_page("compare", race_to_params(requests(seed=5, generations=1000, stop=Stop.BUDGET)))
    run(app.button(key="compare.cancel").click())
    views = run_to_the_end(app)
    assert {view.outcome.status for view in views} == {Status.CANCELLED}
    assert "Cancelled: " in app.info[0].value
    assert len(seals(app)) == 2
    assert all("ertified" in seal for seal in seals(app))


def test_where_a_model_is_not_light_proofs_are_for_those_who_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apr_ui.proof.finding.LIGHT", 1000)
    app = open_page("compare", race_to_params(requests(seed=15)))
    run_to_the_end(app)
    assert not seals(app)
    run(app.button(key="compare.certify").click())
    assert len(seals(app)) == 2
    run(app)
    assert len(seals(app)) == 2  # they were asked for


def test_a_cancelled_race_starts_anew_and_is_compared_anew() -> None:
    app = open_page("compare", race_to_params(requests(seed=6, generations=30, stop=Stop.BUDGET)))
    run(app.button(key="compare.cancel").click())
    cancelled = run_to_the_end(app)
    kept = app.session_state["compare.compared"]
    run(app.button(key="compare.go").click())
    views = run_to_the_end(app)
    assert [view.request.run_id for view in views] == [v.request.run_id for v in cancelled]
    assert all(view.outcome.queries == 40 * 31 for view in views)
    assert app.session_state["compare.compared"][0] != kept[0]


def test_another_race_ends_the_one_before() -> None:
    app = open_page("compare", race_to_params(requests(seed=8, generations=1000, stop=Stop.BUDGET)))
    before = app.session_state["compare.race"].tickets
    app.number_input(key="attack.generations").set_value(3)
    run(app)
    run(app.button(key="compare.go").click())
    run_to_the_end(app)
    wait_until(lambda: not any(service().view(ticket.run_id).live for ticket in before))
    ends = {service().view(ticket.run_id).outcome.status for ticket in before}
    assert ends == {Status.CANCELLED}


@pytest.fixture
def damaged_weights(tmp_path, monkeypatch):
    """Copies of two checkpoints, one with its weights cut short."""
    for name in (VANILLA, APR):
        for suffix in ("json", "safetensors"):
            shutil.copy(checkpoint_folder() / f"{name}.{suffix}", tmp_path)
    weights = tmp_path / f"{APR}.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path))
    forget_all()
    yield
    forget_all()


def test_a_model_that_cannot_be_loaded_leaves_the_others_racing(damaged_weights) -> None:
    app = open_page("compare", race_to_params(requests(seed=9)))
    sound, damaged = run_to_the_end(app)
    assert sound.outcome is not None
    assert "are damaged" in damaged.error
    assert "Failed: APR." in app.info[0].value
    assert any("are damaged" in text.value for text in app.error)
    assert [shown["verdict"] for shown in results(app)] == [ending_of(sound).verdict]
    assert list(app.dataframe[0].value["Ended"]) == [app.dataframe[0].value["Ended"][0], "failed"]
    assert list(app.dataframe[1].value.columns) == [
        "Edit found on",
        "Ended",
        "Undefended ResNet-20",
    ]
    assert len(seals(app)) == 1


def test_a_model_that_is_refused_a_certificate_leaves_the_others_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = end.find_proof

    def refuse(model: str, image: Tensor, label: int) -> Proof:
        if model == VANILLA:
            raise InputError("It depends on its company.")
        return find(model, image, label)

    monkeypatch.setattr(end, "find_proof", refuse)
    app = open_page("compare", race_to_params(requests(seed=16)))
    run_to_the_end(app)
    assert not app.exception
    (error,) = app.error
    assert error.value.startswith("Undefended ResNet-20")
    assert "It depends on its company." in error.value
    assert len(seals(app)) == 1
    assert app.get("code")  # the link below is there


def test_another_picture_hides_the_race_and_its_own_brings_it_back() -> None:
    app = open_page("compare", race_to_params(requests(seed=2)))
    run_to_the_end(app)
    app.session_state["attack.entry"] = 1
    run(app)
    assert not app.dataframe
    assert any("no race on this picture" in text.value for text in app.info)
    app.session_state["attack.entry"] = 0
    run(app)
    assert len(app.dataframe) == 2


# ---------------------------------------------------------------- What a race leaves


def ended(model: str, status: Status, queries: int, **changes) -> RunView:
    image, label = find_dataset().test_image(0)
    edits = (PixelEdit(3, 4, (255, 0, 9)),) if queries else ()
    after = 5 if status is Status.FLIPPED else label
    values = {
        "index": 0, "status": status, "queries": queries, "generations": 1,
        "flip_generation": None, "edits": edits, "label": label, "target": None,
        "label_before": label, "label_after": after, "confidence_before": 0.9,
        "confidence_after": 0.6, "true_before": 0.9, "true_after": 0.3,
    }  # fmt: skip
    request = AttackRequest(model, image, label, 0, SMALL)
    return RunView(request, Phase.ENDED, outcome=Outcome(**values | changes))


@pytest.fixture
def runners() -> list[Runner]:
    """One of every kind of ending, out of order."""
    image, label = find_dataset().test_image(0)
    broken_off = RunView(AttackRequest("e-f-g", image, label, 0, SMALL), Phase.FAILED, error="Oh.")
    return [
        Runner("Failed", broken_off),
        Runner("Wrong", ended(VANILLA, Status.MISCLASSIFIED, 0, label_before=2, label_after=2)),
        Runner("Strong", ended(VANILLA, Status.SURVIVED, 280, true_after=0.8)),
        Runner("Late", ended(VANILLA, Status.FLIPPED, 200)),
        Runner("Given up", ended(VANILLA, Status.CANCELLED, 80)),
        Runner("Left", replace(ended(VANILLA, Status.CANCELLED, 120), unwatched=True)),
        Runner("Own class", ended(VANILLA, Status.SKIPPED, 0, target=3)),
        Runner("Shaky", ended(VANILLA, Status.SURVIVED, 280, true_after=0.5)),
        Runner("Early", ended(APR, Status.FLIPPED, 40)),
        Runner("As late", ended(APR, Status.FLIPPED, 200)),
    ]


def test_those_that_fell_first_come_first(runners) -> None:
    ranked = [runner.name for runner in in_finish_order(runners)]
    assert ranked == [
        "Early", "Late", "As late", "Shaky", "Strong", "Given up", "Wrong", "Own class", "Left",
        "Failed",
    ]  # fmt: skip
    table = as_table(runners)
    assert list(table["Model"]) == ranked
    assert list(table["Place"].dropna()) == [1, 2, 2]
    again = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert list(again["Queries"].fillna(-1)) == [40, 200, 200, 280, 280, 80, 0, 0, 120, -1]


def test_every_ending_is_told_in_words(runners) -> None:
    words = {runner.name: status_words(runner.view) for runner in runners}
    assert {name: figures(said) for name, said in words.items()} == {
        "Failed": [], "Wrong": [], "Strong": ["280", "80%"], "Late": ["200"], "Given up": ["80"],
        "Shaky": ["280", "50%"], "Early": ["40"], "As late": ["200"], "Left": ["120"],
        "Own class": [],
    }  # fmt: skip
    named = {"Early": "dog", "Strong": "cat", "Wrong": "bird", "Failed": "Oh."}
    assert all(name in words[runner] for runner, name in named.items())
    queued = replace(runners[0].view, phase=Phase.QUEUED, queue_place=3)
    assert figures(status_words(queued)) == ["3"]
    running = replace(queued, phase=Phase.RUNNING)
    assert figures(status_words(running)) == ["0", "280"]
    told = news(runners)
    assert figures(told)[:4] == ["3", "10", "40", "200"]
    places = [told.index(name) for name in ("Early", "Late", "Shaky", "Strong")]
    assert places == sorted(places)
    assert all(runner.name in told for runner in runners)
    cancelled = {name for name, said in words.items() if "cancel" in said}
    assert cancelled == {"Given up"}  # case 16: nobody cancelled the one that was left
    assert [runner.name for runner in runners if "cancel" in runner.ended] == ["Given up"]


def test_models_of_one_title_go_by_their_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apr_ui.race.words.model_title", {"a": "A", "b": "B", "b2": "B"}.get)
    assert shown_names(["a", "b"]) == ["A", "B"]
    assert shown_names(["a", "b", "b2"]) == ["A", "b", "b2"]


def test_a_card_has_one_mark_of_how_its_run_ended(runners) -> None:
    ends = {runner.name: named(runner).removeprefix(f"**{runner.name}**") for runner in runners}
    marked = {name: mark for name, mark in ends.items() if mark.strip()}
    assert {name for name, mark in marked.items() if "fooled" in mark} == {
        "Late", "Early", "As late"
    }  # fmt: skip
    assert {name for name, mark in marked.items() if "resisted" in mark} == {"Strong", "Shaky"}
    assert len(marked) == 5
    assert figures(standing(runners)) == ["3", "10"]
    live = replace(runners[0].view, phase=Phase.RUNNING, seconds_left=7.0)
    assert figures(standing([*runners[1:], Runner("Live", live)])) == ["1", "10", "7"]


def test_the_sheet_and_the_page_hold_every_model(runners) -> None:
    sheet = Image.open(io.BytesIO(race_sheet(runners)))
    assert sheet.format == "PNG"
    finished = [runner for runner in runners if runner.view.outcome]
    image, label = find_dataset().test_image(0)
    edits = [runner.view.outcome.edits for runner in finished]
    names = [runner.view.request.model for runner in finished]
    matrix = transfer_matrix([scorer(name) for name in names], image, label, edits)
    assert matrix[0][0].effect is Effect.NO_EDIT
    page = report_page(
        [*runners, Runner("<b>", runners[0].view)], matrix, "http://x/compare?models=a&index=0"
    )
    for runner in runners:
        assert html.escape(status_words(runner.view)) in page
    assert "<script" not in page
    assert "&lt;NA&gt;" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert 'src="data:image/png;base64,' in page
    assert page.count("http://x/compare?models=a&amp;index=0") == 2
    assert list(transfer_table(finished, matrix).columns[2:]) == [run.name for run in finished]
    assert len(transfer_words(finished, matrix)) == 3
    assert len(transfer_chart(finished, matrix).data[0].z) == len(finished)
    assert len(race_curves(runners).data) == 0


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_the_sheet_is_as_wide_as_what_is_on_it(runners, rows: int) -> None:
    sheet = Image.open(io.BytesIO(race_sheet(runners[:rows])))
    assert sheet.width <= 16 + 3 * 256
    assert sheet.height > 224 * (1 + (rows > 3))
