"""From page to page as people go, by the menu, without having touched anything."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from apr_ui.page_table import page_entry
from tests.browser.conftest import Server, follow_menu
from tests.browser.translator import stale, translate

WALK = ("hand", "compare", "attention", "attack", "start", "hand")


def go(page: Page, key: str) -> None:
    entry = page_entry(key)
    follow_menu(page, entry.title)
    expect(page.get_by_role("heading", name=entry.heading, level=1)).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_text("encountered an error")).to_have_count(0)


def test_a_walk_through_the_pages_changes_nothing(server: Server, page: Page) -> None:
    translate(page)
    page.goto(f"{server.url}/attack")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    for key in WALK:
        go(page, key)
        assert stale(page) == []
    page.get_by_text("Picture, model and pixels", exact=True).click()
    expect(page.get_by_role("radio", name="Gallery")).to_be_checked()
    page.get_by_text("Pictures", exact=True).click()
    caption = page.get_by_text("CIFAR-10 test image 0: cat.")
    expect(caption.first).to_be_visible()
    go(page, "compare")
    expect(caption.first).to_be_visible()
    go(page, "attack")
    expect(caption.first).to_be_visible()
