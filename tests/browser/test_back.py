"""The browser's Back, page by page: each shows another thing than what was there before."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from apr_core.serving.gallery import load_gallery
from apr_ui.model_names import model_title
from apr_ui.page_table import page_entry
from tests.browser.conftest import Server, follow_menu
from tests.browser.test_hand_page import OTHER, click_pixel, expect_edits, expect_tries

HUNT = "Hunt for the pixel"


def expect_page(page: Page, key: str, address: str) -> None:
    """The page stands, drawn to its end, under an address that ends so."""
    expect(page).to_have_url(re.compile(f"{address}$"))
    heading = page_entry(key).heading
    expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page).to_have_url(re.compile(f"{address}$"))


def go_from_start(server: Server, page: Page, key: str) -> None:
    page.goto(server.url)
    expect_page(page, "start", "/")
    follow_menu(page, page_entry(key).title)
    expect(page.get_by_role("heading", name=page_entry(key).heading, level=1)).to_be_visible()


def back(page: Page) -> None:
    page.evaluate("history.back()")  # `page.go_back` waits for a load, and there is none


def forward(page: Page) -> None:
    page.evaluate("history.forward()")


def test_back_from_a_hunt_is_the_page_before_it_and_then_the_start(
    server: Server, page: Page
) -> None:
    """Case 16: Start, Attack, Hunt, Back, Back."""
    go_from_start(server, page, "attack")
    page.get_by_test_id(f"picker-{load_gallery().index(OTHER)}").click()
    expect_page(page, "attack", "/attack")
    page.get_by_role("button", name=HUNT).click()
    run = rf"/attack\?model={OTHER.model}&index={OTHER.index}"
    expect_page(page, "attack", run)
    expect(page.get_by_test_id("player")).not_to_have_attribute("data-status", "running")
    back(page)
    expect_page(page, "attack", "/attack")
    expect(page.get_by_test_id("player")).to_have_count(0)
    expect(page.get_by_test_id("verdict")).to_contain_text("The model says")
    chosen = page.get_by_text(f"{model_title(OTHER.model)}: {OTHER.story}")
    expect(chosen.first).to_be_visible()  # the picture is still the one that was chosen
    back(page)
    expect_page(page, "start", "/")
    forward(page)
    expect_page(page, "attack", "/attack")
    expect(page.get_by_test_id("player")).to_have_count(0)
    forward(page)
    expect_page(page, "attack", run)
    expect(page.get_by_test_id("player")).to_be_visible()


def test_back_from_a_race_is_the_page_before_it_and_then_the_start(
    server: Server, page: Page
) -> None:
    go_from_start(server, page, "compare")
    expect_page(page, "compare", "/compare")
    page.get_by_role("button", name="Race", exact=True).click()
    expect(page.get_by_test_id("player").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"/compare\?models="))
    back(page)
    expect_page(page, "compare", "/compare")
    expect(page.get_by_test_id("player")).to_have_count(0)
    back(page)
    expect_page(page, "start", "/")


def test_back_by_hand_is_the_picture_without_tries_and_then_the_start(
    server: Server, page: Page
) -> None:
    go_from_start(server, page, "hand")
    expect_tries(page, 0)
    expect_page(page, "hand", "/hand")
    click_pixel(page, 5, 5)
    expect_tries(page, 1)
    expect_page(page, "hand", "/hand.*game=.*")
    played = page.url
    back(page)
    expect_page(page, "hand", "/hand")
    expect_tries(page, 0)
    expect_edits(page)
    forward(page)
    expect_page(page, "hand", re.escape(played.removeprefix(server.url)))
    expect_tries(page, 1)
    expect_edits(page, (5, 5, (0, 0, 0)))
    back(page)
    expect_page(page, "hand", "/hand")
    back(page)
    expect_page(page, "start", "/")


def test_back_in_the_lesson_is_the_step_before(server: Server, page: Page) -> None:
    go_from_start(server, page, "classroom")
    page.get_by_role("button", name="Begin the lesson").click()
    expect(page).to_have_url(re.compile(r"/classroom\?alone=cifar10$"))
    expect(page.get_by_role("button", name="Next")).to_be_visible()
    first = page.get_by_role("heading", level=1).inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page).to_have_url(re.compile("step="))
    expect(page.get_by_role("heading", name=first, level=1)).to_have_count(0)
    back(page)
    expect(page.get_by_role("heading", name=first, level=1)).to_be_visible()
    back(page)
    expect_page(page, "classroom", "/classroom")
    back(page)
    expect_page(page, "start", "/")
