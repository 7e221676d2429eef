"""The Results page in a browser: a summary, tables whose every column can be reached, exports."""

from __future__ import annotations

import csv
import io
import json

from playwright.sync_api import Page, expect

from apr_core.cli import main
from apr_core.evaluation.verdicts import Holds
from apr_ui.results.names import with_titles
from tests.browser.conftest import DESKTOP, PHONE, Server, expect_to_fit_a_phone
from tests.conftest import wait_until

RIGHT = "element => element.getBoundingClientRect().right"


def download_named(page: Page, name: str) -> str:
    with page.expect_download() as found:
        page.get_by_role("button", name=name, exact=True).click()
    return found.value.path().read_text()


def test_the_tables_are_those_of_the_command_line(server: Server, page: Page, capsys) -> None:
    assert main(["tables", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    page.goto(f"{server.url}/results")
    page.get_by_text("Not measured yet: ").click()
    for table in tables:
        heading = f"Table {table['number']}. {table['title']}"
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        for claim in table["claims"]:
            name = "Claims and verdicts"
            if claim["holds"] == Holds.UNMEASURED:
                name = "Claims not measured yet"
            told = page.get_by_role("region", name=name).get_by_text(with_titles(claim["text"]))
            expect(told.first).to_be_visible()
    expect(page.get_by_text("easier than ImageNet's validation set").first).to_be_visible()
    text = download_named(page, "Table 1 as MD")
    assert text.startswith("Table 1. Defences on CIFAR-10")
    assert "| No defence " in text
    assert "70.97%" in text
    (vanilla, *_) = csv.DictReader(io.StringIO(download_named(page, "Table 1 as CSV")))
    assert float(vanilla["asr_paper"]) == 0.7097
    assert float(vanilla["asr_ours_low"]) < float(vanilla["asr_ours_rate"])


def test_the_summary_is_in_the_first_view(server: Server, page: Page) -> None:
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        page.goto(f"{server.url}/results")
        chart = page.get_by_test_id("stPlotlyChart").first
        for title in ("Undefended ResNet-20", "APR", "APR+", "Adversarial training",
                      "Input transformation", "Defensive distillation"):  # fmt: skip
            label = chart.locator(".annotation-text").get_by_text(title, exact=True)
            expect(label).to_be_visible()
            box = label.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= size["height"]
            assert 0 <= box["x"] <= box["x"] + box["width"] <= size["width"]
    expect_to_fit_a_phone(page, ".annotation-text")


def test_every_column_is_reached_and_the_papers_beside_ours(server: Server, page: Page) -> None:
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        page.goto(f"{server.url}/results")
        table = page.get_by_role("region", name="Table 1", exact=True)
        columns = table.get_by_role("columnheader")
        for name in ("paper", "ours"):  # of the success rate
            head = columns.get_by_text(name, exact=True).first
            expect(head).to_be_visible()
            assert head.evaluate(RIGHT) <= size["width"]
        page.get_by_text("All columns of table 1").click()
        last = columns.get_by_text("McNemar's test")
        last.scroll_into_view_if_needed()
        first = table.get_by_role("rowheader").first
        left = table.evaluate("element => element.getBoundingClientRect().left")
        wait_until(lambda head=last, w=size["width"]: head.evaluate(RIGHT) <= w)
        box = first.bounding_box()
        assert box is not None
        assert abs(box["x"] - left) <= 2  # the first column stayed


def test_the_page_fits_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size(PHONE)
    page.goto(f"{server.url}/results")
    expect(page.get_by_role("heading", name="Evaluations")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
