"""The Results page in a browser: tables that say what was and was not measured."""

from __future__ import annotations

import json

from playwright.sync_api import Page, expect

from apr_core.cli import main
from apr_core.evaluation.record import load_records
from tests.browser.conftest import PHONE, Server, download


def test_the_tables_are_those_of_the_command_line(server: Server, page: Page, capsys) -> None:
    assert main(["tables", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    page.goto(f"{server.url}/results")
    for table in tables:
        heading = f"Table {table['number']}. {table['title']}"
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        for claim in table["claims"]:
            expect(page.get_by_text(claim["text"]).first).to_be_visible()
    expect(page.get_by_text("easier than ImageNet's validation set").first).to_be_visible()
    masked = [record.setting for record in load_records()[0] if record.setting.lattice]
    assert masked
    for setting in masked:  # what stood behind a lattice is not called bare
        words = f"{setting.model} behind a lattice of {setting.lattice} "
        expect(page.get_by_text(f"{setting.name} · {words}")).to_be_visible()
    text = download(page, "MD").decode()
    assert text.startswith("Table 1. Defences on CIFAR-10")
    assert "| No defence " in text
    assert "70.97%" in text


def test_the_page_fits_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto(f"{server.url}/results")
    expect(page.get_by_role("heading", name="Evaluations")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
