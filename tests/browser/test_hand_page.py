"""The By hand page as a person meets it: with a mouse, with keys, with a finger."""

from __future__ import annotations

import csv
import io
import json

import pytest
from playwright.sync_api import Browser, Page, expect

from apr_core import load_model
from apr_core.data.images import from_png
from apr_core.data.registry import find_dataset
from apr_core.models.inputs import as_input
from apr_core.serving.gallery import load_gallery
from tests.browser.conftest import (
    PATIENT,
    PHONE,
    Server,
    download,
    expect_to_fit_a_phone,
    follow_menu,
)
from tests.browser.translator import stale, translate

FLIP = next(entry for entry in load_gallery() if entry.kind == "flips")
WINNER = FLIP.outcome.edits[0]
OTHER = next(entry for entry in load_gallery() if entry.index != FLIP.index)
LINK = f"/hand?model={FLIP.model}&index={FLIP.index}"
COLOURS = ["black", "blue", "green", "cyan", "red", "magenta", "yellow", "white"]


def open_board(page: Page, server: Server, **params: object) -> None:
    more = "".join(f"&{name}={value}" for name, value in params.items())
    page.goto(server.url + LINK + more)
    expect_tries(page, 0)


def picture(page: Page):
    return page.get_by_test_id("canvas-picture")


def place_of(page: Page, x: int, y: int) -> dict[str, float]:
    box = picture(page).bounding_box()
    return {"x": (x + 0.5) * box["width"] / 32, "y": (y + 0.5) * box["height"] / 32}


def click_pixel(page: Page, x: int, y: int) -> None:
    picture(page).click(position=place_of(page, x, y))


def expect_tries(page: Page, count: int) -> None:
    """The bars show the answer to so many tries."""
    expect(page.get_by_test_id("bars")).to_have_attribute("data-number", str(count))
    expect(page.get_by_test_id("canvas")).to_have_attribute("data-pending", "0")


def expect_edits(page: Page, *edits: tuple[int, int, tuple[int, int, int]]) -> None:
    wanted = json.dumps([[x, y, *rgb] for x, y, rgb in edits], separators=(",", ":"))
    expect(page.get_by_test_id("canvas")).to_have_attribute("data-edits", wanted)


def bars(page: Page) -> dict[str, float]:
    rows = page.get_by_test_id("bars").locator("li").all()
    return {row.get_attribute("data-name"): float(row.get_attribute("data-value")) for row in rows}


def choose_own_colour(page: Page, rgb: tuple[int, int, int]) -> None:
    page.get_by_test_id("stColorPickerBlock").click()
    field = page.get_by_role("textbox", name="hex").or_(
        page.get_by_test_id("stColorPickerPopover").get_by_role("textbox")
    )
    field.first.fill("#{:02x}{:02x}{:02x}".format(*rgb))
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("canvas")).to_have_attribute("data-colour", str(len(COLOURS)))


def win(page: Page) -> None:
    choose_own_colour(page, WINNER.rgb)
    click_pixel(page, WINNER.x, WINNER.y)
    expect(page.get_by_text("Flipped:").first).to_be_visible()


def test_a_pixel_is_clicked_the_bars_move_and_the_known_one_wins(
    server: Server, page: Page
) -> None:
    open_board(page, server)
    clean = bars(page)
    page.get_by_test_id("canvas-colour-0").click()
    click_pixel(page, 0, 0)
    expect_tries(page, 1)
    expect_edits(page, (0, 0, (0, 0, 0)))
    assert bars(page) != clean
    win(page)
    expect_tries(page, 2)
    after = bars(page)
    assert max(after, key=after.get) == find_dataset().classes[FLIP.outcome.label_after]
    assert after[find_dataset().classes[FLIP.outcome.label_after]] == pytest.approx(
        FLIP.outcome.confidence_after, abs=1e-3
    )
    image = from_png(download(page, "PNG"))
    answer = load_model(FLIP.model)(as_input(image[None])).argmax().item()
    assert answer == FLIP.outcome.label_after
    rows = list(csv.DictReader(io.StringIO(download(page, "CSV").decode())))
    assert [row["flipped"] for row in rows] == ["no", "yes"]


def test_a_translated_page_keeps_up_with_the_game(server: Server, page: Page) -> None:
    translate(page)
    open_board(page, server)
    for count, place in enumerate((3, 9, 15), start=1):
        click_pixel(page, place, place)
        expect_tries(page, count)
    expect(page.get_by_test_id("verdict")).to_contain_text("The model still says")
    expect(page.get_by_text("3 queries", exact=True)).to_be_visible()
    page.get_by_role("button", name="Start over").click()
    expect_tries(page, 0)
    expect(page.get_by_text("Click a pixel to change that")).to_be_visible()
    assert stale(page) == []


