"""The documents speak of what is there: links, commands, modules, rooms, and code that runs."""

from __future__ import annotations

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import apr_core
from apr_core.cli import make_parser
from tests.conftest import ROOT

DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "deploy" / "README.md"],
    key=lambda path: str(path.relative_to(ROOT)),
)
NOTEBOOK = ROOT / "examples" / "one_image.ipynb"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors_of(text: str) -> set[str]:
    """The anchors that a Markdown file's headings make."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if link.startswith("http"):
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors_of(file.read_text()), link


def commands_in(text: str) -> list[list[str]]:
    """Commands of `apr-lab` in a document's blocks of code, as arguments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    start = re.compile(r"^(?:apr-lab|python -m apr_core) (.*)$")
    found = [match[1] for line in lines if (match := start.match(line))]
    return [shlex.split(command, comments=True) for command in found]


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_are_understood(path: Path) -> None:
    for arguments in commands_in(path.read_text()):
        make_parser().parse_args(arguments)


def test_a_command_with_an_unknown_option_is_noticed() -> None:
    commands = commands_in("```\napr-lab models --nonsense   # a remark\n```\n")
    assert commands == [["models", "--nonsense"]]
    with pytest.raises(SystemExit):
        make_parser().parse_args(commands[0])


def modules_in(cell: str) -> list[str]:
    """Modules in a cell of a table; one that begins with a dot is beside the first."""
    first, *others = re.findall(r"`([^`]+)`", cell)
    beside = first.rpartition(".")[0]
    return [first, *(beside + other if other.startswith(".") else other for other in others)]


def test_modules_that_moved_are_where_the_changelog_says() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    table = text.partition("### Modules that moved")[2].partition("###")[0]
    cells = re.findall(r"^\| `.* \| (`.*) \|$", table, re.MULTILINE)
    modules = [module for cell in cells for module in modules_in(cell)]
    assert len(modules) > 40
    assert [module for module in modules if find_spec(module) is None] == []


def test_every_room_stands_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / "apr_core").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `apr_core/(\w+)` \|", text, re.MULTILINE)) == rooms
    picture = (ROOT / "docs" / "architecture.svg").read_text()
    assert {room for room in rooms if f">{room}</text>" not in picture} == set()


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {apr_core.__version__}\n" in text
    assert f"\n## {apr_core.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_notebook_attacks_certifies_and_explains() -> None:
    cells = [
        cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"
    ]
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)
    found: dict[str, Any] = {}
    for cell in cells:
        exec("".join(cell["source"]), found)
    changed = (found["adversarial"] != found["images"]).any(1)
    assert int(changed.sum()) == found["outcome"].success
    assert found["outcome"].queries <= 2100
    assert found["certificate"].verdict == "certified"
    assert found["weight"].shape == (32, 32)
