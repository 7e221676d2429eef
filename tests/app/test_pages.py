"""Every page runs, from the page table, without a browser."""

from __future__ import annotations

import base64
import io
import json
import shutil
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from apr_core import OnePixelConfig
from apr_core.base.types import InputError, Stop, Strategy
from apr_core.data.images import OWN_PICTURE
from apr_core.data.registry import find_dataset
from apr_core.serving.gallery import load_gallery, request_of
from apr_core.serving.requests import BEHIND_LATTICE, AttackRequest, RunView
from apr_core.serving.run_export import START_RUN, load_recording, record, to_json
from apr_core.serving.service import AttackService
from apr_core.zoo.checkpoints import checkpoint_folder
from apr_ui.choose_picture import GALLERY, TESTS
from apr_ui.model_names import model_title
from apr_ui.page_table import PAGES
from apr_ui.permalink import from_params, to_params
from apr_ui.pictures import animation, magnified, mapped, ringed
from apr_ui.proof.truth import BARE, MASKED, as_table, truth_map_text
from apr_ui.safety.worth import CURVE_TERMS
from apr_ui.terms import TERMS
from tests.app.pages import APR, VANILLA, forget_all, go, open_page, run, wait_for
from tests.conftest import PATIENCE, wait_until


@pytest.mark.parametrize("entry", PAGES, ids=lambda entry: entry.key)
def test_every_page_runs(entry) -> None:
    app = open_page(entry.key)
    assert app.title[0].value == entry.heading


def test_terms_are_explained_on_the_pages_that_use_them() -> None:
    used = {entry.key: entry.terms for entry in PAGES}
    used["safety"] += CURVE_TERMS
    assert {term for terms in used.values() for term in terms} == set(TERMS)
    for entry in PAGES:
        app = open_page(entry.key)
        opened = {one.proto.popover.label: one.markdown for one in app.get("popover")}
        shown = {label: texts[0].value for label, texts in opened.items() if texts}
        assert {term: shown.get(term) for term in used[entry.key]} == {
            term: TERMS[term] for term in used[entry.key]
        }


def test_the_attack_page_takes_every_setting() -> None:
    app = open_page("attack")
    app.number_input(key="attack.pixels").set_value(3)
    app.selectbox(key="attack.strategy").set_value(Strategy.BEST1BIN)
    run(app)
    assert app.number_input(key="attack.pixels").value == 3
    assert app.selectbox(key="attack.strategy").value == "best1bin"


@pytest.mark.parametrize("behind", [BARE, MASKED])
def test_a_map_is_drawn_on_request(behind: str) -> None:
    def script() -> None:
        from apr_core.data.registry import find_dataset
        from apr_ui.proof.truth import offer_map

        offer_map("cifar10-resnet20-vanilla", *find_dataset().test_image(0))

    app = AppTest.from_function(script, default_timeout=PATIENCE).run()
    assert not any("pixels fool the model" in text.value for text in app.markdown)
    run(app.segmented_control(key="attack.map-of").set_value(behind))
    run(app.button(key="attack.map-draw").click())
    ticket = app.session_state["attack.map-ticket"]
    found = wait_for(ticket.run_id).outcome
    run(app)
    assert any(text.value == f"**{truth_map_text(found)}**" for text in app.markdown)
    assert f"{int(found.broken.sum()):,} of 1,024 pixels fool the model" in truth_map_text(found)
    assert bool(found.certified.any()) == (behind == MASKED)
    table = as_table(found)
    assert table["known"].value_counts().to_dict().get("broken", 0) == int(found.broken.sum())
    assert len(table) == 1024
    picture = mapped(find_dataset().test_image(0)[0], found, 12)
    for flip in found.flips():
        assert picture.getpixel((flip.x * 12 + 6, flip.y * 12 + 6)) == flip.rgb
    run(app.segmented_control(key="attack.map-of").set_value(MASKED if behind == BARE else BARE))
    assert not any("pixels fool the model" in text.value for text in app.markdown)


