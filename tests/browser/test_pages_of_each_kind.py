"""By hand and Attention on a photograph: one pixel of 50,176 is found, tried and explained."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from apr_core.data.registry import find_dataset
from apr_core.serving.gallery import gallery_file, load_gallery
from apr_core.serving.requests import PHOTOGRAPHS
from apr_core.zoo.library import LITE0
from tests.browser.conftest import DESKTOP, PATIENT, PHONE, Server
from tests.browser.test_attention_page import map_on, pixels_of
from tests.browser.test_hand_page import expect_edits, expect_tries, picture
from tests.conftest import wait_until

SIDE = find_dataset(PHOTOGRAPHS).size[0]
LISTED = {entry.index for entry in load_gallery(gallery_file(PHOTOGRAPHS))}
OTHERS = sorted({*find_dataset(PHOTOGRAPHS).shipped_sample().indices.tolist()} - LISTED)
LINK = f"model={LITE0}&index={OTHERS[0]}"
"""To a picture that the gallery has no run on."""
BLACK, BLUE = (0, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def server(offline_server: Server) -> Server:
    return offline_server


def open_board(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/hand?{LINK}")
    expect_tries(page, 0)
    expect(page.get_by_role("radio", name="Photographs", exact=True)).to_be_checked()


def zoom(page: Page) -> float:
    return float(page.get_by_test_id("canvas").get_attribute("data-zoom") or 0)


def left_of(page: Page) -> float:
    return float(page.get_by_test_id("canvas").get_attribute("data-left") or 0)


def aim_of(page: Page) -> tuple[int, int]:
    board = page.get_by_test_id("canvas")
    return int(board.get_attribute("data-x") or -1), int(board.get_attribute("data-y") or -1)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_pixel_of_a_photograph_is_zoomed_in_to_and_tried(
    size: dict[str, int], server: Server, page: Page
) -> None:
    page.set_viewport_size(size)
    open_board(page, server)
    canvas = picture(page)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    assert box["width"] >= 320
    middle = {"x": box["width"] * 0.25, "y": box["height"] * 0.5}
    canvas.hover(position=middle)
    under = aim_of(page)
    page.mouse.wheel(0, -900)
    wait_until(lambda: zoom(page) > 4)
    assert aim_of(page) == under  # what is under the pointer stays there
    canvas.click(position={"x": middle["x"] + box["width"] / 8, "y": middle["y"]})
    expect_tries(page, 1)
    x, y = aim_of(page)
    assert y == under[1]
    assert 0 < x - under[0] < SIDE / 8 / 4
    expect_edits(page, (x, y, BLACK))
    rows = page.get_by_test_id("bars").locator("li")
    expect(rows).to_have_count(6)
    page.get_by_role("button", name="Zoom out").click()
    before = zoom(page)
    page.get_by_role("button", name="Zoom in").click()
    assert zoom(page) > before
    canvas.hover(position=middle)
    before_drag = aim_of(page)
    page.mouse.down()
    canvas.hover(position={"x": middle["x"] + 60, "y": middle["y"]})
    page.mouse.up()
    canvas.hover(position=middle)
    assert aim_of(page)[0] < before_drag[0]
    expect_tries(page, 1)  # dragging tries nothing
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_a_photograph_is_played_by_keyboard_alone(server: Server, page: Page) -> None:
    open_board(page, server)
    picture(page).focus()
    half, leap = SIDE // 2, SIDE // 8
    for key in ("2", "Shift+ArrowLeft", "Shift+ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.get_by_test_id("canvas-live")).to_have_text(f"x {half - leap + 1}, y {half - leap}")
    for _ in range(4):
        page.keyboard.press("+")
    zoomed = zoom(page)
    assert zoomed > 4
    page.keyboard.press("Shift+ArrowRight")  # a smaller step, of what is shown
    x = half - leap + 1 + round(SIDE / zoomed / 8)
    expect(page.get_by_test_id("canvas-live")).to_have_text(f"x {x}, y {half - leap}")
    page.keyboard.press("Enter")
    expect_tries(page, 1)
    expect_edits(page, (x, half - leap, BLUE))
    page.keyboard.press("0")
    assert zoom(page) == 1


def test_two_fingers_zoom_a_photograph_and_one_moves_it(server: Server, chromium: Browser) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.set_default_timeout(PATIENT)
    open_board(tab, server)
    picture(tab).scroll_into_view_if_needed()
    box, touch = picture(tab).bounding_box(), context.new_cdp_session(tab)
    assert box is not None

    def send(kind: str, *places: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
            for number, (x, y) in enumerate(places)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", (0.45, 0.5), (0.55, 0.5))
    for apart in (0.1, 0.2, 0.3):
        send("touchMove", (0.45 - apart, 0.5), (0.55 + apart, 0.5))
    send("touchEnd")
    wait_until(lambda: zoom(tab) > 3)
    expect_tries(tab, 0)
    assert tab.evaluate("visualViewport.scale") == 1  # the page was not zoomed
    picture(tab).tap(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect_tries(tab, 1)
    before = left_of(tab)
    send("touchStart", (0.5, 0.5))
    for moved in (0.4, 0.3, 0.2):
        send("touchMove", (moved, 0.5))
    send("touchEnd")
    wait_until(lambda: left_of(tab) > before)
    expect_tries(tab, 1)
    context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_map_over_a_photograph_fades_with_the_slider(
    size: dict[str, int], server: Server, page: Page
) -> None:
    page.set_viewport_size(size)
    page.goto(f"{server.url}/attention?{LINK}&methods=gradcam&opacity=0.5")
    shown = map_on(page, "GradCAM, the picture")
    expect(shown).to_be_visible()
    half = pixels_of(shown)
    slider = page.get_by_role("slider", name="Opacity of the maps")
    slider.focus()
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
    page.get_by_text("A link to this view").click()
    expect(page.locator("code").filter(has_text="methods=gradcam")).to_contain_text(
        re.compile("opacity=0$")
    )
    bare = map_on(page, "The picture")
    wait_until(lambda: pixels_of(shown) == pixels_of(bare.first))
    assert pixels_of(shown) != half
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_a_map_that_takes_long_is_cancelled_and_asked_for_again(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/attention?{LINK}&methods=occlusion")
    progress = page.get_by_text("Occlusion: ")
    expect(progress).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("Occlusion was cancelled")).to_be_visible()
    expect(progress).to_have_count(0)
    page.get_by_role("button", name="Compute it").click()
    expect(progress).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("Occlusion was cancelled")).to_be_visible()
