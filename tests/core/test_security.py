"""What no code of the project does, and what its secrets are: read from the code itself."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from apr_core import InputError
from apr_core.base import schema
from apr_core.base.tickets import known_claim
from apr_core.classroom.board import Classrooms
from apr_core.classroom.plan import Plan
from apr_core.data import decode
from apr_core.serving import memory_limits as room
from apr_core.serving import requests as runs
from apr_core.serving import service
from apr_core.serving.archive import store
from apr_core.serving.offered import OFFERED, load_offered
from apr_core.serving.requests import MapRequest
from apr_core.serving.service import AttackService
from apr_core.zoo import checkpoints as zoo
from apr_ui import limits
from apr_ui.words import plain
from tests.conftest import ROOT

FOLDERS = ("apr_core", "apr_ui", "pages", "scripts", "benchmarks")
UNPICKLERS = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
"""Modules that make objects of a file by running what the file says."""
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
LOADERS = {
    "torch.load": {"apr_core/zoo/external/load.py", "apr_core/zoo/library/weights.py"},
    "torch.jit.load": {"apr_core/zoo/external/load.py"},
    "torch.export.load": {"apr_core/zoo/external/load.py"},
    "torch.hub.load": set(),
    "np.load": set(),
    "numpy.load": set(),
    "pd.read_pickle": set(),
    "pandas.read_pickle": set(),
    "yaml.load": set(),
    "torch.package.PackageImporter": set(),
}
"""What may read a file of somebody's own that is a program, and the only places where it does: the
command line's `--model`, for a file and for a library's weights. There, torch.load stands with
weights_only, and an exported program is held against a list before it is loaded."""
REACHABLE_FROM_THE_APP = ("app.py", "pages", "apr_ui")


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        place = ROOT / folder
        for path in [place] if place.suffix else sorted(place.rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def breaches(name: str, tree: ast.Module) -> list[str]:
    """What a module does that none may."""
    found = [f"imports {one}" for one in imports(tree) if one.split(".")[0] in UNPICKLERS]
    for call in calls(tree):
        called = ast.unparse(call.func)
        if called in RUNS_TEXT:
            found.append(f"calls {called}")
        if name not in LOADERS.get(called, {name}):
            found.append(f"calls {called}")
        words = {word.arg: word.value for word in call.keywords}
        if called == "torch.load" and ast.unparse(words.get("weights_only", call)) != "True":
            found.append("calls torch.load without weights_only")
        if ast.unparse(words.get("allow_pickle", ast.Constant(False))) != "False":
            found.append(f"calls {called} with allow_pickle")
        shell = words.get("shell")
        if called in ("os.system", "os.popen") or (shell and ast.unparse(shell) != "False"):
            found.append(f"calls {called} with a shell")
    return found


def test_no_pickle_is_loaded_and_no_text_is_run() -> None:
    found = {name: breaches(name, tree) for name, tree in sources(*FOLDERS, "app.py")}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.memory",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import numpy as np\nnp.load('x')",
        "from numpy import lib\nlib.load('x', allow_pickle=True)",
        "eval('1')",
        "import torch\ntorch.jit.load('x')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
    ],
)
def test_a_breach_is_seen(source: str) -> None:
    assert breaches("apr_core/zoo/checkpoints.py", ast.parse(source))


GATE = "apr_core/serving/offered.py"
"""Lets the app load those of the libraries' models that whoever runs it named, and no others."""


def test_the_app_does_not_reach_the_loading_of_programs() -> None:
    for name, tree in sources(*REACHABLE_FROM_THE_APP):
        if name == GATE:
            continue
        named = [
            one
            for one in imports(tree)
            if one.startswith(("apr_core.zoo.external", "apr_core.zoo.library", "apr_core.cli"))
        ]
        assert not named, f"{name} imports {named}"


def test_the_gate_lets_through_what_was_offered_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFERED, "torchvision:vgg19")
    loaded: list[str] = []
    monkeypatch.setattr(
        "apr_core.serving.offered.load_library", lambda name, _: loaded.append(name)
    )
    load_offered("torchvision:vgg19")
    for name in ("torchvision:vgg16", "timm:resnet18", "os:abort", "/a.onnx", "vgg19", ""):
        with pytest.raises(InputError, match="not offered"):
            load_offered(name)
    assert loaded == ["torchvision:vgg19"]


def test_secrets_come_from_the_system_and_are_compared_in_constant_time() -> None:
    uses: dict[str, set[str]] = {}
    for name, tree in sources("apr_core", "apr_ui", "pages"):
        for call in calls(tree):
            uses.setdefault(ast.unparse(call.func), set()).add(name)
        assert "random" not in set(imports(tree)), (
            f"{name} draws from a generator that can be foreseen"
        )
    drawn = uses["secrets.token_urlsafe"]
    assert {"apr_core/base/tickets.py", "apr_core/classroom/board.py"} <= drawn
    assert "apr_core/base/tickets.py" in uses["hmac.compare_digest"]
    assert re.search(r"compare_digest", (ROOT / "apr_core/classroom/records.py").read_text())


