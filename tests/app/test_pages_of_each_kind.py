"""By hand, Attention and Classes on photographs, traffic signs and ultrasound pictures."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from apr_core import OnePixelConfig, Stop
from apr_core.attacks.result import PixelEdit
from apr_core.base.types import Method
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import DEFAULT, find_dataset
from apr_core.models.incremental.engine import DENSE
from apr_core.serving.requests import PHOTOGRAPHS, AttackRequest, data_behind
from apr_core.zoo.library import LITE0
from apr_ui.attention.choose import MOST_PILLS
from apr_ui.attention.view import map_of, scenes_of
from apr_ui.bars import ALL_BARS, FEW_BARS, bar_classes
from apr_ui.choose_picture import TESTS, UPLOAD
from apr_ui.classes.pictures import pictures_of
from apr_ui.dataset import CHOSEN
from apr_ui.jobs import Jobs
from apr_ui.permalink import to_params
from apr_ui.resources import gallery, probabilities
from apr_ui.searches import offers_on
from tests.app.pages import address_of, given, go, open_page, run, said, wait_for
from tests.app.test_hand_view import game_of, try_by_hand
from tests.conftest import PATIENCE, wait_until

MODELS = {
    DEFAULT: "cifar10-resnet20-vanilla",
    PHOTOGRAPHS: LITE0,
    "gtsrb": "gtsrb-resnet20-apr",
    "breastmnist": "breastmnist-resnet20-apr",
}
KINDS = pytest.mark.parametrize("data", MODELS)
QUICK = ["saliency"]


@pytest.fixture(autouse=True)
def nothing_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what comes with the project is here; no engine is chosen, which takes half a minute."""
    monkeypatch.setenv("APR_DATA", str(tmp_path))
    monkeypatch.setenv(DENSE, "1")


def picture_of(data: str) -> tuple[torch.Tensor, int, int]:
    """A picture that the model gets right and the gallery has not, its class, and its test index or
    OWN_PICTURE."""
    dataset = find_dataset(data)
    if dataset.sample is None:
        image = torch.full((dataset.channels, *dataset.size), 90, dtype=torch.uint8)
        return image, int(probabilities(MODELS[data], [image])[0].argmax()), OWN_PICTURE
    sample = dataset.shipped_sample()
    listed = torch.tensor([entry.index for entry in gallery(data)])
    others = (~torch.isin(sample.indices, listed)).nonzero()[:8, 0]
    said = probabilities(MODELS[data], list(sample.images[others])).argmax(1)
    row = int(others[said == sample.labels[others]][0])
    return sample.images[row], int(sample.labels[row]), int(sample.indices[row])


def asked(data: str, **settings: Any) -> AttackRequest:
    return AttackRequest(MODELS[data], *picture_of(data), OnePixelConfig(**settings))


@KINDS
def test_a_game_is_played_on_each_kind(data: str) -> None:
    request, dataset = asked(data), find_dataset(data)
    app = open_page("hand", to_params(request))
    assert app.session_state[CHOSEN] == data
    game = game_of(app)
    assert torch.equal(game.image, request.image)
    (board,), (drawn,) = given(app, "colours"), given(app, "left_out")
    assert (board["width"], board["height"]) == dataset.size[::-1]
    assert len(board["image"]) == 4 * dataset.size[0] * dataset.size[1]  # three bytes a pixel
    grey = dataset.channels == 1
    assert all(len(set(one["rgb"])) == 1 for one in board["colours"]) == grey
    assert (len(set(board["own"])) == 1) == grey
    few = min(len(dataset.classes), FEW_BARS) if len(dataset.classes) > ALL_BARS else ALL_BARS
    assert len(drawn["classes"]) == min(len(dataset.classes), few)
    assert drawn["classes"][drawn["label"]] == dataset.class_name(request.label)
    assert drawn["left_out"] == len(dataset.classes) - len(drawn["classes"])
    large = data == PHOTOGRAPHS
    options = app.segmented_control(key="hand.pixels").options
    assert options == (["1", "5", "16"] if large else ["1", "3", "5"])
    assert board["hints"] != large
    assert ("no hints" in said(app)) == large
    game = try_by_hand(app, PixelEdit(1, 2, (255, 255, 255)))
    assert game.queries == 1
    (drawn,) = given(app, "left_out")
    assert drawn["values"][drawn["leading"]] == max(game.answer.probabilities)
    usual = offers_on(data)[0]
    full = (usual.generations + 1) * usual.population
    assert any(f"{full:,}" in button.label for button in app.button)


