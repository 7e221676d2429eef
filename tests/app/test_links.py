"""Links that mean harm, links to runs that a restart cut short, and what a session may ask."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from streamlit.testing.v1 import AppTest

from apr_core import InputError, OnePixelConfig, Stop
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import find_dataset
from apr_core.serving.archive.store import INTERRUPTED, Archive
from apr_core.serving.requests import BEHIND_LATTICE, SERVED, AttackRequest, Phase, View
from apr_core.zoo.library import LITE0
from apr_ui import limits
from apr_ui.model_names import model_title
from apr_ui.permalink import from_params, to_params
from apr_ui.resources import service
from tests.app.pages import VANILLA as MODEL
from tests.app.pages import ended, go, open_page, results, run, seals, wait_for
from tests.conftest import PATIENCE, figures

QUICK = OnePixelConfig(population=8, generations=1, stop=Stop.BUDGET, seed=77)
LINK = {"model": MODEL, "index": "9", "population": "8", "generations": "1"}
MARKUP = "![x](http://evil.example/x.png)"


def request(index: int = 9, **changes: int) -> AttackRequest:
    image, label = find_dataset().test_image(index)
    return AttackRequest(MODEL, image, label, index, replace(QUICK, **changes))


HOSTILE = {
    "a population beyond the page's": {**LINK, "population": "2001"},
    "generations beyond the page's": {**LINK, "generations": "10000"},
    "too long to be shown": {**LINK, "population": "2000", "generations": "1000", "pixels": "16"},
    "a model that is markup": {**LINK, "model": MARKUP},
    "a class that is markup": {**LINK, "target": MARKUP},
    "an index that is markup": {**LINK, "index": MARKUP},
    "a run that is markup": {"run": MARKUP},
    "a run outside": {"run": "../" * 9 + "etc/passwd"},
    "digits without end": {**LINK, "seed": "9" * 5000},
    "letters without end": {**LINK, "strategy": "x" * 15_000},
    "control characters": {**LINK, "fitness": "\x00\x1b[31m\u202e"},
    "a picture that is none": {"model": MODEL, "picture": "A" * 16_000, "label": "cat"},
    "nothing": {"model": "", "index": ""},
}


@pytest.mark.parametrize("page", ["attack", "attention", "compare"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_link_is_a_plain_sentence_or_nothing(page: str, name: str) -> None:
    params = dict(HOSTILE[name])
    if page == "compare":
        params = {"models" if key == "model" else key: value for key, value in params.items()}
    app = open_page(page, params)
    for error in (*app.error, *app.warning):
        assert not re.search(r"(?<!\\)[\[\]<]|http:", error.value)
        assert len(error.value) < 1500
        assert error.value.isprintable() or "\u2060" in error.value


@pytest.mark.parametrize("page", ["attack", "compare"])
def test_a_link_beyond_the_pages_settings_says_so(page: str) -> None:
    model = "model" if page == "attack" else "models"
    params = {**LINK, "population": "2001"} | {model: MODEL}
    app = open_page(page, params)
    assert SERVED["population"] == (4, 2000)
    assert "population" in app.error[0].value
    assert figures(app.error[0].value) == ["2001", "4", "2000"]


# After a restart


def test_an_interrupted_run_waits_to_be_asked_for_again() -> None:
    cut = request(seed=78)
    archive = Archive()  # as the server before had it
    archive.begin(cut)
    archive.close()
    app = open_page("attack", to_params(cut))
    assert app.error[0].value == INTERRUPTED
    assert app.number_input(key="attack.seed").value == 78
    run(app.button(key="attack.again").click())
    wait_for(cut.run_id)
    assert service().view(cut.run_id).outcome is not None


def test_an_ended_run_is_there_at_once() -> None:
    asked = ended(request(seed=79))
    service()._archive.flush()
    with service()._changed:
        del service()._runs[asked.run_id]  # as after a restart
    app = open_page("attack", to_params(asked))
    (shown,) = results(app)
    assert "queries" in shown["detail"]
    assert service().view(asked.run_id).snapshots


def test_a_run_on_an_own_picture_says_that_it_was_not_kept() -> None:
    image = torch.full((3, 32, 32), 7, dtype=torch.uint8)
    own = AttackRequest(MODEL, image, 3, OWN_PICTURE, replace(QUICK, pixels=5))
    archive = Archive()
    archive.begin(own)
    archive.close()
    app = open_page("attack", {"run": own.run_id})
    assert "never written to disk" in app.error[0].value
    assert app.number_input(key="attack.pixels").value == 5
    assert app.session_state["attack.source"] == "Your picture"


def test_a_run_on_an_own_picture_brings_it_back() -> None:
    """By its run and by a link with the picture in it; on the next page too."""
    image = torch.full((3, 32, 32), 90, dtype=torch.uint8)
    own = AttackRequest(MODEL, image, 3, OWN_PICTURE, replace(QUICK, seed=80))
    ended(own)
    for params in ({"run": own.run_id}, to_params(own)):
        app = open_page("attack", params)
        for page in ("attack", "attention", "compare"):
            go(app, page)
            assert app.session_state["attack.source"] == "Your picture"
            assert torch.equal(app.session_state["attack.picture"].image, image)


def test_a_cancelled_run_waits_to_be_asked_for_again() -> None:
    asked = request(seed=81, population=400, generations=1000)
    ticket = service().submit(asked)
    assert service().cancel(ticket.run_id, ticket.token)
    wait_for(asked.run_id)
    app = open_page("attack", to_params(asked))
    assert not service().view(asked.run_id).live
    assert results(app)[0]["verdict"] == "Cancelled"


@pytest.mark.parametrize("page", ["attack", "hand", "compare", "attention", "stickers"])
def test_a_link_to_no_model_says_so_once_and_names_those_that_there_are(page: str) -> None:
    name = "models" if page == "compare" else "model"
    app = open_page(page, {name: "efficientnet-lite", "index": "9"})
    (error,) = app.error
    assert "There is no model 'efficientnet-lite'" in error.value
    assert all(known in error.value for known in (MODEL, LITE0))


def test_a_failed_run_tells_its_error_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the model can say nothing of the picture either."""

    words = "The weights are damaged; restore them."

    def broken(*_: object) -> None:
        raise InputError(words)

    asked = request(seed=88)
    failed = View(asked, Phase.FAILED, error=words)
    monkeypatch.setattr(service(), "view", lambda *_, **__: failed)
    monkeypatch.setattr("apr_ui.run_result.probabilities", broken)
    assert [one.value for one in open_page("attack", to_params(asked)).error] == [words]


