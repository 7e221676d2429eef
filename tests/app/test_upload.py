"""A person's own picture on the pages: tied to its file (handed cases of kind 9)."""

from __future__ import annotations

import pytest
import torch
from streamlit.testing.v1 import AppTest

from apr_core.data.decode import MAX_BYTES
from apr_core.data.images import to_png
from apr_core.data.registry import find_dataset
from apr_ui import upload
from apr_ui.choose_picture import UPLOAD
from apr_ui.upload import ASK, NONE
from tests.app.pages import go, open_page, run, said, wait_for

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


def test_a_file_that_is_no_picture_takes_the_one_before_away() -> None:
    app = put(open_uploader(), SOUND)
    run(app.selectbox(key="attack.truth").set_value("cat"))
    assert not armed(put(app, NO_PICTURE))
    assert "notes.png" in app.error[0].value
    assert "notes.png" in app.run().error[0].value
    assert armed(put(app, SOUND))
    assert not app.error
    assert app.selectbox(key="attack.truth").value == ASK


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