def test_of_many_classes_the_likeliest_now_and_before_have_a_bar() -> None:
    request = asked(PHOTOGRAPHS)
    game = game_of(open_page("hand", to_params(request)))
    clean = torch.tensor(game.clean.probabilities)
    likeliest = clean.topk(FEW_BARS).indices.tolist()
    assert bar_classes(clean.tolist(), clean.tolist(), game.label) == likeliest
    last = int(clean.argmin())
    flipped = clean.clone()
    flipped[last] = 2.0
    shown_after = bar_classes(clean.tolist(), flipped.tolist(), game.label)
    assert {last, game.label} <= set(shown_after)
    assert len(shown_after) == FEW_BARS


@KINDS
def test_maps_are_drawn_of_each_kind(data: str) -> None:
    request, dataset = asked(data), find_dataset(data)
    edit = {"edits": "3.5.ffffff", "methods": "saliency"}
    app = open_page("attention", to_params(request) | edit)
    assert (app.session_state[CHOSEN], app.session_state["attention.model"]) == (
        data,
        MODELS[data],
    )
    rows = given(app, "pictures")
    before, after = rows[1]["pictures"]
    assert (before["width"], before["height"]) == dataset.size[::-1]
    assert after["edits"] == [[3, 5]]
    many = len(dataset.classes) > MOST_PILLS
    assert [one.key for one in app.selectbox if one.key == "attention.class"] == (
        ["attention.class"] if many else []
    )

    def picker() -> Any:
        return (app.selectbox if many else app.pills)(key="attention.class")

    other = (request.label + 1) % len(dataset.classes)
    run(picker().set_value(other))
    assert picker().label == f"Explain why: {dataset.class_name(other)}"


def test_a_class_to_explain_is_not_kept_for_another_kind() -> None:
    app = open_page("attention", to_params(asked("breastmnist")), {"attention.methods": QUICK})
    run(app.pills(key="attention.class").set_value(1))
    run(app.pills(key=CHOSEN).set_value(DEFAULT))
    assert app.pills(key="attention.class").value is None
    assert app.session_state["attention.model"].startswith("cifar10")


def test_a_map_that_takes_long_has_its_progress_and_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apr_ui.attention.view.FIRST_SECONDS", 0)
    params = to_params(asked(PHOTOGRAPHS)) | {"methods": "occlusion", "class": "7"}
    app = open_page("attention", params)
    assert given(app, "pictures")[0]["pictures"][0]["caption"] == "The picture"
    assert len(given(app, "pictures")) == 1
    run(app.button(key="attention.cancel").click())
    assert "was cancelled" in said(app)
    assert not [button for button in app.button if button.key == "attention.cancel"]
    run(app.button(key="attention.again-occlusion").click())
    assert "was cancelled" not in said(app)
    run(app.button(key="attention.cancel").click())


def test_maps_are_made_one_at_a_time_and_kept() -> None:
    jobs, calls = Jobs(most=2), []

    def make(number: int) -> Any:
        def work(report: Any, over: Any) -> tuple[torch.Tensor, str]:
            calls.append(number)
            report(1, 2)
            return torch.zeros(1), str(number)

        return work

    first = jobs.ask("a", make(1))
    assert first.wait(PATIENCE)
    assert (first.made[1], first.done) == ("1", 0.5)
    assert jobs.ask("a", make(2)) is first
    for key in "bc":
        assert jobs.ask(key, make(3)).wait(PATIENCE)
    assert jobs.ask("a", make(4)) is not first  # the oldest was dropped
    wait_until(lambda: calls == [1, 3, 3, 4])
    jobs.close()


def test_a_cancelled_map_is_made_anew_for_who_asks_again() -> None:
    jobs = Jobs(most=2)

    def until_over(report: Any, over: Any) -> tuple[torch.Tensor, str]:
        wait_until(over)
        from apr_core.explain.attributions import Cancelled

        raise Cancelled

    job = jobs.ask("a", until_over)
    job.cancel()
    assert job.wait(PATIENCE)
    assert (job.made, job.error) == (None, "")
    again = jobs.ask("a", lambda report, over: (torch.zeros(1), ""))
    assert again.wait(PATIENCE)
    assert again.made is not None
    jobs.close()


def test_without_a_model_the_kind_is_called_as_in_its_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apr_ui.attention.choose.cards", lambda: ({}, []))
    app = open_page("attention", state={CHOSEN: "gtsrb"})
    assert "There is no model for “Traffic signs” here" in said(app)


def test_what_waits_for_its_turn_is_cancelled_at_once() -> None:
    jobs, go_on = Jobs(most=2), threading.Event()
    first = jobs.ask("a", lambda report, over: go_on.wait())
    waiting = jobs.ask("b", lambda report, over: True)
    waiting.cancel()
    assert waiting.wait(PATIENCE)
    assert waiting.made is None
    assert not first.ended.is_set()
    go_on.set()
    assert first.wait(PATIENCE)
    assert jobs.ask("b", lambda report, over: True).wait(PATIENCE)  # the turn is free again
    jobs.close()


