"""A real server and a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from apr_core.models.incremental.engine import DENSE
from apr_ui.page_table import PAGES
from tests import processes
from tests.conftest import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
PATIENT = 1000 * PATIENCE / 2
"""Milliseconds: a busy machine is no failure."""
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 28)"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=PATIENT)


class Server:
    """The command `app` on a free port of the loopback; `environment` is added to this one.

    Runs that other servers kept are none of its own, unless `environment` names their folder.
    `program` is the command line whose command it is, started in `folder`.
    """

    def __init__(
        self,
        environment: dict[str, str] | None = None,
        program: tuple[str, ...] = (sys.executable, "-m", "apr_core"),
        folder: Path = ROOT,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._mark = f"{os.environ[processes.MARK]}-{uuid.uuid4().hex}"
        self._runs = tempfile.TemporaryDirectory(prefix="apr-runs-", ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [*program, "app", "--port", str(port)],
            cwd=folder,
            env=os.environ
            | {"APR_RUNS": self._runs.name, processes.MARK: self._mark}
            | (environment or {}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()[1]
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=PATIENCE):
                return True
        except OSError:
            return False

    def stop(self) -> str:
        """End the server and the trainings that outlive it; returns what it wrote to stderr."""
        self.process.terminate()
        return self._end()

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        self.process.kill()
        self._end()

    def _end(self) -> str:
        written = self.process.communicate(timeout=PATIENCE)[1]
        processes.end_all(self._mark)
        self._runs.cleanup()
        return written


@pytest.fixture
def fresh_server() -> Iterator[Server]:
    """A server that no one has asked for anything."""
    server = Server()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@contextmanager
def running(settings: dict[str, str] | None = None) -> Iterator[Server]:
    """A server that must not have logged an error at the end."""
    shared = Server(settings)
    shared.wait()
    yield shared
    written = shared.stop()
    assert "Traceback" not in written, written


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all tests."""
    with running() as shared:
        yield shared


@pytest.fixture(scope="module")
def offline_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where nothing was fetched, and that does not find out what is fastest."""
    with running({DENSE: "1", "APR_DATA": str(tmp_path_factory.mktemp("data"))}) as shared:
        yield shared


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        message = "Chromium is not installed; install the system package `chromium`."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """One browser for all tabs, so that the app's scripts are fetched once."""
    shared = chromium.new_context(viewport=DESKTOP)
    shared.set_default_timeout(PATIENT)
    yield shared
    shared.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab that must not ask anything of a host but this one, nor raise."""
    tab = context.new_page()
    raised: list[str] = []
    abroad: list[str] = []
    tab.on("pageerror", lambda error: raised.append(str(error)))
    tab.on(
        "request",
        lambda request: (
            abroad.append(request.url)
            if not request.url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:"))
            else None
        ),
    )
    yield tab
    tab.close()
    assert raised == []
    assert abroad == []


def follow_menu(page: Page, title: str) -> None:
    """Go to a page by its link in the menu, which lies in its section."""
    entry = next(entry for entry in PAGES if entry.title == title)
    if not entry.section:
        page.get_by_role("link", name=title, exact=True).first.click()
        return
    page.get_by_test_id("stTopNavSection").filter(has_text=entry.section).click()
    page.get_by_role("menuitem", name=title, exact=True).click()


def download(page: Page, kind: str) -> bytes:
    """The file behind the first button of a kind, such as PNG."""
    with page.expect_download() as found:
        page.get_by_role("button", name=kind, exact=True).first.click()
    return Path(found.value.path()).read_bytes()


def expect_to_fit_a_phone(page: Page, parts: str = "*") -> None:
    """Nothing of the page is wider than a phone, in the light and in the dark theme.

    Tables scroll in themselves and may be. Wait for the end of the page before this is asked.

    Args:
        parts: a selector of what is measured, beside the page itself.
    """
    app = page.get_by_test_id("stApp")
    right = (
        f"Math.max(...[...document.querySelectorAll('[data-testid=stMain] {parts}')]"
        ".filter(e => !e.closest('[data-testid=stDataFrame], .results-table table'))"
        ".map(e => e.getBoundingClientRect().right))"
    )
    page.set_viewport_size(PHONE)
    for scheme, background in (("light", LIGHT), ("dark", DARK)):
        page.emulate_media(color_scheme=scheme)
        expect(app).to_have_css("background-color", background)
        wait_until(lambda: page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"])
        wait_until(lambda: page.evaluate(right) <= PHONE["width"] + 1)


def expect_side_by_side(boxes: Locator) -> None:
    """Wait until the first two have the same top: a page may still be finding its layout."""
    top = "boxes => boxes.slice(0, 2).map(box => Math.round(box.getBoundingClientRect().top))"

    def beside() -> bool:
        tops = boxes.evaluate_all(top)
        return len(tops) == 2 and len(set(tops)) == 1

    wait_until(beside)
