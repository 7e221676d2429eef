"""Every page in both themes: axe-core, contrast, names of controls, focus in the navigation.

axe-core (Deque, MPL-2.0) is fetched from npm at a pinned version, verified by its hash, and kept
beside the downloaded data sets; it is no part of the project.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from apr_core.base.files import write_whole
from apr_core.data.cifar10 import FAULTS, data_folder, npm_package
from apr_ui.page_table import PAGES
from tests.browser.conftest import DARK, DESKTOP, LIGHT, PHONE, Server
from tests.browser.test_compare_page import FINISHED, QUICK
from tests.conftest import wait_until

AXE = "axe-core@4.14.1"
AXE_FILE = "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
SERIOUS = ("serious", "critical")
ORDER = "heading-order"
"""A rule of axe-core that it calls moderate: no heading leaves out a level."""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
THEMES = (("light", LIGHT), ("dark", DARK))
FOUND = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .map(({id, impact, nodes}) => [id, impact, nodes.map(({target}) => String(target))])"""
SETTLED = """() => !document.querySelector("[data-testid=stSkeleton], [data-testid=stSpinner]")
    && [...document.querySelectorAll("[data-testid=stPlotlyChart]")]
        .every(chart => chart.querySelector(".main-svg"))
    && document.getAnimations().every(({playState, effect}) => playState !== "running"
        || effect.getComputedTiming().iterations === Infinity)"""
CONTROL = re.compile(
    r"^\s*- '?(button|radio|checkbox|switch|link|slider|textbox|combobox|tab) "
    r"\"((?:[^\"\\]|\\.)+)\"",
    re.MULTILINE,
)
STREAMLITS = {"Help", "Open", "Clear all", "Increment", "Decrement"}
"""Buttons that Streamlit names, the same in every field."""


@pytest.fixture(scope="session")
def axe() -> str:
    """The script axe-core, whole."""
    kept = data_folder() / f"{AXE}.js"
    if not kept.exists():
        try:
            with npm_package(AXE) as read:
                write_whole(kept, read(AXE_FILE))
        except FAULTS as error:
            pytest.skip(f"{AXE} could not be fetched from npm: {type(error).__name__}")
    script = kept.read_bytes()
    found = hashlib.sha256(script).hexdigest()
    assert found == AXE_SHA256, f"{kept} is not {AXE}; delete it"
    return script.decode()


def in_each_theme(page: Page) -> Iterator[str]:
    """The page in one theme after the other, drawn to its end."""
    app = page.get_by_test_id("stApp")
    for scheme, background in THEMES:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        expect(app).to_have_css("background-color", background)
        expect(app).to_have_attribute("data-test-script-state", "notRunning")
        page.wait_for_load_state("networkidle")
        page.wait_for_function(SETTLED)
        yield scheme


@pytest.mark.parametrize("key", [entry.key for entry in PAGES])
def test_a_page_is_accessible(key: str, axe: str, server: Server, page: Page) -> None:
    page.goto(f"{server.url}/{key if key != PAGES[0].key else ''}")
    for scheme in in_each_theme(page):
        page.evaluate(axe)
        found = page.evaluate(FOUND)
        violations = [one for one in found if one[1] in SERIOUS or one[0] == ORDER]
        assert violations == [], f"axe on {key}, {scheme}"


@pytest.mark.parametrize("key", [entry.key for entry in PAGES])
def test_a_page_has_contrast_and_its_controls_have_names(
    key: str, server: Server, page: Page
) -> None:
    page.goto(f"{server.url}/{key if key != PAGES[0].key else ''}")
    for scheme in in_each_theme(page):
        assert page.evaluate(CONTRAST) == [], f"contrast on {key}, {scheme}"
    names = Counter(CONTROL.findall(page.locator("body").aria_snapshot()))
    twice = [name for name, times in names.items() if times > 1 and name[1] not in STREAMLITS]
    assert twice == []


def test_an_ended_race_is_accessible(axe: str, server: Server, page: Page) -> None:
    """Its cards and their marks, which no page shows at first."""
    page.goto(server.url + QUICK)
    expect(page.get_by_text(FINISHED)).to_be_visible()
    for scheme in in_each_theme(page):
        page.evaluate(axe)
        found = page.evaluate(FOUND)
        assert [one for one in found if one[1] in SERIOUS or one[0] == ORDER] == [], scheme
        assert page.evaluate(CONTRAST) == [], scheme


def test_the_checks_find_what_is_wrong(axe: str, server: Server, page: Page) -> None:
    page.goto(f"{server.url}/responsible")
    next(in_each_theme(page))
    page.get_by_role("heading", level=1).evaluate(
        "heading => { heading.innerHTML = 'pale <input style=\"border: 1px solid #eee\">';"
        "heading.style.color = '#aaa'; heading.insertAdjacentHTML('afterend', '<h3>low</h3>'); }"
    )
    page.evaluate(axe)
    assert {one[0] for one in page.evaluate(FOUND)} >= {"color-contrast", "label", ORDER}
    text, control = page.evaluate(CONTRAST)
    assert '"pale"' in text
    assert "the control" in control


def test_focus_is_seen_in_the_navigation(server: Server, page: Page) -> None:
    focused = "getComputedStyle(document.activeElement)"

    def in_header() -> bool:
        page.keyboard.press("Tab")
        return bool(page.evaluate("!!document.activeElement.closest('[data-testid=stHeader]')"))

    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        page.goto(f"{server.url}/responsible")
        for _ in in_each_theme(page):
            wait_until(in_header)
            outline = f"[{focused}.outlineStyle, {focused}.outlineWidth, {focused}.outlineColor]"
            ink = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
            assert page.evaluate(outline) == ["solid", "2px", ink]