def request(index: int = 0, **settings) -> AttackRequest:
    image, label = find_dataset().test_image(0)
    model = VANILLA
    return AttackRequest(model, image, label, index, OnePixelConfig(**settings))


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(seed=7, pixels=3, population=50, generations=9, l2_penalty=0.25),
        request(target=5, strategy="best1bin", fitness="margin", stop=Stop.BUDGET),
        request(OWN_PICTURE, seed=1),
        replace(request(), model=VANILLA + BEHIND_LATTICE),
    ],
    ids=["defaults", "numbers", "names", "picture", "lattice"],
)
def test_a_link_makes_the_same_run_again(asked: AttackRequest) -> None:
    again = from_params(to_params(asked))
    assert again.run_id == asked.run_id
    assert torch.equal(again.image, asked.image)


def test_a_link_leaves_defaults_out() -> None:
    assert to_params(request()) == {"model": VANILLA, "index": "0"}


@pytest.mark.parametrize("params", [{}, {"model": "x"}, {"index": "3"}, {"utm": "y"}])
def test_an_address_that_names_no_run_is_none(params: dict[str, str]) -> None:
    assert from_params(params) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"index": "-1"},
        {"index": "10000"},
        {"index": "1" * 500},
        {"seed": "x"},
        {"pixels": "1e9"},
        {"l2_penalty": "nan"},
        {"strategy": "<b>"},
        {"target": "12"},
        {"picture": "!!!", "label": "cat"},
        {"picture": "A" * 20_000, "label": "cat"},
    ],
    ids=str,
)
def test_a_damaged_link_is_one_plain_error(changed: dict[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        from_params({"model": VANILLA, "index": "0"} | changed)
    assert len(str(caught.value)) < 400


def test_the_magnified_pixel_stands_in_the_middle() -> None:
    entry = load_gallery()[0]
    image, _ = find_dataset().test_image(entry.index)
    edit = entry.outcome.edits[0]
    picture = magnified(entry.outcome.apply(image), edit)
    assert picture.getpixel((112, 112)) == tuple(edit.rgb)
    assert ringed(image, entry.outcome.edits).size == (384, 384)


def test_the_start_page_plays_a_run_that_flipped() -> None:
    recording = load_recording(START_RUN)
    assert recording["status"] == "flipped"
    frames = recording["frames"]
    assert [frame["generation"] for frame in frames] == list(range(len(frames)))
    assert len(frames) >= 3


def test_an_export_of_the_first_format_is_read() -> None:
    old = json.loads(START_RUN.read_text())
    assert old["format"] == 1
    for before, after in zip(old["frames"], load_recording(START_RUN)["frames"], strict=True):
        xy, p = (np.frombuffer(base64.b64decode(before[name]), "u1") for name in ("xy", "p"))
        assert np.array_equal(np.frombuffer(base64.b64decode(after["xy"]), "<i2"), xy)
        true = np.frombuffer(base64.b64decode(after["true"]), "<f4")
        assert np.array_equal((true * 255).round(), p)
        assert (before["walk"] is None) == (after["walk"] is None)
        if walk := after["walk"]:
            assert walk["child_true"] == before["walk"]["child"]["p"]
            assert [[edit["x"], edit["y"]] for edit in walk["child"]] == before["walk"]["child"][
                "xy"
            ]
            assert [edit["rgb"] for edit in walk["donors"][2]] == before["walk"]["donors"][2]["rgb"]


@pytest.mark.parametrize("spoiled", [{"p": ""}, {"xy": "*"}, {"walk": {"slot": 1}}])
def test_a_damaged_frame_of_the_first_format_is_refused(tmp_path, spoiled: dict[str, Any]) -> None:
    old = json.loads(START_RUN.read_text())
    old["frames"][1] |= spoiled
    path = tmp_path / "run.json"
    path.write_text(json.dumps(old))
    with pytest.raises(InputError, match="not a recording"):
        load_recording(path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 99}', "null"])
def test_a_damaged_recording_is_refused(tmp_path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not a recording"):
        load_recording(path)


@pytest.fixture(scope="module")
def shortest_run() -> RunView:
    """The gallery's run of the fewest generations, at its end."""
    made = AttackService()
    shortest = min(load_gallery(), key=lambda entry: entry.outcome.generations)
    ticket = made.submit(request_of(shortest))
    wait_until(lambda: not made.view(ticket.run_id).live)
    view = made.view(ticket.run_id)
    made.close()
    return view


def test_an_export_is_read_as_it_was_written(tmp_path, shortest_run: RunView) -> None:
    path = tmp_path / "run.json"
    path.write_text(to_json(record(shortest_run)))
    written = json.loads(path.read_text())
    assert load_recording(path) == written
    for frame in written["frames"]:
        del frame["other_walks"]  # as version 0.1 wrote it
    path.write_text(json.dumps(written))
    assert load_recording(path) == written


def test_the_animation_has_a_frame_a_generation(shortest_run: RunView) -> None:
    gif = Image.open(io.BytesIO(animation(shortest_run, "Flipped")))
    assert gif.format == "GIF"
    assert gif.n_frames == len(shortest_run.snapshots) + 1


@pytest.fixture
def damaged_checkpoints(tmp_path, monkeypatch):
    """Copies of the checkpoints, one with its weights cut short and one with a broken card."""
    shutil.copytree(checkpoint_folder(), tmp_path / "checkpoints")
    monkeypatch.setenv("APR_CHECKPOINTS", str(tmp_path / "checkpoints"))
    forget_all()
    yield tmp_path / "checkpoints"
    forget_all()


def test_damaged_weights_are_told_on_the_page(damaged_checkpoints) -> None:
    weights = damaged_checkpoints / "cifar10-resnet20-vanilla.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    app = open_page("attack")
    assert "are damaged" in app.error[0].value
    assert app.selectbox(key="attack.model").value == VANILLA


def test_weights_that_are_missing_are_said_to_be(damaged_checkpoints) -> None:
    name = "cifar10-vgg16-apr-plus"
    (damaged_checkpoints / f"{name}.safetensors").unlink()
    app = open_page("attack")
    run(app.checkbox(key="attack.more-models").check())
    models = app.selectbox(key="attack.model")
    missing = [option for option in models.options if "missing" in option]
    assert [option.partition(" · ")[0] for option in missing] == [model_title(name)]
    models.set_value(name).run()
    assert not app.exception
    assert any(f"{name}.safetensors" in line.value for line in app.caption)


def test_a_damaged_card_leaves_the_other_models(damaged_checkpoints) -> None:
    (damaged_checkpoints / "cifar10-resnet20-apr.json").write_text("{}")
    app = open_page("attack")
    assert "is not a model card" in app.warning[0].value
    assert app.selectbox(key="attack.model").value == VANILLA


WITH_PICTURES = ("attack", "hand", "attention", "compare")


@pytest.mark.parametrize(("first", "second"), list(permutations(WITH_PICTURES, 2)))
def test_what_is_set_on_one_page_stands_on_the_next(first: str, second: str) -> None:
    """Also where nothing was touched, and so only the app has given the controls their values."""
    app = open_page(first)
    for page in (second, first):
        assert go(app, page).session_state["attack.source"] == GALLERY
    chosen = {"attack.source": TESTS, "attack.class": "dog", "attack.number": 7}
    for key, value in chosen.items():
        app.session_state[key] = value
    run(app)
    go(app, second, "start", second)
    assert {key: app.session_state[key] for key in chosen} == chosen


def test_the_settings_of_a_link_stand_on_every_page() -> None:
    image, label = find_dataset().test_image(5)
    config = OnePixelConfig(pixels=3, population=50, generations=7, seed=9, stop=Stop.BUDGET)
    app = open_page("attack", to_params(AttackRequest(APR, image, label, 5, config)))
    for page in ("compare", "start", "attack"):
        app.query_params.clear()
        go(app, page)
    assert app.number_input(key="attack.population").value == 50
    assert app.number_input(key="attack.pixels").value == 3
    assert app.selectbox(key="attack.stop").value == Stop.BUDGET
    assert app.selectbox(key="attack.model").value == APR


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My Model", "cannot name a model"),
        (APR, "is the name of a model that came with the project"),
    ],
)
def test_a_name_that_a_training_cannot_have_is_told(name: str, said: str) -> None:
    app = open_page("train")
    run(app.text_input(key="train.name").set_value(name))
    assert said in app.error[0].value
    assert app.button(key="train.start").disabled
