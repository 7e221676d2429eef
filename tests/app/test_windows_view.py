"""The section on windows of the Attention page: what it draws is what the engine computes."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from apr_core.models.incremental import Layer, Split, layers_of, multiplied
from apr_core.zoo.checkpoints import load_model
from apr_ui.attention import windows
from apr_ui.attention.windows import saving, stages_of, table_of, traced
from tests.app.pages import APR, VANILLA, given, open_page

SIZE = (32, 32)


@pytest.fixture(scope="module")
def layers() -> tuple[Layer, ...]:
    return layers_of(load_model(VANILLA), (3, *SIZE))


def test_windows_grow_from_picture_to_picture(layers: tuple[Layer, ...]) -> None:
    stages = stages_of(layers, SIZE, 0)
    assert [list(stage["window"]) for stage in stages[:7]] == [
        [side, side] for side in (3, 5, 7, 9, 11, 13, 15)
    ]
    for before, after in pairwise(stages):
        assert after["size"] < before["size"] or after["window"] > before["window"]
    assert all(len(stage["rows"]) == len(stage["columns"]) == 32 for stage in stages)
    assert stages[0]["rows"][12] == 11
    assert stages[0]["rows"][0] == 0  # inside the map
    assert stages[0]["rows"][31] == 29
    assert [stage["whole"] for stage in stages] == [
        stage["window"] == stage["size"] for stage in stages
    ]


def test_after_the_cut_whole_maps_are_drawn_and_told(layers: tuple[Layer, ...]) -> None:
    cut = layers[4].step
    stages = stages_of(layers, SIZE, cut)
    assert [stage["whole"] for stage in stages] == [False] * 4 + [True] * (len(stages) - 4)
    table = table_of(layers, cut)
    assert list(table["computed"]) == ["window"] * 4 + ["whole map"] * (len(layers) - 4)
    assert len(table) == len(layers)
    text = saving(layers, cut)
    assert "layer 4," in text
    assert f"**{1 - multiplied(layers, cut):.0%}**" in text


def test_without_an_engine_it_says_so(layers: tuple[Layer, ...]) -> None:
    everything = 1 << 30
    text = saving(layers, 0)
    assert f"**{1 - multiplied(layers, everything):.0%}**" in text
    assert "layer" not in text
    assert "whole map" in set(table_of(layers, 0)["computed"])


def test_the_cut_is_the_one_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = SimpleNamespace(split=lambda pixels: Split(9, 4, 4) if pixels == 1 else None)
    for engine, cut in ((SimpleNamespace(costs=costs), 9), (None, 0)):
        oracle = SimpleNamespace(engine=engine)
        monkeypatch.setattr(windows, "scorer", lambda name, oracle=oracle: oracle)
        assert windows.cut_of(VANILLA) == cut


def test_a_model_that_cannot_be_traced_has_no_layers() -> None:
    assert traced("cifar10-resnet20-it", (3, *SIZE)) is None


def test_nothing_is_traced_until_the_section_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(windows, "_traced", lambda model, *_: asked.append(model))
    state = {"attention.model": APR, "attention.methods": ["saliency"]}
    assert given(open_page("attention", state=state), "stages") == []
    assert asked == []


def test_the_section_shows_the_attacked_pixel_first() -> None:
    state = {"attention.model": VANILLA, "attention.methods": [], "attention.windows": True}
    link = {"model": VANILLA, "index": "3", "edits": "31.0.0a00ff", "methods": "saliency"}
    (shown,) = given(open_page("attention", link, state), "stages")
    assert shown["pixel"] == [31, 0]
    assert (shown["width"], shown["height"]) == SIZE
    assert len(shown["stages"]) > 9
