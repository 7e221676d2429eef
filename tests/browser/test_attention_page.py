"""The Attention and Classes pages in a browser: by mouse, by keyboard, and on a phone."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Server

QUICK = "/attention?model=cifar10-resnet20-apr&index=0&methods=attention,saliency"


def test_maps_before_and_after_the_attack_for_a_class_of_ones_choice(
    server: Server, page: Page
) -> None:
    page.goto(server.url + QUICK)
    expect(page.get_by_text("Before the attack · from")).to_be_visible()
    expect(page.get_by_text("After it · infidelity")).to_be_visible()
    before = page.get_by_text("Before the attack · infidelity").inner_text()
    other = page.get_by_role("radio", name="ship 0%")
    other.focus()
    page.keyboard.press("Space")
    expect(page.get_by_text(before, exact=True)).to_have_count(0)
    page.get_by_text("A link to this view").click()
    expect(page.get_by_text("class=8")).to_be_visible()


def test_maps_are_taken_away(server: Server, page: Page) -> None:
    page.goto(server.url + QUICK)
    expect(page.get_by_text("After it · infidelity")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 1 + 2 * 1024


def test_a_class_is_browsed_and_a_picture_of_it_looked_into(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/classes")
    expect(page.get_by_role("heading", name="What became of what fell")).to_be_visible()
    page.get_by_role("radio", name="frog").click()
    expect(page.get_by_role("radiogroup", name="Examples of frog")).to_be_visible()
    page.get_by_role("button", name="Look into it on the Attention page").click()
    expect(page.get_by_role("heading", name="Where the model looks")).to_be_visible()
    expect(page.get_by_role("combobox", name="Class").first).to_have_value("frog")
    expect(page.get_by_text("The picture · from")).to_be_visible()


def test_both_pages_fit_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for address, last in ((QUICK, "How far do they agree?"), ("/classes", "What became of")):
        page.goto(server.url + address)
        expect(page.get_by_text(last).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
