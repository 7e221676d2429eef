"""The Results page in a browser: tables that say what was and was not measured."""

from __future__ import annotations

import json

from playwright.sync_api import Page, expect

from apr_core.cli import main
from apr_core.evaluation.record import load_records
from tests.browser.conftest import Server


def test_the_tables_are_those_of_the_command_line(server: Server, page: Page, capsys) -> None:
    assert main(["tables", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    page.goto(f"{server.url}/results")
    for table in tables:
        heading = f"Table {table['number']}. {table['title']}"
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        for claim in table["claims"]:
            expect(page.get_by_text(claim["text"]).first).to_be_visible()
    expect(page.get_by_text("the project has no ImageNet models")).to_be_visible()


def test_what_stood_behind_a_lattice_is_not_called_bare(server: Server, page: Page) -> None:
    masked = [record.setting for record in load_records()[0] if record.setting.lattice]
    assert masked
    page.goto(f"{server.url}/results")
    for setting in masked:
        words = f"{setting.model} behind a lattice of {setting.lattice} "
        expect(page.get_by_text(f"{setting.name} · {words}")).to_be_visible()


def test_a_table_is_taken_away_as_markdown(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/results")
    expect(page.get_by_role("heading", name="Evaluations")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="MD").first.click()
    text = download.value.path().read_text()
    assert text.startswith("Table 1. Defences on CIFAR-10")
    assert "| No defence " in text
    assert "70.97%" in text


def test_the_page_fits_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/results")
    expect(page.get_by_role("heading", name="Evaluations")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