def test_a_grey_pictures_map_is_the_engines() -> None:
    image, label, _ = picture_of("breastmnist")
    found = map_of(MODELS["breastmnist"], scenes_of(image, ())[0], label, "attention")
    assert found.values.shape == image.shape[1:]


@KINDS
def test_classes_are_browsed_of_each_kind(data: str) -> None:
    app = open_page("classes", state={CHOSEN: data, "attention.model": MODELS[data]})
    assert not app.error
    if data == "gtsrb" and find_dataset(data).sample is None:
        assert "python -m apr_core data gtsrb" in said(app)
        return
    present = set(pictures_of(find_dataset(data)).labels.tolist())
    if len(present) > MOST_PILLS:
        box = app.selectbox(key="classes.one-of-many")
        assert len(box.options) == len(present)
    else:
        assert app.pills(key="classes.class").value in present
    assert re.search("pictures? of this class here", said(app))
    headings = [one.value for one in app.header]
    assert headings[0].startswith("Attention")
    assert ("The paper finds" in said(app)) == ("apr" in MODELS[data] and data == DEFAULT)


def test_a_model_without_a_record_has_no_rate_but_the_command_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = {CHOSEN: "breastmnist", "attention.model": MODELS["breastmnist"]}
    measure = f"evaluate --model {MODELS['breastmnist']}"
    assert measure not in said(open_page("classes", state=state))
    monkeypatch.setenv("APR_RESULTS", str(tmp_path))
    assert measure in said(open_page("classes", state=state))


def test_one_kind_after_the_other_on_each_page() -> None:
    for page in ("classes", "hand", "attention"):
        app = open_page(page, state={"attention.methods": QUICK})
        for data in (PHOTOGRAPHS, "gtsrb", "breastmnist", DEFAULT):
            run(app.pills(key=CHOSEN).set_value(data))
            assert not app.error


@pytest.mark.parametrize("data", [PHOTOGRAPHS, "breastmnist"])
@pytest.mark.parametrize("page", ["hand", "attention"])
def test_an_attacks_address_opens_the_same_picture_on_another_page(page: str, data: str) -> None:
    request = asked(data, population=4, generations=0, stop=Stop.BUDGET)
    attack = open_page("attack", to_params(request))
    wait_for(request.run_id)
    app = open_page(page, address_of(run(attack)), {"attention.methods": QUICK})
    assert not app.error
    assert app.session_state[CHOSEN] == data
    assert app.segmented_control(key="attack.source").value == TESTS
    drawn = given(app, "colours") if page == "hand" else given(app, "pictures")[0]["pictures"]
    assert (drawn[0]["width"], drawn[0]["height"]) == data_behind(request.model).size[::-1]
    go(attack, page)
    assert attack.session_state[CHOSEN] == data


def test_an_attacks_picture_and_settings_are_raced_on_the_compare_page() -> None:
    config = {"pixels": 16, "method": Method.SPARSE_RS, "population": 4, "generations": 0}
    request = asked(PHOTOGRAPHS, stop=Stop.BUDGET, **config)
    attack = open_page("attack", to_params(request))
    wait_for(request.run_id)
    app = go(run(attack), "compare")
    assert app.multiselect(key="compare.models").value == [LITE0]
    run(app.button(key="compare.go").click())
    race = app.session_state["compare.race"]
    assert [one.run_id for one in race.requests] == [request.run_id]


def test_a_linked_picture_that_no_chooser_lists_is_shown_as_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = find_dataset("breastmnist").shipped_sample()
    few = replace(
        sample, images=sample.images[:3], labels=sample.labels[:3], indices=sample.indices[:3]
    )
    monkeypatch.setattr("apr_ui.choose_picture._pictures", lambda data: few)
    listed = {entry.index for entry in gallery("breastmnist")}
    row = next(row for row in range(3, 99) if int(sample.indices[row]) not in listed)
    params = {"model": MODELS["breastmnist"], "index": str(int(sample.indices[row]))}
    app = open_page("attention", params, {"attention.methods": QUICK})
    assert app.session_state["attack.source"] == UPLOAD
    assert torch.equal(app.session_state["attack.picture"].image, sample.images[row])


@pytest.mark.parametrize("page", ["hand", "attention", "classes"])
def test_a_kind_without_models_is_one_sentence(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apr_ui.resources.model_names", list)
    from apr_ui.resources import all_cards

    monkeypatch.setattr("apr_ui.resources._trained_cards", lambda: ({}, []))
    assert set(all_cards()[0]) == {LITE0}
    app = open_page(page, state={CHOSEN: "breastmnist"})
    assert sum("no trained models" in line or "no model" in line for line in said(app).splitlines())
    run(app.pills(key=CHOSEN).set_value(PHOTOGRAPHS))
    assert app.session_state[CHOSEN] == PHOTOGRAPHS
