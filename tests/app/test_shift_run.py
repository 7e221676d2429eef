"""Every pixel is changed on the Attack page: the controls, the result, the files, the link."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import Tensor

from apr_core import InputError
from apr_core.attacks.shift import ShiftConfig, ShiftStep
from apr_ui.searches import EVERY
from apr_ui.shift_run import (
    ShiftRequest,
    _jobs,
    _record,
    _share_picture,
    found_shift,
    job_of,
    shift_from_params,
    shift_to_params,
)
from tests.app.pages import address_of, open_page, results, run, said
from tests.app.test_searches import pills
from tests.conftest import PATIENCE

MODEL = "cifar10-resnet20-vanilla"
LINK = {"model": MODEL, "index": "3"}


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APR_DATA", str(tmp_path))


def ended(params: dict[str, str]) -> ShiftRequest:
    request = shift_from_params(params)
    assert request is not None
    assert job_of(request).wait(None)
    return request


def drawn_changes(app: AppTest) -> bool:
    """Whether the picture of what has changed is there."""
    captions = [one.caption for group in app.get("image") for one in group.proto.imgs]
    return any("10 times as strong" in caption for caption in captions)


def changed(app: AppTest) -> AppTest:
    """After its run has ended."""
    job_of(app.session_state["attack.shift"]).wait(None)
    return run(app)


def test_every_pixel_is_changed_and_the_link_leads_back() -> None:
    app = open_page("attack", LINK)
    run(pills(app).set_value(EVERY))
    run(app.slider(key="attack.reach").set_value(4))
    button = app.button(key="attack.hunt")
    assert button.label == "Change every pixel"
    changed(run(button.click()))
    (shown,) = results(app)
    assert shown["verdict"].startswith("Flipped: airplane →")
    assert "no value of a pixel changed by more than 4 of 255" in shown["detail"]
    assert shown["edits"] == []
    assert shown["changed"] not in ("", shown["image"])
    assert drawn_changes(app)
    assert address_of(app) == {**LINK, "reach": "4", "steps": "20"}
    again = changed(open_page("attack", address_of(app)))
    assert pills(again).value == EVERY
    assert again.slider(key="attack.reach").value == 4
    assert results(again)[0]["verdict"] == shown["verdict"]


def test_a_search_for_a_pixel_comes_back_where_it_was() -> None:
    app = changed(open_page("attack", {**LINK, "reach": "4", "steps": "1"}))
    assert results(app)[0]["captions"][1].startswith("1 step: ")
    run(pills(app).set_value("1 pixel"))
    assert results(app)[0]["verdict"].startswith("The model says")
    run(pills(app).set_value(EVERY))
    assert results(app)[0]["captions"][1].startswith("1 step: ")


def test_its_steps_can_be_gone_through() -> None:
    where = {"model": "cifar10-resnet20-apr-plus", "index": "10", "reach": "2", "steps": "20"}
    app = changed(open_page("attack", where))
    request = app.session_state["attack.shift"]
    slider = app.slider(key=f"attack.step-{request.run_id}")
    made = job_of(request).made
    assert slider.value == len(made.steps) - 1 > 1
    run(slider.set_value(1))
    assert results(app)[0]["captions"][1].startswith("1 step: ")
    run(slider.set_value(0))
    assert results(app)[0]["captions"][1] == "Nothing is changed yet"


def test_without_reach_the_picture_survives() -> None:
    app = changed(open_page("attack", {**LINK, "reach": "0", "steps": "3"}))
    (shown,) = results(app)
    assert (shown["verdict"], shown["tone"]) == ("Survived: still airplane", "held")
    assert not drawn_changes(app)


def test_its_files_say_what_was_done() -> None:
    request = ended({**LINK, "reach": "4", "steps": "20", "seed": "7"})
    made = job_of(request).made
    kept = json.loads(json.dumps(_record(made)))
    assert (kept["attack"], kept["model"], kept["label"]) == ("PGD", MODEL, "airplane")
    assert kept["config"] == {"reach": 4, "steps": 20, "seed": 7}
    assert kept["flipped"]
    assert len(kept["steps"]) == len(made.steps)
    assert [step["largest_change"] <= 4 for step in kept["steps"]] == [True] * len(made.steps)
    assert kept["steps"][-1]["leading_class"] != "airplane"
    assert _share_picture(made).startswith(b"\x89PNG")


def test_a_link_is_read_as_it_was_written_and_a_run_found_by_its_number() -> None:
    request = ended({**LINK, "reach": "4", "steps": "20", "seed": "7"})
    again = shift_from_params(shift_to_params(request))
    assert again.run_id == request.run_id
    assert again.config == ShiftConfig(4, 20, 7)
    assert found_shift(request.run_id).config == request.config
    assert found_shift("none") is None
    assert shift_from_params(LINK) is None


@pytest.mark.parametrize(
    "wrong", [{"reach": "x"}, {"reach": "256"}, {"reach": "65"}, {"steps": "0"}, {"steps": "-1"}]
)
def test_a_link_that_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        shift_from_params({**LINK, "reach": "8", **wrong})
    assert "Change every pixel" not in said(open_page("attack", {**LINK, **wrong}))


def test_the_same_is_offered_on_other_models() -> None:
    app = changed(open_page("attack", {**LINK, "reach": "8"}))
    offered = [one for one in app.button if one.label.startswith("APR+")]
    assert offered
    run(offered[0].click())
    changed(app)
    assert app.session_state["attack.shift"].base.model != MODEL
    assert address_of(app)["reach"] == "8"


def test_what_is_cancelled_within_a_step_is_not_begun_anew(monkeypatch) -> None:
    step = threading.Event()

    def slow(_: object, image: Tensor, label: int, *more: object) -> Iterator[ShiftStep]:
        yield ShiftStep(image, torch.eye(10)[label])
        assert step.wait(PATIENCE)
        yield ShiftStep(image, torch.eye(10)[label])

    monkeypatch.setattr("apr_ui.shift_run.shift", slow)
    app = open_page("attack", {**LINK, "reach": "1", "steps": "7"})
    request = app.session_state["attack.shift"]
    job = job_of(request)
    try:
        run(app.button(key="attack.cancel").click())
        run(app)  # whatever else a person does meanwhile
        assert _jobs().get(request.run_id) is job
    finally:
        step.set()
    assert job.wait(PATIENCE)
    assert job.made.cut
    assert results(run(app))[0]["verdict"] == "Stopped early"
    _jobs().drop(request.run_id)


def test_what_was_cancelled_is_begun_anew() -> None:
    app = open_page("attack", {**LINK, "reach": "0", "steps": "200"})
    request = app.session_state["attack.shift"]
    job_of(request).cancel()
    changed(app)
    made = job_of(request).made
    if made.cut:  # it may have been quicker
        assert results(app)[0]["verdict"] == "Stopped early"
        changed(run(app.button(key="attack.hunt").click()))
        assert not job_of(request).made.cut
