"""The Start page as a first-time visitor meets it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from apr_ui.start_run import start_run
from tests.browser.conftest import DESKTOP, PHONE, Server, expect_side_by_side

RUN = start_run()
BUTTON = "Run this attack live"


def expect_on_first_screen(page: Page, part: Locator) -> None:
    """A part that lies within the window, before anybody has scrolled."""
    expect(part).to_be_in_viewport(ratio=1)
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollTop") == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_before_after_and_the_button_are_on_the_first_screen(
    server: Server, page: Page, size: ViewportSize, scheme: str
) -> None:
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)
    page.goto(server.url)
    pictures = page.get_by_test_id("stImage")
    expect(pictures).to_have_count(2)
    player = page.get_by_test_id("player")
    expect(player).to_have_attribute("data-playing", "true")
    expect_side_by_side(pictures)
    for picture in pictures.all():
        expect_on_first_screen(page, picture)
        assert picture.bounding_box()["width"] >= 160
    expect_on_first_screen(page, page.get_by_role("button", name=BUTTON))
    for text in ("Adaptive Pixel Resilience", "Before:", "After 1 pixel:"):
        expect_on_first_screen(page, page.get_by_text(text).first)
    if size is DESKTOP:
        for part in ("player-canvas", "player-play", "player-text"):
            expect_on_first_screen(page, page.get_by_test_id(part))


def test_the_run_moves_on_its_own_and_can_be_paused(server: Server, page: Page) -> None:
    page.goto(server.url)
    player = page.get_by_test_id("player")
    last = str(RUN.outcome.generations)
    for generation in ("1", last, "0"):
        expect(player).to_have_attribute("data-generation", generation)
    page.get_by_role("button", name="Pause").click()
    expect(player).to_have_attribute("data-playing", "false")


def test_one_button_attacks_at_once(server: Server, page: Page) -> None:
    page.goto(server.url)
    page.get_by_role("button", name=BUTTON).click()
    expect(page).to_have_url(
        f"{server.url}/attack?model={RUN.request.model}&index={RUN.request.index}"
    )
    player = page.get_by_test_id("player")
    expect(player).to_have_attribute("data-status", RUN.outcome.status.value)
    expect(player).to_have_attribute("data-frames", str(RUN.outcome.generations + 1))
    expect(page.get_by_role("radio", name="Gallery")).to_be_checked()
