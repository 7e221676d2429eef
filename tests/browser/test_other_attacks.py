"""A patch, and a change of every pixel, on the Attack page as a person meets them."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, Server, download, expect_to_fit_a_phone
from tests.conftest import PATIENCE

PICTURE = "/attack?model=cifar10-resnet20-vanilla&index=3"
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


def choose(page: Page, what: str) -> None:
    page.get_by_test_id("stButtonGroup").get_by_text(what, exact=True).click()


@SIZES
def test_a_patch_is_hunted_and_framed(server: Server, page: Page, size: dict) -> None:
    page.set_viewport_size(size)
    page.goto(
        server.url + PICTURE + "&pixels=25&method=sparse-rs-patch&population=16&generations=62"
    )
    expect(page.get_by_role("button", name="Hunt for the patch")).to_be_visible()
    expect(page.get_by_text("Flipped: airplane →").first).to_be_visible(timeout=PATIENCE * 1000)
    expect(page.get_by_text("a patch of 5 × 5 at (").first).to_be_visible()
    expect(page.get_by_test_id("player")).to_have_attribute("data-status", "flipped")
    if size == PHONE:
        expect_to_fit_a_phone(page)


@SIZES
def test_every_pixel_is_changed_and_shown_ten_times_as_strong(
    server: Server, page: Page, size: dict
) -> None:
    page.set_viewport_size(size)
    page.goto(f"{server.url}/attack")
    choose(page, "every pixel, a little")
    page.get_by_role("button", name="Change every pixel").click()
    expect(page.get_by_text("Flipped: cat →").first).to_be_visible()
    expect(page.get_by_alt_text("10 times as strong")).to_be_visible()
    kept = json.loads(download(page, "JSON"))
    assert kept["flipped"]
    assert 0 < max(step["largest_change"] for step in kept["steps"]) <= 8
    page.reload()
    expect(page.get_by_text("Flipped: cat →").first).to_be_visible()
    choose(page, "1 pixel")
    expect(page.get_by_role("button", name="Hunt for the pixel")).to_be_visible()
    expect(page.get_by_alt_text("10 times as strong")).to_have_count(0)
    if size == PHONE:
        expect_to_fit_a_phone(page)
