"""The Stickers page in a browser: a sticker is learned, dragged over a picture, and printed."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Server, download, expect_to_fit_a_phone
from tests.conftest import wait_until


def learn(server: Server, page: Page) -> Locator:
    """Learn one in three steps; returns the board."""
    page.goto(f"{server.url}/stickers")
    steps = page.get_by_label("Steps", exact=True)
    steps.fill("3")
    steps.press("Enter")
    page.get_by_role("button", name="Learn the sticker").click()
    expect(page.get_by_text(re.compile(r"pictures become frog; without it"))).to_be_visible()
    return page.get_by_role("application", name=re.compile("with the sticker"))


def test_a_sticker_is_learned_dragged_and_printed(server: Server, page: Page) -> None:
    board = learn(server, page)
    expect(board).to_have_accessible_name(re.compile("70% across, 70% down"))
    bars = page.locator(".bars")
    before = bars.inner_text()
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    assert box is not None
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + 0.7 * side, y + 0.7 * side)
    page.mouse.down()
    page.mouse.move(x + 0.5 * side, y + 0.4 * side, steps=4)
    page.mouse.up()
    expect(board).to_have_accessible_name(re.compile("50% across, 40% down"))
    wait_until(lambda: bars.inner_text() != before)
    board.focus()
    for key in ("ArrowLeft", "ArrowLeft", "+", "]"):
        page.keyboard.press(key)
    expect(board).to_have_accessible_name(re.compile("46% across, 40% down"))
    page.get_by_text("Lay the sticker on the picture").click()
    expect(board).to_be_hidden()
    expect(page.get_by_text("The picture as the model sees it")).to_be_visible()
    assert download(page, "PDF").startswith(b"%PDF")
    assert download(page, "PNG").startswith(b"\x89PNG")


def test_it_fits_a_phone(server: Server, page: Page) -> None:
    expect(learn(server, page)).to_be_visible()
    expect_to_fit_a_phone(page)
