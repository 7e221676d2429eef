"""The Attention page's section on windows in a browser: by mouse, by keyboard, and on a phone."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Server

ADDRESS = "/attention?model=cifar10-resnet20-vanilla&index=3&methods=saliency&edits=31.0.0a00ff"
TITLE = "Why the search is fast: only a window changes"
SIDE = 32


def test_the_windows_follow_the_mouse_and_the_arrow_keys(server: Server, page: Page) -> None:
    page.goto(server.url + ADDRESS)
    first = page.get_by_role("img", name="Layer 1:")
    expect(page.get_by_text(TITLE)).to_be_visible()
    expect(first).to_have_count(0)
    page.get_by_text(TITLE).click()
    changed = "Layer 1: the pixel changes "
    expect(first).to_have_attribute("aria-label", changed + "rows 0 to 2, columns 29 to 31")

    picture = page.get_by_role("application", name="The picture, with the pixel")
    box = picture.bounding_box()
    assert box is not None
    cell = box["width"] / SIDE
    picture.hover(position={"x": 10.5 * cell, "y": 4.5 * cell})
    expect(page.get_by_text("Pixel (10, 4)")).to_be_visible()
    expect(first).to_have_attribute("aria-label", changed + "rows 3 to 5, columns 9 to 11")
    map_, window = first.bounding_box(), first.locator("i").bounding_box()
    assert map_ is not None
    assert window is not None
    assert abs(window["width"] / map_["width"] - 3 / SIDE) < 0.01
    assert abs((window["x"] - map_["x"]) / map_["width"] - 9 / SIDE) < 0.02

    picture.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    expect(first).to_have_attribute("aria-label", changed + "rows 5 to 7, columns 8 to 10")


def test_the_section_fits_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto(server.url + ADDRESS)
    page.get_by_text(TITLE).click()
    expect(page.get_by_role("img", name="Layer 1:")).to_be_visible()
    expect(page.get_by_text("of the multiplications").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
