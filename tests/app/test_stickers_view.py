"""The Stickers page: what it says is what was learned and counted."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from apr_core.attacks.sticker import Views, become_target, stick
from apr_core.data.images import picture_of
from apr_core.data.registry import find_dataset
from apr_core.evaluation.metrics import rate_of
from apr_core.models.inputs import as_input
from apr_ui.choose_picture import CAMERA, UPLOAD
from apr_ui.model_names import model_title
from apr_ui.resources import gallery, probabilities
from apr_ui.stickers import learning
from apr_ui.stickers.learning import Asked, Learning, held_out, job_of, learning_of
from apr_ui.stickers.stuck import ANSWERED
from apr_ui.stickers.view import ASKED, PLACE, STOPPED, progress_words, verdict
from tests.app.pages import APR, VANILLA, address_of, given, open_page, run, said
from tests.conftest import PATIENCE

STATE = {"attention.model": VANILLA, "stickers.steps-True": 4}
LONG = STATE | {"stickers.steps-True": 3000}


def learned(**more: object) -> tuple[AppTest, Asked, Learning]:
    """The page with a sticker of four steps."""
    app = open_page("stickers", state=STATE | more)
    run(app.button(key="stickers.learn").click())
    asked = app.session_state[ASKED]
    assert job_of(asked).wait(PATIENCE)
    run(app)
    return app, asked, learning_of(asked)


def test_before_anything_is_learned_the_page_says_what_to_do() -> None:
    app = open_page("stickers", state=STATE)
    assert not app.exception
    assert "press **Learn the sticker**" in said(app)


def test_the_rate_is_of_pictures_that_nothing_was_learned_on() -> None:
    app, asked, made = learned()
    assert not app.exception
    assert made.success is not None
    learner = made.learner
    others = held_out(asked[1], learner.config.target)
    found = become_target(learner.model, others, learner.config, learner.sticker)
    assert (made.success.count, made.success.total) == (int(found.sum()), len(found))
    told = f"{made.success.count} of {made.success.total} ("
    assert f"**With the sticker, {told}" in said(app)
    assert len(others) == made.others
    known = {image.numpy().tobytes() for image in learner.images}
    assert not any(image.numpy().tobytes() in known for image in others)
    assert asked[2].steps == learner.step == 4


def test_a_link_says_how_the_sticker_lies() -> None:
    app, *_ = learned()
    assert "place" not in address_of(app)
    app.session_state[PLACE] = {"across": 0.4, "down": 0.123456, "size": 0.5, "turn": -20.0}
    link = address_of(run(app))
    assert link["place"] == "0.4,0.123,0.5,-20"
    (board,) = given(open_page("stickers", link), "sticker")
    assert board["view"] == {"across": 0.4, "down": 0.123, "size": 0.5, "turn": -20.0}
    assert "40% across, 12% down, 50% of the width, turned by -20°" in board["title"]


def test_what_the_model_says_is_of_the_picture_with_the_sticker() -> None:
    app, _, made = learned()
    app.session_state[PLACE] = {"across": 0.4, "down": 0.5, "size": 0.5, "turn": 20.0}
    app.session_state[ANSWERED] = 3
    run(app)
    (board,) = given(app, "sticker")
    assert (board["view"]["across"], board["answered"]) == (0.4, 3)
    image, _ = find_dataset().test_image(int(_index(app)))
    view = Views.one(across=0.4, down=0.5, size=0.5, turn=20.0)
    seen = stick(as_input(image[None]), made.learner.sticker, view)[0]
    answer = probabilities(VANILLA, [(255 * seen).round().to(torch.uint8)])[0]
    (shown,) = given(app, "leading")
    assert shown["values"] == pytest.approx(answer.tolist(), abs=1e-4)
    run(app.toggle(key="stickers.on-False").set_value(False))
    assert not given(app, "sticker")
    (shown,) = given(app, "leading")
    assert shown["clean"] is None
    assert "Without the sticker" not in said(app)


@pytest.mark.parametrize(("source", "laid"), [(CAMERA, 0), (UPLOAD, 1)])
def test_a_photograph_of_the_printed_sticker_is_judged_as_it_is(source: str, laid: int) -> None:
    picture = picture_of(find_dataset().test_image(0)[0])
    app, *_ = learned(**{"attack.source": source, "attack.picture": picture})
    assert len(given(app, "sticker")) == laid
    assert ("Without the sticker" in said(app)) == bool(laid)
    assert not [box for box in app.selectbox if box.label == "True class"]


@pytest.mark.parametrize(("said_class", "striped"), [(3, True), (5, False), (0, False)])
def test_the_answer_is_striped_where_the_sticker_succeeds(said_class: int, striped: bool) -> None:
    def page(said_class: int) -> None:
        from torch import eye

        from apr_ui.stickers.stuck import _answer

        _answer(eye(10)[said_class], 3, eye(10)[0])

    app = AppTest.from_function(page, kwargs={"said_class": said_class}).run()
    (shown,) = given(app, "leading")
    assert shown["striped"] == striped


def test_the_gallery_says_what_its_pictures_show_and_nothing_of_pixels() -> None:
    app, *_ = learned()
    (shown,) = given(app, "items")
    data = find_dataset()
    labels = [data.test_image(entry.index)[1] for entry in gallery()]
    assert [item["title"] for item in shown["items"]] == list(map(data.class_name, labels))
    assert not any("pixel" in item["note"] for item in shown["items"])
    assert "Hand-picked" not in said(app)


def test_the_sticker_says_which_model_it_was_learned_for() -> None:
    app, *_ = learned()
    told = f"This sticker is for **{model_title(VANILLA)}**, target **frog**."
    assert told in said(app)
    assert f"{told} Press" not in said(app)
    run(app.selectbox(key="stickers.target").select("ship"))
    assert f"{told} Press **Learn the sticker** to make one for the settings" in said(app)
    run(app.selectbox(key="attention.model").select(APR))
    assert f"{told} Press **Learn the sticker** to make one for {model_title(APR)}." in said(app)


def test_the_address_names_no_sticker_of_another_kind_of_picture() -> None:
    app, *_ = learned()
    assert address_of(app)["target"] == "frog"
    run(app.pills(key="attack.data").set_value("gtsrb"))
    assert "No sticker yet" in said(app)
    assert address_of(app) == {}


def test_small_shares_are_told_to_a_tenth() -> None:
    _, _, made = learned()
    few = replace(made, success=rate_of(1, 200), without=rate_of(0, 200))
    assert "1 of 200 (0.5%; 0.1% to 3%) pictures" in verdict(few, "frog")


def _index(app: AppTest) -> int:
    """Of the picture that the gallery shows first."""
    return gallery()[app.session_state["attack.entry"]].index


def test_a_stopped_one_goes_on_where_it_was() -> None:
    app = open_page("stickers", state=LONG)
    run(app.button(key="stickers.learn").click())
    asked = app.session_state[ASKED]
    begun = job_of(asked)
    run(app.button(key="stickers.cancel").click())
    assert begun.wait(PATIENCE)
    assert app.session_state[STOPPED]
    done = learning_of(asked).learner.step
    run(app.button(key="stickers.go-on").click())
    job = job_of(asked)
    job.cancel()
    assert job.wait(PATIENCE)
    assert learning_of(asked).learner.step >= done
    assert learning_of(asked).success is None


def test_cancel_withdraws_one_viewer_and_the_last_one_ends_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def seen_by(who: str, act: Any) -> AppTest:
        monkeypatch.setattr(learning, "current_viewer", lambda: who)
        return run(act)

    first, second = (open_page("stickers", state=LONG) for _ in range(2))
    for who, app in (("a", first), ("b", second)):
        seen_by(who, app.button(key="stickers.learn").click())
    asked = first.session_state[ASKED]
    job = job_of(asked)
    seen_by("a", first.button(key="stickers.cancel").click())
    assert "**Stopped** after" in said(first)
    seen_by("b", second)
    assert job_of(asked) is job
    assert not job.is_over()
    seen_by("b", second.button(key="stickers.cancel").click())
    assert job.wait(PATIENCE)
    assert "**Stopped** after" in said(second)


def test_another_sticker_takes_the_place_of_the_one_before() -> None:
    app = open_page("stickers", state=LONG | {"stickers.target": "ship"})
    run(app.button(key="stickers.learn").click())
    job = job_of(app.session_state[ASKED])
    app.number_input(key="stickers.steps-True").set_value(4)
    run(app.button(key="stickers.learn").click())
    assert job.is_over()
    assert job_of(app.session_state[ASKED]).wait(PATIENCE)
    run(app)
    assert "With the sticker" in said(app)


def test_the_progress_says_what_is_being_done() -> None:
    _, _, made = learned()
    assert progress_words(made, True) == "Waiting: another sticker is being learned."
    assert progress_words(made, False) == f"Counting on {made.others} held-out pictures…"
    begun = replace(made, learner=copy(made.learner), seconds=6.0)
    begun.learner.step = 3
    assert progress_words(begun, False) == "Step 3 of 4 · about 2 seconds left"


def test_a_link_learns_the_same_and_a_damaged_one_says_so() -> None:
    app, asked, made = learned()
    link = address_of(app)
    again = open_page("stickers", link)
    assert again.session_state[ASKED] == asked
    assert learning_of(again.session_state[ASKED]) is made
    assert again.number_input(key="stickers.steps-True").value == 4
    for damage, told in (
        ({"steps": "many"}, "names no sizes or steps"),
        ({"target": "unicorn"}, "no class 'unicorn'"),
        ({"sizes": "0.7,0.2"}, "smallest is 0.7"),
        ({"sizes": "0.05,0.95"}, "sizes are 0.05 and 0.95; use sizes from 0.1 to 0.8"),
        ({"sizes": "nan,0.5"}, "sizes are nan and 0.5; use"),
        ({"sizes": "0.5,nan"}, "sizes are 0.5 and nan; use"),
        ({"steps": "0"}, "steps is 0"),
        ({"place": "here"}, "place is 'here'; use four numbers: across 0 to 1, down 0 to 1"),
        ({"place": "0.5,0.5,0.95,0"}, "size 0.1 to 0.9, turn -180 to 180"),
        ({"place": "0.5,0.5,nan,0"}, "place is '0.5,0.5,nan,0'"),
        ({"place": "0.5,0.5,0.5,0,0"}, "use four numbers"),
        ({"model": "none"}, "no model 'none'"),
    ):
        broken = open_page("stickers", link | damage)
        assert not broken.exception
        assert told in said(broken)
