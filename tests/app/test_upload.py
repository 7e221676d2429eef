"""A person's own picture on the pages: tied to its file (handed cases of kind 9)."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from apr_core import Stop
from apr_core.data.decode import MAX_BYTES
from apr_core.data.images import to_png
from apr_core.data.registry import find_dataset
from apr_ui import upload
from apr_ui.choose_picture import CAMERA, GALLERY, UPLOAD
from apr_ui.model_names import model_title
from apr_ui.permalink import to_params
from apr_ui.proof.certificate import NEEDS_CLASS, NO_RIGHT_ANSWER
from apr_ui.resources import probabilities, service
from apr_ui.upload import ASK, NONE
from tests.app.pages import APR, VANILLA, address_of, go, open_page, run, said, seals, wait_for

PAGES = ("attack", "hand", "compare", "attention")
MINE = find_dataset().test_image(9)[0]
SOUND = ("mine.png", to_png(MINE), "image/png")
OTHER = ("other.jfif", to_png(find_dataset().test_image(3)[0]), "image/jpeg")
NO_PICTURE = ("notes.png", b"hello", "image/png")


def open_uploader(page: str = "attack") -> AppTest:
    app = open_page(page)
    return app.segmented_control(key="attack.source").set_value(UPLOAD).run()


def put(app: AppTest, file: tuple[str, bytes, str] | None) -> AppTest:
    app.file_uploader(key="attack.file").set_value(file)
    return app.run()


def hunt(app: AppTest) -> AppTest:
    """Attack the picture shortly, and see the end."""
    run(app.number_input(key="attack.population").set_value(4))
    run(app.number_input(key="attack.generations").set_value(0))
    run(app.button(key="attack.hunt").click())
    wait_for(app.session_state["attack.current-run"].ticket.run_id)
    return run(app)


def removal(app: AppTest) -> list[Any]:
    """The button that removes a picture whose file is no longer held."""
    return [button for button in app.button if button.label == "Remove the picture"]


def armed(app: AppTest) -> bool:
    """Whether there is a picture, its true class may be said, and it can be attacked."""
    picture = "attack.picture" in app.session_state
    chooser = any(box.key == "attack.truth" for box in app.selectbox)
    hunts = [button.disabled for button in app.button if button.key == "attack.hunt"]
    assert picture == chooser
    assert hunts in ([], [not picture])
    assert not app.exception
    return picture


@pytest.mark.parametrize("page", PAGES)
def test_a_picture_goes_with_its_file(page: str) -> None:
    app = put(open_uploader(page), SOUND)
    assert armed(app)
    run(app.selectbox(key="attack.truth").set_value("cat"))
    assert not armed(put(app, None))
    assert armed(put(app, OTHER))
    assert app.selectbox(key="attack.truth").value == ASK


def test_the_classes_that_the_models_know_are_listed_before_and_after_the_file() -> None:
    known = ", ".join(find_dataset().classes)
    app = open_uploader()
    assert known in said(app)
    put(app, SOUND)
    assert known in said(app)


@pytest.mark.parametrize("truth", [ASK, NONE, "cat"])
def test_a_picture_of_none_of_the_classes_has_no_certificate(truth: str) -> None:
    app = put(open_uploader(), SOUND)
    run(app.selectbox(key="attack.truth").set_value(truth))
    assert ("No answer of the model can be right" in said(app)) == (truth == NONE)
    run(app.number_input(key="attack.generations").set_value(0))
    run(app.button(key="attack.hunt").click())
    wait_for(app.session_state["attack.current-run"].ticket.run_id)
    run(app)
    labels = [box.label for box in app.expander]
    assert any(label.startswith("Certificate") for label in labels) == (truth == "cat")
    assert (NEEDS_CLASS in said(app)) == (truth == ASK)
    assert (NO_RIGHT_ANSWER in said(app)) == (truth == NONE)


def test_the_class_that_is_named_after_the_run_is_the_one_that_is_certified() -> None:
    app = hunt(put(open_uploader(), SOUND))
    assert not seals(app)
    run(app.selectbox(key="attack.truth").set_value("ship"))
    (seal,) = seals(app)
    assert "ship" in seal


@pytest.mark.parametrize("after_a_run", [False, True])
def test_a_file_that_is_no_picture_takes_the_one_before_away(after_a_run: bool) -> None:
    """Handed cases of kind 9: nothing is hunted that the uploader no longer shows."""
    app = put(open_uploader(), SOUND)
    run(app.selectbox(key="attack.truth").set_value("cat"))
    if after_a_run:
        hunt(app)
    assert not armed(put(app, NO_PICTURE))
    assert "notes.png" in app.error[0].value
    assert "notes.png" in app.run().error[0].value
    assert not armed(put(app, None))
    assert not app.error
    assert armed(put(app, SOUND))
    assert not removal(app)  # the file's own cross does it
    assert app.selectbox(key="attack.truth").value == ASK


def test_a_file_that_is_no_picture_is_said_to_be_none_at_every_run_of_the_page() -> None:
    app = put(open_uploader(), NO_PICTURE)
    assert not armed(app)
    assert "notes.png" in app.run().error[0].value
    run(app.segmented_control(key="attack.source").set_value(CAMERA))
    assert not app.error


def test_without_a_photograph_the_camera_says_what_to_do_and_the_picture_can_be_removed() -> None:
    app = put(open_uploader(), SOUND)
    run(app.segmented_control(key="attack.source").set_value(CAMERA))
    assert "allow the camera" in said(app)
    (remove,) = removal(app)
    run(remove.click())
    assert not armed(app)
    assert "allow the camera" in said(app)


@pytest.mark.parametrize("truth", [ASK, NONE, "cat"])
def test_a_run_that_is_opened_again_claims_no_class_that_nobody_gave(truth: str) -> None:
    """By its address, by a link with the picture in it, and after the server lost the picture."""
    app = put(open_uploader(), SOUND)
    run(app.selectbox(key="attack.truth").set_value(truth))
    request = hunt(app).session_state["attack.current-run"].request
    kept = truth if truth == "cat" else ASK
    for params in (address_of(app), to_params(request)):
        again = open_page("attack", params)
        assert again.selectbox(key="attack.truth").value == kept
        assert again.session_state["attack.current-run"].request.run_id == request.run_id
    service()._archive.flush()
    with service()._changed:
        del service()._runs[request.run_id]  # as after a restart
    lost = put(open_page("attack", address_of(app)), SOUND)
    assert lost.selectbox(key="attack.truth").value == kept


@pytest.mark.parametrize("truth", [ASK, "automobile"])
def test_a_game_that_is_opened_again_claims_no_class_that_nobody_gave(truth: str) -> None:
    app = put(open_uploader("hand"), SOUND)
    run(app.selectbox(key="attack.truth").set_value(truth))
    place = app.session_state["hand.place"]
    name = app.session_state["hand.games"][place][0]
    unnamed = {"prediction": "automobile"} if truth == ASK else {}
    again = open_page("hand", {"game": name, **unnamed})
    assert again.selectbox(key="attack.truth").value == truth
    link = next(code.value for code in app.code if "picture=" in code.value)
    assert ("prediction=" in link) == (truth == ASK)
    assert ("label=" in link) == (truth != ASK)


def test_on_another_model_a_class_that_nobody_gave_is_that_models_prediction() -> None:
    images = list(find_dataset().sample().images[:200])
    first, second = (probabilities(model, images).argmax(1) for model in (VANILLA, APR))
    place = int((first != second).nonzero()[0])
    app = hunt(put(open_uploader(), ("odd.png", to_png(images[place]), "image/png")))
    run(next(one for one in app.button if one.label == model_title(APR)).click())
    asked = app.session_state["attack.current-run"].request
    assert (asked.model, asked.label, asked.named) == (APR, int(second[place]), False)


def test_a_hidden_run_that_is_shown_again_finds_the_whole_picture_as_it_was() -> None:
    content = io.BytesIO()
    Image.linear_gradient("L").resize((90, 60)).save(content, "PNG")
    app = put(open_uploader(), ("mine.png", content.getvalue(), "image/png"))
    before = app.session_state["attack.picture"]
    for name, value in (("population", 2000), ("generations", 1000)):
        app.number_input(key=f"attack.{name}").set_value(value)
    app.selectbox(key="attack.stop").set_value(Stop.BUDGET)
    run(app.button(key="attack.hunt").click())
    run(app.segmented_control(key="attack.source").set_value(GALLERY))
    assert "The attack on your picture is still running" in said(app)
    run(app.button(key="attack.show").click())
    assert app.session_state["attack.picture"] is before
    assert before.warnings
    run(app.button(key="attack.cancel").click())


def test_a_file_is_read_once_and_its_memory_given_back(monkeypatch) -> None:
    reads, released = [], []
    read, release = upload.read_picture, upload._release
    monkeypatch.setattr(upload, "read_picture", lambda *file: reads.append(file) or read(*file))
    monkeypatch.setattr(upload, "_release", lambda file: (released.append(file), release(file)))
    app = put(open_uploader(), SOUND)
    run(app.checkbox(key="attack.masked").check())
    run(app)
    assert armed(app)
    assert len(reads) == len(released) == 1
    assert torch.equal(app.session_state["attack.picture"].image, MINE)


def test_a_picture_stays_on_the_next_page_and_can_be_removed_there() -> None:
    app = put(open_uploader(), SOUND)
    run(app.selectbox(key="attack.truth").set_value("cat"))
    assert armed(go(app, "compare"))
    assert app.selectbox(key="attack.truth").value == "cat"
    next(button for button in app.button if button.label == "Remove the picture").click().run()
    assert not armed(app)


def test_a_class_that_is_awaited_is_kept_for_the_file_that_comes() -> None:
    def script() -> None:
        import streamlit as st

        from apr_ui.upload import await_own, choose_own

        if "awaited" not in st.session_state:
            st.session_state["awaited"] = True
            await_own(8)
        st.session_state["chosen"] = choose_own()

    app = AppTest.from_function(script, default_timeout=60).run()
    assert app.session_state["chosen"] is None
    assert put(app, SOUND).session_state["chosen"][1] == 8
    assert app.selectbox(key="attack.truth").value == find_dataset().classes[8]


def test_the_names_of_jpegs_are_all_taken_and_the_limit_is_told() -> None:
    widget = open_uploader().file_uploader(key="attack.file")
    assert {".jfif", ".jpe", ".jpg", ".jpeg", ".png", ".webp", ".bmp"} <= set(widget.allowed_type)
    assert str(MAX_BYTES // 2**20) in widget.label
