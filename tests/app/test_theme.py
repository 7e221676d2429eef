"""The theme's colours and those of the charts: enough contrast in light and in dark."""

from __future__ import annotations

import tomllib

import pytest

from apr_ui.charts import AFTER, BEFORE, COLOURS
from apr_ui.player.standalone import _COLOURS
from tests.conftest import ROOT

THEME = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
SHADES = (THEME["light"], THEME["dark"])


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    dark, light = sorted(map(luminance, (first, second)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("shade", SHADES, ids=["light", "dark"])
def test_colours_of_charts_stand_out(shade: dict[str, str]) -> None:
    for colour in {*COLOURS, BEFORE, AFTER}:
        assert contrast(colour, shade["backgroundColor"]) >= 3
        assert contrast(colour, "#000000") >= 4.5


@pytest.mark.parametrize("shade", SHADES, ids=["light", "dark"])
def test_the_themes_pairs_have_contrast(shade: dict[str, str]) -> None:
    assert contrast(shade["primaryColor"], "#ffffff") >= 4.5  # the words of a primary button
    for ground in ("backgroundColor", "secondaryBackgroundColor"):
        assert contrast(shade["textColor"], shade[ground]) >= 4.5
        assert contrast(shade["borderColor"], shade[ground]) >= 3
        assert contrast(shade["primaryColor"], shade[ground]) >= 3


def test_the_file_of_a_run_has_the_apps_colours() -> None:
    for shade in SHADES:
        for name in ("text", "background", "primary"):
            assert shade[f"{name}Color"] in _COLOURS
