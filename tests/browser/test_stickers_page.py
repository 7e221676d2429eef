"""The Stickers page in a browser: a sticker is learned, dragged over a picture, and printed."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from tests.browser.conftest import PATIENT, PHONE, Server, download, expect_to_fit_a_phone
from tests.conftest import wait_until


def begin(page: Page, steps: int) -> None:
    """Learn one in so many steps."""
    field = page.get_by_label("Steps", exact=True)
    field.fill(f"{steps}")
    field.press("Enter")
    page.get_by_role("button", name="Learn the sticker").click()


def learn(server: Server, page: Page) -> Locator:
    """Learn one in three steps; returns the board."""
    page.goto(f"{server.url}/stickers")
    begin(page, 3)
    expect(page.get_by_text(re.compile(r"pictures become frog; without it"))).to_be_visible()
    return page.get_by_role("application", name=re.compile("with the sticker"))


def test_a_sticker_is_learned_dragged_and_printed(server: Server, page: Page) -> None:
    board = learn(server, page)
    expect(board).to_have_accessible_name(re.compile("70% across, 70% down"))
    bars = page.locator(".bars")
    before = bars.inner_text()
    board.scroll_into_view_if_needed()
    box = box_of(board)
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
    lies = "46% across, 40% down, 44% of the width, turned by 10°"
    expect(board).to_have_accessible_name(re.compile(lies))
    page.keyboard.press("Control++")  # zooms the page
    for name in ("Smaller", "Smaller", "Turn to the left", "Turn to the left"):
        page.get_by_role("button", name=name).click()
    expect(board).to_have_accessible_name(re.compile("36% of the width, turned by -10°"))
    page.reload()
    expect(board).to_have_accessible_name(re.compile("36% of the width, turned by -10°"))
    page.get_by_text("Lay the sticker on the picture").click()
    expect(board).to_be_hidden()
    expect(page.get_by_text("The picture as the model sees it")).to_be_visible()
    assert download(page, "PDF").startswith(b"%PDF")
    assert download(page, "PNG").startswith(b"\x89PNG")


def test_cancel_ends_the_learning(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/stickers")
    begin(page, 9000)
    expect(page.get_by_text(re.compile("^Step [1-9]"))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(re.compile("Stopped after"))).to_be_visible()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    begin(page, 4)  # its turn comes, since nothing else is learned
    expect(page.get_by_text(re.compile("pictures become frog"))).to_be_visible()


def test_it_fits_a_phone(server: Server, page: Page) -> None:
    expect(learn(server, page)).to_be_visible()
    expect_to_fit_a_phone(page)


def test_a_finger_on_the_sticker_moves_it_and_one_beside_it_scrolls(
    server: Server, chromium: Browser
) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    context.set_default_timeout(PATIENT)
    page = context.new_page()
    board = learn(server, page)
    board.evaluate("board => board.scrollIntoView({ block: 'center' })")
    top = box_of(board)["y"]
    swipe(page, board, (0.7, 0.7), (0.5, 0.4))
    expect(board).to_have_accessible_name(re.compile("50% across, 40% down"))
    assert box_of(board)["y"] == top
    swipe(page, board, (0.1, 0.9), (0.1, 0.2))
    wait_until(lambda: box_of(board)["y"] < top)
    expect(board).to_have_accessible_name(re.compile("50% across, 40% down"))
    context.close()


def swipe(page: Page, board: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Move a finger from a place to another, as shares of the board."""
    box, touch = box_of(board), page.context.new_cdp_session(page)
    for kind, steps in (("touchStart", [0]), ("touchMove", range(1, 9)), ("touchEnd", [8])):
        for step in steps:
            across, down = (a + (b - a) * step / 8 for a, b in zip(start, end, strict=True))
            place = {"x": box["x"] + across * box["width"], "y": box["y"] + down * box["height"]}
            points = [] if kind == "touchEnd" else [place]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def box_of(board: Locator) -> FloatRect:
    box = board.bounding_box()
    assert box is not None
    return box
