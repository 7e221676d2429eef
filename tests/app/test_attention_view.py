"""The Attention page: what it shows is what the engine finds."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from apr_core.attacks.oracle import ModelOracle
from apr_core.attacks.result import PixelEdit
from apr_core.attacks.truth_map import TruthMapSearch
from apr_core.base.types import InputError
from apr_core.data.images import to_png
from apr_core.data.registry import find_dataset
from apr_core.explain.agreement import rank_correlation, vulnerability_correlation
from apr_core.explain.attention import attention_of
from apr_core.explain.attributions import attribute
from apr_core.serving.gallery import load_gallery
from apr_core.zoo.checkpoints import load_model
from apr_ui.attention.agreement import agreement
from apr_ui.attention.agreement_words import OUTWEIGHS, WITH_ATTENTION, WITH_TRUTH
from apr_ui.attention.link import MOST_EDITS, AttentionView, view_from_params, view_to_params
from apr_ui.attention.map_files import as_table, map_sheet
from apr_ui.attention.view import ATTENTION, WORDS, Map, limits_of, map_of, methods_of, scenes_of
from apr_ui.heat import heat_picture
from tests.app.pages import APR, VANILLA, given, open_page, run, said

EDITS = (PixelEdit(3, 5, (255, 0, 0)),)


def on(model: str, *methods: str) -> dict[str, object]:
    return {"attention.model": model, "attention.methods": list(methods)}


@pytest.mark.parametrize("method", [ATTENTION, "saliency"])
def test_a_map_is_the_engines(method: str) -> None:
    image, label = find_dataset().test_image(0)
    scene = scenes_of(image, ())[0]
    found = map_of(APR, scene, label, method).values
    model, seen = load_model(APR), image[None].float() / 255
    if method == ATTENTION:
        expected = attention_of(model, seen)[0]
    else:
        expected = attribute(model, seen, torch.tensor([label]), method).maps[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def maps_on(app: AppTest) -> list[dict]:
    """What each row of maps was given, the row of pictures first."""
    return given(app, "pictures")


def test_the_page_shows_the_picture_before_and_after_the_gallerys_attack() -> None:
    app = open_page("attention", state=on(VANILLA, "saliency"))
    pictures, saliency = maps_on(app)
    assert [one["caption"] for one in pictures["pictures"]] == [
        "Before the attack",
        "After the attack",
    ]
    before, after = saliency["pictures"]
    assert before["caption"].startswith("Before the attack · infidelity")
    assert after["caption"].startswith("After the attack · infidelity")
    assert before["edits"] == []
    assert len(after["edits"]) == 1
    assert "the attacked pixel ranks above" in after["alt"]


@pytest.mark.parametrize("kind", ["flips", "holds"])
def test_the_page_says_whether_the_attack_flipped_the_answer(kind: str) -> None:
    entry = next(entry for entry in load_gallery() if entry.kind == kind)
    app = open_page("attention", {"model": entry.model, "index": str(entry.index)}, on(entry.model))
    assert entry.outcome.edits
    assert ("The attack failed" in said(app)) == (not entry.outcome.success)
    assert ("The attack flipped the answer" in said(app)) == entry.outcome.success


def test_the_class_to_explain_is_the_prediction_until_another_is_picked() -> None:
    app = open_page("attention", state=on(VANILLA, "saliency"))
    pills = app.pills(key="attention.class")
    assert pills.label == "Explain why: cat (prediction)"
    run(pills.set_value(5))
    pills = app.pills(key="attention.class")
    assert (pills.label, pills.value) == ("Explain why: dog", 5)


def test_a_model_without_attention_says_so_and_shows_the_rest() -> None:
    app = open_page("attention", state=on(VANILLA, "attention", "saliency"))
    assert "has no attention gate" in said(app)
    assert app.multiselect(key="attention.methods").value == ["saliency"]
    assert "attention" not in methods_of(VANILLA)
    assert methods_of(APR)[0] == "attention"
    assert set(methods_of(APR)) == set(WORDS)


@pytest.mark.parametrize("chosen", [["attention"], ["attention", "saliency"], ["saliency"]])
def test_the_methods_fit_the_model_and_the_gate_comes_back_with_a_gated_one(
    chosen: list[str],
) -> None:
    app = open_page("attention", state=on(APR, *chosen))
    methods = app.multiselect(key="attention.methods")
    assert methods.value == chosen
    run(app.selectbox(key="attention.model").set_value(VANILLA))
    methods = app.multiselect(key="attention.methods")
    assert methods.value
    assert "attention" not in methods.value
    assert WORDS["attention"] not in methods.options
    assert len(maps_on(app)) == 1 + len(methods.value)
    run(app.selectbox(key="attention.model").set_value(APR))
    assert app.multiselect(key="attention.methods").value == chosen


def test_methods_that_were_changed_meanwhile_stay_beside_the_gate() -> None:
    app = open_page("attention", state=on(APR, "attention", "saliency"))
    run(app.selectbox(key="attention.model").set_value(VANILLA))
    run(app.multiselect(key="attention.methods").set_value(["deeplift"]))
    run(app.selectbox(key="attention.model").set_value(APR))
    assert app.multiselect(key="attention.methods").value == ["attention", "deeplift"]


def test_a_link_restores_the_view() -> None:
    params = {
        "model": VANILLA, "index": "3", "class": "4", "methods": "saliency,nonsense",
        "opacity": "0.25", "edits": "31.0.0a00ff",
    }  # fmt: skip
    app = open_page("attention", params)
    assert app.session_state["attention.model"] == VANILLA
    assert app.session_state["attention.class"] == 4
    assert app.session_state["attention.methods"] == ["saliency"]
    (link,) = [code.value for code in app.code if "methods=" in code.value]
    assert link.endswith(
        "model=cifar10-resnet20-vanilla&index=3&methods=saliency&class=4&opacity=0.25"
        "&edits=31.0.0a00ff"
    )
    assert app.slider(key="attention.opacity").value == 0.25
    assert [one["edits"] for one in maps_on(app)[0]["pictures"]] == [[], [[31, 0]]]


def test_a_link_to_no_image_is_one_sentence() -> None:
    params = {"model": VANILLA, "index": "cat"}
    app = open_page("attention", params, {"attention.methods": []})
    assert "which is no test image" in app.error[0].value


def test_the_numbers_are_the_engines_and_the_files_hold_every_value() -> None:
    image, label = find_dataset().test_image(0)
    scenes = scenes_of(image, EDITS)
    methods = [ATTENTION, "saliency"]
    maps = {name: [map_of(APR, scene, label, name) for scene in scenes] for name in methods}
    survey = TruthMapSearch(ModelOracle(load_model(APR)), image, label)
    survey.tell(survey.oracle.query(survey.ask()))
    truth = survey.snapshot()
    table = agreement(APR, scenes, label, maps, truth)
    gate, saliency = (maps[name][0].values[None] for name in methods)
    row = table.iloc[1]
    assert row[WITH_ATTENTION] == rank_correlation(saliency.abs(), gate)[0]
    expected = vulnerability_correlation(saliency.abs(), truth)[0]
    assert row[WITH_TRUTH] == expected
    assert 0 <= row[OUTWEIGHS] <= 1
    whole = as_table(scenes, maps)
    assert len(whole) == 2 * 1024
    line = whole[(whole.picture == "After the attack") & (whole.x == 3) & (whole.y == 5)].iloc[0]
    assert line["saliency"] == maps["saliency"][1].values[5, 3].item()
    sheet = Image.open(io.BytesIO(map_sheet(scenes, maps)))
    assert sheet.width > 3 * 160
    assert sheet.height > 2 * 160


def test_maps_share_a_scale_that_says_where_nothing_is() -> None:
    values = torch.linspace(-1, 3, 1024).view(32, 32)
    signed = [Map("occlusion", values, ""), Map("occlusion", 2 * values, "")]
    assert limits_of(signed, signed=True) == (-6, 6)
    assert limits_of([Map("saliency", values.abs(), "")], signed=False) == (0, 3)
    large = torch.zeros(224, 224)
    large[:30, :30] = 1.0  # 1.8 % of the pixels
    large[0, 0] = 100.0
    assert limits_of([Map("saliency", large, "")], signed=False) == (0, 1)
    gates = [Map(ATTENTION, values, ""), Map(ATTENTION, values + 1, "")]
    assert limits_of(gates, signed=False) == (-1, 4)


def test_the_browser_is_given_every_value() -> None:
    image, _ = find_dataset().test_image(0)
    values = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    sent = heat_picture(image, values.T, "a caption", "words", EDITS)
    floats = np.frombuffer(base64.b64decode(sent["values"]), "<f4").reshape(32, 32)
    assert (floats == values.T.numpy()).all()
    pixels = np.frombuffer(base64.b64decode(sent["image"]), np.uint8).reshape(32, 32, 3)
    assert (pixels == image.permute(1, 2, 0).numpy()).all()
    assert sent["edits"] == [[3, 5]]
    assert heat_picture(image, None, "", "")["values"] == ""


# the link


@pytest.mark.parametrize(
    "view",
    [
        AttentionView(None, ("saliency",), None),
        AttentionView(9, ("attention", "gradcam"), 0.35, EDITS),
        AttentionView(0, ("deeplift",), 0.0, (*EDITS, PixelEdit(0, 31, (1, 2, 3)))),
    ],
)
def test_a_view_survives_its_link(view: AttentionView) -> None:
    assert view_from_params(view_to_params(view), list(WORDS), (32, 32), 10) == view


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("class", "10", "class is '10', but must be a whole number from 0 to 9"),
        ("class", "cat", "class is 'cat'"),
        ("opacity", "1.5", "opacity is '1.5', but must be a number from 0 to 1"),
        ("opacity", "nan", "opacity is 'nan'"),
        ("edits", "32.0.ffffff", "'32.0.ffffff' is no pixel"),
        ("edits", "0.32.ffffff", "'0.32.ffffff' is no pixel"),
        ("edits", "0.0.fffff", "no pixel"),
        ("edits", ",".join(["0.0.ffffff"] * (MOST_EDITS + 1)), f"it may edit {MOST_EDITS}"),
    ],
)
def test_a_view_that_cannot_be_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        view_from_params({name: value}, list(WORDS), (32, 32), 10)


def test_a_picture_of_ones_own_comes_with_the_link() -> None:
    image = find_dataset().test_image(3)[0].flip(2)
    png = base64.urlsafe_b64encode(to_png(image)).decode().rstrip("=")
    params = {"model": APR, "picture": png, "label": "ship", "methods": "attention"}
    app = open_page("attention", params | {"edits": "3.5.ff0000"})
    (before, after), _ = (row["pictures"] for row in maps_on(app))
    assert before["image"] == heat_picture(image, None, "", "")["image"]
    assert after["edits"] == [[3, 5]]
    (link,) = [code.value for code in app.code if "methods=" in code.value]
    assert png in link
    assert "label=ship" in link
