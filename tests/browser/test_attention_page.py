"""The Attention and Classes pages in a browser: by mouse, by keyboard, and on a phone."""

from __future__ import annotations

import csv
import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PHONE, Server, download, expect_side_by_side

QUICK = "/attention?model=cifar10-resnet20-apr&index=0&methods=attention,saliency"
SIDE = 32


def map_on(page: Page, words: str) -> Locator:
    return page.get_by_role("application", name=words)


def open_quick(server: Server, page: Page) -> None:
    page.goto(server.url + QUICK)
    expect(page.get_by_text("Before the attack · from")).to_be_visible()
    expect(page.get_by_text("After the attack · infidelity")).to_be_visible()


def test_values_are_read_out_under_the_mouse_and_by_the_arrow_keys(
    server: Server, page: Page
) -> None:
    """The maps' values in the downloaded table are those that the page reads out."""
    open_quick(server, page)
    assert download(page, "PNG").startswith(b"\x89PNG")
    rows = list(csv.DictReader(download(page, "CSV").decode().splitlines()))
    assert len(rows) == 2 * SIDE**2
    values = {(row["picture"], int(row["x"]), int(row["y"])): row for row in rows}
    gate, after = map_on(page, "own gate), before"), map_on(page, "Saliency, after")
    box = gate.bounding_box()
    assert box is not None
    cell = box["width"] / SIDE
    gate.hover(position={"x": 10.5 * cell, "y": 4.5 * cell})

    def reads(place: Locator, picture: str, method: str, x: int, y: int) -> None:
        expect(place).to_contain_text(f"({x}, {y}): ")
        shown = float(place.inner_text().split(": ")[1])
        expected = float(values[picture, x, y][method])
        assert abs(shown - expected) <= 0.006 * abs(expected) + 1e-9

    reads(gate, "Before the attack", "attention", 10, 4)
    reads(after, "After the attack", "saliency", 10, 4)  # the same pixel, on every map
    page.mouse.move(5, 5)
    expect(gate).to_have_text("")
    gate.focus()
    for key in ("ArrowUp", "ArrowLeft", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    reads(gate, "Before the attack", "attention", 15, 18)
    picture = map_on(page, re.compile("^The picture$"))
    expect(picture).to_contain_text("(15, 18): rgb(")


def pixels_of(place: Locator) -> str:
    return str(place.locator("canvas").evaluate("(canvas) => canvas.toDataURL()"))


def test_the_opacity_goes_by_keyboard_and_a_link_restores_it_all(
    server: Server, page: Page
) -> None:
    page.goto(f"{server.url}/attention?model=cifar10-resnet20-vanilla&index=3&methods=saliency"
              "&class=4&opacity=0.5&edits=31.0.0a00ff")  # fmt: skip
    after = map_on(page, "Saliency, after")
    expect(after).to_be_visible()
    expect(after.locator(".ring")).to_have_count(1)
    half = pixels_of(after)
    slider = page.get_by_role("slider", name="Opacity of the maps")
    slider.focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    page.get_by_text("A link to this view").click()
    link = page.locator("code").filter(has_text="methods=saliency")
    expect(link).to_contain_text("opacity=1&")
    assert pixels_of(after) != half
    whole = pixels_of(after)
    page.goto(link.inner_text())
    expect(after).to_be_visible()
    expect(slider).to_have_value("1")
    expect(page.get_by_role("radio", name=re.compile("^deer"))).to_be_checked()
    assert pixels_of(after) == whole


def test_agreement_and_another_class_are_worked_out_for_who_asks(
    server: Server, page: Page
) -> None:
    open_quick(server, page)
    truth = page.get_by_role("button", name="Compare with the truth map")
    expect(truth).to_have_count(0)
    page.get_by_text("Agreement: how similar").click()
    expect(truth).to_be_visible()
    page.get_by_text("Over many pictures").click()
    verdicts = page.get_by_role("listitem").filter(has_text="rank correlation")
    expect(verdicts).to_have_count(9)
    before = verdicts.first.inner_text()
    page.get_by_role("radio", name="cat", exact=True).click()
    expect(verdicts.first).not_to_have_text(before)

    infidelity = page.get_by_text("Before the attack · infidelity").inner_text()
    page.get_by_role("radio", name=re.compile(r"^ship \S+%$")).focus()
    page.keyboard.press("Space")
    expect(page.get_by_text(infidelity, exact=True)).to_have_count(0)
    page.get_by_text("A link to this view").click()
    expect(page.get_by_text("class=8")).to_be_visible()


def test_classes_are_browsed_by_mouse_and_by_keyboard(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/classes")
    expect(page.get_by_role("heading", name="Flipped predictions")).to_be_visible()
    page.get_by_role("radio", name="frog").click()
    expect(page.get_by_role("radiogroup", name="Examples of frog")).to_be_visible()
    page.get_by_role("radio", name="cat", exact=True).focus()
    page.keyboard.press("Space")
    examples = page.get_by_role("radiogroup", name="Examples of cat")
    expect(examples).to_be_visible()
    expect(map_on(page, "Their mean attention: cat")).to_be_visible()
    page.get_by_role("radio", name="wrong").focus()
    page.keyboard.press("Space")
    first = examples.get_by_role("radio").first
    expect(first).to_contain_text("✗")
    first.focus()
    page.keyboard.press("ArrowRight")
    second = examples.get_by_role("radio").nth(1)
    expect(second).to_be_checked()
    title = second.get_attribute("title") or ""
    index = re.findall(r"Test image (\d+), a cat", title)
    button = page.get_by_role("button", name="Open it on the Attention page")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Where the model looks")).to_be_visible()
    expect(page.get_by_role("combobox", name="Class").first).to_have_value("cat")
    expect(page.get_by_text("The picture · from")).to_be_visible()
    page.locator("summary").filter(has_text="A link to this view").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"index={index[0]}&")).to_be_visible()


def test_both_pages_fit_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size(PHONE)
    for address, last in ((QUICK, "Agreement: how similar"), ("/classes", "Flipped predictions")):
        page.goto(server.url + address)
        expect(page.get_by_text(last).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        expect_side_by_side(page.get_by_role("application"))  # to be compared