def test_a_game_is_played_by_keyboard_alone(server: Server, page: Page) -> None:
    open_board(page, server)
    canvas, board = picture(page), page.get_by_test_id("canvas")
    canvas.focus()
    for key in ("2", "ArrowRight", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    expect(board).to_have_attribute("data-colour", "1")
    expect(page.get_by_test_id("canvas-live")).to_have_text("x 13, y 15")
    page.keyboard.press("Enter")
    expect_tries(page, 1)
    expect_edits(page, (13, 15, (0, 0, 255)))
    expect(canvas).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect_tries(page, 2)
    page.keyboard.press("Backspace")
    expect_edits(page, (13, 15, (0, 0, 255)))
    expect_tries(page, 2)
    page.keyboard.press("Tab")  # to the colours
    expect(page.get_by_role("radio", name="blue, rgb(0, 0, 255)")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="green")).to_be_checked()
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.get_by_role("button", name="Undo").evaluate("e => e === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect_edits(page)
    expect_tries(page, 2)


def test_three_pixels_add_up_and_the_newest_gives_way(server: Server, page: Page) -> None:
    open_board(page, server, pixels=3)
    page.get_by_test_id("canvas-colour-4").click()
    for count, x in enumerate((3, 6, 9, 12), start=1):
        click_pixel(page, x, 4)
        expect_tries(page, count)
    red = (255, 0, 0)
    expect_edits(page, (3, 4, red), (6, 4, red), (12, 4, red))
    expect(page.get_by_text("3 of 3 pixels placed")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect_edits(page, (3, 4, red), (6, 4, red), (9, 4, red))
    page.get_by_role("button", name="Start over").click()
    expect_tries(page, 0)
    expect_edits(page)
    expect(page.get_by_text("4 more before you started over")).to_be_visible()


def test_none_of_a_quick_series_is_lost(server: Server, page: Page) -> None:
    open_board(page, server)
    for x in range(2, 22, 3):
        click_pixel(page, x, 9)
    expect_tries(page, 7)
    expect_edits(page, (20, 9, (0, 0, 0)))
    picture(page).dblclick(position=place_of(page, 25, 9))
    expect_tries(page, 8)


def test_neither_a_reload_nor_another_page_loses_the_tries(server: Server, page: Page) -> None:
    open_board(page, server)
    win(page)
    edit = (WINNER.x, WINNER.y, WINNER.rgb)
    page.wait_for_url("**game=*")
    page.reload()
    expect_tries(page, 1)
    expect_edits(page, edit)
    follow_menu(page, "Results")
    expect(page.get_by_role("heading", name="Measured results")).to_be_visible()
    follow_menu(page, "By hand")
    expect_tries(page, 1)
    expect_edits(page, edit)
    page.get_by_test_id("canvas-colour-0").click()
    click_pixel(page, 1, 1)
    expect_tries(page, 2)


def test_another_picture_is_another_game(server: Server, page: Page) -> None:
    open_board(page, server)
    click_pixel(page, 5, 5)
    expect_tries(page, 1)
    page.get_by_text("Picture, model and pixels", exact=True).click()
    page.get_by_test_id(f"picker-{load_gallery().index(OTHER)}").click()
    expect_tries(page, 0)
    expect_edits(page)
    click_pixel(page, 6, 6)
    expect_tries(page, 1)
    page.get_by_test_id(f"picker-{load_gallery().index(FLIP)}").click()
    expect_edits(page, (5, 5, (0, 0, 0)))


@pytest.mark.long
def test_a_hint_is_given_by_button_and_by_key(server: Server, page: Page) -> None:
    open_board(page, server)
    click_pixel(page, WINNER.x, WINNER.y)
    expect_tries(page, 1)
    page.get_by_role("button", name="Hint").click()
    board = page.get_by_test_id("canvas")
    expect(board).to_have_attribute("data-hint", "hot")
    expect(page.get_by_text(f"x {WINNER.x}, y {WINNER.y} is hot")).to_be_visible()
    picture(page).focus()
    for _ in range(8):
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("h")
    expect(page.get_by_text("x 0, y 0 is")).to_be_visible()
    expect(page.get_by_text("Colder than the hint before")).to_be_visible()
    expect(page.get_by_text("2 hints")).to_be_visible()
    expect_tries(page, 1)


def test_then_the_search_tries_and_both_are_shown(server: Server, page: Page) -> None:
    open_board(page, server)
    win(page)
    page.get_by_role("button", name="With as many queries as you").click()
    player = page.get_by_test_id("player")
    expect(player).to_have_attribute("data-frames", "1")
    for title in ("Pixels that you tried", "Pixels that the search tried", "Truth map"):
        expect(page.get_by_role("img", name=title)).to_be_visible()
    expect(page.get_by_text("after 1 query").first).to_be_visible()
    page.get_by_role("button", name="With the full 40,400 queries").click()
    expect(player).to_have_attribute("data-status", "flipped")
    told = page.get_by_text(f"after 1 query, the search after {FLIP.outcome.queries:,}")
    expect(told).to_be_visible()
    page.reload()
    expect(told).to_be_visible()


def test_a_finger_taps_and_a_held_one_aims(server: Server, chromium: Browser) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.set_default_timeout(PATIENT)
    open_board(tab, server)
    picture(tab).scroll_into_view_if_needed()
    picture(tab).tap(position=place_of(tab, 10, 12))
    expect_tries(tab, 1)
    expect_edits(tab, (10, 12, (0, 0, 0)))
    box, touch = picture(tab).bounding_box(), context.new_cdp_session(tab)

    def send(kind: str, *places: tuple[int, int]) -> None:
        points = [place_of(tab, *place) for place in places]
        points = [{"x": box["x"] + at["x"], "y": box["y"] + at["y"]} for at in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", (20, 20))
    expect(tab.get_by_test_id("canvas")).to_have_attribute("data-y", "20")  # it aims
    send("touchMove", (21, 23))
    expect(tab.get_by_test_id("canvas")).to_have_attribute("data-y", "23")
    send("touchEnd")
    expect_tries(tab, 2)
    expect_edits(tab, (21, 23, (0, 0, 0)))
    for button in tab.get_by_test_id("canvas").get_by_role("radio").all():
        size = button.bounding_box()
        assert min(size["width"], size["height"]) >= 30
    context.close()


def test_nothing_is_wider_than_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size(PHONE)
    open_board(page, server)
    click_pixel(page, 5, 5)
    expect_tries(page, 1)
    expect_to_fit_a_phone(page)
    assert picture(page).bounding_box()["width"] >= 320
