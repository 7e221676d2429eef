"""A server killed and started again: ended runs are there, the others are said to be lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from apr_core.data.images import to_png
from apr_core.data.registry import find_dataset
from tests.browser.conftest import Server

MODEL = "cifar10-resnet20-vanilla"
QUICK = {"model": MODEL, "index": "9", "population": "20", "generations": "3", "stop": "budget"}
LONG = QUICK | {"seed": "5", "population": "400", "generations": "1000"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def servers(folder: Path) -> Iterator[list[Server]]:
    """Servers on one folder of runs, one after the other; none may have logged an error."""
    started: list[Server] = []
    yield started
    for server in started:
        if server.process.poll() is None:
            assert "Traceback" not in server.stop()


def start(servers: list[Server], folder: Path) -> Server:
    server = Server({"APR_RUNS": str(folder)})
    servers.append(server)
    server.wait()
    return server


def link(server: Server, params: dict[str, str]) -> str:
    return f"{server.url}/attack?{urlencode(params)}"


def test_runs_after_a_kill(servers, folder: Path, page: Page, tmp_path: Path) -> None:
    before = start(servers, folder)
    page.goto(link(before, QUICK))
    expect(page.get_by_text("80 queries in")).to_be_visible()
    picture = tmp_path / "mine.png"
    picture.write_bytes(to_png(find_dataset().test_image(9)[0]))
    page.get_by_role("radio", name="Your picture").click()  # with the same settings
    page.locator("input[type=file]").set_input_files(str(picture))
    expect(page.get_by_text("Your picture, before it was made 32 × 32")).to_be_visible()
    page.get_by_role("button", name="Hunt for the pixel").click()
    page.wait_for_url("**/attack?run=*")
    own = page.url.partition("run=")[2]
    page.goto(link(before, LONG))
    expect(page.get_by_text("of 1000 · queries").first).to_be_visible()
    assert len(list(folder.iterdir())) == 3
    before.kill()
    assert (folder / f"{own}.json.gz").stat().st_size < 1000  # without the picture

    after = start(servers, folder)
    page.goto(link(after, QUICK))
    expect(page.get_by_text("80 queries in")).to_be_visible()
    expect(page.get_by_role("button", name="PNG")).to_be_visible()
    page.goto(f"{after.url}/attack?run={own}")
    expect(page.get_by_text("which is never written to disk, so it was lost")).to_be_visible()
    expect(page.get_by_test_id("stFileUploader")).to_be_visible()
    page.goto(link(after, LONG))
    expect(page.get_by_text("This run was interrupted when the server stopped")).to_be_visible()
    page.get_by_role("button", name="Run it again, same seed").click()
    expect(page.get_by_text("of 1000 · queries").first).to_be_visible()
    expect(page.get_by_text("was interrupted")).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled after")).to_be_visible()
