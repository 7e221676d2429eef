"""Arrows point one way: app -> pages -> apr_ui -> apr_core, and inside the core as TIERS has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from apr_ui.page_table import PAGES
from tests.conftest import ROOT

TIERS = (
    "base",
    "data",
    "models",
    "attacks",
    "certification",
    "defences",
    "zoo",
    "training",
    "explain",
    "evaluation",
    "safety",
    "report",
    "serving",
    "by_hand",
    "classroom",
    "cli",
    "__init__",
    "__main__",
)
"""Rooms of `apr_core`, lowest first. A room imports itself and lower rooms.
`__init__` is the package's public face: the engine goes by the rooms instead."""
FORBIDDEN = {
    "apr_core": {"streamlit", "plotly", "apr_ui", "pages", "app", "tests", "benchmarks"},
    "apr_ui": {"pages", "app", "tests", "benchmarks"},
    "pages": {"app", "tests", "benchmarks"},
    "benchmarks": {"apr_ui", "pages", "app", "tests"},
}
"""Top-level packages that each folder may not import."""
CLEAN = (
    "attention/map_files.py",
    "charts.py",
    "classes/charts.py",
    "hand/figures.py",
    "page_table.py",
    "proof/finding.py",
    "permalink.py",
    "pictures.py",
    "race/charts.py",
    "race/link.py",
    "race/report.py",
    "race/words.py",
    "results/charts.py",
)
"""Modules of `apr_ui` that know no streamlit."""


def modules_in(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports_of(source: str, package: str = "") -> Iterator[str]:
    """Dotted names that a module imports, wherever in it it does, relative ones made absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parts if node.level else []), *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called in ("__import__", "import_module", "importlib.import_module"):
                yield str(node.args[0].value)


def rooms_of(source: str, package: str = "apr_core") -> set[str]:
    """Rooms of the core that a module of it imports."""
    rooms = set()
    for name in imports_of(source, package):
        top, *rest = name.split(".")
        if top == "apr_core":
            known = rest and rest[0] in TIERS
            is_module = rest and (ROOT / "apr_core" / rest[0]).with_suffix(".py").exists()
            is_package = rest and (ROOT / "apr_core" / rest[0]).is_dir()
            rooms.add(rest[0] if known or is_module or is_package else "__init__")
    return rooms


def tier_of(room: str) -> int:
    assert room in TIERS, f"apr_core/{room} has no place in TIERS; give it one"
    return TIERS.index(room)


def room_of(path: Path) -> str:
    """The room that a file of the core is in."""
    first = path.relative_to(ROOT / "apr_core").parts[0]
    return first.removesuffix(".py")


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).parent.parts)


@pytest.mark.parametrize("path", modules_in("apr_core"), ids=lambda path: "/".join(path.parts[-2:]))
def test_a_room_of_the_core_imports_lower_rooms_only(path: Path) -> None:
    room = room_of(path)
    for other in rooms_of(path.read_text(), package_of(path)) - {room}:
        assert tier_of(other) < tier_of(room), f"{path.relative_to(ROOT)} imports {other}"


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_nothing_imports_what_stands_above_it(folder: str) -> None:
    for path in modules_in(folder):
        tops = {name.split(".")[0] for name in imports_of(path.read_text(), package_of(path))}
        if path == ROOT / "apr_core" / "cli" / "__init__.py":
            tops.discard("benchmarks")  # a command where they are there, a sentence where not
        assert not tops & FORBIDDEN[folder], f"{path.relative_to(ROOT)} imports {tops}"


def test_charts_and_links_know_no_streamlit() -> None:
    for name in CLEAN:
        source = (ROOT / "apr_ui" / name).read_text()
        tops = {imported.split(".")[0] for imported in imports_of(source, "apr_ui")}
        assert "streamlit" not in tops, name


def test_differential_evolution_knows_no_images() -> None:
    source = (ROOT / "apr_core" / "attacks" / "differential_evolution.py").read_text()
    assert rooms_of(source) <= {"base"}


def data_set_modules() -> set[str]:
    """Modules of `apr_core.data` that define data sets: those that the registry imports."""
    registry = (ROOT / "apr_core" / "data" / "registry.py").read_text()
    found = {".".join(name.split(".")[:3]) for name in imports_of(registry)}
    return {name for name in found if name.startswith("apr_core.data.")} - {"apr_core.data.dataset"}


@pytest.mark.parametrize("folder", ["apr_core", "apr_ui", "pages", "benchmarks", "app.py"])
def test_a_data_set_is_found_by_name_only(folder: str) -> None:
    modules = data_set_modules()
    assert "apr_core.data.cifar10" in modules
    paths = modules_in(folder) or [ROOT / folder]
    assert all(path.is_file() for path in paths)
    for path in set(paths) - set(modules_in("apr_core/data")):
        imports = imports_of(path.read_text(), package_of(path))
        named = {".".join(name.split(".")[:3]) for name in imports}
        assert not named & modules, f"{path.relative_to(ROOT)} imports {named & modules}"


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("import apr_core.zoo.checkpoints", {"zoo"}),
        ("from apr_core.zoo.checkpoints import Card", {"zoo"}),
        ("from apr_core import attacks, zoo", {"attacks", "zoo"}),
        ("from apr_core import OnePixelAttack", {"__init__"}),
        ("import apr_core", {"__init__"}),
        ("def f():\n    from apr_core.cli import main", {"cli"}),
        ("from ..serving import Phase", {"serving"}),
        ("from .. import serving", {"serving"}),
        ("from . import pixels", {"attacks"}),
        ("import importlib\nimportlib.import_module('apr_core.explain')", {"explain"}),
        ("import torch\nfrom apr_ui import charts", set()),
    ],
)
def test_every_way_of_importing_is_seen(source: str, rooms: set[str]) -> None:
    assert rooms_of(source, "apr_core.attacks") == rooms


@pytest.mark.parametrize("script", ["app.py", *(f"pages/{entry.key}.py" for entry in PAGES)])
def test_every_script_comes_in_by_the_one_door(script: str) -> None:
    ours = [name for name in imports_of((ROOT / script).read_text()) if name.startswith("apr_")]
    assert ours[0] == "apr_ui.loading"
