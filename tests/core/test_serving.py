"""Under which names the served app answers: case 15, a forwarded port or a tunnel."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from streamlit import config
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from apr_core.cli import app, make_parser
from tests.conftest import ROOT

OWN = ["127.0.0.1", "localhost"]


def said(command: list[str], **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True
    ).stdout


def settings_of(command: str) -> dict[str, dict[str, object]]:
    """What Streamlit makes of a command `python -m apr_core app ...`."""
    words = shlex.split(command.partition("-m apr_core ")[2])
    options = app.server_options(make_parser().parse_args(words))
    shown = said([sys.executable, "-m", "streamlit", "config", "show", *options])
    return tomllib.loads(shown[shown.index("[global]") :])  # a preface stands before it


def by_make(**variables: str) -> dict[str, dict[str, object]]:
    given = [f"{name}={value}" for name, value in variables.items()]
    return settings_of(said(["make", "--dry-run", "--no-print-directory", "serve", *given]))


def by_container(folder: Path, **variables: str) -> dict[str, dict[str, object]]:
    """As `deploy/serve.sh` would start it, with programs that only say what they were asked."""
    for name, script in {"mkdir": "", "python": 'echo python "$@"'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return settings_of(said(["sh", "deploy/serve.sh"], PATH=path, **variables))


def answers(settings: dict[str, dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """By which of some names Streamlit opens a page's WebSocket."""
    hosts = settings["server"]["allowedHosts"]
    with monkeypatch.context() as patch:
        patch.setattr(config, "get_option", {"server.allowedHosts": hosts}.__getitem__)
        names = ("x.example", "x.example:443", "127.0.0.1:8501", "localhost", "evil.example")
        return {name for name in names if is_host_allowed(name)}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_serve_answers_to_the_names_given(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = by_make(HOST="127.0.0.1", HOSTS="x.example y.example", PORT="8777")
    assert settings["server"]["allowedHosts"] == [*OWN, "x.example", "y.example"]
    assert (settings["server"]["address"], settings["server"]["port"]) == ("127.0.0.1", 8777)
    known = {"x.example", "x.example:443", "127.0.0.1:8501", "localhost"}
    assert answers(settings, monkeypatch) == known


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_name_alone_is_answered_to() -> None:
    settings = by_make(NAME="x.example")
    assert {"x.example", *OWN} <= set(settings["server"]["allowedHosts"])
    assert settings["browser"]["serverAddress"] == "x.example"


def test_the_container_answers_to_the_names_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = by_container(tmp_path, HOSTS="x.example", NAME="x.example")
    assert settings["server"]["allowedHosts"] == [*OWN, "x.example"]
    assert "evil.example" not in answers(settings, monkeypatch)


def test_without_hosts_no_other_name_is_answered_to(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("python -m apr_core app")
    assert answers(settings, monkeypatch) == {"127.0.0.1:8501", "localhost"}