def test_an_attention_link_to_no_model_says_so() -> None:
    app = open_page("attention", {"model": f"{MODEL}+lattice", "index": "3"})
    assert "There is no model" in app.error[0].value


def test_a_target_that_was_missed_is_named() -> None:
    cut = replace(request(index=4, seed=82), config=replace(QUICK, target=0, seed=82))
    app = open_page("attack", to_params(ended(cut)))
    assert "It did not become airplane" in results(app)[0]["detail"]


def test_an_unknown_run_says_so() -> None:
    app = open_page("attack", {"run": "0" * 16})
    assert "0" * 16 in app.error[0].value


# What a session may ask


def ask(seeds: int) -> AppTest:
    def script(seeds: int) -> None:
        import streamlit as st

        from apr_core.base.types import InputError
        from apr_ui.resources import service
        from tests.app.test_links import request

        for seed in range(seeds):
            try:
                service().submit(request(2, seed=1000 + seed, generations=900))
            except InputError as error:
                st.error(str(error))
                break
        st.text(str(seed))

    return AppTest.from_function(script, kwargs={"seeds": seeds}, default_timeout=PATIENCE).run()


def test_a_session_has_so_many_runs_going(monkeypatch) -> None:
    monkeypatch.setattr(limits, "MOST_LIVE", 4)
    app = ask(10)
    assert figures(app.error[0].value)[0] == "4"
    assert app.text[0].value == "4"
    assert not ask(3).error  # another session has room of its own


def test_a_session_asks_so_often_a_minute(monkeypatch) -> None:
    monkeypatch.setattr(limits, "MOST_A_MINUTE", 5)
    app = ask(10)
    assert figures(app.error[0].value)[0] == "5"
    assert app.text[0].value == "5"


def test_a_link_of_a_link_stays_the_same() -> None:
    asked = request(seed=5)
    assert from_params(to_params(asked)).run_id == asked.run_id


def test_a_run_that_someone_else_looks_at_goes_on_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same after a page was loaded anew: its own claim of before counts for a while."""
    shared = request(seed=83, population=400, generations=1000)
    first, second = (open_page("attack", to_params(shared)) for _ in range(2))
    assert service().view(shared.run_id).live
    second.button(key="attack.cancel").click().run()
    assert not second.exception
    assert len(second.toast) == 1
    assert service().count_live([shared.run_id]) == 1
    monkeypatch.setattr("apr_core.serving.service.CLAIM_SECONDS", 0.0)
    second.button(key="attack.cancel").click().run()
    assert not second.toast
    assert service().count_live([shared.run_id]) == 0
    assert not first.exception


def test_a_second_click_on_hunt_is_nobody_else() -> None:
    shared = request(seed=85, population=400, generations=1000)
    app = open_page("attack", to_params(shared))
    run(app.button(key="attack.hunt").click())
    assert service().count_live([shared.run_id]) == 1
    run(app.button(key="attack.cancel").click())
    assert not app.toast
    assert service().count_live([shared.run_id]) == 0


@pytest.mark.parametrize("behind", ["", BEHIND_LATTICE])
def test_the_same_on_another_model_is_what_the_controls_then_show(behind: str) -> None:
    asked = replace(request(seed=84), model=f"{MODEL}{behind}")
    app = open_page("attack", to_params(ended(asked)))
    other = "cifar10-resnet20-apr"
    (button,) = [one for one in app.button if one.label == model_title(other)]
    run(button.click())
    assert app.selectbox(key="attack.model").value == other
    assert app.checkbox(key="attack.masked").value == bool(behind)
    current = app.session_state["attack.current-run"]
    assert current.request.model == f"{other}{behind}"
    assert current.request.config == asked.config
    said = f"{model_title(other)}, masked," if behind else model_title(other)
    assert any(f"Attacking {said} with" in caption.value for caption in app.caption)


def test_the_model_that_was_attacked_is_named_whatever_the_controls_say() -> None:
    asked = request(seed=85)
    app = open_page("attack", to_params(ended(asked)))
    run(app.selectbox(key="attack.model").set_value("cifar10-resnet20-dd"))
    words = "Attacking the undefended ResNet-20 with one pixel"
    assert words in [caption.value for caption in app.caption]
    assert any(f"{model_title(MODEL)} **behind lattice masking**" in seal for seal in seals(app))


def test_more_pixels_are_what_the_controls_then_show() -> None:
    asked = request(index=4, seed=82)
    app = open_page("attack", to_params(ended(asked)))
    (button,) = [one for one in app.button if one.label == "Try 3 pixels"]
    run(button.click())
    assert app.number_input(key="attack.pixels").value == 3
    assert app.session_state["attack.current-run"].request.config.pixels == 3
