"""The wheel in an empty environment, away from the checkout: the library, the command, the app."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from apr_core.serving.gallery import PLANS
from tests.browser.conftest import Server
from tests.conftest import ROOT, figures, wait_until

LARGEST = 3_000_000
"""Bytes of a file in the wheel: the sample of test images is just smaller."""


@dataclass(frozen=True)
class Installed:
    """A virtual environment that has the wheel, and sees the packages of this one.

    Attributes:
        wheel: what was installed.
        folder: the environment; beside it lie an empty folder to work in and the user's data.
    """

    wheel: Path
    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)

    @property
    def site(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    @property
    def elsewhere(self) -> Path:
        return self.folder.parent / "elsewhere"

    @property
    def written(self) -> Path:
        return self.folder.parent / "data" / "apr-lab"

    @property
    def environment(self) -> dict[str, str]:
        """What is not as in this process: nothing names a checkout, or a folder of the tests'."""
        unset = dict.fromkeys(("APR_RUNS", "APR_CLASSROOM", "PYTHONPATH"), "")
        return unset | {"XDG_DATA_HOME": str(self.written.parent), "OMP_NUM_THREADS": "1"}

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program(name), *arguments],
            cwd=self.elsewhere,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> dict[Path, int]:
        """What lies in its packages, and since when; Python's caches aside."""
        paths = (path for path in self.site.rglob("*") if "__pycache__" not in path.parts)
        return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built and installed as a person would, but that nothing is fetched."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*pip, "wheel", *offline, str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    made = Installed(wheel, folder / "environment")
    made.elsewhere.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made.folder)], check=True)
    into = ["--python", made.program("python")]
    subprocess.run([*pip, *into, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (made.site / "present.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


@pytest.fixture
def untouched(installed: Installed) -> Iterator[None]:
    """Nothing that the installed package does is written among the packages."""
    before = installed.files()
    yield
    assert installed.files() == before


def test_the_wheel_holds_what_the_project_ships(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        sizes = {entry.filename: entry.file_size for entry in wheel.infolist()}
    assert max(sizes.values()) < LARGEST
    held = {name.partition("/shipped/")[2] for name in sizes if "/shipped/" in name}
    assert {".streamlit/config.toml", "app.py", "pages/attack.py"} <= held
    assert {f"assets/gallery/{data}.json" for data in PLANS} <= held
    cards = {path.name for path in (ROOT / "checkpoints").glob("*.json")}
    assert {f"checkpoints/{name}" for name in cards} <= held
    assert not any(name.startswith(("checkpoints/own", "checkpoints/pending")) for name in held)
    assert {"apr_core/py.typed", "apr_ui/py.typed"} <= set(sizes)


def test_the_readmes_lines_run(installed: Installed, untouched: None) -> None:
    lines = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    done = installed.run("python", "-c", lines[1])
    assert done.returncode == 0, done.stderr
    rate, *snapshots = done.stdout.splitlines()
    assert figures(rate)[0].endswith("%")
    assert [int(line.split()[0]) for line in snapshots] == list(range(len(snapshots)))
    assert snapshots


def test_the_command_attacks(installed: Installed, untouched: None) -> None:
    done = installed.run("apr-lab", "attack", "--index", "9")
    assert done.returncode == 0, done.stderr
    assert "automobile" in done.stdout
    assert figures(done.stdout)


def test_the_command_says_where_missing_weights_belong(
    installed: Installed, untouched: None
) -> None:
    done = installed.run("apr-lab", "attack", "--index", "9", "--model", "cifar10-vgg16-apr-plus")
    assert done.returncode == 2
    assert str(installed.written / "checkpoints" / "cifar10-vgg16-apr-plus.saf") in done.stderr


def handshake(url: str, host: str) -> int:
    """The status that a page's WebSocket is answered with, asked for by a name."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    headers = {
        "Host": host,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    connection.request("GET", "/_stcore/stream", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_app_attacks_and_writes_to_the_users_folder(
    installed: Installed, untouched: None, page: Page
) -> None:
    program = (installed.program("apr-lab"),)
    server = Server(installed.environment, program, installed.elsewhere)
    try:
        server.wait()
        assert [handshake(server.url, host) for host in ("localhost", "x.example")] == [101, 403]
        page.goto(f"{server.url}/attack")
        page.get_by_role("button", name="Hunt for the pixel").click()
        player = page.get_by_test_id("player")
        expect(player).to_have_attribute("data-status", "flipped")
        wait_until(lambda: any((installed.written / "runs").iterdir()))
    finally:
        logged = server.stop()
    assert "Traceback" not in logged, logged
