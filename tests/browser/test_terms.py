"""Terms are explained where they stand: by keyboard, and by touch on a phone."""

from __future__ import annotations

from contextlib import closing

from playwright.sync_api import Browser, Locator, Page, expect

from apr_ui.page_table import page_entry
from apr_ui.terms import ROW, TERMS
from tests.browser.conftest import PHONE, Server

TERM = "certificate"
SENTENCE = TERMS[TERM].rsplit(". ", 1)[-1]


def term_on(page: Page, server: Server) -> Locator:
    page.goto(f"{server.url}/attack")
    return page.locator(f".st-key-{ROW}").get_by_role("button", name=TERM)


def test_a_term_opens_and_closes_by_keyboard(server: Server, page: Page) -> None:
    term = term_on(page, server)
    expect(page.get_by_text(SENTENCE)).to_have_count(0)
    term.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text(SENTENCE)).to_be_in_viewport(ratio=1)
    page.keyboard.press("Escape")
    expect(page.get_by_text(SENTENCE)).to_have_count(0)
    expect(term).to_be_focused()


def test_a_term_opens_by_touch_on_a_phone(server: Server, chromium: Browser) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True)
    with closing(context):
        page = context.new_page()
        term_on(page, server).tap()
        expect(page.get_by_text(SENTENCE)).to_be_in_viewport(ratio=1)
        row = page.locator(f".st-key-{ROW}")
        assert row.evaluate("row => row.scrollWidth <= row.clientWidth")
        assert len(row.get_by_role("button").all()) == len(page_entry("attack").terms)