def test_tokens_are_long_and_never_the_same(tmp_path: Path, pictures) -> None:
    idle = AttackService(lambda name: pytest.fail("nothing is to be loaded"), max_live=0)
    tickets = [idle.submit(MapRequest("m", pictures[0], 0)).token for _ in range(50)]
    idle.close()
    classes = Classrooms(tmp_path / "classes.sqlite3")
    codes = [classes.open(Plan(9, "cifar10-resnet20-vanilla")) for _ in range(20)]
    for tokens in (tickets, [opened.token for opened in codes], [opened.code for opened in codes]):
        assert len(set(tokens)) == len(tokens)
    assert all(len(token) >= 22 for token in tickets)  # 128 bits
    assert all(len(opened.token) >= 22 for opened in codes)


def test_a_token_is_told_from_all_but_itself() -> None:
    claims = {"right": 0.0, "other": 0.0}
    assert known_claim(claims, "right") == "right"
    for wrong in ("", "righ", "rightt", "Right", "right ", "right\0"):
        assert known_claim(claims, wrong) == ""


def test_the_app_answers_the_loopback_alone_unless_it_is_told_otherwise() -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    server = config["server"]
    assert server["address"] == "127.0.0.1"
    assert server["allowedHosts"] == ["127.0.0.1", "localhost"]
    assert server["maxUploadSize"] * 2**20 == decode.MAX_BYTES
    assert server.get("enableXsrfProtection", True)
    assert server.get("enableCORS", True)
    assert not server.get("enableStaticServing", False)
    assert config["client"]["showErrorDetails"] == "none"


def test_the_app_asks_no_other_server_for_its_address(monkeypatch) -> None:
    import requests
    from streamlit import config
    from streamlit.web.server.server_util import is_url_from_allowed_origins

    import apr_ui.frame  # noqa: F401

    monkeypatch.setattr(requests, "get", lambda *_, **__: pytest.fail("it asked the internet"))
    assert config.get_option("server.enableCORS")
    assert not is_url_from_allowed_origins("http://evil.example")


def test_the_bounds_that_are_told_are_those_that_hold() -> None:
    told = " ".join((ROOT / "deploy" / "README.md").read_text().split())
    million, mebi = 10**6, 2**20
    for words in (
        f"{decode.MAX_BYTES // mebi} MB, {decode.MAX_PIXELS // million} megapixels "
        f"({decode.MAX_JPEG_PIXELS // million} as JPEG, {decode.MAX_VALUES // 4 // million} with "
        f"four channels, {decode.MAX_MODERN_PIXELS // million} as WebP or AVIF), "
        f"{decode.MAX_SCANS} scans",
        f"keeps uploads to {decode.MAX_BYTES // mebi + 1} MB",
        f"{runs.SERVED['population'][1]:,} candidates, {runs.SERVED['generations'][1]:,} "
        f"generations, {runs.MOST_HISTORY // mebi} MB of history",
        f"{service.MAX_LIVE}, and {service.MAX_QUEUED} that wait",
        f"{limits.MOST_LIVE} runs that go on or wait, and {limits.MOST_A_MINUTE} requests",
        f"{room.MAX_KEPT} that have ended, {room.MAX_BYTES // mebi} MB; "
        f"{room.MAX_BYTES // mebi} MB of live ones",
        f"ended after {service.IDLE_SECONDS / 60:g} minutes",
        f"{zoo.MOST_CARD_BYTES // mebi} MB, {schema.MOST_BYTES // mebi} MB; {schema.DEEPEST} lists",
        f"at most {store.MOST_RUNS:,} runs and {store.MOST_BYTES // mebi} MB",
    ):
        assert words in told, words


def test_nginx_lets_a_picture_of_the_largest_size_through() -> None:
    bound = re.search(r"client_max_body_size (\d+)m;", (ROOT / "deploy/nginx.conf").read_text())
    assert bound
    assert int(bound[1]) * 2**20 == decode.MAX_BYTES + 2**20  # the form around it


# What is repeated on a page is not markup


@pytest.mark.parametrize(
    "hostile",
    [
        "![x](http://evil.example/x.png)",
        "[click](http://evil.example)",
        "```[x](y)`",
        "``![x](y)``",
        ":red[x]",
        "$x$",
        "<img src=x>",
        "**b**",
        "\\[x](y)",
    ],
)
def test_marks_in_a_sentence_lose_their_meaning(hostile: str) -> None:
    said = plain(f"There is no model '{hostile}'.")
    unescaped = re.sub(r"\\[!-/:-@\[-`{-~]", "", said)
    assert not re.search(r"[\[\]`<>$*]|:red", unescaped)
    shown = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", said).replace("\u2060", "")
    assert shown == f"There is no model '{hostile}'."


def test_addresses_are_no_links_and_code_is_code() -> None:
    said = plain("See http://evil.example, www.evil.example or a@evil.example; run `make test`.")
    assert "http:" not in said
    assert "www." not in said
    assert "a@" not in said
    assert "`make test`" in said


def test_no_page_shows_an_error_as_markup() -> None:
    for name, tree in sources(*REACHABLE_FROM_THE_APP):
        for call in calls(tree):
            if ast.unparse(call.func) in ("st.error", "st.warning", "st.info") and call.args:
                shown = re.sub(r"plain\([^()]*\)", "", ast.unparse(call.args[0]))
                bare = re.search(r"\b(str\(error\)|error|view\.error|sentence)\b", shown)
                assert not bare, f"{name} shows {shown}; wrap it in apr_ui.words.plain"
