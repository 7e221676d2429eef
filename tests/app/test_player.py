"""The player's assets: they load, they keep their promises, and the script parses."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import apr_ui.player as package
from apr_core.base.types import Status
from apr_core.serving.requests import Phase
from apr_core.serving.run_export import START_RUN, UNWATCHED, load_recording
from apr_ui.component.assets import ZOOM, asset
from apr_ui.player.standalone import standalone_page

FOLDER = Path(package.__file__).parent
HTML, CSS = ((FOLDER / f"player.{suffix}").read_text() for suffix in ("html", "css"))
JS = asset("js", FOLDER, ZOOM)
TEST_IDS = (
    "player",
    "player-canvas",
    "player-play",
    "player-back",
    "player-forward",
    "player-slider",
    "player-next",
    "player-slow",
    "player-speed",
    "player-text",
    "player-zoom",
    "player-zoom-in",
    "player-zoom-out",
)


def test_python_reads_the_assets():
    assert asset("html", FOLDER) == HTML
    assert len(list(FOLDER.glob("*.js"))) == 6
    for file in FOLDER.glob("*.js"):
        assert file.read_text() in JS
    assert callable(package.player)


def test_the_script_default_exports_one_function():
    assert len(re.findall(r"^export default function \w+\(", JS, re.MULTILINE)) == 1


@pytest.mark.parametrize("word", ["http", "fetch(", "import(", "XMLHttpRequest", "@import", "url("])
def test_nothing_is_fetched(word):
    own = JS.replace("http://www.w3.org/2000/svg", "")  # a namespace's name, not an address
    assert word not in own + CSS + HTML


@pytest.mark.parametrize("word", ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval("])
def test_data_never_becomes_markup(word):
    assert word not in JS


def test_every_status_has_its_words():
    """Case 16: also of runs that ended and that nobody cancelled."""
    words = JS.partition("const HEADLINES = {")[2].partition("\n};")[0]
    alone = JS.partition("const NO_FRAME = {")[2].partition("};")[0]
    told, alone = (set(re.findall(r"^  (\w+):", text, re.MULTILINE)) for text in (words, alone))
    live = {Phase.QUEUED, Phase.RUNNING}
    assert told == {*live, Phase.FAILED, *Status, UNWATCHED}
    assert alone == told - {Status.FLIPPED, Status.SURVIVED}


@pytest.mark.parametrize("test_id", TEST_IDS)
def test_every_test_id_stands_once(test_id):
    assert HTML.count(f'data-testid="{test_id}"') == 1


def test_every_part_the_script_names_is_in_the_markup():
    parts = set(re.findall(r'data-part="(\w+)"', HTML))
    named = set(re.findall(r"\bparts\.(\w+)", JS))
    for names in re.findall(r"const \{([^}]*)\} = player\.parts", JS):
        named |= {name.split(":")[0].strip() for name in names.split(",")}
    assert len(named) > 10
    assert named <= parts


def test_controls_have_names():
    controls = re.findall(r"<(?:button|input|select)[^>]*>", HTML)
    assert len(controls) == 9
    unnamed = [control for control in controls if "aria-label=" not in control]
    ids = {re.search(r'data-testid="([\w-]+)"', control)[1] for control in unnamed}
    assert ids == {"player-next", "player-slow"}  # their visible texts are their names


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_parses_the_script(tmp_path):
    module = tmp_path / "player.mjs"
    module.write_text(JS)
    done = subprocess.run(
        [str(shutil.which("node")), "--check", str(module)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_finds_the_default_export(tmp_path):
    module = tmp_path / "player.mjs"
    module.write_text(JS + "\nconsole.log(typeof mount, colour(1), colour(0), percent(0.531));\n")
    done = subprocess.run(
        [str(shutil.which("node")), str(module)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "function rgb(14, 38, 104) rgb(255, 226, 66) 53%"


def test_the_page_of_a_run_holds_all_it_needs_and_no_text_of_it_is_markup():
    recording = load_recording(START_RUN)
    page = standalone_page({**recording, "classes": ["</script><b>"], "model": "<i>"})
    assert "</script><b>" not in page
    assert "<i>" not in page
    assert page.count("</script>") == 2
    assert recording["frames"][0]["xy"] in page
