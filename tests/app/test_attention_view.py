"""The Attention page: what it shows is what the engine finds."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from apr_core.attacks.result import PixelEdit
from apr_core.attacks.scoring import Scorer
from apr_core.attacks.truth_map import Survey
from apr_core.data.sample import load_test_image
from apr_core.explain.agreement import rank_correlation, vulnerability_correlation
from apr_core.explain.attention import attention_of
from apr_core.explain.attributions import attribute
from apr_core.zoo import load_model
from apr_ui.attention import (
    ATTENTION,
    WORDS,
    agreement,
    as_table,
    contact_sheet,
    map_of,
    methods_of,
    scenes_of,
)
from apr_ui.map_charts import overlay
from tests.conftest import ROOT

APR, VANILLA = "cifar10-resnet20-apr", "cifar10-resnet20-vanilla"
EDITS = (PixelEdit(3, 5, (255, 0, 0)),)


def open_page(**state: object) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in state.items():
        app.session_state[f"attention.{name}"] = value
    app.switch_page("pages/attention.py")
    return app.run()


@pytest.mark.parametrize("method", [ATTENTION, "saliency"])
def test_a_map_is_the_engines(method: str) -> None:
    image, label = load_test_image(0)
    scene = scenes_of(image, ())[0]
    found = map_of(APR, scene, label, method).values
    model, seen = load_model(APR), image[None].float() / 255
    if method == ATTENTION:
        expected = attention_of(model, seen)[0]
    else:
        expected = attribute(model, seen, torch.tensor([label]), method).maps[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_page_shows_the_picture_before_and_after_the_gallerys_attack() -> None:
    app = open_page(model=VANILLA, methods=["saliency"])
    assert not app.exception
    captions = [caption.value for caption in app.caption]
    assert any(caption.startswith("Before the attack · infidelity") for caption in captions)
    assert any(caption.startswith("After it · infidelity") for caption in captions)
    assert len(app.get("plotly_chart")) == 2


def test_a_model_without_attention_says_so_and_shows_the_rest() -> None:
    app = open_page(model=VANILLA, methods=["attention", "saliency"])
    assert not app.exception
    assert "has no attention of its own" in app.info[0].value
    assert "attention" not in methods_of(VANILLA)
    assert methods_of(APR)[0] == "attention"
    assert set(methods_of(APR)) == set(WORDS)


def test_a_link_restores_the_view() -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in {
        "model": VANILLA, "index": "3", "class": "4", "methods": "saliency,nonsense",
    }.items():  # fmt: skip
        app.query_params[name] = value
    app.switch_page("pages/attention.py")
    app.run()
    assert not app.exception
    assert app.session_state["attention.model"] == VANILLA
    assert app.session_state["attention.class"] == 4
    assert app.session_state["attention.methods"] == ["saliency"]
    assert app.code[0].value.endswith(
        "model=cifar10-resnet20-vanilla&index=3&class=4&methods=saliency"
    )


def test_a_link_to_no_image_is_one_sentence() -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    app.query_params["model"], app.query_params["index"] = VANILLA, "cat"
    app.session_state["attention.methods"] = []
    app.switch_page("pages/attention.py")
    app.run()
    assert not app.exception
    assert "which is no test image" in app.error[0].value


def test_the_numbers_are_the_engines_and_the_files_hold_every_value() -> None:
    image, label = load_test_image(0)
    scenes = scenes_of(image, EDITS)
    methods = [ATTENTION, "saliency"]
    maps = {name: [map_of(APR, scene, label, name) for scene in scenes] for name in methods}
    survey = Survey(Scorer(load_model(APR)), image, label)
    survey.advance(survey.scorer.score(survey.propose()))
    truth = survey.snapshot()
    table = agreement(APR, scenes, label, maps, truth)
    gate, saliency = (maps[name][0].values[None] for name in methods)
    row = table.iloc[1]
    assert row["rank correlation with attention"] == rank_correlation(saliency.abs(), gate)[0]
    expected = vulnerability_correlation(saliency.abs(), truth)[0]
    assert row["rank correlation with the truth map"] == expected
    assert 0 <= row["share of pixels that the attacked one outweighs"] <= 1
    whole = as_table(scenes, maps)
    assert len(whole) == 2 * 1024
    line = whole[(whole.picture == "After it") & (whole.x == 3) & (whole.y == 5)].iloc[0]
    assert line["saliency"] == maps["saliency"][1].values[5, 3].item()
    sheet = Image.open(io.BytesIO(contact_sheet(scenes, maps)))
    assert sheet.width > 3 * 160
    assert sheet.height > 2 * 160


def test_a_signed_map_has_a_symmetric_scale() -> None:
    image, _ = load_test_image(0)
    values = torch.linspace(-1, 3, 1024).view(32, 32)
    heat = overlay(image, values, 3.0, signed=True, opacity=0.5).data[1]
    assert (heat.zmin, heat.zmax) == (-3.0, 3.0)
    assert overlay(image, values, 3.0, signed=False, opacity=0.5).data[1].zmin == 0
    assert len(overlay(image, values, 3.0, True, 0.5, EDITS).data) == 3
