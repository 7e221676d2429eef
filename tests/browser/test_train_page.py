"""The Train page as a person uses it: start, watch, cancel, resume, attack what came of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from apr_ui.state import NOT_STOPPED
from tests.browser.conftest import DESKTOP, PHONE, ROOT, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with checkpoints of its own, whose CIFAR-10 is small."""
    folder = tmp_path_factory.mktemp("train")
    shutil.copytree(ROOT / "checkpoints", folder / "checkpoints")
    shutil.rmtree(folder / "checkpoints" / "own", ignore_errors=True)
    environment = {
        "APR_CHECKPOINTS": str(folder / "checkpoints"),
        "APR_TRAINING": str(folder / "training"),
        "PYTHONPATH": str(Path(__file__).parent / "small_data") + ":" + str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    shared = Server(environment)
    shared.wait()
    yield shared
    written = shared.stop()
    assert "Traceback" not in written, written


def set_number(page: Page, label: str, value: int) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(str(value))
    box.press("Enter")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_a_small_training_ends_in_a_model_to_attack(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/train")
    expect(page.get_by_text("No training yet")).to_be_visible()
    page.set_viewport_size(PHONE)
    expect(page.get_by_role("button", name="Start training", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.set_viewport_size(DESKTOP)
    set_number(page, "Epochs", 1)
    press(page, "Start training")
    expect(page.get_by_text("APR on ResNet-20")).to_be_visible()
    expect(page.get_by_text("test images right, after")).to_be_visible()
    assert "run=cifar10-resnet20-apr-" in page.url
    page.reload()
    expect(page.get_by_text("test images right, after")).to_be_visible()
    expect(page.get_by_text("Flipped by the attack", exact=True)).to_be_visible()
    press(page, "Attack it")
    expect(page.get_by_role("heading", name="Hunt for the pixel")).to_be_visible()
    picker = page.get_by_role("combobox", name="Model under attack")
    expect(picker).to_have_value(re.compile(r"yours: cifar10-resnet20-apr-\w{6} · .* clean"))
    press(page, "Hunt for the pixel")
    ended = page.get_by_text("queries in").or_(page.get_by_text("nothing to flip"))
    expect(ended.first).to_be_visible()


EPOCH = re.compile(r"Epoch (\d+) of 200")


def test_a_training_is_cancelled_resumed_and_discarded(
    server: Server, page: Page, chromium: Browser
) -> None:
    page.goto(f"{server.url}/train")
    set_number(page, "Epochs", 200)
    set_number(page, "Seed", 7)
    press(page, "Start training")
    expect(page.get_by_text(re.compile(r"Epoch ([2-9]|\d\d+) of 200"))).to_be_visible()
    reached = epoch(page)
    press(page, "Cancel")
    expect(page.get_by_text("Resume continues from there")).to_be_visible()
    page.reload()  # another session: the run is found by its address
    expect(page.get_by_text("Resume continues from there")).to_be_visible()
    press(page, "Resume")
    expect(page.get_by_text(EPOCH)).to_be_visible()
    assert epoch(page) >= reached
    page.reload()  # the session before it looks still, for all that is known; it is one's own
    expect(page.get_by_text(EPOCH)).to_be_visible()
    with closing(chromium.new_page()) as other:  # another browser, and so another visitor
        other.goto(page.url)
        expect(other.get_by_text(EPOCH)).to_be_visible()
        press(page, "Cancel")
        expect(page.get_by_text(NOT_STOPPED)).to_be_visible()
        expect(page.get_by_text(EPOCH)).to_be_visible()
        press(other, "Cancel")
        expect(other.get_by_text("Resume continues from there")).to_be_visible()
    expect(page.get_by_text("Resume continues from there")).to_be_visible()
    page.reload()
    address = page.url
    press(page, "Discard")
    expect(page.get_by_text("Discard this training?")).to_be_visible()
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    press(page, "Cancel")
    expect(page.get_by_text("Discard this training?")).to_be_hidden()
    press(page, "Discard")
    press(page, "Discard it")
    expect(page.get_by_text("No training yet")).to_be_visible()
    assert "run=" not in page.url
    page.goto(address)
    expect(page.get_by_text("No training yet")).to_be_visible()


def test_a_second_tab_is_not_someone_else(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/train")
    set_number(page, "Epochs", 200)
    set_number(page, "Seed", 8)
    press(page, "Start training")
    expect(page.get_by_text(EPOCH)).to_be_visible()
    with closing(page.context.new_page()) as second:
        second.goto(page.url)
        expect(second.get_by_text(EPOCH)).to_be_visible()
        press(page, "Cancel")
        expect(second.get_by_text("Resume continues from there")).to_be_visible()


def epoch(page: Page) -> int:
    found = EPOCH.search(page.get_by_text(EPOCH).inner_text())
    assert found
    return int(found[1])
