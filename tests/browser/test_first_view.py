"""What a visitor sees without scrolling: both pictures, the bars and the verdict, and no jump."""

from __future__ import annotations

from contextlib import closing

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from apr_core.attacks.config import OnePixelConfig
from apr_core.data.registry import find_dataset
from apr_core.serving.gallery import load_gallery
from apr_core.serving.requests import AttackRequest
from apr_ui.page_table import PAGES
from apr_ui.permalink import to_params
from tests.browser.conftest import Server, follow_menu
from tests.conftest import wait_until

FLIP = next(entry for entry in load_gallery() if entry.kind == "flips")
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
MOST_SHIFT = 20
WATCH = """
window.tops = [];
const results = (root) => [...root.querySelectorAll("*")].flatMap((one) =>
  one.dataset.testid === "result" ? [one] : one.shadowRoot ? results(one.shadowRoot) : []);
const watch = () => {
  for (const one of document.body ? results(document.body) : [])
    window.tops.push(one.querySelector("canvas").getBoundingClientRect().top);
  requestAnimationFrame(watch);
};
watch();
"""
"""Notes where a result's first picture lies in every frame that the browser draws."""


def address(request: AttackRequest) -> str:
    return "/attack?" + "&".join(f"{name}={value}" for name, value in to_params(request).items())


def boxes(result: Locator) -> list[dict[str, float]]:
    """Where the two pictures, the verdict and the bars lie on the screen."""
    parts = [
        *result.locator("canvas").all(),
        result.get_by_test_id("verdict"),
        result.locator("ul"),
    ]
    found = [part.bounding_box() for part in parts]
    assert all(found)
    return found


def expect_in_view(page: Page, result: Locator) -> list[dict[str, float]]:
    found = boxes(result)
    for box in found:
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= page.viewport_size["height"]
        assert box["x"] + box["width"] <= page.viewport_size["width"]
    return found


@pytest.mark.parametrize("size", SIZES)
def test_both_pictures_and_the_verdict_are_in_view_and_nothing_jumps(
    server: Server, chromium: Browser, size: str
) -> None:
    image, label = find_dataset().test_image(FLIP.index)
    seed = 4242 + list(SIZES).index(size)  # a run that was cancelled is not begun again
    long = OnePixelConfig(population=400, generations=1000, seed=seed, stop="budget")
    request = AttackRequest(FLIP.model, image, label, FLIP.index, long)
    page = chromium.new_page(viewport=SIZES[size])
    page.add_init_script(WATCH)
    with closing(page):
        page.route("**/Html.*", lambda route: route.abort())  # it may come after all else
        page.goto(f"{server.url}/attack")
        result = page.get_by_test_id("result")
        expect(result).to_have_attribute("data-tone", "plain")
        before = expect_in_view(page, result)
        tops = page.evaluate("window.tops")
        page.goto(server.url + address(request))
        expect(result).to_have_attribute("data-tone", "live")
        wait_until(lambda: "Generation" in result.inner_text())
        during = expect_in_view(page, result)
        page.get_by_role("button", name="Cancel", exact=True).click()
        expect(result).to_have_attribute("data-tone", "plain")
        wait_until(lambda: "Cancelled" in result.inner_text())
        after = expect_in_view(page, result)
        tops += page.evaluate("window.tops")
    assert max(tops) - min(tops) <= MOST_SHIFT
    for first, later in ((before, during), (during, after)):
        for one, other in zip(first, later, strict=True):
            assert abs(one["y"] - other["y"]) <= MOST_SHIFT
            assert abs(one["x"] - other["x"]) <= MOST_SHIFT


def test_on_a_phone_the_picker_and_the_button_are_on_one_screen_and_the_run_comes_into_sight(
    server: Server, chromium: Browser
) -> None:
    page = chromium.new_page(viewport=SIZES["phone"])
    with closing(page):
        page.goto(f"{server.url}/attack")
        result, tile = page.get_by_test_id("result"), page.get_by_test_id("picker-5")
        expect(result).to_have_attribute("data-tone", "plain")
        tile.evaluate("tile => tile.scrollIntoView()")
        hunt = page.get_by_role("button", name="Hunt for the pixel")
        expect(tile).to_be_in_viewport(ratio=1)
        expect(hunt).to_be_in_viewport(ratio=1)
        expect(result).not_to_be_in_viewport()
        hunt.click()
        begun = page.locator('[data-testid="result"]:not([data-tone="plain"])')
        expect(begun.get_by_test_id("verdict")).to_be_in_viewport(ratio=1)


def test_every_page_is_in_a_section_of_the_navigation(server: Server, page: Page) -> None:
    page.goto(server.url)
    for entry in PAGES[1:]:
        follow_menu(page, entry.title)
        expect(page.get_by_role("heading", name=entry.heading, level=1)).to_be_visible()
